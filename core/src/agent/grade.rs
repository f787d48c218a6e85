//! The fitness of the agent to own a switch.

use super::handshakes::Handshakes;
use crate::bounds::ISOLATED_AFTER;
use crate::health::{Grade, Isolation};
use crate::time::Time;

/// The grade, and what it depends on.
#[derive(Clone, Debug)]
pub(super) struct Grading {
    grade: Grade,
    /// The services node passed its probes, or failed them; `None` before the first probe.
    tsn_alive: Option<bool>,
    /// Since when no control node configures the agent.
    unled: Option<Time>,
    /// No session with a control node is open.
    without_uplinks: bool,
    handshakes: Handshakes,
    /// When the next trial of handshakes begins; `None` once it has begun.
    trial: Option<Time>,
}

/// The other facts that the grade depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// A session with some control node is open, or none is configured.
    pub(super) uplink_is_up: bool,
    /// The configuration of some control node with a session is in force, or none is configured.
    pub(super) configured: bool,
    /// The configuration is complete, or remembered.
    pub(super) complete: bool,
    /// The agent drains.
    pub(super) draining: bool,
    /// The peer agent could take a switch.
    pub(super) peer_is_ready: bool,
}

impl Grading {
    /// An agent that was never configured.
    pub(super) fn new() -> Self {
        Self {
            grade: Grade::Unfit,
            tsn_alive: None,
            unled: None,
            without_uplinks: false,
            handshakes: Handshakes::default(),
            trial: None,
        }
    }

    /// The grade on the health port.
    pub(super) fn grade(&self) -> Grade {
        self.grade
    }

    /// Whether the services node passed its probes.
    pub(super) fn tsn_alive(&self) -> Option<bool> {
        self.tsn_alive
    }

    /// Whether the agent could take a switch: it is fit, and a control node configures it at this moment. So when both agents
    /// lose their control nodes at one time, neither takes the other for fit until that notices.
    pub(super) fn is_ready(&self) -> bool {
        self.grade == Grade::Fit && self.unled.is_none()
    }

    /// The services node passed its probes, or failed them.
    pub(super) fn on_tsn(&mut self, alive: bool) {
        self.tsn_alive = Some(alive);
    }

    /// A handshake with a switch failed for a reason that may be this agent's. Another session serves a switch, or none.
    pub(super) fn on_handshake_failed(&mut self, now: Time, any_served: bool) {
        match any_served {
            true => self.handshakes.on_success(),
            false => self.handshakes.on_failed(now),
        }
    }

    /// A handshake with a switch succeeded.
    pub(super) fn on_handshake(&mut self) {
        self.handshakes.on_success();
    }

    /// Grades the agent anew. Returns the grade before, if it is another one now.
    pub(super) fn update(&mut self, now: Time, facts: Facts) -> Option<Grade> {
        self.without_uplinks = !facts.uplink_is_up;
        self.trial = self.handshakes.trial_at().filter(|at| now < *at);
        self.unled = match facts.uplink_is_up && facts.configured {
            true => None,
            false => self.unled.or(Some(now)),
        };
        let grade = if facts.draining {
            Grade::Draining
        } else if self.grade == Grade::Unfit && !facts.complete {
            Grade::Unfit
        } else if self.isolation(now).is_none() {
            Grade::Fit
        } else if facts.peer_is_ready {
            Grade::Isolated
        } else {
            Grade::Alone
        };
        let before = std::mem::replace(&mut self.grade, grade);
        (before != grade).then_some(before)
    }

    /// The lack that keeps the agent from owning a switch, once it has lasted long enough.
    pub(super) fn isolation(&self, now: Time) -> Option<Isolation> {
        let for_long = |since| now.since(since) >= ISOLATED_AFTER;
        if self.tsn_alive == Some(false) {
            Some(Isolation::DeadServicesNode)
        } else {
            let lack = match self.without_uplinks {
                true => Isolation::NoControlNode,
                false => Isolation::NotConfigured,
            };
            let failing = self
                .handshakes
                .keep_failing(now)
                .then_some(Isolation::FailingHandshakes);
            self.unled.is_some_and(for_long).then_some(lack).or(failing)
        }
    }

