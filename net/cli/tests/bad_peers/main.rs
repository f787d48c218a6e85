//! Bad peers at the TLS port: a clear line in the log, memory within bounds, and the switch beside it undisturbed.
#![allow(clippy::print_stdout, reason = "measured values are for people to read")]

mod door;
mod flood;
mod herd;
mod peer;
mod talk;
mod trickle;
