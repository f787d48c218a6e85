//! The reference: what should stand in the tables of a switch, what does, and what does not yet.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use tandem_core::configuration::{Configuration, Network};
use tandem_core::{LogicalSwitchName, Mac, Uuid, Vni};

use crate::control::ControlHost;
use crate::operator::PREFIX;
use crate::switch::{Row, Switch};
use crate::world::{AgentView, ControlView, SwitchView, VRouterView, World};

/// Something that can be right or wrong on a switch.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Thing {
    /// The logical switch of a network.
    LogicalSwitch(Uuid),
    /// Where a network's broadcast goes.
    Broadcast(Uuid),
    /// A remote MAC in a network.
    Remote(Uuid, Mac),
    /// A port and VLAN.
    Binding(String, i64),
    /// A local MAC in a network, as its owner exports it.
    Export(Uuid, Mac),
}

/// How a row is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum How {
    At(Ipv4Addr),
    Text(String),
}

/// Rows: which thing each of them is about, and how it is.
type Tables = Vec<(Thing, How)>;

/// A thing that is not as it is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    pub thing: Thing,
    pub wanted: Vec<How>,
    pub found: Vec<How>,
}

/// A broadcast row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BroadcastRow<'a> {
    mac: &'a str,
    tunnel_ends: Vec<Ipv4Addr>,
}

/// Something that is not as it is wanted, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pending {
    /// Such as `tor1`, `broadcast of 6f1c...`.
    pub objects: Vec<String>,
    /// Why it is not there yet, as far as the world shows.
    pub why: String,
}

/// What is not as it is wanted on this switch; nothing when it has converged.
pub fn pending(world: &World, switch: SwitchView<'_>) -> Vec<Pending> {
    let of_switch = |thing: Option<&Thing>, why: String| Pending {
        objects: [switch.name.to_owned()]
            .into_iter()
            .chain(thing.map(Thing::to_string))
            .collect(),
        why,
    };
    let Some(master) = world.master(switch) else {
        return vec![of_switch(
            None,
            format!("no agent holds the lock; {}", reachable(world, switch)),
        )];
    };
    let name = master.agent.name;
    if !(master.live && world.has_configuration(master.agent)) {
        let what = if master.live {
            "does not know all that is wanted"
        } else {
            "cannot be reached"
        };
        return vec![of_switch(None, format!("{name} holds the lock and {what}"))];
    }
    let differences = differences(world, switch, master.agent);
    if differences.is_empty() {
        return Vec::new();
    }
    let line = master.agent.host.and_then(|host| host.sessions().get(&master.conn));
    let summary = line.map_or_else(|| "no session".to_owned(), |line| session_summary(line, master.agent));
    let why = |difference: &Difference| format!("{difference}; {name}: {summary}");
    differences
        .iter()
        .map(|difference| of_switch(Some(&difference.thing), why(difference)))
        .collect()
}

/// The routes that a vRouter lacks, although a control node has sessions with it and with the exporter.
pub fn missing_at_vrouter(world: &World, vrouter: VRouterView<'_>) -> Vec<Pending> {
    let pending = |object: Option<String>, why: &str| Pending {
        objects: [vrouter.name.to_owned()].into_iter().chain(object).collect(),
        why: why.to_owned(),
    };
    let mut nodes = world.control_nodes().peekable();
    if nodes.peek().is_none() {
        return Vec::new();
    }
    let Some(state) = vrouter
        .vrouter
        .filter(|_| nodes.any(|node| world.has_session(vrouter, node)))
    else {
        return vec![pending(None, "it has no session with a control node")];
    };
    let reached = world.reached(vrouter, Ipv4Addr::UNSPECIFIED).into_iter();
    let wanted = reached.filter(|((network, _), reached)| reached.certain && world.is_wanted(*network));
    let missing = wanted.filter(|((network, mac), reached)| {
        let mut paths = state.fabric().paths(*network, *mac);
        !paths.any(|path| reached.ends.contains(&path.vtep))
    });
    missing
        .map(|((network, mac), _)| pending(Some(Thing::Remote(network, mac).to_string()), "it has no path to it"))
        .collect()
}

