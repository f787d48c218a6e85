//! Every planted bug is alive: its story goes wrong with it, and only with it.
//!
//! Run with `cargo test -p tandem-sim --features mutants --test mutants --target-dir target/mutants`: a plain build has
//! neither the bugs nor these tests.
#![cfg(feature = "mutants")]

#[allow(dead_code, reason = "the tests of sessions need more of it")]
#[path = "session/contents.rs"]
mod contents;
#[allow(dead_code, reason = "the tests of agents need more of it")]
#[path = "session/fleet.rs"]
mod fleet;
#[allow(dead_code, reason = "the tests of sessions need more of it")]
#[path = "session/wire.rs"]
mod wire;
#[allow(dead_code, reason = "the tests of sessions need more of it")]
#[path = "session/world.rs"]
mod world;

use serde_json::json;
use tandem_core::ConnId;
use tandem_core::bounds::TRANSACTIONS_IN_FLIGHT;
use tandem_core::configuration::Configuration;
use tandem_core::mutant::Mutant;
use tandem_core::session::{Command, Input};
use tandem_sim::drill::times::Times;
use tandem_sim::drill::{self, Drill, Hit, bounds};
use tandem_sim::plan::Plan;
use tandem_sim::run::{Detail, Run};
use tandem_sim::switch::{Options, SchemaVersion};

use contents::{foreign, found};
use fleet::Fleet;
use wire::SECOND;
use world::{
    TSN_A, TSN_B, TUNNEL_IP, Wanted, World, find_logical_switch, find_port, find_remote, learn, leave_behind, mac,
    name, ops, vtep,
};

/// A story with this bug, or with none; returns whether it went wrong.
type Story = fn(Option<Mutant>) -> bool;

fn story(mutant: Mutant) -> Story {
    match mutant {
        Mutant::BroadcastNotChecked => a_takeover_finds_a_row_at_another_services_node,
        Mutant::EchoStarvedByDump => the_switch_probes_after_a_takeover,
        Mutant::PartialNotLife => a_message_arrives_byte_by_byte,
        Mutant::DeleteBeforeComplete => half_of_the_configuration_comes_first,
        Mutant::DuplicatesNotFolded => a_mac_has_two_rows,
        Mutant::LocatorRaceNotRetried => another_program_creates_the_same_locator_first,
        Mutant::LockNotAsserted => the_lock_is_stolen_while_a_transaction_is_under_way,
        Mutant::WrittenWithoutLock => a_second_session_waits,
        Mutant::StolenLockIgnored => the_lock_is_stolen_and_then_something_is_to_be_written,
        Mutant::WaiterDoesNotReadOn => the_owner_writes_before_it_goes,
        Mutant::VniSwapDeadlock => two_networks_swap_their_vnis,
        Mutant::FailureForgotten => a_locator_vanishes_under_a_transaction,
        Mutant::DeletedMacNotPutBack => another_client_deletes_a_configured_mac,
        Mutant::ProbeClaims => an_agent_that_does_not_know_the_switch_is_asked_first,
        Mutant::LateRetractionWins => a_half_open_session_ends_after_the_next_took_over,
        Mutant::SilentLineStays => the_line_falls_silent,
        Mutant::ForeignBindingDeleted => another_client_binds_a_port,
        Mutant::WindowUnbounded => two_thousand_macs_are_wanted_at_once,
        Mutant::RetractionTakesAll => an_old_owner_retracts_late,
        Mutant::LostClientKept => agents_crash_and_stay_away,
        Mutant::SequenceRaised => agents_crash_and_come_back,
        Mutant::HoldProlonged => a_switch_goes_dark_while_another_flaps,
        Mutant::CopyOutlivesWithdrawal => hosts_age_out_behind_a_switch_that_is_well,
        Mutant::TunnelEndNotExported => a_switch_gets_another_tunnel_end,
        Mutant::DeferredLost => a_control_node_restarts_and_is_configured_late,
        Mutant::SweptBeforeComplete => an_agent_loses_its_control_nodes,
        Mutant::OwnEndProgrammed => macs_travel,
        Mutant::SlowClientDelaysAll => one_agent_reads_slowly,
        Mutant::NameNotChecked => a_name_is_taken_at_a_control_node,
        Mutant::TunnelEndNotChecked => a_client_publishes_foreign_tunnel_ends,
        Mutant::SwitchNotIdentified => a_box_has_the_name_of_a_switch,
        Mutant::RepairsNotSlowed => another_program_undoes_what_is_written,
        Mutant::KeepaliveForgotten => nothing_happens,
        Mutant::MovesNotRaised | Mutant::LowerSequenceWins => macs_travel,
        Mutant::CopyOutlivesMove => a_host_leaves_a_switch_that_is_away,
        Mutant::SequencesNeverForgotten => macs_travel_and_everything_rests,
        Mutant::LockAskedLate => an_agent_crashes_that_owns_a_switch,
        Mutant::ClaimAfterDump => a_database_is_large,
        Mutant::WaiterClaimsLate => an_agent_waits_while_the_owner_crashes,
        Mutant::FirstLocatorCounts => broadcast_rows_get_a_second_tunnel_end,
        Mutant::WritingCountsAsLife => routes_change_while_the_line_is_silent,
        Mutant::BrakeWithholdsNothing => an_agent_takes_its_routes_with_it,
        Mutant::BrakeNeverReleases => networks_go_for_good,
    }
}

