//! What the runs of a drill took, and by how much that is too long.

use serde::Serialize;

use super::spread::Spread;
use super::{NEVER, Outcome};

/// The three measures of a drill, in microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Times {
    pub session: Spread,
    pub broadcast: Spread,
    pub missing: Spread,
}

impl Times {
    /// Of these runs. What did not come about took [`NEVER`].
    pub fn of(outcomes: &[Outcome]) -> Self {
        let times = |of: fn(&Outcome) -> Option<u64>| {
            let times = outcomes.iter().map(|outcome| of(outcome).unwrap_or(NEVER));
            Spread::of(times.collect())
        };
        Self {
            session: times(|it| it.session_us),
            broadcast: times(|it| it.broadcast_us),
            missing: times(|it| Some(it.missing_us)),
        }
    }

    /// A sentence for each value that exceeds its bound.
    pub fn beyond(&self, bound: &Self) -> Vec<String> {
        let measures = [
            ("session", self.session, bound.session),
            ("broadcast", self.broadcast, bound.broadcast),
            ("missing MACs", self.missing, bound.missing),
        ];
        let exceeded = measures.into_iter().flat_map(|(measure, took, bound)| {
            let values = [
                ("p50", took.p50, bound.p50),
                ("p99", took.p99, bound.p99),
                ("max", took.max, bound.max),
            ];
            let values = values.into_iter().filter(|(_, took, bound)| took > bound);
            values.map(move |(value, took, bound)| format!("{measure} {value} {} > {}", ms(took), ms(bound)))
        });
        exceeded.collect()
    }
}

/// In words, as milliseconds.
fn ms(micros: u64) -> String {
    match micros {
        NEVER => "never".into(),
        micros => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(session_us: Option<u64>) -> Outcome {
        Outcome {
            seed: 1,
            session_us,
            broadcast_us: Some(500),
            missing_us: 0,
            wrong: None,
        }
    }

    #[test]
    fn what_exceeds_its_bound_is_named_with_both() {
        let bound = Times::of(&[took(Some(1000))]);
        assert!(bound.beyond(&bound).is_empty());
        let slower = Times::of(&[took(Some(1000)), took(Some(900)), took(Some(1100))]);
        assert_eq!(
            slower.beyond(&bound),
            ["session p99 1.1 ms > 1.0 ms", "session max 1.1 ms > 1.0 ms"]
        );
    }

    #[test]
    fn a_run_that_does_not_recover_exceeds_every_bound() {
        let bound = Times::of(&[took(Some(1000))]);
        let never = Times::of(&[took(None)]);
        assert_eq!(never.beyond(&bound)[0], "session p50 never > 1.0 ms");
    }
}
