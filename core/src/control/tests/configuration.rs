//! The configuration that clients receive.

use std::fmt::Write;

use super::*;
use crate::bounds::OBJECTS_PER_MESSAGE;
use crate::configuration::CertificateRule;
use crate::event::{Level, LogEvent};
use crate::xmpp::Element;
use crate::xmpp::graph::Link;

fn subscribe(world: &mut World, conn: u64, name: &str) {
    world.open(conn, name);
    world.send(conn, ask(name));
    world.run_to_rest();
}

fn ask(name: &str) -> Stanza {
    ask_in_form(name, false)
}

fn ask_in_form(name: &str, compact: bool) -> Stanza {
    Stanza::SubscribeConfiguration {
        kind: "virtual-router".into(),
        name: format!("{GLOBAL}:{name}").into(),
        compact,
        in_force: None,
    }
}

/// The changes that a client has received since the last call, one line for each.
fn received(world: &mut World, conn: u64) -> String {
    let mut text = String::new();
    for change in world.changes.remove(&ConnId(conn)).unwrap_or_default() {
        let link = |link: &Link| format!("{}: {} - {}", link.kind, link.ends[0].name, link.ends[1].name);
        match change {
            Change::UpdateNode(node) => {
                let properties = node.properties.iter().map(shown).collect::<Vec<_>>();
                let id = node.id;
                writeln!(text, "+ {} {}\n    {}", id.kind, id.name, properties.join(" "))
            }
            Change::DeleteNode(id) => writeln!(text, "- {} {}", id.kind, id.name),
            Change::UpdateLink(it) => writeln!(text, "+ link {}", link(&it)),
            Change::DeleteLink(it) => writeln!(text, "- link {}", link(&it)),
        }
        .expect("text");
    }
    text
}

fn shown(element: &Element) -> String {
    let children = element.children.iter().map(shown).collect::<Vec<_>>();
    match children.is_empty() {
        true => format!("{}={}", element.name, element.text),
        false => format!("{}{{{}}}", element.name, children.join(" ")),
    }
}

#[test]
fn a_client_receives_the_graph_around_its_switches_and_the_revision_last() {
    let mut inventory = Inventory::clone(&inventory(7, &[1, 2]));
    let switch = inventory.switches.get_mut(&"tor1".into()).expect("a switch");
    switch.switch.certificate = Some(CertificateRule::Named("tor1.example".into()));
    switch.switch.sole_manager = true;
    switch.switch.rows_per_transaction_max = Some(50);
    inventory.switches.insert("other".into(), ServedSwitch::default());
    let mut world = World::default();
    world.handle(Input::Configure(Arc::new(inventory)));
    subscribe(&mut world, 1, "agent-a");
    subscribe(&mut world, 2, "tsn-a");
    let [agent, tsn] = [1, 2].map(|conn| received(&mut world, conn));
    insta::assert_snapshot!(agent);
    assert_eq!(tsn, agent.replace("agent-a", "tsn-a").replace(ids(&agent), ids(&tsn)));
    let words: Vec<_> = world
        .events
        .iter()
        .map(Event::word)
        .filter(|word| *word == "ConfigurationSent")
        .collect();
    assert_eq!(words.len(), 2);
}

#[test]
fn a_client_that_asks_for_it_receives_the_vlans_of_a_port_as_a_property() {
    let mut world = World::with(&[1, 2]);
    world.open(1, "agent-a");
    world.send(1, ask_in_form("agent-a", true));
    world.run_to_rest();
    let compact = received(&mut world, 1);
    insta::assert_snapshot!(compact);
    let mut next = Inventory::clone(&inventory(2, &[1, 2]));
    let switch = next.switches.get_mut(&"tor1".into()).expect("a switch");
    switch.switch.ports = BTreeMap::from([("eth1".into(), BTreeMap::from([(10, Uuid(2)), (20, Uuid(2))]))]);
    world.handle(Input::Configure(Arc::new(next)));
    world.run_to_rest();
    insta::assert_snapshot!(received(&mut world, 1));
}

/// The UUID of the `virtual-router` that a text begins with.
fn ids(text: &str) -> &str {
    let (_, rest) = text.split_once("id-perms{uuid{").expect("a UUID");
    rest.split_once('}').expect("its end").0
}

#[test]
fn no_client_receives_an_empty_configuration_before_the_first_inventory() {
    let mut world = World::default();
    subscribe(&mut world, 1, "agent-a");
    assert_eq!(received(&mut world, 1), "");
    world.handle(Input::Configure(inventory(1, &[1])));
    world.run_to_rest();
    assert!(received(&mut world, 1).contains("tandem-revision=1"));
}

#[test]
fn a_client_that_serves_no_switch_receives_its_own_node_alone() {
    let mut world = World::with(&[1]);
    subscribe(&mut world, 1, "stranger");
    insta::assert_snapshot!(received(&mut world, 1));
}

