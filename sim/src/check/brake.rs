//! S10: no session deletes more MACs of a network within a window than the brake lets go, unless an operator confirmed it.
//!
//! Counted are MACs without a route in networks that stay, where routes come from control nodes. A network that goes, goes
//! as a whole; a MAC that is at the switch itself is no loss, nor is one that was written again meanwhile: a route that
//! went and came back while its deletion was on the way.

use std::collections::{BTreeMap, VecDeque};

use tandem_core::bounds::BRAKE_WINDOW;
use tandem_core::event::What;
use tandem_core::{ConnId, Mac, Time, Uuid};

use super::{Check, Findings, Scene};
use crate::host;
use crate::model::network_named;
use crate::switch::{Commit, Row, RowChange, Writer};
use crate::world::log::{ActorEvent, Entry};
use crate::world::{Consumer, SwitchView};

#[derive(Clone, Debug, Default)]
pub(super) struct Brake {
    gone: BTreeMap<(String, ConnId, Uuid), Gone>,
    /// When an operator last confirmed something at an agent.
    confirmed: BTreeMap<String, Time>,
}

/// The rows that went of a network.
#[derive(Clone, Debug, Default)]
struct Gone {
    /// When each went, its MAC, and whether it counts.
    rows: VecDeque<(Time, Mac, bool)>,
}

impl Check for Brake {
    fn name(&self) -> &'static str {
        "S10"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, _found: &mut Findings) {
        if let ActorEvent::Agent(host::Event::Session(event)) = &entry.event
            && let What::DeletionsConfirmed { .. } = event.what
        {
            self.confirmed.insert(entry.node.to_string(), world.now());
        }
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let plan = world.plan();
        let Writer::Remote(conn) = commit.by else { return };
        if plan.agent.brake_rows == 0 || plan.topology.control_nodes == 0 {
            return;
        }
        let view = world.switches().find(|view| view.name == switch);
        let Some((view, writer)) = view.and_then(|view| Some((view, world.way(view, conn)?.agent))) else {
            return;
        };
        let confirmed = self.confirmed.get(writer.name);
        let is_confirmed = confirmed.is_some_and(|at| world.now().since(*at) <= BRAKE_WINDOW * 2);
        for change in commit
            .changes
            .iter()
            .filter(|change| change.table == "Ucast_Macs_Remote")
        {
            if let Some((network, _, mac)) = change.new.as_deref().and_then(|row| named(row, view))
                && let Some(gone) = self.gone.get_mut(&(switch.to_owned(), conn, network))
            {
                gone.rows.retain(|(_, it, _)| *it != mac);
            }
        }
        let mut networks = BTreeMap::new();
        let deleted = |change: &&RowChange| change.table == "Ucast_Macs_Remote" && change.new.is_none();
        for change in commit.changes.iter().filter(deleted) {
            let Some((network, logical_switch, mac)) = change.old.as_deref().and_then(|row| named(row, view)) else {
                continue;
            };
            let fabric = Consumer::Agent(writer).fabric();
            let is_placed = fabric.is_some_and(|fabric| fabric.paths(network, mac).next().is_some());
            let counts = !is_confirmed && !is_placed && !is_left(view, logical_switch, mac);
            let key = (switch.to_owned(), conn, network);
            let gone = self.gone.entry(key).or_default();
            gone.rows.push_back((world.now(), mac, counts));
            networks.insert(network, logical_switch);
        }
        self.gone.retain(|_, gone| gone.forget(world.now()));
        for (network, logical_switch) in networks {
            let Some(gone) = self.gone.get(&(switch.to_owned(), conn, network)) else {
                continue;
            };
            let count = gone.rows.iter().filter(|(.., counts)| *counts).count();
            let of = rows_in(view, "Ucast_Macs_Remote", logical_switch).count() + gone.rows.len();
            let percent = tandem_core::brake::Brake::DEFAULT.percent;
            let rows = plan.agent.brake_rows;
            if (tandem_core::brake::Brake { percent, rows }).withholds(count, of) {
                let what = format!("{conn} of {switch} deleted {count} of {of} MACs of {network} without confirmation");
                found.add([switch.to_owned(), network.to_string()], what);
            }
        }
    }
}

impl Gone {
    /// Somewhat less than the session's own window, whose clock may be another. Answers whether anything is left.
    fn forget(&mut self, now: Time) -> bool {
        let window = BRAKE_WINDOW * 8 / 10;
        self.rows.retain(|(at, ..)| now.since(*at) <= window);
        !self.rows.is_empty()
    }
}

/// The network, the logical switch and the MAC of a row, if the logical switch is there and ours.
fn named(of: &Row, view: SwitchView<'_>) -> Option<(Uuid, Uuid, Mac)> {
    let logical_switch = of.reference("logical_switch")?;
    let row = view.switch.row("Logical_Switch", logical_switch)?;
    Some((
        network_named(row.text("name")?)?,
        logical_switch,
        of.text("MAC")?.parse().ok()?,
    ))
}

/// Whether the switch has another row of the MAC, or has learned the MAC itself.
fn is_left(view: SwitchView<'_>, logical_switch: Uuid, mac: Mac) -> bool {
    let tables = ["Ucast_Macs_Remote", "Ucast_Macs_Local"].into_iter();
    let mut rows = tables.flat_map(|table| rows_in(view, table, logical_switch));
    rows.any(|row| row.text("MAC").and_then(|text| text.parse().ok()) == Some(mac))
}

fn rows_in<'a>(view: SwitchView<'a>, table: &'static str, logical_switch: Uuid) -> impl Iterator<Item = &'a Row> {
    let rows = view.switch.rows(table).map(|(_, row)| row);
    rows.filter(move |row| row.reference("logical_switch") == Some(logical_switch))
}
