//! S10: no session deletes more rows within a window than the brake lets go, unless an operator confirmed it.
//!
//! Counted are, for each network and for the whole switch, where routes come from control nodes:
//!
//! - MACs without a route in networks that stay. A MAC that is at the switch itself is no loss, nor is one that was written
//!   again meanwhile: a route that went and came back while its deletion was on the way;
//! - apart from them, logical switches and MACs of networks that the agent's configuration lost. The brake counts bindings
//!   as well, but those of a port that moves are no loss.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tandem_core::bounds::BRAKE_WINDOW;
use tandem_core::event::{Loss, What};
use tandem_core::{ConnId, Mac, Time, Uuid};

use super::{Check, Findings, Scene};
use crate::host;
use crate::model::{bindings, network_named};
use crate::switch::{Commit, Row, RowChange, Writer};
use crate::world::log::{ActorEvent, Entry};
use crate::world::{AgentView, Consumer, SwitchView};

#[derive(Clone, Debug, Default)]
pub(super) struct Brake {
    /// What went in a session.
    gone: BTreeMap<(String, ConnId), Gone>,
    /// When an operator last confirmed something at an agent.
    confirmed: BTreeMap<String, Time>,
}

/// The rows that a session deleted.
#[derive(Clone, Debug, Default)]
struct Gone(VecDeque<Deletion>);

#[derive(Clone, Copy, Debug)]
struct Deletion {
    at: Time,
    network: Uuid,
    /// `None`: the logical switch itself.
    mac: Option<Mac>,
    why: Loss,
    counts: bool,
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
            // What went before counts no more.
            for ((switch, conn), gone) in &mut self.gone {
                let view = world.switches().find(|view| view.name == switch);
                let writer = view.and_then(|view| world.way(view, *conn));
                if writer.is_some_and(|way| way.agent.name == &*entry.node && way.conn == event.conn) {
                    gone.0.iter_mut().for_each(|it| it.counts = false);
                }
            }
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
        self.gone.retain(|_, gone| gone.forget(world.now()));
        let gone = self.gone.entry((switch.to_owned(), conn)).or_default();
        let rows = Rows::of(view, commit);
        for change in &commit.changes {
            match change.new.as_deref().and_then(|new| rows.named(change, new)) {
                Some((network, mac @ Some(_))) => gone.0.retain(|it| (it.network, it.mac) != (network, mac)),
                // The network is back: what it had before may have other routes by now, or none.
                Some((network, None)) => gone
                    .0
                    .retain(|it| (it.network, it.why) != (network, Loss::Configuration)),
                None => {}
            }
        }
        // The route of some may be back, whose row is not.
        for it in gone.0.iter_mut().filter(|it| it.why == Loss::Routes) {
            it.counts &= !it.mac.is_some_and(|mac| has_route(writer, it.network, mac));
        }
        let mut losses = BTreeSet::new();
        let deleted = |change: &RowChange| rows.named(change, change.old.as_deref().filter(|_| change.new.is_none())?);
        for (network, mac) in commit.changes.iter().filter_map(deleted) {
            let (why, is_lost) = match has_network(writer, switch, network) {
                true => (Loss::Routes, mac.is_some_and(|mac| rows.is_lost(writer, network, mac))),
                false => (Loss::Configuration, true),
            };
            gone.0.push_back(Deletion {
                at: world.now(),
                network,
                mac,
                why,
                counts: is_lost && !is_confirmed,
            });
            losses.insert((why, Some(network)));
            losses.insert((why, None));
        }
        let brake = tandem_core::brake::Brake {
            rows: plan.agent.brake_rows,
            ..tandem_core::brake::Brake::DEFAULT
        };
        for (why, network) in losses {
            let (count, there) = (gone.count(why, network), rows.left(why, network));
            let of = there + gone.all(network);
            if brake.withholds(count, of) {
                let place = network.map_or_else(|| "all networks".to_owned(), |network| network.to_string());
                let what = format!("{conn} of {switch} deleted {count} of {of} rows of {place} without confirmation");
                found.add([switch.to_owned(), place], what);
            }
        }
    }
}

impl Gone {
    /// Somewhat less than the session's own window, whose clock may be another. Answers whether anything is left.
    fn forget(&mut self, now: Time) -> bool {
        let window = BRAKE_WINDOW * 8 / 10;
        self.0.retain(|it| now.since(it.at) <= window);
        !self.0.is_empty()
    }

