//! The lease: whether this session may write. The lock in the switch's own database decides, and nothing else.
//!
//! ```text
//! Idle -> Asked -> Queued -> Granted -> Held -> Lost         (or Lockless)
//!            \-> Releasing -> Idle
//! ```
//!
//! Only a lease makes a [`Permit`], and nothing can be written without one.

use std::sync::Arc;

use crate::configuration::SessionOptions;
use crate::ovsdb::transaction::Transaction;
use crate::planted::Planted;
use crate::status::{Ownership, ServerModel};
use crate::time::Time;

/// A session's request for the lock, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    lock: Arc<str>,
    state: State,
    /// This agent is fit to own a switch.
    fit: bool,
    /// The session is on its way out: it takes up no lock and writes nothing more.
    stopping: bool,
    /// The kind of the server; `None` before it is known. A lock is held only where it fences.
    model: Option<ServerModel>,
    /// A lock that fences nothing was reported.
    unfenced: bool,
    clearance: Clearance,
    /// A lock that came before the clearance was reported.
    grant_reported: bool,
    planted: Planted,
}

/// The state of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The lock was not asked for.
    Idle,
    /// It was asked for; no answer yet.
    Asked,
    /// Another client holds it; the switch notifies us when it is ours.
    Queued { reported: bool },
    /// It is ours, but it is not known yet for which switch.
    Granted,
    /// It is ours, and the switch is one of ours.
    Held,
    /// Another client stole it.
    Lost,
    /// It was given back; no answer yet.
    Releasing,
    /// The switch refused the request, as a standby does that is read-only. It is asked again then.
    Refused { until: Time },
    /// The switch knows no locks. Whether we write without one, as reported last.
    Lockless { may_write: Option<bool> },
}

/// Whether the agent has cleared the session: its switch is the only one of its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Clearance {
    Awaited,
    Cleared,
    Barred,
}

/// A change of the lease that others act on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// Another client holds the lock.
    Waiting,
    /// The lock is ours, and the session is not cleared: whether another switch has its name is still to be found out.
    Granted,
    /// The lock is ours: writing begins.
    Held,
    /// The lock of a server of this kind fences nothing: nothing is written.
    Unfenced(ServerModel),
    /// The switch knows no locks, and nothing else writes to it: writing begins.
    Lockless,
    /// The switch knows no locks, and another manager may write to it: nothing is written.
    LocklessShared {
        /// We wrote until now.
        wrote: bool,
    },
}

/// Proof that this session may write at this moment. Its field is private: only [`Lease::permit`] makes one.
#[derive(Debug)]
pub(super) struct Permit {
    lock: Option<Arc<str>>,
}

impl Permit {
    /// Begins a transaction, which the switch applies only as long as the lock is ours.
    pub(super) fn transaction(&self, comment: &str) -> Transaction {
        Transaction::new(self.lock.as_deref(), comment)
    }
}

impl Lease {
    pub(super) fn new(options: &SessionOptions, fit: bool) -> Self {
        Self {
            lock: options.lock.as_str().into(),
            state: State::Idle,
            fit,
            stopping: false,
            model: None,
            unfenced: false,
            clearance: Clearance::Awaited,
            grant_reported: false,
            planted: Planted::of(options),
        }
    }

    /// The name of the lock.
    pub(super) fn lock(&self) -> &str {
        &self.lock
    }

    /// The form in `status`.
    pub(super) fn ownership(&self) -> Ownership {
        if self.is_barred() {
            return Ownership::Barred;
        }
        match self.state {
            State::Idle | State::Asked | State::Queued { .. } | State::Refused { .. } | State::Releasing => {
                Ownership::Waiting
            }
            State::Granted | State::Held => Ownership::Held,
            State::Lost => Ownership::Lost,
            State::Lockless { .. } => Ownership::Lockless,
        }
    }

    /// Permission to write, if the session has it now.
    pub(super) fn permit(&self) -> Option<Permit> {
        let lock = match self.state {
            State::Held if planted!(self.planted, LockNotAsserted) => None,
            State::Held => Some(Arc::clone(&self.lock)),
            State::Lockless { may_write: Some(true) } => None,
            State::Queued { reported: true } if planted!(self.planted, WrittenWithoutLock) => None,
            State::Idle | State::Asked | State::Queued { .. } | State::Granted => return None,
            State::Lost | State::Releasing | State::Refused { .. } | State::Lockless { .. } => return None,
        };
        (!self.stopping).then_some(Permit { lock })
    }

    /// Whether another client writes while this session reads on.
    pub(super) fn is_watching(&self) -> bool {
        if self.is_barred() {
            return true;
        }
        match self.state {
            State::Queued { .. } | State::Refused { .. } | State::Lockless { .. } => self.permit().is_none(),
            State::Idle | State::Asked | State::Granted | State::Held | State::Lost | State::Releasing => false,
        }
    }

