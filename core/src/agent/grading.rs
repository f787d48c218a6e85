//! How fit the agent is, what the other one of its pair hears of that, and what becomes of the switches.

use std::collections::BTreeMap;

use super::hold::Served;
use super::pair::{Pair, Standing, State, Word};
use super::{Agent, Output, Uplinks, Why, uplinks};
use crate::bounds::ISOLATED_AFTER;
use crate::configuration::fingerprint;
use crate::health::Grade;
use crate::ids::SwitchName;
use crate::session::Command;
use crate::time::{Deadline, Time};

impl Agent {
    /// An agent that hears from the other one of its pair.
    #[must_use]
    pub fn with_peer(mut self) -> Self {
        self.pair = Some(Pair::default());
        self
    }

    /// What the other agent of the pair is told.
    pub fn word(&self) -> Word {
        let standing = |name: &SwitchName| {
            let serving = self.sessions.values().filter(|known| known.served.contains(name));
            let latest = serving.max_by_key(|known| (known.owned, known.generation));
            let configured = self.configuration.switches.get(name);
            let state = match latest {
                None => State::Absent,
                Some(known) if known.owned > 0 => State::Owner,
                Some(_) => State::Waiting,
            };
            Standing {
                state,
                owned: latest.map_or(0, |known| known.owned),
                audited: latest.is_some_and(|known| known.audited),
                configuration: configured
                    .map(|switch| fingerprint(switch, &self.configuration.networks))
                    .unwrap_or_default(),
            }
        };
        let names = self.configuration.switches.keys();
        let switches: BTreeMap<_, _> = names.map(|name| (name.clone(), standing(name))).collect();
        Word {
            agent: self.configuration.session.agent.clone(),
            grade: self.grade,
            ready: self.grade == Grade::Fit && self.without_uplinks.is_none(),
            switches,
        }
    }

    /// The other agent of the pair said something.
    pub(super) fn peer_heard(&mut self, now: Time, word: Word) {
        let ours = self.word();
        let Some(pair) = &mut self.pair else { return };
        let news = pair.heard(now, word, &ours);
        for name in news.claimed {
            // Whoever of ours believes that the switch is his has to show that his line is alive.
            self.doubt(|_, known| known.owned > 0 && known.served.contains(&name));
        }
        for switch in news.disagreed {
            self.outputs.push_back(Output::Disagreed { switch });
        }
    }

    /// The services node passed its probe, or did not.
    pub(super) fn tsn_probed(&mut self, alive: bool) {
        self.tsn_alive = Some(alive);
    }

    /// After each input: is the grade another, is there something to tell the other agent, is a switch to go?
    pub(super) fn settle(&mut self, now: Time) {
        if let Some(pair) = &mut self.pair {
            pair.forget(now);
        }
        self.watch_uplinks(now);
        let grade = self.due_grade(now);
        if grade != self.grade {
            let was = std::mem::replace(&mut self.grade, grade);
            self.outputs.push_back(Output::Graded(grade));
            if was == Grade::Unfit {
                self.tell_all(|| Command::Fit);
            }
        }
        if self.grade == Grade::Isolated {
            self.hand_over(now);
        }
        self.tell_peer(now);
        self.tell_served(now);
    }

    /// By whom our switches are served: by us, or by the other agent as it says.
    fn tell_served(&mut self, now: Time) {
        if self.uplinks.as_ref().is_none_or(|uplinks| !uplinks.holds()) {
            return;
        }
        let ours = self.word();
        let theirs = self.pair.as_ref().and_then(|pair| pair.fresh(now));
        let owner = |word: &Word, name: &SwitchName, said| {
            let standing = word.switches.get(name)?;
            let audited = standing.audited;
            let live = standing.state == State::Owner;
            live.then_some(Served { live, audited, said })
        };
        let configured = self
            .configuration
            .switches
            .iter()
            .filter_map(|(name, switch)| Some((name, switch.vtep?)));
        let served = configured.map(|(name, vtep)| {
            let ours = owner(&ours, name, None);
            let served = ours.or_else(|| theirs.and_then(|(said, word)| owner(word, name, Some(said))));
            (vtep, served.unwrap_or_default())
        });
        let served: BTreeMap<_, _> = served.collect();
        if served != self.served {
            self.served = served.clone();
            self.uplink(now, uplinks::Input::Served(served));
        }
    }

    fn due_grade(&self, now: Time) -> Grade {
        let peer_is_ready = self.pair.as_ref().is_some_and(|pair| pair.is_ready(now));
        if self.drain.is_some() {
            Grade::Draining
        } else if self.grade == Grade::Unfit && !self.complete {
            Grade::Unfit
        } else if !self.is_isolated(now) {
            Grade::Fit
        } else if peer_is_ready {
            Grade::Isolated
        } else {
            Grade::Alone
        }
    }

    fn is_isolated(&self, now: Time) -> bool {
        self.tsn_alive == Some(false)
            || self
                .without_uplinks
                .is_some_and(|since| now.since(since) >= ISOLATED_AFTER)
    }

    fn watch_uplinks(&mut self, now: Time) {
        let any = self.uplinks.as_ref().is_none_or(Uplinks::any_up);
        self.without_uplinks = if any { None } else { self.without_uplinks.or(Some(now)) };
    }

    /// The other agent can take the switches that we own: it has what we lack.
    fn hand_over(&mut self, now: Time) {
        let Some(pair) = &mut self.pair else { return };
        for (conn, known) in self.sessions.iter().filter(|(_, known)| known.owned > 0) {
            let may_go: Vec<bool> = known.served.iter().map(|name| pair.may_hand_over(now, name)).collect();
            if may_go.contains(&true) {
                let command = Command::Drain;
                self.outputs.push_back(Output::Tell { conn: *conn, command });
            }
        }
    }

    fn tell_peer(&mut self, now: Time) {
        if self.pair.is_none() {
            return;
        }
        let word = self.word();
        if self.pair.as_mut().is_some_and(|pair| pair.say(now, &word)) {
            self.outputs.push_back(Output::TellPeer(word));
        }
    }

    /// When the grade may change, or the other agent is to hear something, although nothing happens.
    pub(super) fn grading_due(&self) -> Option<Deadline<Why>> {
        let isolated = self.without_uplinks.map(|since| since + ISOLATED_AFTER);
        let ahead = isolated.filter(|_| matches!(self.grade, Grade::Fit));
        let at = ahead.into_iter().chain(self.pair.as_ref().and_then(Pair::due)).min()?;
        let why = Why::GradeDue;
        Some(Deadline { at, why })
    }
}