/// What differs from what is wanted while this agent owns the switch.
pub fn differences(world: &World, switch: SwitchView<'_>, owner: AgentView<'_>) -> Vec<Difference> {
    let configuration = world.wanted(0);
    let database = Database::read(switch.switch);
    let mut wanted = wanted(&configuration, &database, switch, owner);
    let mut found = found(&configuration, &database, switch, owner);
    // Of sorted runs: a stable sort merges them.
    wanted.sort();
    found.sort_unstable();
    wanted.extend(routed(world, switch, owner, &wanted, &found));
    wanted.sort();
    let things = unequal(&wanted, &found).into_iter();
    let difference = |thing: &Thing| Difference {
        thing: thing.clone(),
        wanted: rows_of(&wanted, thing).cloned().collect(),
        found: rows_of(&found, thing).cloned().collect(),
    };
    things.map(difference).collect()
}

/// How a thing is in a sorted table.
fn rows_of<'a>(table: &'a Tables, thing: &Thing) -> impl Iterator<Item = &'a How> {
    let from = table.partition_point(|(it, _)| it < thing);
    let rows = table.iter().skip(from).take_while(move |(it, _)| it == thing);
    rows.map(|(_, how)| how)
}

/// Whether the desired state of a thing has reached this agent: by its configuration or, for a remote MAC of a control
/// node's inventory, from every control node that it has a session with.
pub fn has_received(world: &World, switch: SwitchView<'_>, agent: AgentView<'_>, thing: &Thing) -> bool {
    let Some(host) = agent.host else { return false };
    let (wanted, known) = (&*world.wanted(0), host.agent().configuration());
    let taken_part = |network: &Uuid| vni(wanted, switch, network) == vni(known, switch, network);
    match thing {
        Thing::LogicalSwitch(network) | Thing::Broadcast(network) | Thing::Export(network, _) => taken_part(network),
        Thing::Remote(network, mac) => {
            let end = |networks: &BTreeMap<Uuid, Network>| Some(*networks.get(network)?.remote_macs.get(mac)?);
            let is_current = |networks: &_| end(networks) == end(&wanted.networks);
            let has_current = |node: ControlView<'_>| {
                let node = node.host.map(ControlHost::node);
                node.is_some_and(|node| is_current(&node.inventory().networks))
            };
            let is_routed = world.plan().topology.control_nodes > 0;
            taken_part(network)
                && (is_routed || is_current(&known.networks))
                && world.believed_sessions(agent).all(has_current)
        }
        Thing::Binding(port, vlan) => bound(wanted, switch, port, *vlan) == bound(known, switch, port, *vlan),
    }
}

/// The VNI of a network that a switch is to take part in.
fn vni(configuration: &Configuration, switch: SwitchView<'_>, network: &Uuid) -> Option<Vni> {
    let claimed = configuration.switches.get(&switch.name.into())?;
    claimed.networks().get(network)?;
    Some(configuration.networks.get(network)?.vni)
}

/// The network that a VLAN of a port is to be bound to.
fn bound(configuration: &Configuration, switch: SwitchView<'_>, port: &str, vlan: i64) -> Option<Uuid> {
    let claimed = configuration.switches.get(&switch.name.into())?;
    let mut vlans = claimed.ports.get(&port.into())?.iter();
    let (_, network) = vlans.find(|(claimed, _)| i64::from(**claimed) == vlan)?;
    Some(*network)
}

