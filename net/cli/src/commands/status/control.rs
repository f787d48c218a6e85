//! The status of a control node, for a person.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::SwitchName;
use tandem_core::configuration::VlanId;
use tandem_core::contrail_schema::{network_name, network_of};
use tandem_core::control::{
    ClientName, ClientStatus, ControlStatus, NetworkStatus, PathStatus, RouteStatus, SwitchStatus,
};
use tandem_core::evpn::InstanceName;
use tandem_core::ids::{PortName, Uuid};
use tandem_net::process::ProcessStatus;

use super::page::{Page, clean};
use super::process;
use super::trouble::{away, natural, part_of};
use crate::commands::count;

/// Port bindings of one switch that are written out.
const BINDINGS_SHOWN: usize = 20;

/// Networks of one owner that the page of all switches names.
const NETWORKS_SHOWN: usize = 5;

/// The whole page, with a line break at its end. A brief one leaves out what does not belong to single switches.
pub(super) fn render(
    process: &ProcessStatus,
    status: &ControlStatus,
    total: usize,
    is_brief: bool,
    is_folded: bool,
) -> String {
    let names = names(status);
    let mut page = Page::new(is_folded);
    head(&mut page, process, status, total);
    let tables = [
        ("", clients(status), false),
        ("Owners of the switches", switches(status, &names, is_brief), false),
        ("Subscriptions of the clients", subscriptions(status), true),
    ];
    for (title, rows, is_of_clients) in tables {
        if rows.len() > 1 && !(is_brief && is_of_clients) {
            page.line("");
            if !title.is_empty() {
                page.line(title);
            }
            page.table(&rows, &[]);
        }
    }
    refused(&mut page, status);
    if !is_brief {
        for (instance, network) in &status.networks {
            routes(&mut page, instance, network);
        }
    }
    configurations(&mut page, status, &names);
    page.finish()
}

/// The names of networks, as far as they are in use.
fn names(status: &ControlStatus) -> BTreeMap<Uuid, String> {
    let networks = status.networks.iter();
    let names = networks.filter_map(|(instance, network)| Some((network.network?, shown(instance))));
    names.collect()
}

/// The display name of the network of an instance.
fn shown(instance: &InstanceName) -> String {
    clean(network_name(network_of(instance)))
}

fn head(page: &mut Page, process: &ProcessStatus, status: &ControlStatus, total: usize) {
    let owned = |wrong: fn(&Vec<ClientName>) -> bool| {
        let switches = status.switches.values();
        let is_wrong = |switch: &SwitchStatus| {
            let mut networks = switch.owners.iter();
            networks.any(|(network, owners)| wrong(owners) && !switch.elsewhere.contains_key(network))
        };
        switches.filter(|switch| is_wrong(switch)).count()
    };
    let (without, several) = (owned(Vec::is_empty), owned(|owners| owners.len() > 1));
    let elsewhere = status.switches.values().filter(|switch| !switch.elsewhere.is_empty());
    let wrong = [
        (without, "without an owner"),
        (several, "with several owners"),
        (elsewhere.count(), "at a wrong tunnel end"),
    ];
    let mut parts = vec![format!(
        "control node {}: revision {}",
        clean(&process.name),
        status.revision
    )];
    let wrong = wrong.into_iter().filter(|(switches, _)| *switches > 0);
    parts.extend(wrong.map(|(switches, what)| format!("{} {what}", count(switches, "switch", "switches"))));
    parts.extend([
        count(status.clients.len(), "client", "clients"),
        count(status.networks.len(), "network", "networks"),
        part_of(status.switches.len(), total),
    ]);
    page.list(&parts);
    process::show(page, process);
}

