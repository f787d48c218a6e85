//! Two agents behind a real HAProxy, and real switches: after each failure the switch is managed again at once.
#![allow(clippy::print_stdout, reason = "measured times are for the reader of the output")]

mod alarms;
mod both_down;
mod certificates;
mod drain;
mod events;
mod fresh;
mod hung;
mod kill;
mod link;
mod one_writer;
mod orders;
mod pair;
mod proxy;
mod reload;
mod switch_restart;
mod two_targets;
mod watch;
mod wedged;
mod writers;
