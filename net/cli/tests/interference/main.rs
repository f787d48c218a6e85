//! Others write to the database while the agent manages it: it comes back to what is wanted, and the log says what
//! happened.

#![allow(clippy::print_stdout, reason = "what was measured is for people to read")]

mod hands;
mod lock;
mod race;
mod rig;
