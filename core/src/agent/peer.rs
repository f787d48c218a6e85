//! The agent's grade, what it reports to the peer agent, and what becomes of the switches.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::event::What;
use super::grade::Facts;
use super::hold::Served;
use super::pair::{Pair, PeerReport};
use super::roles::{Role, SwitchRole};
use super::{Agent, Output, Uplinks, Why, uplinks};
use crate::health::Grade;
use crate::ids::{ConnId, SwitchName};
use crate::session::Command;
use crate::time::{Deadline, Time};

impl Agent {
    /// The report to the peer agent. While no control node has been sent everything that we publish, no switch
    /// counts as audited: a route that is not there was not withdrawn.
    pub fn report(&self, now: Time) -> PeerReport {
        let has_published = self.uplinks.as_ref().is_none_or(|uplinks| uplinks.has_sent_all(now));
        let mut switches = self.roles.by_switch().clone();
        switches.values_mut().for_each(|role| role.audited &= has_published);
        PeerReport {
            agent: self.configuration.session.agent.clone(),
            grade: self.grade(),
            ready: self.grading.is_ready(),
            switches,
        }
    }

    /// The peer agent sent a report.
    pub(super) fn on_report(&mut self, now: Time, report: PeerReport) {
        let Some(pair) = &mut self.pair else { return };
        if pair.fresh(now).is_none() {
            let agent = report.agent.clone();
            self.outputs.push_back(Output::Pair(What::PeerUp { agent }));
        }
        for name in pair.on_report(now, report) {
            // Every local session that still claims the switch must show that its line is alive.
            let claims =
                |(_, known): &(ConnId, &super::SessionRecord)| known.is_owner() && known.served().contains(&name);
            let claiming = self.sessions.iter().filter(claims).map(|(conn, _)| conn).collect();
            self.challenge(claiming);
        }
        self.on_peer_identities(now);
        self.roles.mark();
    }

    /// After each input: grades the agent, and hands its switches over if it is isolated.
    pub(super) fn update_grade(&mut self, now: Time) {
        if let Some(PeerReport { agent, .. }) = self.pair.as_mut().and_then(|pair| pair.expire(now)) {
            self.outputs.push_back(Output::Pair(What::PeerDown { agent }));
            self.roles.mark();
            self.clear_waiting(now);
        }
        let was_ready = self.grading.is_ready();
        let facts = Facts {
            uplink_is_up: self.uplinks.as_ref().is_none_or(Uplinks::any_up),
            configured: self.uplinks.as_ref().is_none_or(Uplinks::is_configured),
            complete: self.complete || self.uplinks.as_ref().is_some_and(Uplinks::is_remembered),
            draining: self.drain.is_on() || self.leave.is_on(),
            peer_is_ready: self.pair.as_ref().is_some_and(|pair| pair.is_ready(now)),
        };
        if let Some(before) = self.grading.update(now, facts) {
            self.roles.mark();
            let grade = self.grade();
            let isolated = matches!(grade, Grade::Isolated | Grade::Alone);
            let isolation = self.grading.isolation(now).filter(|_| isolated);
            self.outputs.push_back(Output::Graded { grade, isolation });
            if before == Grade::Unfit {
                self.command_all(|| Command::Fit);
            }
        }
        if self.grade() == Grade::Isolated {
            self.hand_over(now);
        }
        if self.grading.is_ready() != was_ready {
            self.roles.mark();
        }
    }

    /// After each input: reports to the peer agent, compares the two agents, and notifies the uplinks of the owners.
    pub(super) fn update_peer(&mut self, now: Time) {
        self.send_report(now);
        self.compare(now);
        if self.roles.take_mark() {
            self.notify_served(now);
        }
    }

    /// The peer agent can take the switches that we own: it has what we lack.
    fn hand_over(&mut self, now: Time) {
        let Some(pair) = &mut self.pair else { return };
        for (conn, known) in self.sessions.iter().filter(|(_, known)| known.is_owner()) {
            let may_go: Vec<bool> = known
                .served()
                .iter()
                .map(|name| pair.may_hand_over(now, name))
                .collect();
            if may_go.contains(&true) {
                let command = Command::HandOver;
                self.outputs.push_back(Output::Command { conn, command });
            }
        }
    }

    fn send_report(&mut self, now: Time) {
        let is_due = |pair: &Pair| self.roles.is_marked() || pair.must_send(now);
        if !self.pair.as_ref().is_some_and(is_due) {
            return;
        }
        let report = self.report(now);
        if self.pair.as_mut().is_some_and(|pair| pair.send(now, &report)) {
            self.outputs.push_back(Output::SendPeer(report));
        }
    }

    fn compare(&mut self, now: Time) {
        let Some(pair) = &mut self.pair else { return };
        if self.roles.is_marked() || pair.due().is_some_and(|due| due <= now) {
            let own = &self.configuration.session.agent;
            let events = pair.compare(now, own, self.roles.by_switch());
            self.outputs.extend(events.into_iter().map(Output::Pair));
        }
    }

    fn notify_served(&mut self, now: Time) {
        if self.uplinks.as_ref().is_none_or(|uplinks| !uplinks.holds()) {
            return;
        }
        let served = self.served(now);
        if served != self.served {
            self.served = served.clone();
            self.on_uplink(now, uplinks::Input::Served(served));
        }
    }

    /// The service of our switches, by us or, as it reports, by the peer agent.
    pub(super) fn served(&self, now: Time) -> BTreeMap<Ipv4Addr, Served> {
        let theirs = self.pair.as_ref().and_then(|pair| pair.fresh(now));
        let served_by = |switches: &BTreeMap<SwitchName, SwitchRole>, name: &SwitchName, reported_at| {
            let role = switches.get(name)?;
            let audited = role.audited && !planted!(self, CopyOutlivesWithdrawal);
            let live = role.role == Role::Active;
            live.then_some(Served {
                live,
                audited,
                reported_at,
            })
        };
        let switches = self.configuration.switches.iter();
        let configured = switches.filter_map(|(name, switch)| Some((name, switch.vtep?)));
        let served = configured.map(|(name, vtep)| {
            let ours = served_by(self.roles.by_switch(), name, None);
            let served = ours.or_else(|| {
                let (at, report) = theirs?;
                served_by(&report.switches, name, Some(at))
            });
            (vtep, served.unwrap_or_default())
        });
        served.collect()
    }

    /// When the grade may change, or a report is due, although nothing happens.
    pub(super) fn grade_due(&self) -> Option<Deadline<Why>> {
        let pair = self.pair.as_ref().and_then(Pair::due);
        let at = self.grading.due().into_iter().chain(pair).min()?;
        let why = Why::GradeDue;
        Some(Deadline { at, why })
    }
}
