//! Which lines are written: the first of each word and switch in a minute, then one line that has the number of the others.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use tracing::Level;

/// Lines of one key in a minute, before the others are counted.
pub(super) const LINES: usize = 10;

/// Warnings and errors of one key in a minute that are written beyond those, because their text is of another kind.
pub(super) const KINDS: usize = 10;

/// Keys that are told apart. A peer without a name cannot add one, so this is for thousands of switches.
pub(super) const KEYS: usize = 8192;

/// The time for which lines are counted together.
pub(super) const PERIOD: Duration = Duration::from_secs(60);

/// Lines that are counted together.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key {
    /// The word of the event; for a library, its target.
    pub(super) word: String,
    /// The switches that the event is about; empty for none.
    pub(super) switch: String,
    /// The label of its cause, for an event that has one.
    pub(super) reason: String,
}

/// The lines of a key that were not written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Summary {
    pub(super) key: Key,
    /// The severest level among them.
    pub(super) level: Level,
    pub(super) count: u64,
    pub(super) seconds: u64,
}

/// The lines of the last minute, by key.
#[derive(Debug, Default)]
pub(super) struct Floods {
    windows: BTreeMap<Key, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: usize,
    kinds: Vec<u64>,
    left_out: Option<(Level, u64)>,
}

impl Floods {
    /// Whether this line is written. It is counted if it is not.
    pub(super) fn admit(&mut self, now: Instant, mut key: Key, level: Level, message: &str) -> bool {
        if self.windows.len() >= KEYS && !self.windows.contains_key(&key) {
            key.switch = "...".into();
        }
        let window = self.windows.entry(key).or_insert_with(|| Window::new(now, LINES));
        window.admit(now, level, kind(message))
    }

    /// The summaries that are due: those of the keys whose minute is over. If `all`, of every key.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<Summary> {
        let mut due = Vec::new();
        self.windows.retain(|key, window| {
            let age = now.saturating_duration_since(window.began);
            if age < PERIOD && !all {
                return true;
            }
            let Some((level, count)) = window.left_out else {
                return false;
            };
            due.push(Summary {
                key: key.clone(),
                level,
                count,
                seconds: (age.as_millis() as u64).div_ceil(1000).max(1),
            });
            // As long as the flood lasts, one line a minute shows what it is made of.
            *window = Window::new(now, 1);
            true
        });
        due
    }
}

impl Window {
    fn new(began: Instant, lines: usize) -> Self {
        Self {
            began,
            lines,
            kinds: Vec::new(),
            left_out: None,
        }
    }

    fn admit(&mut self, now: Instant, level: Level, kind: u64) -> bool {
        if self.left_out.is_none() && now.saturating_duration_since(self.began) >= PERIOD {
            *self = Self::new(now, LINES);
        }
        let is_new = !self.kinds.contains(&kind);
        let written = if self.lines > 0 {
            self.lines -= 1;
            true
        } else {
            is_new && level <= Level::WARN && self.kinds.len() < LINES + KINDS
        };
        if written && is_new {
            self.kinds.push(kind);
        }
        if !written {
            let (severest, count) = self.left_out.unwrap_or((level, 0));
            self.left_out = Some((severest.min(level), count + 1));
        }
        written
    }
}

