//! Two switches, two agents behind a real HAProxy, two control nodes: what one switch learned reaches the other,
//! whatever dies.
#![allow(clippy::print_stdout, reason = "measured times are for the reader of the output")]

mod control_nodes_killed;
mod failover;
mod half_open;
mod identity;
mod operating;
mod remembered;
mod silent;
mod system;
mod travel;
mod xmpp_cut;
