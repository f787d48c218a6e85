//! The account of a violation: the faults, the causes of the event at which it was seen, and the last events of its
//! objects. A message that never arrived causes no event, so the causes alone do not show it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use tandem_core::Time;
use tandem_core::event::LogEvent;
use tandem_sim::check::Violation;
use tandem_sim::device;
use tandem_sim::plan::Plan;
use tandem_sim::run::Detail;
use tandem_sim::world::log::{ActorEvent, Entry, WorldEvent};

use super::text::{COLUMNS, lines, time, wrapped};
use super::trial;

/// Links of a chain of causes that are shown.
const LINKS: usize = 15;

/// Objects of a violation of which the last events are shown, and how many of each.
const OBJECTS: usize = 5;
const EVENTS: usize = 4;

/// How long a fault that is over still counts.
const RECENT: Duration = Duration::from_secs(30);

/// The explanation of a violation.
#[derive(Debug)]
pub(super) struct Account {
    faults: Vec<Lasted>,
    healed: Option<Entry>,
    /// The last event first.
    chain: Vec<Entry>,
    /// In order, without those of the chain.
    last: Vec<Entry>,
}

/// A fault, and from when to when.
#[derive(Clone, Debug)]
struct Lasted {
    number: usize,
    text: String,
    from: Time,
    to: Option<Time>,
}

impl Account {
    /// From a second run, which is the same as the first.
    pub(super) fn of(plan: &Plan, violation: &Violation) -> Self {
        let mut entries = Vec::new();
        let mut observe = |entry: &Entry| {
            if entry.id <= violation.entry {
                entries.push(entry.clone());
            }
        };
        trial::run(plan, Detail::Sessions, &mut observe, &|| true);
        let healed = entries.iter().find(|entry| is_healed(entry)).cloned();
        let now = healed.as_ref().map_or(violation.at, |healed| healed.at);
        let chain = chain(&entries, start(&entries, violation));
        let mut last = BTreeMap::new();
        for object in violation.objects.iter().take(OBJECTS) {
            last.extend(about(&entries, object).take(EVENTS).map(|entry| (entry.id, entry)));
        }
        let last = last
            .into_values()
            .filter(|entry| chain.iter().all(|it| it.id != entry.id));
        Self {
            faults: faults(plan, &entries, now),
            last: last.cloned().collect(),
            healed,
            chain,
        }
    }

    /// In words.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let when = if self.healed.is_some() {
            "when the faults ended"
        } else {
            "then"
        };
        if self.faults.is_empty() {
            writeln!(
                out,
                "\nNo fault was in force {when}, or in the {} s before.",
                RECENT.as_secs()
            )?;
        } else {
            writeln!(
                out,
                "\nFaults in force {when}, or in the {} s before:",
                RECENT.as_secs()
            )?;
        }
        for Lasted { number, text, from, to } in &self.faults {
            let when = match to {
                None => format!("since {}", time(*from)),
                Some(to) if to == from => format!("at {}", time(*from)),
                Some(to) => format!("from {} to {}", time(*from), time(*to)),
            };
            wrapped(out, "  ", &format!("#{number} {text}, {when}"))?;
        }
        if let Some(healed) = &self.healed {
            wrapped(out, "  ", &format!("healed at {}: {}", time(healed.at), healed.event))?;
        }
        self.write_causes(out)?;
        if !self.last.is_empty() {
            writeln!(out, "\nThe last other events of its objects:")?;
        }
        self.last.iter().try_for_each(|entry| write_entry(out, entry))
    }

    fn write_causes(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(oldest) = self.chain.last() else {
            return Ok(());
        };
        writeln!(out, "\nHow it came to that, the last event first:")?;
        self.chain.iter().try_for_each(|entry| write_entry(out, entry))?;
        match oldest.cause {
            0 => writeln!(out, "   which came from the plan"),
            cause => writeln!(out, "   which came from event {cause}; --log shows it"),
        }
    }
}

