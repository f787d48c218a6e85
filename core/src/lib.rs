//! Every decision that Tandem makes, as state machines that touch nothing.
//!
//! This crate has no sockets, no clock, no threads and no source of entropy. Bytes and the time come in
//! as arguments, bytes and events go out as values, and the same machines run on real sockets in
//! production and inside the seeded simulator. Each of them keeps the contract in [`machine`].

#![warn(clippy::expect_used, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
#![warn(missing_docs, unnameable_types, unreachable_pub)]

#[macro_use]
mod planted;

pub mod agent;
pub mod alarm;
pub mod author;
pub mod bounds;
pub mod brake;
mod close;
pub mod configuration;
pub mod contrail_schema;
pub mod control;
#[cfg(test)]
mod diagram;
mod dirty_set;
pub mod event;
pub mod evpn;
pub mod health;
pub mod identity;
pub mod ids;
pub mod machine;
pub mod measures;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod ovsdb;
pub mod remembered;
pub mod session;
pub mod status;
pub mod switch_identity;
mod text;
mod time;
pub mod xmpp;

pub use close::{CloseCounts, CloseReason, CloseWhy, Fault};
pub use ids::{ConnId, Generation, LogicalSwitchName, Mac, SwitchName, Uuid, Vni};
pub use machine::{Machine, Peer};
pub use time::{Deadline, Time};