/// The things of which one of two sorted tables has a row that the other has not.
fn unequal<'a>(wanted: &'a Tables, found: &'a Tables) -> BTreeSet<&'a Thing> {
    let (mut wanted, mut found) = (wanted.iter().peekable(), found.iter().peekable());
    let mut things = BTreeSet::new();
    loop {
        let order = match (wanted.peek(), found.peek()) {
            (Some(wanted), Some(found)) => wanted.cmp(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return things,
        };
        let (of_wanted, of_found) = (wanted.next_if(|_| order.is_le()), found.next_if(|_| order.is_ge()));
        let row = if order.is_eq() { None } else { of_wanted.or(of_found) };
        things.extend(row.map(|(thing, _)| thing));
    }
}

/// What the owner is to bring about, and to export.
fn wanted(
    configuration: &Configuration,
    database: &Database<'_>,
    switch: SwitchView<'_>,
    owner: AgentView<'_>,
) -> Tables {
    let mut tables = Tables::new();
    let Some(wanted) = configuration.switches.get(&switch.name.into()) else {
        return tables;
    };
    let known = |network| Some((network, configuration.networks.get(&network)?));
    let networks: Vec<(Uuid, &Network)> = wanted.networks().into_iter().filter_map(known).collect();
    tables.reserve(networks.iter().map(|(_, about)| about.remote_macs.len()).sum());
    // Each kind of thing in its order: then there is little left to sort.
    for (network, about) in &networks {
        let vni = How::Text(format!("VNI {}", about.vni));
        tables.push((Thing::LogicalSwitch(*network), vni));
    }
    let broadcast = How::Text(BroadcastRow::to(owner.tsn).to_string());
    tables.extend(
        networks
            .iter()
            .map(|(network, _)| (Thing::Broadcast(*network), broadcast.clone())),
    );
    for (network, about) in &networks {
        let elsewhere = about.remote_macs.iter().filter(|(_, vtep)| **vtep != switch.tunnel_ip);
        tables.extend(elsewhere.map(|(mac, vtep)| (Thing::Remote(*network, *mac), How::At(*vtep))));
    }
    for (port, vlans) in &wanted.ports {
        let thing = |vlan: u16| Thing::Binding(port.to_string(), vlan.into());
        let named = |network: Uuid| How::Text(LogicalSwitchName::of_network(PREFIX, network).to_string());
        tables.extend(vlans.iter().map(|(vlan, network)| (thing(*vlan), named(*network))));
    }
    for table in ["Ucast_Macs_Local", "Mcast_Macs_Local"] {
        let rows = database
            .rows_of(table)
            .filter(|(network, _)| configuration.networks.contains_key(network));
        for (network, row) in rows {
            let Some(mac) = mac(row) else { continue };
            let ends = database.tunnel_ends(row);
            tables.extend(ends.map(|end| (Thing::Export(network, mac), How::At(end))));
        }
    }
    tables
}

/// The MACs that other switches learned, in order: those that the owner must have received, and those that it may have,
/// where they are found. Both tables are sorted.
fn routed(
    world: &World,
    switch: SwitchView<'_>,
    owner: AgentView<'_>,
    wanted: &Tables,
    found: &Tables,
) -> Vec<(Thing, How)> {
    let networks: BTreeSet<Uuid> = wanted.iter().filter_map(|(thing, _)| thing.logical_switch()).collect();
    let mut routed = Vec::new();
    for ((network, mac), reached) in world.reached(owner, switch.tunnel_ip) {
        let thing = Thing::Remote(network, mac);
        if !networks.contains(&network) || rows_of(wanted, &thing).next().is_some() {
            continue;
        }
        let is_reached = |how: &How| matches!(how, How::At(end) if reached.ends.contains(end));
        let agreed = rows_of(found, &thing).last().filter(|how| is_reached(how)).cloned();
        let missing = reached.ends.first().filter(|_| reached.certain);
        let how = agreed.or_else(|| missing.map(|end| How::At(*end)));
        routed.extend(how.map(|how| (thing, how)));
    }
    routed
}

/// Our rows in the database, and the exports of the owner.
fn found(
    configuration: &Configuration,
    database: &Database<'_>,
    switch: SwitchView<'_>,
    owner: AgentView<'_>,
) -> Tables {
    let mut tables = Tables::new();
    let mut add = |thing, how| tables.push((thing, how));
    for (uuid, network) in &database.networks {
        let vni = database
            .server
            .row("Logical_Switch", *uuid)
            .and_then(|row| row.integer("tunnel_key"));
        let how = vni.map_or_else(|| "no VNI".into(), |vni| format!("VNI {vni}"));
        add(Thing::LogicalSwitch(*network), How::Text(how));
    }
    for (network, row) in database.rows_of("Mcast_Macs_Remote") {
        add(
            Thing::Broadcast(network),
            How::Text(database.broadcast_row(row).to_string()),
        );
    }
    for (network, row) in database.rows_of("Ucast_Macs_Remote") {
        if let (Some(mac), Some(end)) = (mac(row), database.tunnel_ends(row).next()) {
            add(Thing::Remote(network, mac), How::At(end));
        }
    }
    let claimed = configuration.switches.get(&switch.name.into());
    let is_claimed = |port: &str, vlan: i64| {
        let vlans = claimed.and_then(|claimed| claimed.ports.get(&port.into()));
        vlans.is_some_and(|vlans| vlans.keys().any(|claimed| i64::from(*claimed) == vlan))
    };
    for (port, vlan, bound) in bindings(database.server) {
        if database.networks.contains_key(&bound) || is_claimed(port, vlan) {
            let row = database.server.row("Logical_Switch", bound);
            let name = row.and_then(|row| row.text("name")).unwrap_or_default();
            add(Thing::Binding(port.to_owned(), vlan), How::Text(name.to_owned()));
        }
    }
    let exports = owner.host.into_iter().flat_map(|host| host.agent().exports().routes());
    for route in exports.filter(|route| route.vtep == switch.tunnel_ip) {
        add(Thing::Export(route.network, route.mac), How::At(route.vtep));
    }
    tables
}

/// Whether every wanted logical switch that is there sends broadcast to this services node, and to no other.
pub fn broadcast_is_right(world: &World, switch: SwitchView<'_>, tsn: Ipv4Addr) -> bool {
    let broadcast = broadcast(world, switch.switch);
    let right = [BroadcastRow::to(tsn)];
    !broadcast.is_empty() && broadcast.values().all(|rows| *rows == right)
}

/// The MACs that a switch has learned in wanted networks, and their tunnel ends; without configured MACs.
pub fn learned(world: &World, server: &Switch) -> BTreeMap<(Uuid, Mac), Ipv4Addr> {
    let database = Database::read(server);
    let configuration = world.wanted(0);
    let rows = database.rows_of("Ucast_Macs_Local").filter_map(|(network, row)| {
        let about = configuration.networks.get(&network)?;
        let mac = mac(row).filter(|mac| !about.remote_macs.contains_key(mac))?;
        Some(((network, mac), database.tunnel_ends(row).next()?))
    });
    rows.collect()
}

/// Where the remote rows of a switch lead, in networks of ours.
pub fn remote(server: &Switch) -> impl Iterator<Item = ((Uuid, Mac), Ipv4Addr)> {
    let database = Database::read(server);
    let rows: Vec<_> = database.rows_of("Ucast_Macs_Remote").collect();
    rows.into_iter()
        .filter_map(move |(network, row)| Some(((network, mac(row)?), database.tunnel_ends(row).next()?)))
}

/// The broadcast rows of every wanted logical switch that is there.
pub fn broadcast<'a>(world: &World, server: &'a Switch) -> BTreeMap<Uuid, Vec<BroadcastRow<'a>>> {
    let mut database = Database::read(server);
    database.networks.retain(|_, network| world.is_wanted(*network));
    let networks = database.networks.values();
    let mut broadcast: BTreeMap<_, Vec<_>> = networks.map(|network| (*network, Vec::new())).collect();
    for (network, row) in database.rows_of("Mcast_Macs_Remote") {
        broadcast.entry(network).or_default().push(database.broadcast_row(row));
    }
    broadcast
}

