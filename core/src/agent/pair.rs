//! What the two agents of a pair tell each other, and what follows from it.
//!
//! It decides nothing about who owns a switch: the lock in the switch's database does. It lets an old owner find out at
//! once that its line is dead, and an agent that is isolated hand its switches over to one that is not. Without it
//! everything is still right, only slower.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounds::{HANDOVER_PAUSE, PEER_FRESH, PEER_SAYS};
use crate::health::Grade;
use crate::ids::SwitchName;
use crate::time::Time;

/// Everything that one agent tells the other, each time.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// Who says it.
    pub agent: String,
    pub grade: Grade,
    /// It could take a switch: it is fit, and lacks nothing at this moment. When both lose their control nodes at one
    /// time, neither takes the other for fit until it notices.
    pub ready: bool,
    /// The switches that are configured.
    pub switches: BTreeMap<SwitchName, Standing>,
}

/// How an agent stands with a switch.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub state: State,
    /// Which of its sessions it is, among all that were allowed to write.
    pub owned: u64,
    /// Nothing differs any more from what is wanted.
    pub audited: bool,
    /// Of what is configured for it: [`fingerprint`](crate::configuration::fingerprint).
    pub configuration: String,
}

/// What an agent is to a switch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is no session.
    #[default]
    Absent,
    /// There is a session, and no lock.
    Waiting,
    /// It may write.
    Owner,
}

/// What an agent has with the other one of its pair.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    heard: Option<(Time, Word)>,
    said: Option<(Time, Word)>,
    /// When each switch was handed over.
    handed_over: BTreeMap<SwitchName, Time>,
}

/// What follows from a word of the other agent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct News {
    /// Switches that it owns now and did not own before.
    pub claimed: Vec<SwitchName>,
    /// Switches that it is configured for in another way, and was not when it spoke last.
    pub disagreed: Vec<SwitchName>,
}

impl Pair {
    /// The other agent said something.
    pub fn heard(&mut self, now: Time, word: Word, ours: &Word) -> News {
        let before = self.heard.take().map(|(_, word)| word);
        let before = |name: &SwitchName| before.as_ref().and_then(|word| word.switches.get(name));
        let mut news = News::default();
        for (name, standing) in &word.switches {
            let was = before(name);
            let is_new = was.is_none_or(|was| (was.state, was.owned) != (standing.state, standing.owned));
            if standing.state == State::Owner && is_new {
                news.claimed.push(name.clone());
            }
            let differs = |ours: &Standing| ours.configuration != standing.configuration;
            let was_different = was.is_some_and(|was| was.configuration == standing.configuration);
            if ours.switches.get(name).is_some_and(differs) && !was_different {
                news.disagreed.push(name.clone());
            }
        }
        self.heard = Some((now, word));
        news
    }

    /// What the other agent said, if that was just now.
    pub fn fresh(&self, now: Time) -> Option<&Word> {
        let (at, word) = self.heard.as_ref()?;
        (now.since(*at) < PEER_FRESH).then_some(word)
    }

    /// Whether the other agent can take a switch.
    pub fn is_ready(&self, now: Time) -> bool {
        self.fresh(now).is_some_and(|word| word.ready)
    }

    /// Answers whether this is to be said now: it is news, or it is time to say it again.
    pub fn say(&mut self, now: Time, word: &Word) -> bool {
        let due = self
            .said
            .as_ref()
            .is_none_or(|(at, said)| said != word || now.since(*at) >= PEER_SAYS);
        if due {
            self.said = Some((now, word.clone()));
        }
        due
    }

    /// When it is time to say something again, or when what the other said is too old to count.
    pub fn due(&self) -> Option<Time> {
        let say = self.said.as_ref().map(|(at, _)| *at + PEER_SAYS);
        let stale = self.heard.as_ref().map(|(at, _)| *at + PEER_FRESH);
        say.into_iter().chain(stale).min()
    }

    /// What the other agent said is too old to count; forgets it. Answers whether there was anything.
    pub fn forget(&mut self, now: Time) -> bool {
        let stale = self.heard.as_ref().is_some_and(|(at, _)| now.since(*at) >= PEER_FRESH);
        if stale {
            self.heard = None;
        }
        stale
    }

    /// Whether a switch may be handed over: once a minute. One that comes back is kept.
    pub fn may_hand_over(&mut self, now: Time, switch: &SwitchName) -> bool {
        let lately = self
            .handed_over
            .get(switch)
            .is_some_and(|at| now.since(*at) < HANDOVER_PAUSE);
        if !lately {
            self.handed_over.insert(switch.clone(), now);
        }
        !lately
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn word(state: State, owned: u64, configuration: &str) -> Word {
        let standing = Standing {
            state,
            owned,
            audited: false,
            configuration: configuration.into(),
        };
        Word {
            agent: "agent-b".into(),
            grade: Grade::Fit,
            ready: true,
            switches: [("tor1".into(), standing)].into(),
        }
    }

    #[test]
    fn a_claim_is_news_once() {
        let ours = word(State::Owner, 1, "x");
        let mut pair = Pair::default();
        let mut claimed = |state, owned| pair.heard(Time::ORIGIN, word(state, owned, "x"), &ours).claimed.len();
        let stories = [
            (State::Waiting, 0, 0),
            (State::Owner, 1, 1),
            (State::Owner, 1, 0),
            (State::Owner, 2, 1),
        ];
        for (state, owned, wanted) in stories {
            assert_eq!(claimed(state, owned), wanted, "{state:?} {owned}");
        }
    }

    #[test]
    fn another_configuration_is_news_once() {
        let ours = word(State::Absent, 0, "x");
        let mut pair = Pair::default();
        let mut disagreed = |it| {
            pair.heard(Time::ORIGIN, word(State::Absent, 0, it), &ours)
                .disagreed
                .len()
        };
        assert_eq!(["x", "y", "y", "z", "x"].map(&mut disagreed), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn what_was_said_three_seconds_ago_counts_no_more() {
        let mut pair = Pair::default();
        pair.heard(Time::ORIGIN, word(State::Absent, 0, "x"), &word(State::Absent, 0, "x"));
        let after = |ms| Time::ORIGIN + Duration::from_millis(ms);
        assert!(pair.is_ready(after(2999)) && !pair.is_ready(after(3000)));
        assert!(pair.forget(after(3000)) && pair.fresh(Time::ORIGIN).is_none());
    }

    #[test]
    fn a_switch_is_handed_over_once_a_minute() {
        let mut pair = Pair::default();
        let mut may = |seconds| pair.may_hand_over(Time::ORIGIN + Duration::from_secs(seconds), &"tor1".into());
        assert_eq!([0, 1, 59, 60, 61].map(&mut may), [true, false, false, true, false]);
    }
}