    /// When the grade may change although nothing happens.
    pub(super) fn due(&self) -> Option<Time> {
        let isolated = self.unled.map(|since| since + ISOLATED_AFTER);
        let isolated = isolated.filter(|_| self.grade == Grade::Fit);
        [isolated, self.trial].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::{Transition, assert_in_book};

    const WELL: Facts = Facts {
        uplink_is_up: true,
        configured: true,
        complete: true,
        draining: false,
        peer_is_ready: true,
    };
    const CUT: Facts = Facts {
        uplink_is_up: false,
        ..WELL
    };

    fn graded(mut grading: Grading, at: Time, facts: Facts) -> Grade {
        grading.update(at, facts);
        grading.grade()
    }

    fn fit() -> Grading {
        let mut grading = Grading::new();
        assert_eq!(grading.update(Time::ORIGIN, WELL), Some(Grade::Unfit));
        grading
    }

    #[test]
    fn an_agent_is_unfit_until_its_configuration_was_complete_once() {
        let incomplete = Facts {
            complete: false,
            ..WELL
        };
        assert_eq!(graded(Grading::new(), Time::ORIGIN, incomplete), Grade::Unfit);
        assert_eq!(graded(fit(), Time::ORIGIN, incomplete), Grade::Fit);
    }

    #[test]
    fn an_agent_without_control_nodes_is_isolated_after_a_while_and_not_ready_at_once() {
        let mut grading = fit();
        assert!(grading.is_ready());
        assert_eq!(grading.update(Time::ORIGIN, CUT), None);
        assert!(!grading.is_ready());
        let due = Time::ORIGIN + ISOLATED_AFTER;
        assert_eq!(grading.due(), Some(due));
        assert_eq!(graded(grading.clone(), due, CUT), Grade::Isolated);
        assert_eq!(grading.isolation(due), Some(Isolation::NoControlNode));
        let alone = Facts {
            peer_is_ready: false,
            ..CUT
        };
        assert_eq!(graded(grading.clone(), due, alone), Grade::Alone);
        assert_eq!(graded(grading, due, WELL), Grade::Fit);
    }

    #[test]
    fn an_agent_that_ignores_every_control_node_is_not_fit_after_a_while() {
        let ignored = Facts {
            configured: false,
            ..WELL
        };
        let mut grading = fit();
        assert_eq!(grading.update(Time::ORIGIN, ignored), None);
        assert!(!grading.is_ready());
        let due = Time::ORIGIN + ISOLATED_AFTER;
        assert_eq!(grading.due(), Some(due));
        assert_eq!(graded(grading.clone(), due, ignored), Grade::Isolated);
        assert_eq!(grading.isolation(due), Some(Isolation::NotConfigured));
        assert_eq!(graded(grading, due, WELL), Grade::Fit);
    }

    #[test]
    fn an_agent_whose_services_node_is_dead_is_isolated_at_once() {
        let mut grading = fit();
        grading.on_tsn(false);
        assert_eq!(graded(grading.clone(), Time::ORIGIN, WELL), Grade::Isolated);
        assert_eq!(grading.isolation(Time::ORIGIN), Some(Isolation::DeadServicesNode));
        grading.on_tsn(true);
        assert_eq!(graded(grading, Time::ORIGIN, WELL), Grade::Fit);
    }

    #[test]
    fn an_agent_whose_handshakes_keep_failing_is_isolated_until_its_next_trial() {
        let mut grading = fit();
        let at = |seconds| Time::ORIGIN + std::time::Duration::from_secs(seconds);
        for second in 0..9 {
            grading.on_handshake_failed(at(second), true);
        }
        assert_eq!(graded(grading.clone(), at(9), WELL), Grade::Fit, "a session works");
        for second in 10..20 {
            grading.on_handshake_failed(at(second), false);
        }
        let alone = Facts {
            peer_is_ready: false,
            ..WELL
        };
        assert_eq!(graded(grading.clone(), at(20), alone), Grade::Alone);
        assert_eq!(grading.update(at(20), WELL), Some(Grade::Fit));
        assert_eq!((grading.grade(), grading.is_ready()), (Grade::Isolated, false));
        assert_eq!(grading.isolation(at(20)), Some(Isolation::FailingHandshakes));
        let trial = grading.due().expect("a trial");
        assert_eq!(graded(grading.clone(), trial, WELL), Grade::Fit);
        grading.on_handshake();
        assert_eq!(graded(grading, at(20), WELL), Grade::Fit);
    }

    #[test]
    fn a_trial_that_has_begun_is_no_deadline_while_another_loss_isolates_the_agent() {
        let mut grading = fit();
        let at = |seconds| Time::ORIGIN + std::time::Duration::from_secs(seconds);
        (0..10).for_each(|second| grading.on_handshake_failed(at(second), false));
        grading.update(at(10), WELL);
        let trial = grading.due().expect("a trial");
        grading.on_tsn(false);
        assert_eq!(graded(grading.clone(), trial, WELL), Grade::Isolated);
        grading.update(trial, WELL);
        assert_eq!(grading.due(), None);
    }

    #[test]
    fn a_drain_outweighs_everything() {
        let draining = Facts { draining: true, ..CUT };
        assert_eq!(graded(fit(), Time::ORIGIN, draining), Grade::Draining);
        assert_eq!(graded(Grading::new(), Time::ORIGIN, draining), Grade::Draining);
    }
    #[test]
    fn the_book_shows_every_change_of_grade() {
        let mut transitions: Vec<Transition> = Vec::new();
        for from in [Grade::Unfit, Grade::Fit, Grade::Isolated, Grade::Alone, Grade::Draining] {
            for bits in 0..16u8 {
                let mut grading = Grading {
                    grade: from,
                    tsn_alive: Some(bits & 2 == 0),
                    unled: None,
                    without_uplinks: false,
                    handshakes: Handshakes::default(),
                    trial: None,
                };
                let facts = Facts {
                    uplink_is_up: true,
                    configured: true,
                    complete: bits & 4 != 0,
                    draining: bits & 8 != 0,
                    peer_is_ready: bits & 1 != 0,
                };
                if grading.update(Time::ORIGIN, facts).is_none() {
                    continue;
                }
                let to = grading.grade();
                let on = match to {
                    Grade::Fit | Grade::Isolated | Grade::Alone if from == Grade::Draining => "an order to resume",
                    Grade::Fit if from == Grade::Unfit => "the configuration is complete",
                    Grade::Fit => "the loss is over",
                    Grade::Isolated => "a loss, and the peer is fit",
                    Grade::Alone => "a loss, and the peer is not fit",
                    Grade::Draining => "SIGTERM, or an order",
                    Grade::Unfit => "never",
                };
                let transition = (from.to_string(), on, to.to_string());
                if !transitions.contains(&transition) {
                    transitions.push(transition);
                }
            }
        }
        assert_in_book(include_str!("../../../docs/src/session.md"), "grade", &transitions);
    }
}
