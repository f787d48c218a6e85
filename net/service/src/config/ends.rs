//! The ends of a running process that tools ask.

use std::net::{Ipv4Addr, SocketAddr};

use super::common::{HTTP, or};
use super::control::HTTP_PORT;
use super::problem::Problems;
use super::sections::{AGENT_HTTP_PORT, NAME, ORDERS};
use super::settings::Orders;
use super::table::Table;

/// What the tools need that ask a running process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ends {
    /// `agent` or `control node`.
    pub kind: &'static str,
    /// The name of an agent.
    pub name: Option<String>,
    /// Where the status is served; `None` is off.
    pub http: Option<SocketAddr>,
    /// Where an agent takes orders.
    pub orders: Orders,
}

/// Reads them. Problems are those of these keys alone.
pub(super) fn read(root: &mut Table<'_>, is_of_control_node: bool, problems: &mut Problems) -> Ends {
    let (kind, section, port) = match is_of_control_node {
        true => ("control node", "control", HTTP_PORT),
        false => ("agent", "listen", AGENT_HTTP_PORT),
    };
    let local = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut ends = Ends {
        kind,
        name: None,
        http: local,
        orders: Orders::Default,
    };
    if let Some(mut table) = root.section(section, problems) {
        ends.http = or(table.optional(&HTTP, problems), local);
        if !is_of_control_node {
            ends.orders = or(table.optional(&ORDERS, problems), Orders::Default);
        }
    }
    if !is_of_control_node && let Some(mut table) = root.section("agent", problems) {
        ends.name = table.optional(&NAME, problems).map(|at| at.value);
    }
    ends
}
