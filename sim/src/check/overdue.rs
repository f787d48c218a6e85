//! What has been wrong for how long, and in the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::Time;

/// Wrong things, since when, and how.
#[derive(Clone, Debug)]
pub(super) struct Overdue<K>(BTreeMap<K, (Time, String)>);

impl<K> Default for Overdue<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Overdue<K> {
    /// These are wrong now. A thing that is wrong in another way than before begins anew.
    pub(super) fn update(&mut self, now: Time, wrong: impl IntoIterator<Item = (K, String)>) {
        let mut before = std::mem::take(&mut self.0);
        for (key, how) in wrong {
            let since = before
                .remove(&key)
                .filter(|(_, old)| *old == how)
                .map_or(now, |(since, _)| since);
            self.0.insert(key, (since, how));
        }
    }

    /// These were right meanwhile.
    pub(super) fn right(&mut self, is_right: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| !is_right(key));
    }

    /// Everything that has been wrong for so long.
    pub(super) fn longer_than(&self, bound: Duration, now: Time) -> impl Iterator<Item = (&K, &str)> {
        let all = self.0.iter().filter(move |(_, (since, _))| now.since(*since) >= bound);
        all.map(|(key, (_, how))| (key, how.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_or_wrong_in_another_way_meanwhile_begins_anew() {
        let at = Time::from_micros;
        let mut overdue = Overdue::default();
        overdue.update(
            at(1),
            [("a", "x".to_owned()), ("b", "x".to_owned()), ("c", "x".to_owned())],
        );
        overdue.update(at(2), [("a", "x".to_owned()), ("c", "y".to_owned())]);
        overdue.update(
            at(3),
            [("a", "x".to_owned()), ("b", "x".to_owned()), ("c", "y".to_owned())],
        );
        let wrong_for = |micros| {
            let bound = Duration::from_micros(micros);
            overdue
                .longer_than(bound, at(3))
                .map(|(key, _)| *key)
                .collect::<Vec<_>>()
        };
        assert_eq!(wrong_for(2), ["a"]);
        assert_eq!(wrong_for(1), ["a", "c"]);
    }
}
