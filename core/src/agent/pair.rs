//! What the two agents of a pair tell each other, and what follows from it.
//!
//! It decides nothing about who owns a switch: the lock in the switch's database does. It lets an old owner find out at
//! once that its line is dead, and an agent that is isolated hand its switches over to one that is not. Without it
//! everything is still right, only slower.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::What;
use crate::bounds::{ALARM_AFTER, HANDOVER_PAUSE, PEER_FRESH, PEER_SAYS};
use crate::health::Grade;
use crate::ids::SwitchName;
use crate::status::PeerStatus;
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

/// What can be wrong between two agents of a pair.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Neither owns the switch.
    Ownerless,
    /// Both believe that they own it.
    Contested,
    /// They are configured to make different things of it.
    Disagreed,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 3] = [Self::Ownerless, Self::Contested, Self::Disagreed];

    /// The word in a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ownerless => "ownerless",
            Self::Contested => "contested",
            Self::Disagreed => "disagreed",
        }
    }

    fn is_on(self, ours: &Standing, theirs: &Standing) -> bool {
        let owners = [ours, theirs].map(|standing| standing.state == State::Owner);
        match self {
            Self::Ownerless => owners == [false, false],
            Self::Contested => owners == [true, true],
            Self::Disagreed => ours.configuration != theirs.configuration,
        }
    }
}

/// What an agent has with the other one of its pair.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    heard: Option<(Time, Word)>,
    said: Option<(Time, Word)>,
    /// When each switch was handed over.
    handed_over: BTreeMap<SwitchName, Time>,
    /// What is wrong, since when, and whether that has been told.
    alarms: BTreeMap<(SwitchName, Alarm), (Time, bool)>,
}

impl Pair {
    /// The other agent said something. Answers the switches that it owns now and did not own before.
    pub fn heard(&mut self, now: Time, word: Word) -> Vec<SwitchName> {
        let before = self.heard.take().map(|(_, word)| word);
        let is_new = |name: &SwitchName, standing: &Standing| {
            let was = before.as_ref().and_then(|word| word.switches.get(name));
            was.is_none_or(|was| (was.state, was.owned) != (standing.state, standing.owned))
        };
        let switches = word.switches.iter();
        let claimed = switches.filter(|(name, standing)| standing.state == State::Owner && is_new(name, standing));
        let claimed = claimed.map(|(name, _)| name.clone()).collect();
        self.heard = Some((now, word));
        claimed
    }

    /// Compares how the two stand. Answers what has been wrong for long enough to be told, and what is right again.
    pub fn compare(&mut self, now: Time, own: &str, ours: &BTreeMap<SwitchName, Standing>) -> Vec<What> {
        let mut news = Vec::new();
        let mut before = std::mem::take(&mut self.alarms);
        let Some((_, word)) = &self.heard else {
            return news;
        };
        for (name, ours) in ours {
            let Some(theirs) = word.switches.get(name) else {
                continue;
            };
            let switch = name.clone();
            for alarm in Alarm::ALL {
                let known = before.remove(&(name.clone(), alarm));
                if !alarm.is_on(ours, theirs) {
                    let owner = [(ours, own), (theirs, word.agent.as_str())];
                    let mut owner = owner.into_iter().filter(|(it, _)| it.state == State::Owner);
                    let is_right = match (alarm, owner.next(), owner.next()) {
                        (Alarm::Disagreed, ..) => Some(What::Agreed { switch: switch.clone() }),
                        (_, Some((_, owner)), None) => Some(What::Mastership {
                            switch: switch.clone(),
                            owners: vec![owner.into()],
                        }),
                        _ => None,
                    };
                    news.extend(is_right.filter(|_| matches!(known, Some((_, true)))));
                    continue;
                }
                let (since, told) = known.unwrap_or((now, false));
                let tells = !told && now.since(since) >= ALARM_AFTER;
                if tells {
                    let switch = switch.clone();
                    news.push(match alarm {
                        Alarm::Ownerless => What::Mastership {
                            switch,
                            owners: Vec::new(),
                        },
                        Alarm::Contested => What::Mastership {
                            switch,
                            owners: vec![own.into(), word.agent.clone()],
                        },
                        Alarm::Disagreed => What::Disagreed {
                            switch,
                            ours: ours.configuration.clone(),
                            theirs: theirs.configuration.clone(),
                        },
                    });
                }
                self.alarms.insert((name.clone(), alarm), (since, told || tells));
            }
        }
        news
    }

    /// What is wrong with a switch, and has been for long enough to be told.
    pub fn alarms(&self, name: &SwitchName) -> Vec<Alarm> {
        let known = Alarm::ALL.into_iter();
        known
            .filter(|alarm| matches!(self.alarms.get(&(name.clone(), *alarm)), Some((_, true))))
            .collect()
    }