#[test]
fn of_a_new_inventory_only_the_differences_are_sent() {
    let mut world = World::with(&[1, 2]);
    subscribe(&mut world, 1, "agent-a");
    subscribe(&mut world, 2, "stranger");
    received(&mut world, 1);
    received(&mut world, 2);
    let mut next = Inventory::clone(&inventory(2, &[1, 2]));
    let switch = next.switches.get_mut(&"tor1".into()).expect("a switch");
    switch.switch.vtep = Some(address(12));
    switch.switch.ports = BTreeMap::from([("eth1".into(), BTreeMap::from([(10, Uuid(2))]))]);
    let next = Arc::new(next);
    world.handle(Input::Configure(Arc::clone(&next)));
    world.run_to_rest();
    insta::assert_snapshot!(received(&mut world, 1));
    assert_eq!(received(&mut world, 2).lines().count(), 2, "the revision");
    world.handle(Input::Configure(next));
    world.handle(Input::Configure(inventory(1, &[1])));
    world.run_to_rest();
    assert_eq!(
        received(&mut world, 1),
        "",
        "nothing differs, and what is older is refused"
    );
    let last = world.events.last().map(ToString::to_string);
    assert_eq!(
        last.as_deref(),
        Some("ignoring revision 1, lower than 2, which stays in force")
    );
}

#[test]
fn a_change_while_the_configuration_is_being_sent_leads_to_the_same_graph() {
    let mut big = Inventory::clone(&inventory(1, &[1, 2]));
    let switch = big.switches.get_mut(&"tor1".into()).expect("a switch");
    let vlans: BTreeMap<u16, Uuid> = (1..100).map(|vlan| (vlan, Uuid(1 + u128::from(vlan % 2)))).collect();
    switch.switch.ports.insert("eth2".into(), vlans);
    let small = inventory(2, &[1, 2]);
    let end = |inventories: &[Arc<Inventory>]| {
        let mut world = World::default();
        world.open(1, "agent-a");
        for inventory in inventories {
            world.handle(Input::Configure(Arc::clone(inventory)));
            if inventory == &inventories[0] {
                world.send(1, ask("agent-a"));
            }
            // Part of it, and then the next.
            world.sent(1, crate::bounds::CLIENT_QUEUE_BYTES - 30_000);
            world.work();
        }
        world.sent(1, 0);
        world.run_to_rest();
        let sizes = world.messages.iter().map(|changes| changes.iter().map(size).sum());
        assert!(sizes.max() <= Some(OBJECTS_PER_MESSAGE));
        let changes = world.changes.remove(&ConnId(1)).expect("changes");
        let (mut nodes, mut links) = (BTreeMap::new(), BTreeSet::new());
        for change in changes {
            match change {
                Change::UpdateNode(node) => drop(nodes.insert(node.id, node.properties)),
                Change::DeleteNode(id) => assert!(nodes.remove(&id).is_some()),
                Change::UpdateLink(link) => drop(links.insert(link)),
                Change::DeleteLink(link) => assert!(links.remove(&link)),
            }
        }
        (nodes, links)
    };
    assert_eq!(end(&[Arc::new(big), Arc::clone(&small)]), end(&[small]));
}

fn size(change: &Change) -> usize {
    match change {
        Change::UpdateNode(_) | Change::DeleteNode(_) => 1,
        Change::UpdateLink(_) | Change::DeleteLink(_) => 2,
    }
}

#[test]
fn the_routes_of_the_inventory_are_paths_like_others() {
    let mut with = Inventory::clone(&inventory(1, &[1]));
    let blue = with.networks.get_mut(&Uuid(1)).expect("a network");
    blue.remote_macs = BTreeMap::from([(mac(1).mac, address(21)), (mac(2).mac, address(22))]);
    let mut world = World::default();
    world.handle(Input::Configure(Arc::new(with.clone())));
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    world.publish(
        1,
        1,
        mac(1),
        Path {
            sequence: 1,
            ..path(11)
        },
    );
    world.run_to_rest();
    assert_eq!(world.holds(1, 1), [(mac(1), vec![11]), (mac(2), vec![22])]);
    world.withdraw(1, 1, mac(1));
    let blue = with.networks.get_mut(&Uuid(1)).expect("a network");
    blue.remote_macs = BTreeMap::from([(mac(1).mac, address(21)), (mac(3).mac, address(23))]);
    with.revision = 2;
    world.handle(Input::Configure(Arc::new(with)));
    world.run_to_rest();
    assert_eq!(world.holds(1, 1), [(mac(1), vec![21]), (mac(3), vec![23])]);
}

#[test]
fn another_inventory_under_the_same_revision_is_a_warning() {
    let mut world = World::with(&[1]);
    for (revision, networks) in [(1, vec![1]), (1, vec![1, 2]), (2, vec![1])] {
        world.handle(Input::Configure(inventory(revision, &networks)));
    }
    let configured = world.events.iter().filter(|event| event.word() == "Configured");
    let levels: Vec<_> = configured.map(Event::level).collect();
    assert_eq!(levels, [Level::Info, Level::Info, Level::Warn, Level::Info]);
}

#[test]
fn a_client_that_serves_no_switch_is_a_warning_in_the_log() {
    let mut world = World::with(&[1]);
    for (conn, name) in [(1, "agent-a"), (2, "agent-aa")] {
        subscribe(&mut world, conn, name);
    }
    let sent = world.events.iter().filter(|event| event.word() == "ConfigurationSent");
    let sent: Vec<_> = sent.map(|event| (event.level(), event.to_string())).collect();
    assert_eq!(
        sent,
        [
            (Level::Info, "revision 1 to agent-a".to_owned()),
            (Level::Warn, "revision 1 to agent-aa, which serves no switch".to_owned()),
        ]
    );
}
