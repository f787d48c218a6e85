//! S8: no agent changes or deletes foreign rows, or deletes wanted rows before it has its complete configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_core::configuration::Configuration;
use tandem_core::{Time, Uuid};

use super::{Check, Findings, Scene};
use crate::model::network_named;
use crate::switch::{Commit, Row, RowChange, Writer};
use crate::world::World;
use crate::world::log::{ActorEvent, Entry, WorldEvent};

/// The longest time that an agent may go on with an older configuration.
const RECENT: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub(super) struct Foreign {
    /// The names of all logical switches that there have been, by their row.
    names: BTreeMap<(String, Uuid), String>,
    /// What was wanted, and until when.
    former: Vec<(Time, Arc<Configuration>)>,
    current: Option<Arc<Configuration>>,
}

impl Check for Foreign {
    fn name(&self) -> &'static str {
        "S8"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, .. }: Scene<'_>, _found: &mut Findings) {
        if let ActorEvent::World(event) = &entry.event {
            match event {
                WorldEvent::ConfigurationLoaded { .. } | WorldEvent::FaultBegins { .. } => self.remember(world),
                WorldEvent::FaultEnds { .. } | WorldEvent::Started { .. } | WorldEvent::Healed { .. } => {}
            }
        }
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        self.record_names(switch, commit, world);
        let Writer::Remote(conn) = commit.by else { return };
        let view = world.switches().find(|view| view.name == switch);
        let writer = view.and_then(|view| world.way(view, conn)).map(|way| way.agent);
        let early = writer.filter(|agent| !agent.complete);
        if early.is_some() || commit.changes.iter().any(|change| change.table == "Physical_Port") {
            self.remember(world);
        }
        let verdict = Verdict {
            check: self,
            switch,
            commit,
            world,
        };
        let mut wrong: Vec<_> = commit
            .changes
            .iter()
            .filter_map(|change| verdict.foreign(change))
            .collect();
        if let Some(agent) = early {
            let deleted = commit.changes.iter().filter_map(|change| verdict.wanted(change));
            wrong.extend(deleted.map(|what| format!("{what}, before {} knew all that is wanted", agent.name)));
        }
        for what in wrong {
            found.add(
                [switch],
                format!("{conn} of {switch} {what}: {}", commit.comments.join("; ")),
            );
        }
    }
}

impl Foreign {
    fn remember(&mut self, world: &World) {
        let now = world.now();
        let wanted = world.wanted(0);
        if let Some(old) = self.current.take().filter(|old| *old != wanted) {
            self.former.push((now, old));
        }
        self.former.retain(|(until, _)| now.since(*until) <= RECENT);
        self.current = Some(wanted);
    }

    fn record_names(&mut self, switch: &str, commit: &Commit, world: &World) {
        let changes = commit.changes.iter().filter(|change| change.table == "Logical_Switch");
        let named = changes.filter_map(|change| {
            Some((
                change.uuid,
                change.old.as_ref().or(change.new.as_ref())?.text("name")?.to_owned(),
            ))
        });
        for (row, name) in named {
            self.names.insert((switch.to_owned(), row), name);
        }
        if self.names.is_empty()
            && let Some(view) = world.switches().find(|view| view.name == switch)
        {
            let rows = view.switch.rows("Logical_Switch");
            let rows = rows.filter_map(|(row, it)| Some(((switch.to_owned(), row), it.text("name")?.to_owned())));
            self.names.extend(rows);
        }
    }

    fn configurations(&self) -> impl Iterator<Item = &Configuration> {
        self.former
            .iter()
            .map(|(_, configuration)| configuration)
            .chain(&self.current)
            .map(Arc::as_ref)
    }
}

/// What is wrong with a commit of an agent.
struct Verdict<'a> {
    check: &'a Foreign,
    switch: &'a str,
    commit: &'a Commit,
    world: &'a World,
}

