//! What the command line asks of a demo.

use super::engine::Engine;

/// The options of a demo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// What plays the switches and the proxy.
    pub engine: Engine,
    /// Remote MACs in each switch that no switch of the demo has learned.
    pub macs: u32,
    /// Whether the agents hold copies of routes through a failover, and have a link to each other.
    pub stale_hold: bool,
}