/// The owner of a switch in one network: exactly one agent, where all is well.
fn owner(owners: &[ClientName], elsewhere: &[(ClientName, Ipv4Addr)]) -> String {
    match (owners, elsewhere) {
        ([], [(agent, end), ..]) => format!("{} AT WRONG TUNNEL END {end}", clean(agent.as_str())),
        ([], []) => "NONE".into(),
        ([one], _) => clean(one.as_str()),
        (several, _) => format!("SEVERAL: {}", list(several)),
    }
}

fn clients(status: &ControlStatus) -> Vec<Vec<String>> {
    let titles = [
        "CLIENT",
        "FROM",
        "CONFIGURED",
        "NETWORKS",
        "ROUTES",
        "QUEUED",
        "REFUSED",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, client) in in_order(&status.clients, ClientName::as_str) {
        let configuration = match client.configured {
            _ if client.ignores_for.is_some() => "IGNORED",
            Some(true) => "sent",
            Some(false) => "being sent",
            None => "not asked",
        };
        rows.push(vec![
            clean(name.as_str()),
            client.address.ip().to_string(),
            configuration.into(),
            client.subscriptions_total.to_string(),
            client.routes.to_string(),
            client.queued_bytes.to_string(),
            client.refused.values().sum::<u64>().to_string(),
        ]);
    }
    let away = away(status).into_iter();
    rows.extend(away.map(|name| vec![clean(name.as_str()), "no session".into()]));
    rows
}

/// Why publications of clients were refused.
fn refused(page: &mut Page, status: &ControlStatus) {
    let is_refused = |client: &ClientStatus| !client.refused.is_empty() || !client.foreign_next_hops.is_empty();
    if status.clients.values().any(is_refused) {
        page.title("Refused publications");
    }
    for (name, client) in in_order(&status.clients, ClientName::as_str) {
        for (why, count) in &client.refused {
            page.fact(&format!("  {}: {count}: {why}", clean(name.as_str())));
        }
        if !client.foreign_next_hops.is_empty() {
            let ends: Vec<String> = client.foreign_next_hops.iter().map(ToString::to_string).collect();
            page.fact(&format!("  {}: tunnel ends: {}", clean(name.as_str()), ends.join(", ")));
        }
    }
}

/// On a page of all switches, many networks of one owner are one row.
fn switches(status: &ControlStatus, names: &BTreeMap<Uuid, String>, is_brief: bool) -> Vec<Vec<String>> {
    let titles = ["SWITCH", "TUNNEL END", "NETWORK", "OWNER"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, switch) in in_order(&status.switches, SwitchName::as_str) {
        let head = [
            clean(name.as_str()),
            switch.vtep.map_or_else(|| "-".to_owned(), |vtep| vtep.to_string()),
        ];
        if switch.owners.is_empty() {
            rows.push([&head[..], &["none".into(), "-".into()]].concat());
        }
        let mut by_owner: Vec<(String, Vec<String>)> = Vec::new();
        let is_short = is_brief || switch.owners.len() <= NETWORKS_SHOWN;
        for (network, owners) in &switch.owners {
            let elsewhere = switch.elsewhere.get(network).map(Vec::as_slice).unwrap_or_default();
            let (owner, network) = (owner(owners, elsewhere), network_shown(*network, names));
            match by_owner.iter_mut().find(|(it, _)| !is_short && *it == owner) {
                Some((_, networks)) => networks.push(network),
                None => by_owner.push((owner, vec![network])),
            }
        }
        for (owner, networks) in by_owner {
            let networks = match networks.as_slice() {
                [one] => one.clone(),
                several => count(several.len(), "network", "networks"),
            };
            rows.push([&head[..], &[networks, owner]].concat());
        }
    }
    rows
}