/// Every binding of a database: port, VLAN, row of the logical switch.
pub fn bindings(server: &Switch) -> impl Iterator<Item = (&str, i64, Uuid)> {
    server.rows("Physical_Port").flat_map(|(_, row)| {
        let port = row.text("name").unwrap_or_default();
        let pairs = row
            .datum("vlan_bindings")
            .into_iter()
            .flat_map(|bindings| bindings.pairs());
        pairs.filter_map(move |(vlan, bound)| Some((port, vlan.as_integer()?, bound.as_uuid()?)))
    })
}

/// The network whose logical switch has this name; `None` if it is foreign.
pub fn network_named(logical_switch: &str) -> Option<Uuid> {
    LogicalSwitchName::network_in(logical_switch, PREFIX)
}

/// A database, and which of its logical switches are ours.
struct Database<'a> {
    server: &'a Switch,
    /// The logical switches that are ours, by their row.
    networks: BTreeMap<Uuid, Uuid>,
    /// The tunnel ends, by their row.
    locators: BTreeMap<Uuid, Ipv4Addr>,
}

impl<'a> Database<'a> {
    fn read(server: &'a Switch) -> Self {
        let named = |row: &Row| network_named(row.text("name")?);
        let networks = server
            .rows("Logical_Switch")
            .filter_map(|(uuid, row)| Some((uuid, named(row)?)));
        let end = |row: &Row| row.text("dst_ip")?.parse().ok();
        let locators = server
            .rows("Physical_Locator")
            .filter_map(|(uuid, row)| Some((uuid, end(row)?)));
        Self {
            server,
            networks: networks.collect(),
            locators: locators.collect(),
        }
    }

