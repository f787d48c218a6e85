//! S1: no agent commits anything without holding the lock at that moment, or where nothing fences its writes.
//!
//! A switch without locks passes the right to write from one connection to the next: the first that asked for the lock has
//! it, until it closes. With several managers it has no owner, unless the operator promises that only one of them writes.
//!
//! Since a lock has one holder, no other agent can point a right broadcast row away from the owner's services node.

use super::{Check, Findings, Scene};
use crate::switch::{Commit, Writer};
use crate::world::LOCK;

#[derive(Clone, Debug, Default)]
pub(super) struct Lock;

impl Check for Lock {
    fn name(&self) -> &'static str {
        "S1"
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        // Every client that dials in is an agent, except the thief, which writes nothing.
        let Writer::Remote(conn) = commit.by else { return };
        let model = world.plan().switch.model;
        if !model.fences() {
            found.add([switch], format!("{conn} wrote to a server that is {model}"));
        }
        if world.plan().is_unfenced() {
            let what = format!("{conn} wrote to a switch that knows no locks and has several managers");
            found.add([switch], what);
        }
        if !commit.locks.contains(LOCK) {
            let comment = commit.comments.join("; ");
            found.add([switch], format!("{conn} wrote without the lock: {comment}"));
        }
    }
}