fn subscriptions(status: &ControlStatus) -> Vec<Vec<String>> {
    let titles = ["CLIENT", "NETWORK", "ID", "PUBLISHED", "SENT"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, client) in in_order(&status.clients, ClientName::as_str) {
        for (instance, subscription) in &client.subscriptions {
            let sent = match (subscription.no_ribout, subscription.complete) {
                (true, _) => "none requested",
                (false, true) => "all routes",
                (false, false) => "not all yet",
            };
            rows.push(vec![
                clean(name.as_str()),
                shown(instance),
                subscription.instance_id.to_string(),
                subscription.published.to_string(),
                sent.into(),
            ]);
        }
        let left_out = client.subscriptions_total.saturating_sub(client.subscriptions.len());
        if left_out > 0 {
            rows.push(vec![clean(name.as_str()), format!("and {left_out} more")]);
        }
    }
    rows
}

/// The routes of an instance, each with its paths, the best first.
fn routes(page: &mut Page, instance: &InstanceName, network: &NetworkStatus) {
    page.line("");
    page.fact(&format!(
        "Network {}: {}, {}{}",
        shown(instance),
        count(network.routes_total, "route", "routes"),
        count(network.subscribers, "subscriber", "subscribers"),
        if network.network.is_some() {
            ""
        } else {
            "; NOT CONFIGURED: publications wait"
        },
    ));
    let titles = ["ROUTE", "FROM", "NEXT HOP", "PREFERENCE", "SEQUENCE", "WHY"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for route in &network.routes {
        rows.extend(paths(route, |path, is_only| match &path.why_not {
            Some(why) => clean(why),
            None if is_only => "only path".into(),
            None => "best path".into(),
        }));
    }
    for route in &network.broadcasts {
        rows.extend(paths(route, |path, _| {
            let replicator = path.replicator.map(|replicator| format!("replicated by {replicator}"));
            replicator.unwrap_or_else(|| "replicates itself".into())
        }));
    }
    if rows.len() > 1 {
        page.table(&rows, &[]);
    }
    let left_out = network.routes_total.saturating_sub(network.routes.len());
    if left_out > 0 {
        page.line(&format!("and {} more", count(left_out, "route", "routes")));
    }
}

fn paths(route: &RouteStatus, why: impl Fn(&PathStatus, bool) -> String) -> Vec<Vec<String>> {
    let is_only = route.paths.len() == 1;
    let row = |(index, path): (usize, &PathStatus)| {
        let next_hops: Vec<String> = path.next_hops.iter().map(ToString::to_string).collect();
        let sticky = if path.sticky { ", sticky" } else { "" };
        vec![
            if index == 0 {
                route.route.to_string()
            } else {
                String::new()
            },
            clean(&path.source.to_string()),
            next_hops.join(", "),
            path.local_preference.to_string(),
            path.sequence.to_string(),
            format!("{}{sticky}", why(path, is_only)),
        ]
    };
    route.paths.iter().enumerate().map(row).collect()
}

/// The configuration of each agent and each services node.
fn configurations(page: &mut Page, status: &ControlStatus, names: &BTreeMap<Uuid, String>) {
    let mut seen: BTreeMap<&ClientName, Vec<String>> = BTreeMap::new();
    for (name, switch) in in_order(&status.switches, SwitchName::as_str) {
        let bindings = bindings(&switch.ports, names);
        let configured = format!(
            "  {} ({}): {bindings}",
            clean(name.as_str()),
            clean(&switch.fingerprint)
        );
        for servant in switch.agents.iter().chain(&switch.tsns) {
            seen.entry(servant).or_default().push(configured.clone());
        }
    }
    for (servant, switches) in seen {
        page.line("");
        page.fact(&format!(
            "Configuration of {}, with the fingerprint of each switch",
            clean(servant.as_str())
        ));
        switches.iter().for_each(|switch| page.fact(switch));
    }
}

/// Entries in the order of their names for people.
fn in_order<N, T>(entries: &BTreeMap<N, T>, text: fn(&N) -> &str) -> Vec<(&N, &T)> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(name, _)| natural(text(name)));
    entries
}