    /// Whether the session must not write, whatever the lock.
    fn is_barred(&self) -> bool {
        self.model.is_some_and(|model| !model.fences()) || self.clearance == Clearance::Barred
    }

    /// Whether this session keeps others from the lock, or may soon.
    pub(super) fn occupies_lock(&self) -> bool {
        matches!(
            self.state,
            State::Asked | State::Queued { .. } | State::Granted | State::Held
        )
    }

    /// Whether there is nothing to give back, and no answer to that is awaited.
    pub(super) fn is_free(&self) -> bool {
        matches!(
            self.state,
            State::Idle | State::Lost | State::Refused { .. } | State::Lockless { .. }
        )
    }

    /// Whether [`stop`](Self::stop) was called.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// This agent is fit to own a switch from now on.
    pub(super) fn become_fit(&mut self) {
        self.fit = true;
    }

    /// The session is on its way out.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Decides to ask for the lock. If the answer is true, send the request.
    #[must_use]
    pub(super) fn ask(&mut self) -> bool {
        let fences = self.model.is_none_or(ServerModel::fences);
        let is_idle = matches!(self.state, State::Idle | State::Refused { .. });
        let asks = is_idle && self.fit && !self.stopping && fences;
        if asks {
            self.state = State::Asked;
        }
        asks
    }

    /// Decides to give the lock back, or to leave the queue for it. If the answer is true, send the request.
    #[must_use]
    pub(super) fn release(&mut self) -> bool {
        let releases = self.occupies_lock();
        if releases {
            self.state = State::Releasing;
        }
        releases
    }

    /// The answer to `lock`.
    pub(super) fn on_answer(&mut self, locked: bool) {
        if self.state == State::Asked {
            self.state = if locked {
                State::Granted
            } else {
                State::Queued { reported: false }
            };
        }
    }

    /// `locked` arrived. A second one is harmless, and so is one that crossed our `unlock`.
    pub(super) fn on_locked(&mut self) {
        if matches!(self.state, State::Queued { .. } | State::Asked) {
            self.state = State::Granted;
        }
    }

    /// The switch reports that the lock is not ours: by `stolen`, or by rejecting a write. Answers whether it was ours
    /// until now. Tandem never takes a lock back by force.
    #[must_use]
    pub(super) fn on_loss(&mut self) -> bool {
        let lost = matches!(self.state, State::Granted | State::Held) && !planted!(self.planted, StolenLockIgnored);
        if lost {
            self.state = State::Lost;
        }
        lost
    }

    /// The answer to `unlock`.
    pub(super) fn on_released(&mut self) {
        if self.state == State::Releasing {
            self.state = State::Idle;
        }
    }

    /// The agent knows no other switch of this name.
    pub(super) fn clear(&mut self) {
        self.clearance = Clearance::Cleared;
    }

    /// Another switch of this name is programmed: a lock that comes is not used.
    pub(super) fn bar(&mut self) {
        self.clearance = Clearance::Barred;
    }

    /// The kind of the server is known.
    pub(super) fn on_server_model(&mut self, model: ServerModel) {
        self.model = Some(model);
    }

    /// The switch refused the request: it is asked again at this time.
    pub(super) fn on_refused(&mut self, until: Time) {
        if self.state == State::Asked {
            self.state = State::Refused { until };
        }
    }

    /// When the switch is asked again.
    pub(super) fn asks_again(&self) -> Option<Time> {
        match self.state {
            State::Refused { until } if !self.stopping => Some(until),
            State::Refused { .. } | State::Idle | State::Asked | State::Queued { .. } | State::Granted => None,
            State::Held | State::Lost | State::Releasing | State::Lockless { .. } => None,
        }
    }

    /// The switch knows no locks.
    pub(super) fn on_unsupported(&mut self) {
        self.state = State::Lockless { may_write: None };
    }