/// The event to begin with. That a core has not converged is seen at any event: then the last of what is pending.
fn start(entries: &[Entry], violation: &Violation) -> u64 {
    if violation.check != "L" {
        return violation.entry;
    }
    let nodes: BTreeSet<&str> = entries.iter().map(|entry| &*entry.node).collect();
    // A node always has events; those of the object that is wrong on it matter more.
    let is_node = |object: &&String| nodes.contains(object.as_str());
    let (nodes, things): (Vec<_>, Vec<_>) = violation.objects.iter().partition(is_node);
    let newest = |objects: &[&String]| {
        let last = objects.iter().filter_map(|object| about(entries, object).next());
        last.map(|entry| entry.id).max()
    };
    let newest = newest(things.get(..OBJECTS).unwrap_or(&things)).or_else(|| newest(&nodes));
    newest.unwrap_or(violation.entry)
}

/// This event, what led to it, and so on.
fn chain(entries: &[Entry], start: u64) -> Vec<Entry> {
    let find = |id: u64| {
        let place = usize::try_from(id.checked_sub(1)?).ok()?;
        entries.get(place).cloned()
    };
    std::iter::successors(find(start), |entry| find(entry.cause))
        .take(LINKS)
        .collect()
}

/// The faults that were in force now, or not long before.
fn faults(plan: &Plan, entries: &[Entry], now: Time) -> Vec<Lasted> {
    let mut faults: BTreeMap<usize, Lasted> = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            ActorEvent::World(WorldEvent::FaultBegins { fault: number, text }) => {
                let is_momentary = plan.fault(*number).is_some_and(|it| it.fault.kind().is_momentary());
                let fault = Lasted {
                    number: *number,
                    text: text.clone(),
                    from: entry.at,
                    to: is_momentary.then_some(entry.at),
                };
                faults.insert(*number, fault);
            }
            ActorEvent::World(WorldEvent::FaultEnds { fault }) => {
                if let Some(fault) = faults.get_mut(fault) {
                    fault.to = Some(entry.at);
                }
            }
            ActorEvent::World(
                WorldEvent::Started { .. } | WorldEvent::ConfigurationLoaded { .. } | WorldEvent::Healed { .. },
            )
            | ActorEvent::Agent(_)
            | ActorEvent::Switch(_)
            | ActorEvent::Proxy(_)
            | ActorEvent::Control(_)
            | ActorEvent::VRouter(_)
            | ActorEvent::Vip(_)
            | ActorEvent::Thief(_)
            | ActorEvent::Intruder(_) => {}
        }
    }
    let counts = |fault: &Lasted| fault.to.is_none_or(|to| now.since(to) <= RECENT);
    faults.into_values().filter(counts).collect()
}

/// The events about an object, the last first: its own, and those that name it. What a switch learns and forgets by
/// itself is no news, and the healed parts are listed already.
fn about<'a>(entries: &'a [Entry], object: &'a str) -> impl Iterator<Item = &'a Entry> {
    let is_news = |entry: &&Entry| match &entry.event {
        ActorEvent::Switch(device::Event::Committed(committed)) => committed.by.is_some(),
        _ => !is_healed(entry),
    };
    let entries = entries.iter().rev().filter(is_news);
    entries.filter(move |entry| is_about(entry, object))
}

/// In `02:00:00:00:00:01 in 6f1c...`, the words with a digit or a hyphen are the names.
fn is_about(entry: &Entry, object: &str) -> bool {
    if *entry.node == *object {
        return true;
    }
    let is_name = |word: &&str| word.contains(|c: char| c == '-' || c.is_ascii_digit());
    let mut names = object.split_whitespace().filter(is_name).peekable();
    let text = entry.event.to_string();
    let words = text.split(|c: char| c.is_whitespace() || ",;()".contains(c));
    let words = words.map(|word| word.trim_end_matches(':'));
    names.peek().is_some() && names.all(|name| words.clone().any(|word| word == name))
}

fn is_healed(entry: &Entry) -> bool {
    matches!(entry.event, ActorEvent::World(WorldEvent::Healed { .. }))
}

