//! The words of every event type of the program: each has one meaning.

use std::collections::BTreeMap;

use tandem_core::event::LogEvent;
use tandem_core::{agent, control, event};
use tandem_lab::actor::Note;
use tandem_net::driver::log::DriverEvent;
use tandem_net::event::{LOG_WORDS, ServiceEvent, TLS_WORDS};
use tandem_sim::{device, host, intruder, proxy, thief, vip, world};

/// An event type and its words.
pub(crate) type Words = (&'static str, &'static [&'static str]);

pub(crate) const OF_CORE: [Words; 4] = [
    ("a session", event::What::WORDS),
    ("an agent's pair", agent::What::WORDS),
    ("an agent's control nodes", agent::uplinks::What::WORDS),
    ("a control node", control::Event::WORDS),
];

pub(crate) const OF_SIM: [Words; 8] = [
    ("an agent host", host::Event::WORDS),
    ("a control host", tandem_sim::control::Event::WORDS),
    ("a switch", device::Event::WORDS),
    ("a proxy", proxy::Event::WORDS),
    ("a virtual IP", vip::Event::WORDS),
    ("a lock stealer", thief::Event::WORDS),
    ("an intruder", intruder::Event::WORDS),
    ("the world", world::log::WorldEvent::WORDS),
];

pub(crate) const OF_NET: [Words; 4] = [
    ("a driver", DriverEvent::WORDS),
    ("a process", ServiceEvent::WORDS),
    ("TLS", TLS_WORDS),
    ("the log", LOG_WORDS),
];

/// `tandem switch` logs these, and the words of a switch.
const OF_SWITCH: [Words; 1] = [("the sockets of an emulated switch", Note::WORDS)];

/// Words that a simulated host shares with the driver that it stands for: they mean the same.
const SHARED: [&str; 3] = ["ConnectionRefused", "Graded", "StreamEnded"];

#[test]
fn the_page_of_the_emulated_switch_has_every_word_of_its_sockets() {
    let page = super::read(&super::root().join("docs/src/emulated-switch.md"));
    for word in Note::WORDS {
        assert!(page.contains(&format!("`{word}`")), "{word} is not there");
    }
}

#[test]
fn every_log_word_has_one_meaning_over_the_whole_program() {
    let mut meanings: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (event, words) in OF_CORE.iter().chain(&OF_SIM).chain(&OF_NET).chain(&OF_SWITCH) {
        assert!(!words.is_empty(), "{event}");
        for word in *words {
            meanings.entry(word).or_default().push(event);
        }
    }
    for word in SHARED {
        assert_eq!(meanings.remove(word).map(|events| events.len()), Some(2), "{word}");
    }
    let ambiguous: Vec<_> = meanings.iter().filter(|(_, events)| events.len() > 1).collect();
    assert!(ambiguous.is_empty(), "{ambiguous:?}");
}
