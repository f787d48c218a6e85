//! Whether machines at rest remember what their state needs, and nothing else.
//!
//! The size of a memory is the number of lines of its `Debug` text, in which each entry of each collection has a line of
//! its own: a new memory is counted without being named here.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::world::World;

/// Lines in which programs of the same state may differ, for each program: whether something optional ever happened, for
/// which reasons sessions ended, and what a session keeps ready that waits for a lock.
const SLACK: usize = 250;

/// They may also differ by this part of all lines: another agent may own a switch.
const PART: usize = 30;

/// What is shown of the lines that are too many.
const NAMED: usize = 6;

/// The memories of a kind of nodes.
#[derive(Clone, Debug, Default)]
struct Memory {
    programs: BTreeSet<String>,
    lines: BTreeMap<String, usize>,
}

/// What the programs of a world remember, by the kind of node.
#[derive(Clone, Debug, Default)]
pub struct Memories(BTreeMap<&'static str, Memory>);

impl Memories {
    /// Those of a world, now.
    pub fn of(world: &World) -> Self {
        let mut memories = Self::default();
        for (kind, name, text) in world.memories() {
            let memory = memories.0.entry(kind).or_default();
            memory.programs.insert(name.to_owned());
            let mut shown_until = None;
            for line in text.lines() {
                let indent = line.len() - line.trim_start().len();
                // Statistics decide nothing, and are bounded.
                match shown_until {
                    Some(until) if indent > until => continue,
                    Some(_) => shown_until = None,
                    None if line.ends_with("stats: Stats {") => shown_until = Some(indent),
                    None => {}
                }
                *memory.lines.entry(line.trim().to_owned()).or_default() += 1;
            }
        }
        memories
    }

    /// What is too much, compared with programs of the same state that were just started.
    pub fn beyond(&self, fresh: &Self, world: &World, entry: u64) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (kind, used) in &self.0 {
            let Some(fresh) = fresh.0.get(kind) else { continue };
            let [now, then] = [fresh, used].map(|memory| memory.lines.values().sum::<usize>());
            if used.programs == fresh.programs && then > now + now / PART + SLACK * used.programs.len() {
                let what = format!(
                    "{} {kind} at rest remember {then} lines, and {now} just after a start; among them {}",
                    used.programs.len(),
                    used.more_than(fresh)
                );
                violations.push(Violation {
                    check: "rest",
                    at: world.now(),
                    entry,
                    objects: [(*kind).to_owned()].into(),
                    what,
                });
            }
        }
        violations
    }
}

impl Memory {
    /// The lines that are more frequent than in another memory, the most frequent first.
    fn more_than(&self, other: &Self) -> String {
        let count = |line| other.lines.get(line).copied().unwrap_or_default();
        let more = self
            .lines
            .iter()
            .map(|(line, many)| (many.saturating_sub(count(line)), line));
        let mut more: Vec<_> = more.filter(|(many, _)| *many > 0).collect();
        more.sort_unstable_by(|one, other| other.cmp(one));
        let named = more
            .into_iter()
            .take(NAMED)
            .map(|(many, line)| format!("{many} x `{line}`"));
        named.collect::<Vec<_>>().join(", ")
    }
}
