//! OVSDB as RFC 7047 and `ovsdb-server` speak it: bytes in, typed rows out, and back.
//!
//! A stream is cut into messages by a [`Framer`]; [`rpc`] reads the kind of each message; [`updates`] walks
//! the rows of a dump or an update one by one, so that a dump of a hundred thousand rows can be read in
//! steps; [`rows`] gives them their types; `transaction` writes what we want changed and `reply` reads
//! what became of it.

#![warn(clippy::indexing_slicing)]

mod framer;
pub(crate) mod limits;
pub(crate) mod monitor;
pub(crate) mod notation;
pub(crate) mod reply;
pub mod rows;
pub mod rpc;
pub mod schema;
pub(crate) mod transaction;
pub mod updates;

pub use framer::{Frame, FrameError, Framer};

/// The database that a switch is managed through.
pub(crate) const DATABASE: &str = "hardware_vtep";

/// The database in which a server describes the databases that it serves (Open vSwitch 2.9, ovsdb-server(5)).
pub(crate) const SERVER_DATABASE: &str = "_Server";