    /// What was lost, of one network or of the switch.
    fn count(&self, why: Loss, network: Option<Uuid>) -> usize {
        let lost = self.0.iter().filter(|it| it.counts && it.why == why);
        lost.filter(|it| network.is_none_or(|network| network == it.network))
            .count()
    }

    fn all(&self, network: Option<Uuid>) -> usize {
        let rows = self.0.iter();
        rows.filter(|it| network.is_none_or(|network| network == it.network))
            .count()
    }
}

/// Our rows of a switch.
struct Rows<'a> {
    view: SwitchView<'a>,
    /// The networks of our logical switches by their row, also of those that this commit deleted.
    networks: BTreeMap<Uuid, Uuid>,
}

impl<'a> Rows<'a> {
    fn of(view: SwitchView<'a>, commit: &Commit) -> Self {
        let there = view.switch.rows("Logical_Switch");
        let named = |row: &Row| network_named(row.text("name")?);
        let mut networks: BTreeMap<_, _> = there.filter_map(|(uuid, row)| Some((uuid, named(row)?))).collect();
        let of_table = commit.changes.iter().filter(|it| it.table == "Logical_Switch");
        networks.extend(of_table.filter_map(|it| Some((it.uuid, named(it.old.as_deref()?)?))));
        Self { view, networks }
    }

    /// The network and the MAC of a remote MAC, or the network of a logical switch, if that is ours.
    fn named(&self, change: &RowChange, row: &Row) -> Option<(Uuid, Option<Mac>)> {
        match change.table {
            "Logical_Switch" => Some((network_named(row.text("name")?)?, None)),
            "Ucast_Macs_Remote" => {
                let network = *self.networks.get(&row.reference("logical_switch")?)?;
                Some((network, Some(row.text("MAC")?.parse().ok()?)))
            }
            _ => None,
        }
    }

    /// Whether a MAC without a row has no route, and is not at the switch itself.
    fn is_lost(&self, writer: AgentView<'_>, network: Uuid, mac: Mac) -> bool {
        let tables = ["Ucast_Macs_Remote", "Ucast_Macs_Local"].into_iter();
        let mut rows = tables.flat_map(|table| self.macs(table, Some(network)));
        !has_route(writer, network, mac)
            && !rows.any(|row| row.text("MAC").and_then(|text| text.parse().ok()) == Some(mac))
    }

    /// The rows that are there, among which the brake counts such deletions.
    fn left(&self, why: Loss, network: Option<Uuid>) -> usize {
        let macs = self.macs("Ucast_Macs_Remote", network).count();
        let is_meant = |row: &Uuid| match self.networks.get(row) {
            Some(ours) => network.is_none_or(|network| network == *ours),
            None => false,
        };
        match why {
            Loss::Routes => macs,
            Loss::Configuration => {
                let rows = self.view.switch.rows("Logical_Switch").map(|(uuid, _)| uuid);
                let bound = bindings(self.view.switch).map(|(.., row)| row);
                macs + rows.chain(bound).filter(is_meant).count()
            }
        }
    }

    fn macs(&self, table: &'static str, network: Option<Uuid>) -> impl Iterator<Item = &Row> {
        let rows = self.view.switch.rows(table).map(|(_, row)| row);
        rows.filter(move |row| {
            let ours = row.reference("logical_switch").and_then(|row| self.networks.get(&row));
            ours.is_some_and(|ours| network.is_none_or(|network| network == *ours))
        })
    }
}

/// Whether an agent knows a route of a MAC.
fn has_route(agent: AgentView<'_>, network: Uuid, mac: Mac) -> bool {
    let fabric = Consumer::Agent(agent).fabric();
    fabric.is_some_and(|fabric| fabric.paths(network, mac).next().is_some())
}

/// Whether the configuration of an agent has a network on a switch.
fn has_network(agent: AgentView<'_>, switch: &str, network: Uuid) -> bool {
    agent.host.is_some_and(|host| {
        let known = host.agent().configuration();
        let of_switch = known.switches.get(&switch.into());
        known.networks.contains_key(&network) && of_switch.is_some_and(|it| it.networks().contains(&network))
    })
}
