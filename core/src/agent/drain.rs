//! An agent that goes: the proxies hear of it, then the switches, then nobody misses its routes.

use super::{Agent, Output, Uplinks, Why, uplinks};
use crate::bounds::{ANNOUNCE, DOUBT, DRAIN, LINGER};
use crate::machine::CloseWhy;
use crate::session::Command;
use crate::time::{Deadline, Time};

/// How far a drain has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    stage: Stage,
    /// When to go on without waiting any longer.
    due: Time,
}

/// The stages of a drain, in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The proxies are told.
    Announcing,
    /// The sessions were told.
    Closing,
    /// No session is left; copies of their routes stay until somebody else vouches for those.
    Lingering,
    /// Somebody has.
    Leaving,
    /// The process may go.
    Over,
}

impl Agent {
    /// The agent is told to go.
    pub(super) fn begin_drain(&mut self, now: Time) {
        if self.drain.is_none() {
            let due = now + ANNOUNCE;
            self.drain = Some(Drain {
                stage: Stage::Announcing,
                due,
            });
        }
    }

    /// Every proxy knows.
    pub(super) fn announced(&mut self, now: Time) {
        if let Some(drain) = self.drain.as_mut().filter(|drain| drain.stage == Stage::Announcing) {
            let due = now + DRAIN;
            *drain = Drain {
                stage: Stage::Closing,
                due,
            };
            let served = self.served(now);
            self.uplink(now, uplinks::Input::Releasing(served));
            self.tell_all(|| Command::Drain);
        }
    }

    /// What takes too long goes on all the same.
    pub(super) fn check_drain(&mut self, now: Time) {
        match self.drain.filter(|drain| drain.due <= now).map(|drain| drain.stage) {
            Some(Stage::Announcing) => self.announced(now),
            Some(stage @ Stage::Closing) => {
                let due = now + DRAIN;
                self.drain = Some(Drain { stage, due });
                self.tell_all(|| Command::Close(CloseWhy::orderly("the drain took too long")));
            }
            Some(Stage::Lingering | Stage::Leaving | Stage::Over) | None => {}
        }
    }

    /// Without a session there is nothing left to do but to see that nobody misses our routes.
    pub(super) fn conclude_drain(&mut self, now: Time) {
        let Some(drain) = self.drain.as_mut().filter(|_| self.sessions.is_empty()) else {
            return;
        };
        let lingers = self.uplinks.as_ref().is_some_and(Uplinks::lingers);
        *drain = match drain.stage {
            Stage::Announcing | Stage::Over => return,
            Stage::Closing if lingers => Drain {
                stage: Stage::Lingering,
                due: now + LINGER,
            },
            // What we have heard, others are about to hear.
            Stage::Lingering if !lingers => Drain {
                stage: Stage::Leaving,
                due: drain.due.min(now + DOUBT),
            },
            Stage::Lingering | Stage::Leaving if drain.due > now => return,
            Stage::Closing | Stage::Lingering | Stage::Leaving => {
                self.outputs.push_back(Output::Drained);
                Drain {
                    stage: Stage::Over,
                    due: now,
                }
            }
        };
    }

    /// When to go on without waiting any longer.
    pub(super) fn drain_due(&self) -> Option<Deadline<Why>> {
        self.drain.and_then(|Drain { stage, due: at }| {
            let why = match stage {
                Stage::Announcing => Why::AnnounceOverdue,
                Stage::Closing | Stage::Lingering | Stage::Leaving => Why::DrainOverdue,
                Stage::Over => return None,
            };
            Some(Deadline { at, why })
        })
    }
}