    /// The change since the last call, once the switch is known to be one of ours. Call it after every input.
    /// `sole_manager` answers whether nothing else can write to a switch without locks.
    pub(super) fn advance(&mut self, sole_manager: impl FnOnce() -> bool) -> Option<Change> {
        match self.model {
            None => return None,
            Some(model) if !model.fences() => {
                let reported = std::mem::replace(&mut self.unfenced, true);
                return (!reported).then_some(Change::Unfenced(model));
            }
            Some(_) => {}
        }
        match self.state {
            State::Queued { reported: false } => {
                self.state = State::Queued { reported: true };
                Some(Change::Waiting)
            }
            State::Granted if self.clearance != Clearance::Cleared => {
                let reported = std::mem::replace(&mut self.grant_reported, true);
                (!reported).then_some(Change::Granted)
            }
            State::Lockless { .. } if self.clearance != Clearance::Cleared => None,
            State::Granted if !self.stopping => {
                self.state = State::Held;
                Some(Change::Held)
            }
            State::Lockless { may_write: before } => {
                let may_write = sole_manager();
                self.state = State::Lockless {
                    may_write: Some(may_write),
                };
                let wrote = before == Some(true);
                match (before == Some(may_write), may_write) {
                    (true, _) => None,
                    (false, true) => Some(Change::Lockless),
                    (false, false) => Some(Change::LocklessShared { wrote }),
                }
            }
            State::Idle | State::Asked | State::Queued { .. } | State::Granted => None,
            State::Held | State::Lost | State::Refused { .. } | State::Releasing => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::diagram::{Transition, assert_in_book};
    use proptest::prelude::*;

    /// A permit for the tests of other parts.
    pub(in crate::session) fn permit() -> Permit {
        held().permit().expect("a permit")
    }

    fn lease() -> Lease {
        let mut lease = Lease::new(&SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST), true);
        lease.on_server_model(ServerModel::Standalone);
        lease.clear();
        lease
    }

    fn held() -> Lease {
        let mut lease = lease();
        assert!(lease.ask());
        lease.on_answer(true);
        assert_eq!(lease.advance(|| false), Some(Change::Held));
        lease
    }

    #[test]
    fn a_lock_that_is_granted_permits_nothing_before_the_switch_is_known() {
        let mut lease = lease();
        assert!(lease.ask());
        lease.on_answer(true);
        assert!(lease.permit().is_none());
        assert_eq!(lease.advance(|| false), Some(Change::Held));
        let permit = lease.permit().expect("a permit");
        let params = String::from_utf8(permit.transaction("c").into_params()).expect("text");
        assert!(params.contains(r#"{"op":"assert","lock":"tandem"}"#), "{params}");
    }

    #[test]
    fn a_lock_permits_nothing_before_the_kind_of_the_server_is_known() {
        let mut lease = Lease::new(&SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST), true);
        assert!(lease.ask());
        lease.on_answer(true);
        lease.clear();
        assert_eq!((lease.advance(|| true), lease.permit().is_none()), (None, true));
        lease.on_server_model(ServerModel::Standalone);
        assert_eq!(lease.advance(|| true), Some(Change::Held));
    }

    #[test]
    fn a_lock_permits_nothing_before_the_agent_has_cleared_the_session() {
        let mut lease = Lease::new(&SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST), true);
        lease.on_server_model(ServerModel::Standalone);
        assert!(lease.ask());
        lease.on_answer(true);
        let granted = Some(Change::Granted);
        assert_eq!((lease.advance(|| true), lease.ownership()), (granted, Ownership::Held));
        assert_eq!(lease.advance(|| true), None, "it is reported once");
        lease.bar();
        assert_eq!((lease.advance(|| true), lease.ownership()), (None, Ownership::Barred));
        assert!(lease.permit().is_none() && lease.is_watching());
        lease.clear();
        assert_eq!(lease.advance(|| true), Some(Change::Held));
    }

    #[test]
    fn the_lock_of_a_cluster_or_a_relay_permits_nothing_is_given_back_and_not_asked_for_again() {
        for model in [ServerModel::Clustered, ServerModel::Relay] {
            let mut lease = Lease::new(&SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST), true);
            assert!(lease.ask());
            lease.on_answer(true);
            lease.on_server_model(model);
            assert_eq!(lease.advance(|| true), Some(Change::Unfenced(model)));
            assert_eq!(lease.advance(|| true), None, "reported once");
            assert!(lease.permit().is_none() && lease.is_watching() && lease.release());
            lease.on_released();
            assert!(!lease.ask());
            lease.on_unsupported();
            assert_eq!((lease.advance(|| true), lease.permit().is_none()), (None, true));
            assert_eq!(lease.ownership(), Ownership::Barred);
        }
    }

    #[test]
    fn a_session_that_waits_reports_it_once_and_takes_the_lock_when_it_comes() {
        let mut lease = lease();
        assert!(lease.ask() && !lease.ask());
        lease.on_answer(false);
        assert_eq!(lease.advance(|| true), Some(Change::Waiting));
        assert_eq!(lease.advance(|| true), None);
        assert!(lease.is_watching() && lease.permit().is_none());
        lease.on_locked();
        assert_eq!(lease.advance(|| true), Some(Change::Held));
        lease.on_locked();
        assert_eq!(lease.advance(|| true), None, "a second `locked` is harmless");
    }

    #[test]
    fn a_stolen_lock_ends_the_permission_for_good() {
        let mut lease = held();
        assert!(lease.on_loss() && !lease.on_loss());
        lease.on_locked();
        assert!(!lease.ask() && lease.permit().is_none());
        assert_eq!(lease.ownership(), Ownership::Lost);
    }

