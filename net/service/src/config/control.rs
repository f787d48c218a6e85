//! The configuration file of a control node.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;

use tandem_core::configuration::Switch;
use tandem_core::contrail_schema::virtual_network;
use tandem_core::control::{ClientName, Inventory, ServedSwitch, Size, UnknownClients};

use super::clients::{self, UNKNOWN_CLIENTS};
use super::common::{HTTP, Listener, apart, log, or, tls};
use super::files::Files;
use super::format::FORMAT;
use super::networks::Networks;
use super::problem::{Problem, Problems, Source};
use super::reload::keep;
use super::settings::{CONTROL_PORT, Log, Orders};
use super::switches::VTEP;
use super::table::{At, Document, Key, Table};
use super::uplinks::TLS;
use super::{networks, sections, switches, values};
use crate::tls::Settings;

/// Everything that `tandem control` reads from its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControlConfig {
    /// The name that agents see.
    pub name: String,
    /// The address at which agents connect.
    pub listen: SocketAddr,
    /// The own certificate, and the CAs of agents; `None` without TLS.
    pub tls: Option<Settings>,
    /// `/status` and `/metrics`; `None` is off.
    pub http: Option<SocketAddr>,
    /// The local socket for orders of an operator.
    pub orders: Orders,
    /// The options of the log.
    pub log: Log,
    /// The configuration that it sends to agents.
    pub inventory: Inventory,
}

/// The default port of the status; it differs from an agent's, so that both can run on one host.
pub(super) const HTTP_PORT: u16 = 6653;

/// Agents of one switch, and its services nodes: a pair.
const SERVANTS_MAX: usize = 2;

pub(super) const NAME: Key<String> = Key {
    name: "name",
    read: values::peer_name,
    example: r#""control-1""#,
    what: "the name of this control node in logs and in `status`, here and at agents",
};
pub(super) const ORDERS: Key<Orders> = Key {
    example: r#""/run/tandem/control/control-1.sock""#,
    ..sections::ORDERS
};
const LISTEN: Key<SocketAddr> = Key {
    name: "listen",
    read: values::socket,
    example: r#""0.0.0.0:5269""#,
    what: "the address at which agents connect",
};
const REVISION: Key<u64> = Key {
    name: "revision",
    read: values::revision,
    example: "1",
    what: "a number that grows with each change, the same at all control nodes; agents ignore a control node with a lower one",
};
const AGENTS: Key<ClientName> = Key {
    name: "agents",
    read: client,
    example: r#"["agent-a", "agent-b"]"#,
    what: "the agents that serve this switch, by the `[agent] name` of each",
};
const TSNS: Key<ClientName> = Key {
    name: "tsns",
    read: client,
    example: r#"["tsn-a", "tsn-b"]"#,
    what: "the services nodes that replicate broadcasts for this switch, by their own names",
};

impl ControlConfig {
    /// Applies `new` on SIGHUP, except for settings that need a restart. Returns the names of those that differ.
    pub fn reload(&mut self, new: Self) -> Vec<&'static str> {
        let old = std::mem::replace(self, new);
        let mut tls = None;
        if self.tls.is_some() != old.tls.is_some() {
            tls = keep(&mut self.tls, old.tls, "[control] tls");
        }
        [
            keep(&mut self.name, old.name, "[control] name"),
            keep(&mut self.listen, old.listen, "[control] listen"),
            keep(&mut self.http, old.http, "[control] http"),
            keep(&mut self.orders, old.orders, "[control] orders"),
            tls,
            keep(&mut self.log, old.log, "[log]"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Reads the whole document; `None` only when a problem was reported.
pub(super) fn read(
    document: &Document<'_>,
    source: &Source,
    base: &Path,
    files: &dyn Files,
    problems: &mut Problems,
) -> Option<ControlConfig> {
    let mut root = document.root(source);
    root.place(FORMAT.name);
    let node = node(&mut root, problems);
    let tls = settings(
        &mut root,
        node.as_ref().and_then(|node| node.tls.as_ref()),
        base,
        files,
        problems,
    );
    let log = log(&mut root, problems);
    let revision = revision(&mut root, problems);
    let networks = networks::read(&mut root, base, files, problems);
    one_instance_each(&root, &networks, problems);
    let mut seen = Seen::default();
    let switches = switches::read(&mut root, &networks, problems, |table, vtep, switch, problems| {
        served(table, vtep, switch, &mut seen, problems)
    });
    let place = root.place("switch");
    let is_secure = node.as_ref().is_none_or(Node::is_secure);
    let unknown = node.as_ref().and_then(|node| node.unknown_clients.clone());
    let access = clients::read(&mut root, unknown, is_secure, problems);
    root.finish(problems);
    let inventory = Inventory {
        revision: revision?,
        networks: networks.complete,
        switches,
        access,
    };
    for size in inventory.too_large() {
        problems.add(too_large(&root, place.clone().unwrap_or_default(), &size));
    }
    let node = node?;
    Some(ControlConfig {
        name: node.name,
        listen: node.listen,
        tls,
        http: node.http,
        orders: node.orders,
        log,
        inventory,
    })
}

/// No agent could keep it: agents would ignore this control node, and all others with the same file.
fn too_large(root: &Table<'_>, place: Range<usize>, size: &Size) -> Problem {
    root.problem(place, size.to_string())
        .help("let other agents serve some of the switches (`agents`), or remove port bindings")
}

/// The keys of `[control]`.
struct Node {
    name: String,
    listen: SocketAddr,
    http: Option<SocketAddr>,
    orders: Orders,
    tls: Option<At<bool>>,
    unknown_clients: Option<At<UnknownClients>>,
}

impl Node {
    fn is_secure(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.value)
    }
}

fn node(root: &mut Table<'_>, problems: &mut Problems) -> Option<Node> {
    let mut table = root.required_section("control", "`name`", problems)?;
    let name = table.required(&NAME, problems);
    let listen = table.optional(&LISTEN, problems);
    let http = table.optional(&HTTP, problems);
    let orders = table.optional(&ORDERS, problems);
    let tls = table.optional(&TLS, problems);
    let unknown_clients = table.optional(&UNKNOWN_CLIENTS, problems);
    table.finish(problems);

    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, CONTROL_PORT));
    let local = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT)));
    let listeners = [
        Listener::new("listen", listen.as_ref(), Some(everywhere)),
        Listener::new("http", http.as_ref(), local),
    ];
    apart(&table, &listeners, problems);
    let name = name?.value;
    Some(Node {
        name,
        listen: or(listen, everywhere),
        http: or(http, local),
        orders: or(orders, Orders::Default),
        tls,
        unknown_clients,
    })
}

