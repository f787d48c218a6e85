//! Whatever comes to the TLS port: a clear line in the log, memory within bounds, and the switch beside it undisturbed.

mod door;
mod flood;
mod peer;
mod talk;
mod trickle;