    #[test]
    fn a_lease_that_is_given_back_takes_no_notice_of_a_grant_that_crossed() {
        let mut lease = lease();
        assert!(lease.ask());
        lease.on_answer(false);
        assert!(lease.release() && !lease.is_free());
        lease.on_locked();
        assert!(!lease.on_loss());
        lease.on_released();
        assert!(lease.is_free() && lease.ask());
    }

    #[test]
    fn a_lock_that_is_refused_is_asked_for_again() {
        let mut lease = lease();
        assert!(lease.ask());
        lease.on_refused(Time::ORIGIN);
        assert_eq!((lease.asks_again(), lease.advance(|| true)), (Some(Time::ORIGIN), None));
        assert!(lease.is_watching() && lease.is_free() && lease.permit().is_none());
        assert!(lease.ask() && lease.asks_again().is_none());
        lease.on_answer(true);
        assert_eq!(lease.advance(|| true), Some(Change::Held));
    }

    #[test]
    fn an_agent_that_is_not_fit_does_not_ask() {
        let mut lease = Lease::new(&SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST), false);
        assert!(!lease.ask());
        lease.become_fit();
        assert!(lease.ask());
    }

    #[test]
    fn without_locks_only_a_sole_manager_writes() {
        let mut lease = lease();
        assert!(lease.ask());
        lease.on_unsupported();
        assert!(lease.permit().is_none());
        assert_eq!(lease.advance(|| true), Some(Change::Lockless));
        let permit = lease.permit().expect("a permit");
        let params = String::from_utf8(permit.transaction("c").into_params()).expect("text");
        assert!(!params.contains("assert"), "{params}");
        assert_eq!(lease.advance(|| true), None);
        assert_eq!(
            lease.advance(|| false),
            Some(Change::LocklessShared { wrote: true }),
            "a second manager came"
        );
        assert!(lease.permit().is_none());
    }

    #[test]
    fn the_book_shows_every_change_of_the_lease() {
        type Input = (&'static str, fn(&mut Lease));
        const INPUTS: [Input; 10] = [
            ("the session requests the lock", |it| {
                let _ = it.ask();
            }),
            ("the switch grants it", |it| it.on_answer(true)),
            ("another client holds it", |it| it.on_answer(false)),
            ("`locked` arrives", Lease::on_locked),
            ("the switch is one of ours", |it| {
                let _ = it.advance(|| true);
            }),
            ("it is stolen, or a write is rejected", |it| {
                let _ = it.on_loss();
            }),
            ("the session releases it", |it| {
                let _ = it.release();
            }),
            ("the switch confirms it", Lease::on_released),
            ("the switch refuses it", |it| it.on_refused(Time::ORIGIN)),
            ("the switch knows no locks", |it| {
                if it.state == State::Asked {
                    it.on_unsupported();
                }
            }),
        ];
        let name = |lease: &Lease| {
            let state = format!("{:?}", lease.state);
            state.split(' ').next().unwrap_or_default().to_lowercase()
        };
        let (mut leases, mut at) = (vec![lease()], 0);
        let mut transitions: Vec<Transition> = Vec::new();
        while let Some(from) = leases.get(at).cloned() {
            at += 1;
            for (on, input) in INPUTS {
                let mut to = from.clone();
                input(&mut to);
                let transition = (name(&from), on, name(&to));
                if transition.0 != transition.2 && !transitions.contains(&transition) {
                    transitions.push(transition);
                }
                if leases.iter().all(|lease| lease.state != to.state) {
                    leases.push(to);
                }
            }
        }
        assert_in_book(include_str!("../../../docs/src/session.md"), "lease", &transitions);
    }

    proptest! {
        #[test]
        fn no_sequence_of_inputs_permits_writing_without_a_lock_that_the_switch_granted(
            inputs in proptest::collection::vec(0u8..10, 0..40),
        ) {
            let mut lease = lease();
            // The model of an honest switch: whether the lock is ours.
            let (mut asked, mut ours) = (false, false);
            for input in inputs {
                match input {
                    0 => asked |= lease.ask(),
                    1 if asked => {
                        ours = true;
                        lease.on_answer(true);
                    }
                    2 if asked => lease.on_answer(false),
                    3 if asked => {
                        ours = true;
                        lease.on_locked();
                    }
                    4 => {
                        ours = false;
                        let _ = lease.on_loss();
                    }
                    5 => if lease.release() {
                        (asked, ours) = (false, false);
                    },
                    6 => lease.on_released(),
                    7 => lease.stop(),
                    _ => drop(lease.advance(|| true)),
                }
                let permit = lease.permit();
                prop_assert!(permit.is_none() || ours && !lease.is_stopping());
                prop_assert!(permit.is_none_or(|permit| permit.lock.is_some()));
            }
        }
    }
}
