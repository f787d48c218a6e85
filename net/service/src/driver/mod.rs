//! Moves bytes, messages and time between sockets and machines. A driver never looks into a message.

pub mod agent;
pub mod control;
pub mod env;
pub mod line;
pub mod log;
pub mod message;
mod notices;
mod panic_guard;
pub mod session;
pub mod steps;
pub mod stream;
pub mod timings;
pub mod uplink;