/// One event, without how its session stood.
fn write_entry(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    let head = format!(
        "{:>8} {:>12}  {:<10} {:<17} ",
        entry.id,
        entry.at.to_string(),
        entry.node,
        entry.event.word()
    );
    let texts = lines(&entry.event.to_string(), COLUMNS.saturating_sub(head.len()));
    writeln!(out, "{head}{}", texts.first().map_or("", String::as_str))?;
    for text in texts.iter().skip(1) {
        writeln!(out, "{:width$}{text}", "", width = head.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thief lets go, and long after that two faults are in force, one of them of a moment.
    const PLAN: &str = r"
name = 'x'
seed = 1
duration = '60s'
fault = [
    { at = '1s', for = '2s', kind = 'steal', switch = 'tor1' },
    { at = '50s', for = '5s', kind = 'isolate', node = 'agent-a' },
    { at = '51s', kind = 'reset', between = 'tor1', and = 'proxy-1' },
    { at = '53s', for = '4s', kind = 'crash', node = 'agent-b' },
]
";

    fn plan() -> Plan {
        Plan::parse(PLAN).expect("a plan")
    }

    /// One at the first event for which this is true.
    fn violation(check: &'static str, objects: &[&str], is_it: impl Fn(&Entry) -> bool) -> Violation {
        let mut found = None;
        let mut observe = |entry: &Entry| {
            if found.is_none() && is_it(entry) {
                found = Some((entry.id, entry.at));
            }
        };
        trial::run(&plan(), Detail::Outcome, &mut observe, &|| true);
        let (entry, at) = found.expect("an event");
        Violation {
            check,
            at,
            entry,
            objects: objects.iter().map(ToString::to_string).collect(),
            what: String::new(),
        }
    }

    fn explained(violation: &Violation) -> String {
        let mut out = Vec::new();
        Account::of(&plan(), violation).write(&mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn faults_that_cause_no_event_are_listed_and_those_long_over_are_not() {
        let is_it = |entry: &Entry| entry.at > Time::from_micros(56_000_000) && &*entry.node == "tor1";
        let text = explained(&violation("S2", &["tor1", "agent-a"], is_it));
        let faults = "
Faults in force then, or in the 30 s before:
  #2 isolate agent-a, from 50.000 s to 55.000 s
  #3 reset tor1 - proxy-1, at 51.000 s
  #4 crash agent-b, since 53.000 s

How it came to that, the last event first:
";
        assert!(text.starts_with(faults), "{text}");
        let (_, last) = text
            .split_once("\nThe last other events of its objects:\n")
            .expect("events");
        assert!(
            last.contains("ServerDown        agent-a: no answer") && last.lines().count() <= 2 * EVENTS,
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn causes_lead_back_to_the_plan() {
        let is_it = |entry: &Entry| entry.event.word() == "Started" && entry.at > Time::from_micros(50_000_000);
        let text = explained(&violation("S2", &["agent-b"], is_it));
        assert!(
            text.contains("Started") && text.contains("FaultBegins       #4 crash agent-b"),
            "{text}"
        );
        assert!(text.contains("   which came from the plan\n"), "{text}");
    }

    #[test]
    fn where_nothing_converged_the_account_begins_with_what_is_pending() {
        let mut found = violation("L", &["tor1"], is_healed);
        let healed = found.entry;
        found.objects.insert("agent-z".into());
        let account = Account::of(&plan(), &found);
        let first = account.chain.first().expect("a chain");
        assert!(first.id < healed && is_about(first, "tor1"), "{first}");
        assert!(account.healed.is_some_and(|entry| entry.id == healed));
    }

    #[test]
    fn without_faults_the_account_notes_it() {
        let is_it = |entry: &Entry| entry.at > Time::from_micros(40_000_000);
        let text = explained(&violation("S2", &["no-node"], is_it));
        assert!(
            text.starts_with("\nNo fault was in force then, or in the 30 s before.\n"),
            "{text}"
        );
        assert!(!text.contains("What else"), "{text}");
    }
}
