//! Health checks: asked and answered without a byte, and skipped while their outcome cannot change.
//!
//! A check that passed as before, over an undisturbed link, sleeps until anything changes in the world; then it resumes
//! at the time at which it would have been due anyway.

use std::time::Duration;

use tandem_core::Time;

use super::planned::{Checking, Stage};
use super::{HostId, Part, Planned, State, World};
use crate::socket::{Check, CheckKind, Outcome};
use crate::world::process::NodeInput;

impl World {
    pub(super) fn start_check(&mut self, node: HostId, check: u64, what: Check) {
        let next = self.now + what.first;
        self.versions += 1;
        let version = self.versions;
        let checking = Checking {
            what,
            version,
            next,
            asleep: false,
            begun_at_change: 0,
        };
        self.checkings.insert((node, check), checking);
        self.plan_check(next, node, check, version, Stage::Begins);
    }

    pub(super) fn check(&mut self, node: HostId, check: u64, version: u64, stage: Stage) {
        let running = self.nodes.get(node.0).is_some_and(|node| node.state == State::Running);
        let Some(checking) = self
            .checkings
            .get_mut(&(node, check))
            .filter(|checking| checking.version == version)
        else {
            return;
        };
        if !running {
            // A checker that hangs asks again when it goes on.
            return self.sleep(node, check);
        }
        match stage {
            Stage::Begins => {
                let (begun, timeout) = (self.now, checking.what.connect_timeout);
                checking.begun_at_change = self.changes;
                let to = self.links.resolve(node, *checking.what.to.ip());
                match to.filter(|to| self.links.passable(node, *to)) {
                    Some(to) => {
                        let at = self.links.draw_arrival(begun, node, to);
                        self.plan_check(at, node, check, version, Stage::Arrives { begun });
                    }
                    None => self.plan_timeout(begun + timeout, node, check, version),
                }
            }
            Stage::Arrives { begun } => {
                let what = checking.what.clone();
                let answer = self
                    .links
                    .resolve(node, *what.to.ip())
                    .and_then(|to| Some((to, self.ask(node, to, &what)?)));
                let answered = answer.filter(|(to, _)| self.links.passable(*to, node));
                let back = answered.map(|(to, outcome)| (self.links.draw_arrival(self.now, to, node), outcome));
                match back.filter(|(at, _)| *at <= begun + what.timeout) {
                    Some((at, outcome)) => self.plan_check(at, node, check, version, Stage::Ends { outcome }),
                    None => self.plan_timeout(begun + what.timeout, node, check, version),
                }
            }
            Stage::Ends { outcome } => self.conclude(node, check, outcome),
        }
    }

    /// What the host answers; `None` if it never does.
    fn ask(&mut self, from: HostId, to: HostId, what: &Check) -> Option<Outcome> {
        let asker = self.nodes.get(from.0)?.address;
        let now = self.local_time(to);
        let node = self.nodes.get_mut(to.0)?;
        if node.state == State::Dark {
            return None;
        }
        if !self.links.listens(to, what.to) {
            return Some(Outcome::Refused);
        }
        if node.state == State::Paused {
            return (what.kind == CheckKind::Connect).then_some(Outcome::Passed);
        }
        let outcome = node.program.as_mut()?.health(now, what.kind, asker);
        self.drain(to, Part::Program);
        // A handshake that stalls is a silence.
        (outcome != Outcome::TimedOut).then_some(outcome)
    }

    fn conclude(&mut self, node: HostId, check: u64, outcome: Outcome) {
        let Some(checking) = self.checkings.get_mut(&(node, check)) else {
            return;
        };
        if checking.what.unless.as_ref() != Some(&outcome) {
            self.checkings.remove(&(node, check));
            return self.deliver(node, Part::Program, NodeInput::Checked { check, outcome });
        }
        let (to, every) = (*checking.what.to.ip(), checking.what.every);
        checking.next = next_turn(checking.next, every, self.now);
        let unchanged = checking.begun_at_change == self.changes;
        let to = self.links.resolve(node, to);
        if unchanged && to.is_some_and(|to| self.links.is_calm(node, to) && self.links.is_calm(to, node)) {
            return self.sleep(node, check);
        }
        let (next, version) =
            (self.checkings.get(&(node, check))).map_or((self.now, 0), |checking| (checking.next, checking.version));
        self.plan_check(next, node, check, version, Stage::Begins);
    }

    fn sleep(&mut self, node: HostId, check: u64) {
        if let Some(checking) = self.checkings.get_mut(&(node, check)) {
            checking.asleep = true;
        }
    }

    /// Something changed: every check that sleeps asks again when it would have.
    pub(super) fn wake_checks(&mut self) {
        let now = self.now;
        self.changes += 1;
        let asleep: Vec<_> = self
            .checkings
            .iter()
            .filter(|(_, checking)| checking.asleep)
            .map(|(key, _)| *key)
            .collect();
        for (node, check) in asleep {
            if let Some(checking) = self.checkings.get_mut(&(node, check)) {
                checking.asleep = false;
                self.versions += 1;
                checking.version = self.versions;
                checking.next = next_turn(checking.next, checking.what.every, now);
                let (next, version) = (checking.next, checking.version);
                self.plan_check(next, node, check, version, Stage::Begins);
            }
        }
    }

    /// The sleeping `agent-check` polls count as polls: a drain waits for every proxy that polls regularly.
    pub(super) fn remember_polls(&mut self, agent: HostId) {
        let address = self.nodes.get(agent.0).map(|node| node.address);
        let polls =
            |checking: &Checking| checking.what.kind == CheckKind::Agent && Some(*checking.what.to.ip()) == address;
        let pollers: Vec<_> = self
            .checkings
            .iter()
            .filter(|(_, checking)| polls(checking))
            .map(|((node, _), _)| *node)
            .collect();
        for poller in pollers {
            if let Some(from) = self.nodes.get(poller.0).map(|node| node.address) {
                self.deliver(
                    agent,
                    Part::Program,
                    NodeInput::Agent(crate::host::Command::Polled { from }),
                );
            }
        }
    }

    fn plan_timeout(&mut self, at: Time, node: HostId, check: u64, version: u64) {
        let outcome = Outcome::TimedOut;
        self.plan_check(at, node, check, version, Stage::Ends { outcome });
    }

    fn plan_check(&mut self, at: Time, node: HostId, check: u64, version: u64, what: Stage) {
        self.schedule(
            at,
            Planned::Check {
                node,
                check,
                version,
                what,
            },
        );
    }
}

/// The first turn that is not over.
fn next_turn(turn: Time, every: Duration, now: Time) -> Time {
    if turn > now || every.is_zero() {
        return turn.max(now);
    }
    let (late, every) = (now.since(turn).as_micros(), every.as_micros());
    let turns = late.div_ceil(every).max(1);
    turn + Duration::from_micros(u64::try_from(turns * every).unwrap_or(u64::MAX))
}