/// The same for messages that differ only in names with digits, numbers and addresses.
fn kind(message: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '/');
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_part(c) != is_part(first)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        match token.contains(|c: char| c.is_ascii_digit()) {
            true => "#".hash(&mut hasher),
            false => token.hash(&mut hasher),
        }
        rest = after;
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(word: &str, switch: &str) -> Key {
        Key {
            word: word.into(),
            switch: switch.into(),
            reason: String::new(),
        }
    }

    fn written(
        floods: &mut Floods,
        at: Instant,
        key: &Key,
        level: Level,
        messages: impl Iterator<Item = String>,
    ) -> usize {
        let mut admitted = messages.filter(|message| floods.admit(at, key.clone(), level, message));
        let mut count = 0;
        while admitted.next().is_some() {
            count += 1;
        }
        count
    }

    fn rejections() -> impl Iterator<Item = String> {
        (0..2000).map(|number| format!("02:00:00:00:00:{number:x} in 6f1c0d0e-{number}: constraint violation"))
    }

    #[test]
    fn a_flood_is_its_first_lines_and_one_with_the_number_of_the_others() {
        let (mut floods, start) = (Floods::default(), Instant::now());
        let tor1 = key("Quarantined", "tor1");
        assert_eq!(written(&mut floods, start, &tor1, Level::WARN, rejections()), LINES);
        assert_eq!(floods.due(start + PERIOD / 2, false), []);
        let summary = Summary {
            key: tor1.clone(),
            level: Level::WARN,
            count: 1990,
            seconds: 60,
        };
        assert_eq!(floods.due(start + PERIOD, false), [summary]);
        assert_eq!(
            written(&mut floods, start + PERIOD, &tor1, Level::WARN, rejections()),
            1,
            "it goes on"
        );
        assert_eq!(floods.due(start + PERIOD * 2, false).len(), 1);
        assert_eq!(floods.due(start + PERIOD * 3, false), [], "it is over");
        assert!(floods.windows.is_empty(), "and forgotten");
        assert_eq!(
            written(&mut floods, start + PERIOD * 3, &tor1, Level::WARN, rejections()),
            LINES
        );
    }

    #[test]
    fn switches_words_and_reasons_are_counted_apart() {
        let (mut floods, start) = (Floods::default(), Instant::now());
        let closed = Key {
            reason: "silent".into(),
            ..key("Closed", "tor1")
        };
        for key in [
            key("Closed", "tor1"),
            key("Closed", "tor2"),
            key("Repaired", "tor1"),
            closed,
        ] {
            assert_eq!(
                written(&mut floods, start, &key, Level::INFO, rejections()),
                LINES,
                "{key:?}"
            );
        }
        assert_eq!(
            floods.due(start, true).len(),
            4,
            "at the end of the process all are due"
        );
    }

    #[test]
    fn a_warning_of_another_kind_is_written_during_a_flood_and_kinds_are_bounded() {
        let (mut floods, start) = (Floods::default(), Instant::now());
        let tor1 = key("TransactionRejected", "tor1");
        written(&mut floods, start, &tor1, Level::WARN, rejections());
        let other = |text: &str| std::iter::once(text.to_owned());
        assert_eq!(
            written(&mut floods, start, &tor1, Level::WARN, other("no room on disk")),
            1
        );
        assert_eq!(
            written(&mut floods, start, &tor1, Level::WARN, other("no room on disk")),
            0
        );
        assert_eq!(written(&mut floods, start, &tor1, Level::INFO, other("no level")), 0);
        let invented = (0..500).map(|number| format!("kind {}", "x".repeat(number)));
        assert!(written(&mut floods, start, &tor1, Level::ERROR, invented) <= LINES + KINDS);
        let summary = floods.due(start + PERIOD, false);
        assert_eq!(
            summary[0].level,
            Level::ERROR,
            "the severest of those that were left out"
        );
    }

    #[test]
    fn a_quiet_minute_begins_anew_and_keys_are_bounded() {
        let (mut floods, start) = (Floods::default(), Instant::now());
        let tor1 = key("Claimed", "tor1");
        for minute in 0..5 {
            let few = (0..LINES).map(|number| number.to_string());
            assert_eq!(
                written(&mut floods, start + PERIOD * minute, &tor1, Level::INFO, few),
                LINES
            );
        }
        for number in 0..KEYS + 100 {
            floods.admit(start, key("Opened", &format!("tor{number}")), Level::INFO, "");
        }
        assert_eq!(floods.windows.len(), KEYS + 1);
    }
}