    /// The rows of a table of MACs that belong to networks of ours.
    fn rows_of(&self, table: &str) -> impl Iterator<Item = (Uuid, &'a Row)> {
        let rows = self.server.rows(table);
        rows.filter_map(|(_, row)| Some((*self.networks.get(&row.reference("logical_switch")?)?, row)))
    }

    fn tunnel_ends(&self, row: &'a Row) -> impl Iterator<Item = Ipv4Addr> {
        let set = row
            .reference("locator_set")
            .and_then(|set| self.server.row("Physical_Locator_Set", set));
        let listed = set.into_iter().flat_map(|set| set.references("locators"));
        let locators = row.reference("locator").into_iter().chain(listed);
        locators.filter_map(|locator| self.locators.get(&locator).copied())
    }

    fn broadcast_row(&self, row: &'a Row) -> BroadcastRow<'a> {
        BroadcastRow {
            mac: row.text("MAC").unwrap_or_default(),
            tunnel_ends: self.tunnel_ends(row).collect(),
        }
    }
}

impl BroadcastRow<'_> {
    /// The one that leads to this services node.
    pub fn to(tsn: Ipv4Addr) -> Self {
        Self {
            mac: "unknown-dst",
            tunnel_ends: vec![tsn],
        }
    }
}

/// As an agent writes it, whatever the switch does.
fn mac(row: &Row) -> Option<Mac> {
    match row.text("MAC")? {
        "unknown-dst" => Some(Mac::BROADCAST),
        mac => mac.parse().ok(),
    }
}

/// The ways of a switch without an owner.
fn reachable(world: &World, switch: SwitchView<'_>) -> String {
    let holder = match world.lock_holder(switch) {
        Some(conn) => format!("{conn} does"),
        None => "no client does".into(),
    };
    let ways = world.ways(switch);
    let ways: Vec<_> = ways
        .iter()
        .map(|way| format!("{} ({})", way.agent.name, if way.live { "open" } else { "not open" }))
        .collect();
    if ways.is_empty() {
        return format!("{holder}; it is connected to no agent");
    }
    format!("{holder}; it is connected to: {}", ways.join(", "))
}

fn session_summary(line: &crate::host::Line, agent: AgentView<'_>) -> String {
    let status = line.session.status(agent.now);
    let list = |what: &str, objects: &[(String, String)]| {
        let objects: Vec<_> = objects
            .iter()
            .map(|(object, reason)| format!("{object}: {reason}"))
            .collect();
        format!("{what} [{}]", objects.join(", "))
    };
    let (blocked, quarantine) = (list("blocked", &status.blocked), list("quarantine", &status.quarantine));
    let (phase, ownership, pending, in_flight) = (status.phase, status.ownership, status.pending, status.in_flight);
    format!("{phase}, {ownership}, {pending} pending, {in_flight} on the wire, {blocked}, {quarantine}")
}

impl Thing {
    fn logical_switch(&self) -> Option<Uuid> {
        match self {
            Self::LogicalSwitch(network) => Some(*network),
            Self::Broadcast(_) | Self::Remote(..) | Self::Binding(..) | Self::Export(..) => None,
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogicalSwitch(network) => write!(f, "logical switch of {network}"),
            Self::Broadcast(network) => write!(f, "broadcast of {network}"),
            Self::Remote(network, mac) => write!(f, "{mac} in {network}"),
            Self::Binding(port, vlan) => write!(f, "VLAN {vlan} of {port}"),
            Self::Export(network, mac) => write!(f, "export of {mac} in {network}"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(tunnel_end) => tunnel_end.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for BroadcastRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends: Vec<_> = self.tunnel_ends.iter().map(Ipv4Addr::to_string).collect();
        write!(f, "{} at {}", self.mac, ends.join(" and "))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |rows: &[How]| match rows {
            [] => "nothing".to_owned(),
            rows => rows.iter().map(How::to_string).collect::<Vec<_>>().join(", "),
        };
        write!(f, "{} is wanted, {} is found", rows(&self.wanted), rows(&self.found))
    }
}
