//! The people and the firmware around a switch: what they would do, as pure functions of what they see.
//!
//! Whatever works on a database looks at an emulated [`Switch`](crate::switch::Switch) and answers a transaction for
//! [`Switch::local`](crate::switch::Switch::local), at once, or `None` where there is nothing to do. The server accepts
//! each of them, as long as nothing else was committed in between.
//!
//! What is foreign stays as it is: neither firmware nor hand takes anything foreign away, although both may add to it.
//! Whoever compares [`foreign::foreign_rows`] of two moments therefore sees what an agent has destroyed.

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
pub const PREFIX: &str = "Contrail-";

/// The port that only foreign logical switches are bound to.
pub const FOREIGN_PORT: &str = "eth9";

/// The ports of every switch, in order; the last is the foreign one.
pub const PORTS: [&str; 3] = ["eth1", "eth2", FOREIGN_PORT];