impl Verdict<'_> {
    /// What a change does to what is not ours; `None` if nothing.
    fn foreign(&self, change: &RowChange) -> Option<String> {
        let rows = || [change.old.as_deref(), change.new.as_deref()].into_iter().flatten();
        match change.table {
            "Logical_Switch" => {
                let is_foreign = |row: &Row| row.text("name").and_then(network_named).is_none();
                rows()
                    .any(is_foreign)
                    .then(|| "touched a foreign logical switch".to_owned())
            }
            "Ucast_Macs_Remote" | "Mcast_Macs_Remote" => {
                let is_foreign = |row: &Row| {
                    row.reference("logical_switch")
                        .and_then(|row| self.network(row))
                        .is_none()
                };
                rows()
                    .any(is_foreign)
                    .then(|| format!("touched {} of a foreign logical switch", change.table))
            }
            "Ucast_Macs_Local" | "Mcast_Macs_Local" => {
                // A switch that does not take them back in time loses them with our logical switch.
                let goes_along = |row: &Row| row.reference("logical_switch").is_some_and(|row| self.deletes(row));
                let allowed = change.new.is_none() && rows().all(goes_along);
                (!allowed).then(|| format!("wrote {}, which is the switch's own", change.table))
            }
            "Physical_Port" => self.port(change),
            "Manager" => {
                let timers = ["max_backoff", "inactivity_probe"];
                let allowed = differs_only_in(change, &timers);
                (!allowed).then(|| "changed more than the timers of a manager".to_owned())
            }
            // The server deletes locators that no row refers to; locators of ours are like any others.
            "Physical_Locator" | "Physical_Locator_Set" => None,
            // These columns report the state of the connections.
            "Global" if differs_only_in(change, &["managers"]) => None,
            other => Some(format!("wrote {other}, which is the switch's own")),
        }
    }

    fn port(&self, change: &RowChange) -> Option<String> {
        if !differs_only_in(change, &["vlan_bindings"]) {
            return Some("changed more than the bindings of a port".into());
        }
        let (old, new) = (change.old.as_deref()?, change.new.as_deref()?);
        let (before, after) = (bindings(old), bindings(new));
        let port = old.text("name").unwrap_or_default();
        let lost = before.iter().filter(|(vlan, bound)| after.get(vlan) != Some(bound));
        let mut lost = lost.filter(|(vlan, bound)| self.network(**bound).is_none() && !self.is_claimed(port, **vlan));
        let added = after.iter().filter(|(vlan, bound)| before.get(vlan) != Some(bound));
        let mut added = added.filter(|(_, bound)| self.network(**bound).is_none());
        if let Some((vlan, _)) = lost.next() {
            return Some(format!("took VLAN {vlan} of {port} from a foreign logical switch"));
        }
        added
            .next()
            .map(|(vlan, _)| format!("bound VLAN {vlan} of {port} to a foreign logical switch"))
    }

    /// What a change deletes that is wanted; `None` if nothing.
    fn wanted(&self, change: &RowChange) -> Option<String> {
        let old = change.old.as_deref()?;
        match change.table {
            "Logical_Switch" if change.new.is_none() => {
                let network = old.text("name").and_then(network_named)?;
                self.is_wanted(network)
                    .then(|| format!("deleted the logical switch of {network}"))
            }
            "Ucast_Macs_Remote" if change.new.is_none() => {
                let network = self.network(old.reference("logical_switch")?)?;
                let mac = old.text("MAC")?.parse().ok()?;
                let wants = |configuration: &Configuration| {
                    configuration
                        .networks
                        .get(&network)
                        .is_some_and(|network| network.remote_macs.contains_key(&mac))
                };
                let others = self
                    .world
                    .switches()
                    .find(|view| view.name == self.switch)?
                    .switch
                    .rows("Ucast_Macs_Remote");
                let is_same = |row: &Row| {
                    row.text("MAC") == old.text("MAC")
                        && row.reference("logical_switch") == old.reference("logical_switch")
                };
                let folded = others.into_iter().any(|(_, row)| is_same(row));
                (!folded && self.check.configurations().all(wants)).then(|| format!("deleted {mac} in {network}"))
            }
            "Physical_Port" => {
                let (before, after) = (bindings(old), bindings(change.new.as_deref()?));
                let mut lost = before
                    .iter()
                    .filter(|(vlan, bound)| !after.contains_key(vlan) && self.network(**bound).is_some());
                let port = old.text("name").unwrap_or_default();
                let (vlan, _) = lost.find(|(vlan, _)| self.is_claimed(port, **vlan))?;
                Some(format!("deleted the binding of VLAN {vlan} of {port}"))
            }
            _ => None,
        }
    }

    /// The network of a logical switch; `None` if it is foreign.
    fn network(&self, row: Uuid) -> Option<Uuid> {
        if let Some(name) = self.check.names.get(&(self.switch.to_owned(), row)) {
            return network_named(name);
        }
        let view = self.world.switches().find(|view| view.name == self.switch)?;
        network_named(view.switch.row("Logical_Switch", row)?.text("name")?)
    }

    fn deletes(&self, logical_switch: Uuid) -> bool {
        let mut changes = self.commit.changes.iter();
        let gone = changes.any(|change| change.uuid == logical_switch && change.new.is_none());
        gone && self.network(logical_switch).is_some()
    }

    /// Whether the configuration has had this network all the time.
    fn is_wanted(&self, network: Uuid) -> bool {
        self.check
            .configurations()
            .all(|configuration| configuration.networks.contains_key(&network))
    }

    /// Whether some configuration wants this port and VLAN.
    fn is_claimed(&self, port: &str, vlan: i64) -> bool {
        let mut switches = self
            .check
            .configurations()
            .filter_map(|configuration| configuration.switches.get(&self.switch.into()));
        switches.any(|switch| {
            let vlans = switch.ports.get(&port.into());
            vlans.is_some_and(|vlans| vlans.keys().any(|claimed| i64::from(*claimed) == vlan))
        })
    }
}

fn bindings(port: &Row) -> BTreeMap<i64, Uuid> {
    let pairs = port
        .datum("vlan_bindings")
        .into_iter()
        .flat_map(|bindings| bindings.pairs());
    pairs
        .filter_map(|(vlan, bound)| Some((vlan.as_integer()?, bound.as_uuid()?)))
        .collect()
}

/// Whether a row stays, and keeps everything but these columns.
fn differs_only_in(change: &RowChange, columns: &[&str]) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else {
        return false;
    };
    let kept = |name: &str| columns.contains(&name) || name == "_version" || old.datum(name) == new.datum(name);
    old.columns().all(kept)
}
