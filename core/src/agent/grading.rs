//! How fit the agent is, what the other one of its pair hears of that, and what becomes of the switches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::event::What;
use super::hold::Served;
use super::pair::{Pair, Standing, State, Word};
use super::{Agent, Output, Uplinks, Why, uplinks};
use crate::bounds::ISOLATED_AFTER;
use crate::configuration::fingerprint;
use crate::health::Grade;
use crate::ids::{ConnId, SwitchName};
use crate::session::Command;
use crate::time::{Deadline, Time};

impl Agent {
    /// An agent that hears from the other one of its pair.
    #[must_use]
    pub fn with_peer(mut self) -> Self {
        self.pair = Some(Pair::default());
        self
    }

    /// What the other agent of the pair is told. While no control node has heard what we export, we vouch for nothing:
    /// a route that is not there has not been taken back.
    pub fn word(&self, now: Time) -> Word {
        let vouches = self.uplinks.as_ref().is_none_or(|uplinks| uplinks.has_sent_all(now));
        let mut switches = self.standings.clone();
        switches.values_mut().for_each(|standing| standing.audited &= vouches);
        Word {
            agent: self.configuration.session.agent.clone(),
            grade: self.grade,
            ready: self.is_ready(),
            switches,
        }
    }

    fn is_ready(&self) -> bool {
        self.grade == Grade::Fit && self.without_uplinks.is_none()
    }

    /// Other switches are configured, or otherwise.
    pub(super) fn restand_all(&mut self) {
        let of = |switch| fingerprint(switch, &self.configuration.networks);
        let switches = self.configuration.switches.iter();
        let configured = switches.map(|(name, switch)| {
            let configuration = of(switch);
            (
                name.clone(),
                Standing {
                    configuration,
                    ..Standing::default()
                },
            )
        });
        self.standings = configured.collect();
        let names: BTreeSet<SwitchName> = self.standings.keys().cloned().collect();
        self.restand(&names);
    }

    /// The sessions with these switches are not what they were.
    pub(super) fn restand(&mut self, names: &BTreeSet<SwitchName>) {
        for name in names {
            let Some(standing) = self.standings.get_mut(name) else {
                continue;
            };
            let serving = self.sessions.values().filter(|known| known.served.contains(name));
            let latest = serving.max_by_key(|known| (known.owned, known.generation));
            standing.state = match latest {
                None => State::Absent,
                Some(known) if known.owned > 0 => State::Owner,
                Some(_) => State::Waiting,
            };
            standing.owned = latest.map_or(0, |known| known.owned);
            standing.audited = latest.is_some_and(|known| known.audited);
        }
        self.stirred = true;
    }

    /// The same, of the switches of one connection.
    pub(super) fn restand_served(&mut self, conn: ConnId) {
        if let Some(served) = self.sessions.get(&conn).map(|known| known.served.clone()) {
            self.restand(&served);
        }
    }

    /// The other agent of the pair said something.
    pub(super) fn peer_heard(&mut self, now: Time, word: Word) {
        let Some(pair) = &mut self.pair else { return };
        if pair.fresh(now).is_none() {
            let agent = word.agent.clone();
            self.outputs.push_back(Output::Pair(What::PeerUp { agent }));
        }
        for name in pair.heard(now, word) {
            // Whoever of ours believes that the switch is his has to show that his line is alive.
            self.doubt(|_, known| known.owned > 0 && known.served.contains(&name));
        }
        self.stirred = true;
    }

    /// The services node passed its probe, or did not.
    pub(super) fn tsn_probed(&mut self, alive: bool) {
        self.tsn_alive = Some(alive);
    }

    /// After each input: is the grade another, is there something to tell the other agent, is a switch to go?
    pub(super) fn settle(&mut self, now: Time) {
        if let Some(Word { agent, .. }) = self.pair.as_mut().and_then(|pair| pair.forget(now)) {
            self.outputs.push_back(Output::Pair(What::PeerDown { agent }));
            self.stirred = true;
        }
        let was_ready = self.is_ready();
        self.watch_uplinks(now);
        let grade = self.due_grade(now);
        if grade != self.grade {
            let was = std::mem::replace(&mut self.grade, grade);
            self.stirred = true;
            self.outputs.push_back(Output::Graded(grade));
            if was == Grade::Unfit {
                self.tell_all(|| Command::Fit);
            }
        }
        if self.grade == Grade::Isolated {
            self.hand_over(now);
        }
        self.stirred |= self.is_ready() != was_ready;
        self.tell_peer(now);
        self.compare(now);
        if std::mem::take(&mut self.stirred) {
            self.tell_served(now);
        }
    }

    /// How the two agents of the pair stand, to each other.
    fn compare(&mut self, now: Time) {
        let Some(pair) = &mut self.pair else { return };
        if self.stirred || pair.due().is_some_and(|due| due <= now) {
            let own = &self.configuration.session.agent;
            let news = pair.compare(now, own, &self.standings);
            self.outputs.extend(news.into_iter().map(Output::Pair));
        }
    }

    fn tell_served(&mut self, now: Time) {
        if self.uplinks.as_ref().is_none_or(|uplinks| !uplinks.holds()) {
            return;
        }
        let served = self.served(now);
        if served != self.served {
            self.served = served.clone();
            self.uplink(now, uplinks::Input::Served(served));
        }
    }

    /// By whom our switches are served: by us, or by the other agent as it says.
    pub(super) fn served(&self, now: Time) -> BTreeMap<Ipv4Addr, Served> {
        let theirs = self.pair.as_ref().and_then(|pair| pair.fresh(now));
        let owner = |switches: &BTreeMap<SwitchName, Standing>, name: &SwitchName, reported_at| {
            let standing = switches.get(name)?;
            let audited = standing.audited && !planted!(self, CopyOutlivesWithdrawal);
            let live = standing.state == State::Owner;
            live.then_some(Served {
                live,
                audited,
                reported_at,
            })
        };
        let configured = self
            .configuration
            .switches
            .iter()
            .filter_map(|(name, switch)| Some((name, switch.vtep?)));
        let served = configured.map(|(name, vtep)| {
            let ours = owner(&self.standings, name, None);
            let served = ours.or_else(|| theirs.and_then(|(said, word)| owner(&word.switches, name, Some(said))));
            (vtep, served.unwrap_or_default())
        });
        served.collect()
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
        let due = |pair: &Pair| self.stirred || pair.must_say(now);
        if !self.pair.as_ref().is_some_and(due) {
            return;
        }
        let word = self.word(now);
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
