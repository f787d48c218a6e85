//! Other clients write to the database while the agent manages it: it comes back to the desired state, and the log
//! has what happened.

#![allow(clippy::print_stdout, reason = "measured values are for people to read")]

mod hands;
mod lock;
mod race;
mod rig;
