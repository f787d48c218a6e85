//! S1: nothing is committed by an agent that does not hold the lock at that moment.
//!
//! Since a lock has one holder, this is also why nobody points a right broadcast row away from its owner.

use super::{Check, Findings, Scene};
use crate::switch::{Commit, Writer};
use crate::world::LOCK;

#[derive(Clone, Debug, Default)]
pub(super) struct Lock;

impl Check for Lock {
    fn name(&self) -> &'static str {
        "S1"
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, _scene: Scene<'_>, found: &mut Findings) {
        // Everybody who dials in is an agent, but for the thief, who writes nothing.
        let Writer::Remote(conn) = commit.by else { return };
        if !commit.locks.contains(LOCK) {
            let comment = commit.comments.join("; ");
            found.add([switch], format!("{conn} wrote without the lock: {comment}"));
        }
    }
}
