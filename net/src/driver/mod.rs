//! Moves bytes, messages and time between sockets and machines. A driver never looks at what a message says.

pub mod actor;
pub mod agent;
pub mod env;
mod line;
pub mod log;
pub mod message;
pub mod session;