#[test]
fn every_planted_bug_shows_in_its_story() {
    let silent: Vec<_> = Mutant::ALL
        .into_iter()
        .filter(|mutant| !story(*mutant)(Some(*mutant)))
        .collect();
    assert!(silent.is_empty(), "nothing goes wrong with {silent:?}");
}

#[test]
fn no_story_goes_wrong_without_its_bug() {
    let wrong: Vec<_> = Mutant::ALL.into_iter().filter(|mutant| story(*mutant)(None)).collect();
    assert!(wrong.is_empty(), "something goes wrong without {wrong:?}");
}

/// The gate of `tandem sim failovers`: a bug that makes takeovers seconds slower is beyond the bounds.
#[test]
fn a_slower_takeover_is_beyond_the_bounds_of_failovers() {
    let is_beyond = |mutant, targets| {
        let drill = Drill {
            targets,
            hit: Hit::AgentCrashes,
        };
        let outcome = |seed| {
            let mut plan = drill.plan(seed).expect("an owner");
            plan.mutant = mutant;
            drill::run(&plan)
        };
        let outcomes: Vec<_> = (1..=6).map(outcome).collect();
        !Times::of(&outcomes).beyond(&bounds::of(drill)).is_empty()
    };
    for (mutant, targets) in [(Mutant::LockAskedLate, 1), (Mutant::WaiterClaimsLate, 2)] {
        assert!(!is_beyond(None, targets), "too slow without {mutant:?}");
        assert!(is_beyond(Some(mutant), targets), "{mutant:?} goes unseen");
    }
}

fn a_takeover_finds_a_row_at_another_services_node(mutant: Option<Mutant>) -> bool {
    let mut world = World::new();
    leave_behind(&mut world, &name(1), 5001, TSN_B, &[]);
    let configuration = with(mutant, macs(0));
    world.manage(&configuration);
    differs(&world, &configuration)
}

fn the_switch_probes_after_a_takeover(mutant: Option<Mutant>) -> bool {
    let mut world = World::with(Options {
        probe: Some(5 * SECOND),
        ..Options::new(SchemaVersion::V1_7_0)
    });
    let conn = world.manage(&with(mutant, macs(0)));
    world.pass(60 * SECOND);
    !world.is_open(conn)
}

fn a_message_arrives_byte_by_byte(mutant: Option<Mutant>) -> bool {
    let mut world = World::new();
    let conn = world.manage(&with(mutant, macs(0)));
    world.to_switch.remove(&conn);
    for byte in b"{\"id\":null,\"method\":\"upda" {
        world.pass(9 * SECOND);
        world.session_input(conn, Input::Bytes(vec![*byte]));
    }
    !world.is_open(conn)
}

fn half_of_the_configuration_comes_first(mutant: Option<Mutant>) -> bool {
    let mut fleet = Fleet::new(&with(mutant, Wanted::new()));
    leave_behind(fleet.add_switch("tor1"), &name(2), 5002, TSN_A, &[]);
    fleet.configure(&with(mutant, macs(0)), false);
    fleet.connect("tor1");
    find_logical_switch(fleet.world("tor1"), &name(2)).is_none()
}