    /// What the other agent said, and when, if that was just now.
    pub fn fresh(&self, now: Time) -> Option<(Time, &Word)> {
        let (at, word) = self.heard.as_ref()?;
        (now.since(*at) < PEER_FRESH).then_some((*at, word))
    }

    /// What an operator may want to know of the other agent.
    pub fn status(&self) -> PeerStatus {
        let word = self.heard.as_ref().map(|(_, word)| word);
        PeerStatus {
            agent: word.map(|word| word.agent.clone()),
            grade: word.map(|word| word.grade),
        }
    }

    /// Whether the other agent can take a switch.
    pub fn is_ready(&self, now: Time) -> bool {
        self.fresh(now).is_some_and(|(_, word)| word.ready)
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
        let untold = self.alarms.values().filter(|(_, told)| !told);
        let alarm = untold.map(|(since, _)| *since + ALARM_AFTER).min();
        say.into_iter().chain(stale).chain(alarm).min()
    }

    /// Whether something has to be said, though nothing has changed.
    pub fn must_say(&self, now: Time) -> bool {
        self.said.as_ref().is_none_or(|(at, _)| now.since(*at) >= PEER_SAYS)
    }

    /// If what the other agent said is too old to count, forgets it, and answers what it was.
    pub fn forget(&mut self, now: Time) -> Option<Word> {
        let (_, word) = self.heard.take_if(|(at, _)| now.since(*at) >= PEER_FRESH)?;
        Some(word)
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
    use crate::event::LogEvent;

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
        let mut pair = Pair::default();
        let mut claimed = |state, owned| pair.heard(Time::ORIGIN, word(state, owned, "x")).len();
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

    /// What is told of a switch, second by second, when the other agent says this.
    fn told(ours: State, theirs: &[(u64, State, &str)]) -> Vec<(u64, &'static str)> {
        let ours = word(ours, 1, "x").switches;
        let mut pair = Pair::default();
        let mut told = Vec::new();
        let (mut state, mut configuration) = (State::Absent, "x");
        for second in 0..30 {
            if let Some((_, now_state, now_configuration)) = theirs.iter().find(|(at, ..)| *at == second) {
                (state, configuration) = (*now_state, now_configuration);
            }
            let now = Time::ORIGIN + Duration::from_secs(second);
            pair.heard(now, word(state, 1, configuration));
            let news = pair.compare(now, "agent-a", &ours);
            told.extend(news.iter().map(|what| (second, what.word())));
        }
        told
    }

    #[test]
    fn a_switch_without_an_owner_is_told_of_when_no_takeover_lasts_that_long_and_again_when_it_has_one() {
        let story = [(0, State::Absent, "x"), (20, State::Owner, "x")];
        assert_eq!(told(State::Waiting, &story), [(5, "Mastership"), (20, "Mastership")]);
        let short = [(0, State::Absent, "x"), (4, State::Owner, "x")];
        assert_eq!(told(State::Waiting, &short), []);
    }

    #[test]
    fn two_owners_and_two_configurations_are_told_of() {
        let story = [
            (0, State::Owner, "x"),
            (10, State::Owner, "y"),
            (20, State::Waiting, "x"),
        ];
        let wanted = [(5, "Mastership"), (15, "Disagreed"), (20, "Mastership"), (20, "Agreed")];
        assert_eq!(told(State::Owner, &story), wanted);
    }

    #[test]
    fn nothing_is_compared_with_what_is_too_old_to_count() {
        let ours = word(State::Waiting, 0, "x").switches;
        let mut pair = Pair::default();
        let at = |seconds| Time::ORIGIN + Duration::from_secs(seconds);
        pair.heard(at(0), word(State::Absent, 0, "x"));
        assert_eq!(pair.compare(at(0), "agent-a", &ours), []);
        assert_eq!(pair.forget(at(3)).map(|word| word.agent), Some("agent-b".into()));
        assert_eq!(pair.compare(at(10), "agent-a", &ours), []);
        assert_eq!((pair.due(), pair.alarms(&"tor1".into())), (None, Vec::new()));
    }

    #[test]
    fn what_was_said_three_seconds_ago_counts_no_more() {
        let mut pair = Pair::default();
        pair.heard(Time::ORIGIN, word(State::Absent, 0, "x"));
        let after = |ms| Time::ORIGIN + Duration::from_millis(ms);
        assert!(pair.is_ready(after(2999)) && !pair.is_ready(after(3000)));
        assert!(pair.forget(after(3000)).is_some() && pair.fresh(Time::ORIGIN).is_none());
    }

    #[test]
    fn a_switch_is_handed_over_once_a_minute() {
        let mut pair = Pair::default();
        let mut may = |seconds| pair.may_hand_over(Time::ORIGIN + Duration::from_secs(seconds), &"tor1".into());
        assert_eq!([0, 1, 59, 60, 61].map(&mut may), [true, false, false, true, false]);
    }
}