/// `[tls]`, which is required with TLS, and an error without.
fn settings(
    root: &mut Table<'_>,
    wanted: Option<&At<bool>>,
    base: &Path,
    files: &dyn Files,
    problems: &mut Problems,
) -> Option<Settings> {
    let Some(At { value: false, span }) = wanted else {
        return tls(root, base, files, problems);
    };
    if let Some(place) = root.place("tls") {
        problems.add(
            root.problem(place, "`[tls]` has no effect with `tls = false`")
                .label("configures TLS")
                .before(span.clone(), "switches TLS off")
                .help("remove `[tls]`, or `tls = false`"),
        );
    }
    None
}

fn revision(root: &mut Table<'_>, problems: &mut Problems) -> Option<u64> {
    let mut table = root.required_section("inventory", "`revision = 1`", problems)?;
    let revision = table.required(&REVISION, problems);
    table.finish(problems);
    revision.map(|at| at.value)
}

/// Agents must receive each name unchanged, and no two names may be the same network once qualified.
fn one_instance_each(root: &Table<'_>, networks: &Networks, problems: &mut Problems) {
    let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for (name, span) in networks.named() {
        if name.starts_with(' ') || name.ends_with(' ') {
            problems.add(
                root.problem(
                    span.clone(),
                    format!("{} begins or ends with a space", values::shown(name)),
                )
                .help("agents strip spaces around names, and would subscribe to another network; remove the spaces"),
            );
        }
        let qualified = virtual_network(name);
        if let Some(before) = seen.insert(qualified.clone(), span.clone()) {
            problems.add(
                root.problem(
                    span.clone(),
                    format!("agents see two networks named {}", values::shown(&qualified)),
                )
                .label("the one")
                .before(before, "the other")
                .help("a name without `:` is prefixed with `default-domain:default-project:`; rename one of them"),
            );
        }
    }
}

/// Names and tunnel ends of the switches that were read, with the first place of each.
#[derive(Default)]
struct Seen {
    vteps: BTreeMap<Ipv4Addr, Range<usize>>,
    agents: BTreeMap<ClientName, Range<usize>>,
    tsns: BTreeMap<ClientName, Range<usize>>,
}

/// Reads the agents and services nodes of a switch, and checks that its tunnel end is unique.
fn served(
    table: &mut Table<'_>,
    vtep: Option<At<Ipv4Addr>>,
    switch: Switch,
    seen: &mut Seen,
    problems: &mut Problems,
) -> ServedSwitch {
    table.missing(&VTEP, problems);
    if let Some(vtep) = vtep
        && let Some(before) = seen.vteps.insert(vtep.value, vtep.span.clone())
    {
        problems.add(
            table
                .problem(vtep.span, format!("two switches have the tunnel end {}", vtep.value))
                .label("the second")
                .before(before, "the first")
                .help("a route locates a MAC by its tunnel end only; give each switch its own"),
        );
    }
    let agents = table.required_list(&AGENTS, SERVANTS_MAX, problems);
    let tsns = table.list(&TSNS, SERVANTS_MAX, problems);
    let [agents, tsns] = [agents, tsns].map(|list| list.map(|at| at.value).unwrap_or_default());
    let ends = ["as an agent", "as a services node"];
    for agent in &agents {
        seen.agents
            .entry(agent.value.clone())
            .or_insert_with(|| agent.span.clone());
        twofold(table, agent, seen.tsns.get(&agent.value), ends, problems);
    }
    let ends = ["as a services node", "as an agent"];
    for tsn in &tsns {
        seen.tsns.entry(tsn.value.clone()).or_insert_with(|| tsn.span.clone());
        twofold(table, tsn, seen.agents.get(&tsn.value), ends, problems);
    }
    let names = |list: Vec<At<ClientName>>| list.into_iter().map(|at| at.value).collect();
    ServedSwitch {
        switch,
        agents: names(agents),
        tsns: names(tsns),
    }
}

/// A client that is both would treat switches as its own for which it only replicates broadcasts.
fn twofold(
    table: &Table<'_>,
    name: &At<ClientName>,
    other: Option<&Range<usize>>,
    [here, there]: [&'static str; 2],
    problems: &mut Problems,
) {
    let Some(other) = other else { return };
    let message = format!("{} is an agent and a services node", values::shown(name.value.as_str()));
    problems.add(
        table
            .problem(name.span.clone(), message)
            .label(here)
            .before(other.clone(), there)
            .help("each of them has its own session and its own name"),
    );
}

fn client(value: &toml::de::DeValue<'_>) -> Result<ClientName, String> {
    values::peer_name(value).map(ClientName::from)
}