fn a_mac_has_two_rows(mutant: Option<Mutant>) -> bool {
    let mut world = World::new();
    let row = (mac(0).to_string(), vtep(0));
    leave_behind(&mut world, &name(1), 5001, TSN_A, &[row.clone(), row]);
    let configuration = with(mutant, macs(1));
    world.manage(&configuration);
    differs(&world, &configuration)
}

fn another_program_creates_the_same_locator_first(mutant: Option<Mutant>) -> bool {
    let (mut world, conn) = managed(&with(mutant, macs(0)));
    want(&mut world, conn, with(mutant, macs(30)));
    leave_behind(&mut world, "theirs", 9000, vtep(1), &[]);
    world.pass(SECOND);
    world.switch.rows("Ucast_Macs_Remote").count() != 30
}

fn the_lock_is_stolen_while_a_transaction_is_under_way(mutant: Option<Mutant>) -> bool {
    let (mut world, conn) = managed(&with(mutant, macs(0)));
    want(&mut world, conn, with(mutant, macs(30)));
    steal(&mut world);
    world.run();
    world.switch.rows("Ucast_Macs_Remote").count() > 0
}

fn a_second_session_waits(mutant: Option<Mutant>) -> bool {
    let (mut world, _) = managed(&macs(0).0);
    let second = world.connect(&with(mutant, macs(5).agent_b()));
    // The owner would write its own broadcast row back, and the second again, for ever.
    for _ in 0..5 {
        world.switch_works(second);
        world.session_works(second);
    }
    !world.transactions(second).is_empty()
}

fn the_lock_is_stolen_and_then_something_is_to_be_written(mutant: Option<Mutant>) -> bool {
    let (mut world, conn) = managed(&with(mutant, macs(0)));
    learn(&mut world, &name(1), mac(77), TUNNEL_IP);
    steal(&mut world);
    world.configure(conn, &with(mutant, macs(5)));
    world.pass(SECOND);
    world.sessions.get(&conn).is_some_and(|session| session.exported() == 1)
}

fn the_owner_writes_before_it_goes(mutant: Option<Mutant>) -> bool {
    let (mut world, owner) = managed(&macs(5).0);
    let configuration = with(mutant, macs(5).agent_b());
    world.manage(&configuration);
    world.configure(owner, &macs(9).0);
    world.disconnect(owner);
    world.pass(SECOND);
    differs(&world, &configuration)
}

fn two_networks_swap_their_vnis(mutant: Option<Mutant>) -> bool {
    let numbered = |one, two| with(mutant, Wanted::new().network(1, one).network(2, two));
    let (mut world, conn) = managed(&numbered(5001, 5002));
    world.configure(conn, &numbered(5002, 5001));
    world.pass(60 * SECOND);
    differs(&world, &numbered(5002, 5001))
}

fn a_locator_vanishes_under_a_transaction(mutant: Option<Mutant>) -> bool {
    let mut world = World::new();
    let macs_there: Vec<(String, _)> = (0..4).map(|end| (mac(900).to_string(), vtep(end))).collect();
    leave_behind(&mut world, "theirs", 9000, TSN_A, &macs_there);
    let conn = world.manage(&with(mutant, macs(0)));
    want(&mut world, conn, with(mutant, macs(30)));
    world.edit(json!([{"op": "delete", "table": "Ucast_Macs_Remote", "where": []}]));
    world.pass(60 * SECOND);
    world.switch.rows("Ucast_Macs_Remote").count() != 30
}

fn another_client_deletes_a_configured_mac(mutant: Option<Mutant>) -> bool {
    let configuration = with(mutant, macs(3));
    let (mut world, _) = managed(&configuration);
    let row = find_remote(&world, &mac(1).to_string())[0];
    world.edit(json!([ops::delete("Ucast_Macs_Remote", row)]));
    world.pass(60 * SECOND);
    differs(&world, &configuration)
}

fn an_agent_that_does_not_know_the_switch_is_asked_first(mutant: Option<Mutant>) -> bool {
    let mut elsewhere = with(mutant, macs(0));
    elsewhere.switches.clear();
    let (mut world, _) = managed(&elsewhere);
    let second = world.manage(&with(mutant, macs(0).agent_b()));
    world.pass(30 * SECOND);
    world.switch.lock_holder("tandem") != Some(second)
}

