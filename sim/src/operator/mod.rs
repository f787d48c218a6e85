//! The operators and the firmware of a switch: their edits, as pure functions of the database.
//!
//! Each reads an emulated [`Switch`](crate::switch::Switch) and returns a transaction for
//! [`Switch::local`](crate::switch::Switch::local), or `None` where there is nothing to do. The server accepts each of
//! them, as long as nothing else was committed in between.
//!
//! Neither firmware nor operators remove foreign rows, although both may add some. So a difference between
//! [`foreign::foreign_rows`] of two moments is the work of an agent.

pub mod configuration;
mod draft;
pub mod edits;
pub mod firmware;
pub mod foreign;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

pub use configuration::Intent;

/// What precedes the UUID of the network in the name of a logical switch of ours.
pub const PREFIX: &str = tandem_core::contrail_schema::LOGICAL_SWITCH_PREFIX;

/// The port that only foreign logical switches are bound to.
pub const FOREIGN_PORT: &str = "eth9";

/// The ports of every switch, in order; the last is the foreign one.
pub const PORTS: [&str; 3] = ["eth1", "eth2", FOREIGN_PORT];
