//! A quiet machine returns to its size: when everything was withdrawn and every deadline has passed, a machine remembers
//! no more than a fresh one that received the same final state.
//!
//! The size is the number of lines of the `Debug` text, in which each entry of each collection has a line of its own: a
//! new memory is counted without being named here.

#[path = "quiet/agent.rs"]
mod agent;
#[path = "quiet/control_node.rs"]
mod control_node;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::{Mac, Uuid, Vni};

const BLUE: Uuid = Uuid(1);
/// The tunnel ends of the switches: the first two are ours.
const VTEPS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 0, 9, 1),
    Ipv4Addr::new(10, 0, 9, 2),
    Ipv4Addr::new(10, 0, 9, 3),
];
/// Longer than anything is remembered.
const LONG: Duration = Duration::from_secs(900);
/// MACs of one operation: an operation that leaves anything behind leaves more than [`SLACK`].
const MACS: usize = 40;
/// Lines in which two machines of the same state may differ: whether something optional ever happened, and for which
/// reasons sessions ended.
const SLACK: usize = 4;

fn lines(machine: &impl Debug) -> usize {
    format!("{machine:#?}").lines().count()
}

/// The lines that one machine has more often than another.
fn more(one: &impl Debug, other: &impl Debug) -> String {
    let mut counts: BTreeMap<String, isize> = BTreeMap::new();
    for (text, sign) in [(format!("{one:#?}"), 1), (format!("{other:#?}"), -1)] {
        for line in text.lines() {
            *counts.entry(line.trim().to_owned()).or_default() += sign;
        }
    }
    let more = counts.into_iter().filter(|(_, count)| *count > 0);
    more.map(|(line, count)| format!("{count} x {line}\n"))
        .take(50)
        .collect()
}

fn vni() -> Vni {
    Vni::new(5001).expect("a VNI")
}

/// The MACs of an operation.
fn macs(group: u8) -> impl Iterator<Item = Mac> {
    (0..MACS).map(move |number| Mac([2, 0, 0, 0, group, u8::try_from(number).expect("few")]))
}