fn a_half_open_session_ends_after_the_next_took_over(mutant: Option<Mutant>) -> bool {
    let mut fleet = Fleet::configured(&with(mutant, macs(0)));
    fleet.add_switch("tor1");
    let older = fleet.connect("tor1");
    let world = fleet.world("tor1");
    learn(world, &name(1), mac(77), TUNNEL_IP);
    // The switch has closed its end, and the agent does not know.
    world.client_leaves(older);
    world.to_switch.remove(&older);
    fleet.connect("tor1");
    fleet.pass(2 * SECOND);
    assert!(!fleet.world("tor1").is_open(older), "it was asked for a proof");
    fleet.agent.exports().routes().count() != 1
}

fn the_line_falls_silent(mutant: Option<Mutant>) -> bool {
    let (mut world, conn) = managed(&with(mutant, macs(0)));
    world.to_switch.remove(&conn);
    world.pass(60 * SECOND);
    world.is_open(conn)
}

fn another_client_binds_a_port(mutant: Option<Mutant>) -> bool {
    let mut world = World::new();
    leave_behind(&mut world, "theirs", 9000, vtep(92), &[]);
    let row = ops::uuid(find_logical_switch(&world, "theirs").expect("there"));
    let port = ops::uuid(find_port(&world, "eth2").expect("eth2"));
    let bound = json!({"vlan_bindings": ["map", [[77, row]]]});
    world.edit(json!([{"op": "update", "table": "Physical_Port", "where": [["_uuid", "==", port]], "row": bound}]));
    let before = foreign(&found(&world.switch));
    world.manage(&with(mutant, macs(0)));
    foreign(&found(&world.switch)) != before
}

fn two_thousand_macs_are_wanted_at_once(mutant: Option<Mutant>) -> bool {
    let (mut world, conn) = managed(&with(mutant, macs(4)));
    want(&mut world, conn, with(mutant, macs(2000)));
    world.status(conn).in_flight > TRANSACTIONS_IN_FLIGHT
}

fn an_old_owner_retracts_late(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/late-retraction.toml"))
}

fn agents_crash_and_stay_away(mutant: Option<Mutant>) -> bool {
    crashes(mutant, "200s")
}

fn agents_crash_and_come_back(mutant: Option<Mutant>) -> bool {
    crashes(mutant, "20s")
}

fn a_switch_goes_dark_while_another_flaps(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/hold-ends-while-others-flap.toml"))
}

fn hosts_age_out_behind_a_switch_that_is_well(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/withdrawal-ends-the-copy.toml"))
}

fn a_switch_gets_another_tunnel_end(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/locator-changes.toml"))
}

fn a_control_node_restarts_and_is_configured_late(mutant: Option<Mutant>) -> bool {
    let text = "[agent]
                configured_after = '30s'
                [[fault]]
                at = '60s'
                for = '3s'
                kind = 'crash'
                node = 'control-1'";
    goes_wrong(mutant, &with_control_node(text))
}

fn an_agent_loses_its_control_nodes(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/xmpp-cut.toml"))
}

fn macs_travel(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/mac-travels.toml"))
}

fn a_host_leaves_a_switch_that_is_away(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/mac-leaves-a-dark-switch.toml"))
}

fn macs_travel_and_everything_rests(mutant: Option<Mutant>) -> bool {
    let text = include_str!("../../scenarios/mac-travels.toml");
    goes_wrong(mutant, &format!("{text}\n[judgement]\nrest = true\n"))
}

fn one_agent_reads_slowly(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/one-agent-reads-slowly.toml"))
}

fn a_name_is_taken_at_a_control_node(mutant: Option<Mutant>) -> bool {
    goes_wrong(
        mutant,
        include_str!("../../scenarios/name-taken-at-a-control-node.toml"),
    )
}

fn a_client_publishes_foreign_tunnel_ends(mutant: Option<Mutant>) -> bool {
    goes_wrong(
        mutant,
        include_str!("../../scenarios/foreign-tunnel-end-published.toml"),
    )
}

fn a_box_has_the_name_of_a_switch(mutant: Option<Mutant>) -> bool {
    goes_wrong(
        mutant,
        include_str!("../../scenarios/twin-with-another-certificate.toml"),
    )
}

fn nothing_happens(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/nothing-happens.toml"))
}

fn another_program_undoes_what_is_written(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/another-writer-undoes.toml"))
}