/// `eth1.10 blue, eth1.20 red`.
fn bindings(ports: &BTreeMap<PortName, BTreeMap<VlanId, Uuid>>, names: &BTreeMap<Uuid, String>) -> String {
    let all = ports
        .iter()
        .flat_map(|(port, vlans)| vlans.iter().map(move |(vlan, network)| (port, vlan, network)));
    let total = all.clone().count();
    let shown = all.take(BINDINGS_SHOWN);
    let binding = |(port, vlan, network): (&PortName, &VlanId, &Uuid)| {
        format!("{}.{vlan} {}", clean(port.as_str()), network_shown(*network, names))
    };
    let mut shown: Vec<String> = shown.map(binding).collect();
    if total > BINDINGS_SHOWN {
        shown.push(format!("and {} more", total - BINDINGS_SHOWN));
    }
    if shown.is_empty() {
        "no ports".into()
    } else {
        shown.join(", ")
    }
}

fn network_shown(network: Uuid, names: &BTreeMap<Uuid, String>) -> String {
    names.get(&network).cloned().unwrap_or_else(|| network.to_string())
}

fn list(names: &[ClientName]) -> String {
    if names.is_empty() {
        return "-".into();
    }
    let names: Vec<String> = names.iter().map(|name| clean(name.as_str())).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn shown(status: &ControlStatus) -> String {
        render(&samples::process(), status, status.switches.len(), false, true)
    }

    #[test]
    fn a_busy_control_node_shows_sessions_owners_routes_and_what_agents_see() {
        insta::assert_snapshot!(shown(&samples::control::busy()));
    }

    #[test]
    fn a_control_node_that_knows_nothing_is_one_line() {
        insta::assert_snapshot!(shown(&samples::control::idle()));
    }

    #[test]
    fn the_lines_of_a_control_node_have_80_columns_and_names_are_in_natural_order() {
        let mut status = samples::control::busy();
        for (old, new) in [("tor1", "rack-17-leaf-10.example"), ("tor2", "rack-17-leaf-9.example")] {
            let mut switch = status.switches.remove(&old.into()).expect("a switch");
            switch.vtep = Some([255, 255, 255, 255].into());
            for port in 1..=48 {
                let vlans = BTreeMap::from([(10, Uuid(1))]);
                switch.ports.insert(format!("ethernet{port}").as_str().into(), vlans);
            }
            status.switches.insert(new.into(), switch);
        }
        let page = shown(&status);
        let long = page.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{page}");
        let at = |name| page.find(name).expect("a switch");
        assert!(at("rack-17-leaf-9.example") < at("rack-17-leaf-10.example"), "{page}");
    }

    #[test]
    fn no_control_character_of_a_client_reaches_the_terminal() {
        let mut status = samples::control::busy();
        let (_, client) = status.clients.pop_first().expect("a client");
        status.clients.insert("agent\x1b[2J\u{9b}31m".into(), client);
        let network = status.networks.pop_first().expect("a network").1;
        status.networks.insert("a\x07:b\nc:b\nc".into(), network);
        let page = shown(&status);
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
        assert!(page.contains("agent\\u{1b}[2J\\u{9b}31m"), "{page}");
    }

    #[test]
    fn many_networks_of_one_owner_are_one_row_unless_the_switch_was_named() {
        let mut status = samples::control::busy();
        let tor1 = status.switches.get_mut(&"tor1".into()).expect("tor1");
        for network in 100..110 {
            tor1.owners.insert(Uuid(network), vec!["agent-b".into()]);
        }
        tor1.owners.insert(Uuid(110), vec![]);
        let rows = |page: &str| page.lines().filter(|line| line.starts_with("tor1 ")).count();
        let page = shown(&status);
        let folded = page.lines().find(|line| line.contains("  10 networks "));
        assert!(folded.is_some_and(|line| line.ends_with("  agent-b")), "{page}");
        let named = render(&samples::process(), &status, 4, true, true);
        assert!(rows(&named) >= 11 && rows(&page) < 5, "{page}{named}");
    }
}
