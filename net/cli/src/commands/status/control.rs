//! The status of a control node, for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use tandem_core::configuration::VlanId;
use tandem_core::contrail_schema::{network_name, network_of};
use tandem_core::control::{ClientName, ControlStatus, NetworkStatus, PathStatus, RouteStatus, SwitchStatus};
use tandem_core::evpn::InstanceName;
use tandem_core::ids::{PortName, Uuid};

use super::table::{aligned, clean, line};
use crate::commands::count;

/// Port bindings of one switch that are written out.
const BINDINGS_SHOWN: usize = 20;

/// The whole page, with a line break at its end.
pub(super) fn render(status: &ControlStatus) -> String {
    let names = names(status);
    let parts = [
        ("", clients(status)),
        ("\nOwners of the switches\n", switches(status, &names)),
        ("\nSubscriptions of the clients\n", subscriptions(status)),
    ];
    let mut page = head(status);
    for (title, rows) in parts {
        if rows.len() > 1 {
            page.push_str(if title.is_empty() { "\n" } else { title });
            page.push_str(&aligned(&rows));
        }
    }
    for (instance, network) in &status.networks {
        page.push_str(&routes(instance, network));
    }
    page.push_str(&configurations(status, &names));
    page
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

fn head(status: &ControlStatus) -> String {
    let owned = |wrong: fn(&Vec<ClientName>) -> bool| {
        let switches = status.switches.values();
        let is_wrong = |switch: &SwitchStatus| {
            let mut networks = switch.owners.iter();
            networks.any(|(network, owners)| wrong(owners) && !switch.elsewhere.contains_key(network))
        };
        switches.filter(|switch| is_wrong(switch)).count()
    };
    let (without, several) = (owned(Vec::is_empty), owned(|owners| owners.len() > 1));
    let mut text = format!(
        "control node: revision {}, {}, {}, {}",
        status.revision,
        count(status.clients.len(), "client", "clients"),
        count(status.networks.len(), "network", "networks"),
        count(status.switches.len(), "switch", "switches"),
    );
    let elsewhere = status.switches.values().filter(|switch| !switch.elsewhere.is_empty());
    let wrong = [
        (without, "without an owner"),
        (several, "with several owners"),
        (elsewhere.count(), "at a wrong tunnel end"),
    ];
    for (switches, what) in wrong {
        if switches > 0 {
            text.push_str(&format!(", {switches} {what}"));
        }
    }
    text.push('\n');
    text
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
        "CONFIGURATION",
        "NETWORKS",
        "ROUTES",
        "QUEUED BYTES",
        "REFUSED",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, client) in &status.clients {
        let configuration = match client.configured {
            _ if client.ignores_for.is_some() => "IGNORED",
            Some(true) => "sent",
            Some(false) => "being sent",
            None => "not requested",
        };
        let mut refused: Vec<String> = client
            .refused
            .iter()
            .map(|(why, count)| format!("{count}: {why}"))
            .collect();
        if !client.foreign_next_hops.is_empty() {
            let ends: Vec<String> = client.foreign_next_hops.iter().map(ToString::to_string).collect();
            refused.push(format!("tunnel ends: {}", ends.join(", ")));
        }
        rows.push(vec![
            clean(name.as_str()),
            client.address.to_string(),
            configuration.into(),
            client.subscriptions_total.to_string(),
            client.routes.to_string(),
            client.queued_bytes.to_string(),
            if refused.is_empty() {
                "-".into()
            } else {
                refused.join("; ")
            },
        ]);
    }
    let served = status
        .switches
        .values()
        .flat_map(|switch| switch.agents.iter().chain(&switch.tsns));
    let away: BTreeSet<_> = served.filter(|name| !status.clients.contains_key(*name)).collect();
    rows.extend(
        away.into_iter()
            .map(|name| vec![clean(name.as_str()), "no session".into()]),
    );
    rows
}

fn switches(status: &ControlStatus, names: &BTreeMap<Uuid, String>) -> Vec<Vec<String>> {
    let titles = ["SWITCH", "TUNNEL END", "AGENTS", "SERVICES NODES", "NETWORK", "OWNER"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, switch) in &status.switches {
        let head = [
            clean(name.as_str()),
            switch.vtep.map_or_else(|| "-".to_owned(), |vtep| vtep.to_string()),
            list(&switch.agents),
            list(&switch.tsns),
        ];
        if switch.owners.is_empty() {
            rows.push([&head[..], &["none".into(), "-".into()]].concat());
        }
        for (network, owners) in &switch.owners {
            let elsewhere = switch.elsewhere.get(network).map(Vec::as_slice).unwrap_or_default();
            rows.push([&head[..], &[network_shown(*network, names), owner(owners, elsewhere)]].concat());
        }
    }
    rows
}

fn subscriptions(status: &ControlStatus) -> Vec<Vec<String>> {
    let titles = ["CLIENT", "NETWORK", "ID", "PUBLISHED", "SENT"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, client) in &status.clients {
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
fn routes(instance: &InstanceName, network: &NetworkStatus) -> String {
    let mut text = format!(
        "\nNetwork {}: {}, {}{}\n",
        shown(instance),
        count(network.routes_total, "route", "routes"),
        count(network.subscribers, "subscriber", "subscribers"),
        if network.network.is_some() {
            ""
        } else {
            "; NOT CONFIGURED: publications wait"
        },
    );
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
        text.push_str(&aligned(&rows));
    }
    let left_out = network.routes_total.saturating_sub(network.routes.len());
    if left_out > 0 {
        line(&mut text, &format!("and {} more", count(left_out, "route", "routes")));
    }
    text
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
fn configurations(status: &ControlStatus, names: &BTreeMap<Uuid, String>) -> String {
    let mut seen: BTreeMap<&ClientName, Vec<String>> = BTreeMap::new();
    for (name, switch) in &status.switches {
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
    let mut text = String::new();
    for (servant, switches) in seen {
        line(
            &mut text,
            &format!(
                "\nConfiguration of {}, with the fingerprint of each switch",
                clean(servant.as_str())
            ),
        );
        switches.iter().for_each(|switch| line(&mut text, switch));
    }
    text
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

    #[test]
    fn a_busy_control_node_shows_sessions_owners_routes_and_what_agents_see() {
        insta::assert_snapshot!(render(&samples::control::busy()));
    }

    #[test]
    fn a_control_node_that_knows_nothing_is_one_line() {
        insta::assert_snapshot!(render(&samples::control::idle()));
    }

    #[test]
    fn no_control_character_of_a_client_reaches_the_terminal() {
        let mut status = samples::control::busy();
        let (_, client) = status.clients.pop_first().expect("a client");
        status.clients.insert("agent\x1b[2J\u{9b}31m".into(), client);
        let network = status.networks.pop_first().expect("a network").1;
        status.networks.insert("a\x07:b\nc:b\nc".into(), network);
        let page = render(&status);
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
        assert!(page.contains("agent\\u{1b}[2J\\u{9b}31m"), "{page}");
    }
}
