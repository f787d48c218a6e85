//! The ends of a running process that tools ask.

use std::net::{Ipv4Addr, SocketAddr};

use super::common::{HTTP, or};
use super::control::{self, HTTP_PORT};
use super::problem::Problems;
use super::sections::{AGENT_HTTP_PORT, NAME, ORDERS};
use super::settings::Orders;
use super::table::Table;

/// What the tools need that ask a running process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ends {
    /// `agent` or `control node`.
    pub kind: &'static str,
    /// Its name.
    pub name: Option<String>,
    /// Where the status is served; `None` is off.
    pub http: Option<SocketAddr>,
    /// Where it takes orders.
    pub orders: Orders,
}

/// Reads them. Problems are those of these keys alone.
pub(super) fn read(root: &mut Table<'_>, is_of_control_node: bool, problems: &mut Problems) -> Ends {
    match is_of_control_node {
        true => of_control_node(root, problems),
        false => of_agent(root, problems),
    }
}

fn of_control_node(root: &mut Table<'_>, problems: &mut Problems) -> Ends {
    let mut ends = Ends::new("control node", HTTP_PORT);
    if let Some(mut table) = root.section("control", problems) {
        ends.name = table.optional(&control::NAME, problems).map(|at| at.value);
        ends.http = or(table.optional(&HTTP, problems), ends.http);
        ends.orders = or(table.optional(&control::ORDERS, problems), Orders::Default);
    }
    ends
}

fn of_agent(root: &mut Table<'_>, problems: &mut Problems) -> Ends {
    let mut ends = Ends::new("agent", AGENT_HTTP_PORT);
    if let Some(mut table) = root.section("listen", problems) {
        ends.http = or(table.optional(&HTTP, problems), ends.http);
        ends.orders = or(table.optional(&ORDERS, problems), Orders::Default);
    }
    if let Some(mut table) = root.section("agent", problems) {
        ends.name = table.optional(&NAME, problems).map(|at| at.value);
    }
    ends
}

impl Ends {
    /// With the defaults of every key.
    fn new(kind: &'static str, port: u16) -> Self {
        Self {
            kind,
            name: None,
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            orders: Orders::Default,
        }
    }
}
