//! Two switches, two agents behind a real HAProxy, two control nodes: what one switch learned reaches the other,
//! whatever dies.
#![allow(clippy::print_stdout, reason = "what was measured is for whoever runs the tests")]

mod control_nodes_killed;
mod failover;
mod half_open;
mod operating;
mod system;
mod travel;
mod xmpp_cut;
