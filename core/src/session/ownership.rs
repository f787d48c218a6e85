//! Whether we may write: the lock in the switch's own database decides, and nothing else.

use super::requests::Asked;
use super::{Notice, Ownership, Session};
use crate::event::{Object, What};
use crate::machine::{CloseWhy, Fault};
use crate::time::Time;

/// Where our request for the lock stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lock {
    /// Not asked for.
    No,
    /// Asked for; no answer yet.
    Asked,
    /// Somebody else has it; we are told when it is ours.
    Queued,
    /// Ours.
    Held,
    /// Somebody took it.
    Stolen,
    /// Given back; no answer yet.
    LettingGo,
    /// The server knows no locks.
    Unsupported,
}

impl Session {
    /// How we stand.
    pub fn ownership(&self) -> Ownership {
        match self.lock {
            Lock::No | Lock::Asked | Lock::Queued | Lock::LettingGo => Ownership::Waiting,
            Lock::Held => Ownership::Held,
            Lock::Stolen => Ownership::Lost,
            Lock::Unsupported => Ownership::Lockless,
        }
    }

    /// Whether we may write. Without locks, only where nobody else could.
    pub(super) fn may_write(&self) -> bool {
        let owner = match self.lock {
            Lock::Held => true,
            Lock::Unsupported => self.is_sole_manager(),
            Lock::Queued => planted!(self, WrittenWithoutLock),
            Lock::No | Lock::Asked | Lock::Stolen | Lock::LettingGo => false,
        };
        owner && self.small_read && !self.wanted.served().is_empty() && !self.draining && !self.is_closing()
    }

    fn is_sole_manager(&self) -> bool {
        self.wanted.sole_manager() || self.replica.managers.len() <= 1
    }

    /// Asks for the lock, if this agent is fit.
    pub(super) fn ask_lock(&mut self, now: Time) {
        if self.lock == Lock::No && self.fit && !self.draining {
            self.lock = Lock::Asked;
            let params = format!("[\"{}\"]", self.lock_name);
            self.ask(now, Asked::Lock, "lock", params.as_bytes());
        }
    }

    /// The answer to `lock`.
    pub(super) fn lock_answered(&mut self, now: Time, held: bool) {
        if self.lock != Lock::Asked {
            return;
        }
        if held {
            self.lock_held(now);
        } else {
            self.lock = Lock::Queued;
        }
    }

    /// `locked` or `stolen` arrived. A second `locked` is harmless, and so is either when we let go.
    pub(super) fn lock_changed(&mut self, now: Time, locked: bool) {
        match (self.lock, locked) {
            (Lock::Queued | Lock::Asked, true) => self.lock_held(now),
            (Lock::Held, false) if planted!(self, StolenLockIgnored) => {}
            (Lock::Held, false) => {
                self.lock = Lock::Stolen;
                self.event(What::Stolen);
                let what = "somebody took the lock; Tandem never takes it back by force";
                self.close(now, CloseWhy::fault(Fault::Environment, what));
            }
            (_, true | false) => {}
        }
    }

    fn lock_held(&mut self, now: Time) {
        self.lock = Lock::Held;
        self.became_owner(now);
    }

    /// From now on we write, from the broadcast rows on.
    fn became_owner(&mut self, now: Time) {
        if self.wanted.served().is_empty() {
            return;
        }
        if self.lock == Lock::Held && self.takeover.locked.is_none() {
            self.event(What::Locked);
            self.notify(Notice::MayWrite);
        }
        if self.takeover.locked.is_none() {
            self.takeover.locked = Some(now);
            self.lanes.mark(Object::Manager, super::Cause::Ours);
            self.audit_all();
        }
    }

    /// Once the switch is named and the lock is ours, in whichever order that came.
    pub(super) fn check_ownership(&mut self, now: Time) {
        if self.may_write() && self.takeover.locked.is_none() {
            self.became_owner(now);
        }
    }

    /// The server knows no locks.
    pub(super) fn lock_unsupported(&mut self, _now: Time) {
        self.lock = Lock::Unsupported;
    }

    /// Says once that somebody else has the lock, as soon as it is known for which switch.
    pub(super) fn report_waiting(&mut self) {
        if self.lock == Lock::Queued && !self.wanted.served().is_empty() && !self.waiting_reported {
            self.waiting_reported = true;
            self.event(What::Waiting);
        }
    }

    /// Says how we stand without locks, as soon as it is known who else may write, and whenever that changes.
    pub(super) fn report_lockless(&mut self, now: Time) {
        let may_write = self.is_sole_manager();
        if self.lock != Lock::Unsupported || self.wanted.served().is_empty() || self.is_closing() {
            return;
        }
        let before = self.lockless_reported.replace(may_write);
        if before == Some(may_write) {
            return;
        }
        let managers = self.replica.managers.len();
        self.event(What::Lockless { may_write, managers });
        if may_write {
            self.notify(Notice::MayWrite);
        }
        if before == Some(true) {
            let what = "another manager may write now, and the switch knows no locks";
            self.close(now, CloseWhy::fault(Fault::Environment, what));
        }
    }

    /// Gives the lock back, or leaves the queue for it.
    pub(super) fn let_go(&mut self, now: Time) {
        if matches!(self.lock, Lock::Asked | Lock::Queued | Lock::Held) {
            self.lock = Lock::LettingGo;
            let params = format!("[\"{}\"]", self.lock_name);
            self.ask(now, Asked::Unlock, "unlock", params.as_bytes());
        }
    }

    /// The answer to `unlock`.
    pub(super) fn unlocked(&mut self, now: Time) {
        if self.lock == Lock::LettingGo {
            self.lock = Lock::No;
        }
        if !self.wanted.served().is_empty() {
            self.ask_lock(now);
        }
    }

    /// Going away in an orderly manner: what is on the wire settles, then the lock is free for the other agent.
    pub(super) fn drain_on(&mut self, now: Time) {
        if !self.draining || self.is_closing() || self.requests.writes() > 0 {
            return;
        }
        match self.lock {
            Lock::Asked | Lock::Queued | Lock::Held => self.let_go(now),
            Lock::LettingGo => {}
            Lock::No | Lock::Stolen | Lock::Unsupported => self.close(now, CloseWhy::orderly("the agent is draining")),
        }
    }
}