fn an_agent_crashes_that_owns_a_switch(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/agent-crash.toml"))
}

fn a_database_is_large(mutant: Option<Mutant>) -> bool {
    goes_wrong(
        mutant,
        include_str!("../../scenarios/takeover-of-a-large-database.toml"),
    )
}

fn an_agent_waits_while_the_owner_crashes(mutant: Option<Mutant>) -> bool {
    let text = "name = 'story'\nseed = 1\nduration = '10m'\n[topology]\ntargets = 2\n[agent]\npair = true
                [[fault]]
                at = '75s'
                for = '3m'
                kind = 'crash'
                node = 'agent-a'
                [[fault]]
                at = '375s'
                for = '3m'
                kind = 'crash'
                node = 'agent-b'";
    goes_wrong(mutant, text)
}

fn broadcast_rows_get_a_second_tunnel_end(mutant: Option<Mutant>) -> bool {
    goes_wrong(
        mutant,
        include_str!("../../scenarios/broadcast-at-two-tunnel-ends.toml"),
    )
}

fn routes_change_while_the_line_is_silent(mutant: Option<Mutant>) -> bool {
    goes_wrong(mutant, include_str!("../../scenarios/asymmetric-cut.toml"))
}

/// Two scenarios, because routes and configurations are braked in two places.
fn an_agent_takes_its_routes_with_it(mutant: Option<Mutant>) -> bool {
    let routes = include_str!("../../scenarios/control-nodes-lose-the-routes-of-an-agent.toml");
    let networks = include_str!("../../scenarios/configuration-loses-its-networks.toml");
    let [routes, networks] = [routes, networks].map(|text| goes_wrong(mutant, text));
    if mutant.is_some() {
        routes && networks
    } else {
        routes || networks
    }
}

fn networks_go_for_good(mutant: Option<Mutant>) -> bool {
    goes_wrong(
        mutant,
        include_str!("../../scenarios/configuration-loses-its-networks.toml"),
    )
}

/// Each agent in its turn, so that the owner is among them.
fn crashes(mutant: Option<Mutant>, lasts: &str) -> bool {
    let crash = |(agent, at): (&str, &str)| {
        format!("[[fault]]\nat = '{at}'\nfor = '{lasts}'\nkind = 'crash'\nnode = '{agent}'\n")
    };
    let turns = [("agent-a", "60s"), ("agent-b", "5m")];
    goes_wrong(mutant, &with_control_node(&turns.map(crash).concat()))
}

/// A plan with two switches and a control node.
fn with_control_node(rest: &str) -> String {
    format!("name = 'story'\nseed = 1\nduration = '10m'\n[topology]\nswitches = 2\ncontrol_nodes = 1\n{rest}")
}

/// Whether a world goes wrong: with a bug, in the way that its check is for.
fn goes_wrong(mutant: Option<Mutant>, text: &str) -> bool {
    let mut plan = Plan::parse(text).expect("a plan");
    plan.mutant = mutant;
    let report = Run::new(&plan, Detail::Outcome).finish(|_| ());
    match mutant {
        Some(mutant) => report.violations.iter().any(|it| it.check == mutant.caught_by()),
        None => !report.ok(),
    }
}

/// Network 1 with so many MACs, behind four tunnel ends.
fn macs(count: u32) -> Wanted {
    Wanted::new().network(1, 5001).macs(1, count)
}

fn with(mutant: Option<Mutant>, mut wanted: Wanted) -> Configuration {
    wanted.0.session.mutant = mutant;
    wanted.0
}

fn managed(configuration: &Configuration) -> (World, ConnId) {
    let mut world = World::new();
    let conn = world.manage(configuration);
    (world, conn)
}

/// A new configuration; the session's transactions stay under way.
fn want(world: &mut World, conn: ConnId, configuration: Configuration) {
    let (configuration, complete) = (configuration.into(), true);
    world.command(
        conn,
        Command::Configure {
            configuration,
            complete,
        },
    );
    while world.wake_sessions() {}
}

fn steal(world: &mut World) {
    let thief = world.client();
    world.client_sends(thief, &json!({"id": 1, "method": "steal", "params": ["tandem"]}));
}

/// Whether the switch differs from the desired state.
fn differs(world: &World, configuration: &Configuration) -> bool {
    found(&world.switch) != contents::wanted(configuration)
}
