//! The log of running processes: writing it delays no worker, and a flood is a few lines.
#![allow(clippy::print_stdout, reason = "the log is for people to read")]

mod flood;
mod stalled;
