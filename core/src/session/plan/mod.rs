//! Planning: what is to be written so that one object becomes as desired.
//!
//! One function for each kind of object reads a [`View`] and writes operations into a transaction. It changes nothing
//! else: what is to be counted or reported comes back in the [`Step`], and is when the switch has acknowledged it.

mod binding;
mod broadcast;
mod logical_switch;
mod manager;
mod step;
mod unicast;
mod view;

use crate::event::{Lane, Object};
use crate::ovsdb::transaction::Transaction;
pub(super) use manager::untimed;
pub(super) use step::{Batch, Step};
pub(super) use unicast::differs as unicast_differs;
pub(super) use view::View;

/// Plans one object. In the lane of deletions, what is not desired is deleted.
pub(super) fn object(view: &View, lane: Lane, object: &Object, transaction: &mut Transaction) -> Step {
    let deleting = lane == Lane::Deletions;
    match object {
        Object::Broadcast(network) => broadcast::broadcast(view, *network, transaction),
        Object::Port(switch, port) => binding::port(view, switch, port, transaction),
        Object::LogicalSwitch(network) => logical_switch::logical_switch(view, *network, deleting, transaction),
        Object::Unicast(network, mac) => unicast::unicast(view, *network, *mac, deleting, transaction),
        Object::Strays(network) => unicast::strays(view, *network, transaction),
        Object::Manager => manager::manager(view, transaction),
    }
}

#[cfg(test)]
mod testing;
