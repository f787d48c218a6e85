//! The writers of a database: the comments in the database's log against the lock events in the agents' logs.

use std::time::{SystemTime, UNIX_EPOCH};

use tandem_lab::pair::Pair;

use crate::events::logged;
use crate::pair::millis;

/// The agents that wrote to a switch, in the order of their tenures: every transaction between two hand-overs is one
/// session's.
///
/// Fails if a transaction does not name its writer, if a session writes again after another one has, or if it wrote
/// without having got the lock after the last write of the one before.
pub(crate) fn writers(pair: &Pair, switch: usize) -> Vec<usize> {
    let tenures = tenures(pair, switch);
    for (index, tenure) in tenures.iter().enumerate() {
        let returns = tenures[..index]
            .iter()
            .any(|earlier| earlier.session() == tenure.session());
        assert!(!returns, "two sessions write at a time: {tenures:#?}");
        let locked = logged(&pair.agents[tenure.agent], "Locked")
            .into_iter()
            .find(|locked| locked.generation == Some(tenure.generation))
            .unwrap_or_else(|| panic!("{tenure:?} without the lock"));
        let locked = unix_ms(locked.at);
        assert!(
            locked <= tenure.first_ms,
            "{tenure:?} wrote before it was locked, at {locked}"
        );
        if let Some(before) = index.checked_sub(1).map(|before| &tenures[before]) {
            assert!(
                before.last_ms <= locked,
                "{before:?} wrote after the lock had gone, at {locked}"
            );
        }
    }
    tenures.iter().map(|tenure| tenure.agent).collect()
}

#[derive(Debug)]
struct Tenure {
    agent: usize,
    generation: u64,
    first_ms: u64,
    last_ms: u64,
}

impl Tenure {
    fn session(&self) -> (usize, u64) {
        (self.agent, self.generation)
    }
}

fn tenures(pair: &Pair, switch: usize) -> Vec<Tenure> {
    let mut tenures: Vec<Tenure> = Vec::new();
    for transaction in pair.switches[switch].log().expect("the database's log") {
        let [comment] = &transaction.comments[..] else {
            panic!("no comment names the writer of {transaction:?}");
        };
        let Some((agent, generation)) = writer(pair, comment) else {
            assert!(!comment.starts_with("tandem"), "{comment}");
            continue;
        };
        match tenures.last_mut() {
            Some(tenure) if tenure.session() == (agent, generation) => tenure.last_ms = transaction.unix_ms,
            _ => tenures.push(Tenure {
                agent,
                generation,
                first_ms: transaction.unix_ms,
                last_ms: transaction.unix_ms,
            }),
        }
    }
    tenures
}

/// `tandem agent-a generation 7: unicast`
fn writer(pair: &Pair, comment: &str) -> Option<(usize, u64)> {
    let (name, rest) = comment.strip_prefix("tandem ")?.split_once(" generation ")?;
    let agent = pair
        .agents
        .iter()
        .position(|agent| agent.options().agent.name == name)?;
    Some((agent, rest.split_once(':')?.0.parse().ok()?))
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).expect("after 1970");
    millis(since)
}
