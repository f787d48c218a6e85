//! Any interleaving of wanted-state changes, bytes, errors, lock changes, other writers and disconnects
//! converges, and nothing foreign is touched on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tandem_core::configuration::Configuration;
use tandem_core::event::{Route, What};
use tandem_core::session::Command;
use tandem_core::status::Ownership;
use tandem_core::{ConnId, Uuid};
use tandem_sim::switch::{Input as SwitchInput, Row, Writer};

use crate::contents::{found, ours, wanted};
use crate::other_writers::{Edit, edit};
use crate::world::{TUNNEL_IP, Wanted, World, find_logical_switch, find_port, mac, name, network, vtep};

/// A configuration, in small numbers.
#[derive(Clone, Debug)]
struct Wish {
    /// For each of four networks: its VNI of five, and the VLAN of `eth1` or `eth2` that it is bound to.
    networks: Vec<Option<(u32, bool)>>,
    /// (network, MAC, tunnel end).
    macs: Vec<(usize, u32, u8)>,
    /// Rotates the VNIs, so that wishes differ by swaps.
    rotation: u32,
}

impl Wish {
    fn configuration(&self, agent_b: bool) -> Configuration {
        let mut wanted = Wanted::new();
        for (n, wish) in (1..).zip(&self.networks) {
            if let Some((vlan, first)) = wish {
                let vni = 5000 + (n + self.rotation) % 5;
                let vlan = u16::try_from(*vlan).expect("small") + 10 * u16::try_from(n).expect("small");
                wanted = wanted
                    .unbound(n, vni)
                    .bind(if *first { "eth1" } else { "eth2" }, vlan, n);
            }
        }
        for (n, address, end) in &self.macs {
            if self.networks[*n].is_some() {
                let at = if *end == 0 { TUNNEL_IP } else { vtep(*end) };
                wanted = wanted.mac(u32::try_from(*n).expect("small") + 1, mac(*address), at);
            }
        }
        if agent_b { wanted.agent_b().0 } else { wanted.0 }
    }
}

#[derive(Clone, Debug)]
enum Action {
    ToSwitch(u8, u16),
    ToSession(u8, u16),
    Work,
    Rest,
    Pass(u16),
    Configure(u8, Wish),
    Connect(bool, Wish),
    Disconnect(u8),
    Refuse(u8, &'static str),
    Steal,
    LetGo,
    Drain(u8),
    Probe(u8),
    Incomplete(u8, Wish),
    Open(bool, bool, bool, Wish),
    Fit(u8),
    Edit(Edit),
}

fn wish() -> impl Strategy<Value = Wish> {
    let one = prop::option::weighted(0.7, (0..3u32, any::<bool>()));
    let macs = prop::collection::vec((0..4usize, 0..5u32, 0..4u8), 0..10);
    (prop::collection::vec(one, 4), macs, 0..5u32).prop_map(|(networks, macs, rotation)| Wish {
        networks,
        macs,
        rotation,
    })
}

/// A few bytes, some messages, or everything that is under way.
fn bytes() -> impl Strategy<Value = u16> {
    prop_oneof![1..100u16, 100..4000u16, Just(u16::MAX)]
}

fn action() -> impl Strategy<Value = Action> {
    let errors = prop::sample::select(vec![
        "constraint violation",
        "referential integrity violation",
        "resources exhausted",
        "something new",
    ]);
    prop_oneof![
        6 => (any::<u8>(), bytes()).prop_map(|(conn, bytes)| Action::ToSwitch(conn, bytes)),
        6 => (any::<u8>(), bytes()).prop_map(|(conn, bytes)| Action::ToSession(conn, bytes)),
        4 => Just(Action::Work),
        3 => Just(Action::Rest),
        2 => (1..3000u16).prop_map(Action::Pass),
        2 => (any::<u8>(), wish()).prop_map(|(conn, wish)| Action::Configure(conn, wish)),
        2 => (any::<bool>(), wish()).prop_map(|(agent_b, wish)| Action::Connect(agent_b, wish)),
        1 => any::<u8>().prop_map(Action::Disconnect),
        1 => (1..4u8, errors).prop_map(|(times, error)| Action::Refuse(times, error)),
        1 => Just(Action::Steal),
        1 => Just(Action::LetGo),
        1 => any::<u8>().prop_map(Action::Drain),
        1 => any::<u8>().prop_map(Action::Probe),
        1 => any::<u8>().prop_map(Action::Fit),
        2 => (any::<u8>(), wish()).prop_map(|(conn, wish)| Action::Incomplete(conn, wish)),
        2 => (any::<bool>(), any::<bool>(), any::<bool>(), wish()).prop_map(|(b, complete, fit, wish)| Action::Open(b, complete, fit, wish)),
        6 => edit().prop_map(Action::Edit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_converges_and_nothing_foreign_is_touched(
        first in wish(),
        actions in prop::collection::vec(action(), 0..80),
        last in wish(),
        last_is_b: bool,
        cap in prop::option::of(1..4usize),
    ) {
        let mut run = Run::new();
        run.cap = cap;
        run.connect(false, &first);
        for action in actions {
            run.act(action);
            run.judge();
        }
        run.heal(last_is_b, &last);
    }
}

const THIEF: ConnId = ConnId(1_000_000);

struct Run {
    world: World,
    agents: BTreeMap<ConnId, bool>,
    /// Every logical switch that ever was.
    names: BTreeMap<Uuid, String>,
    thief: bool,
    /// Rows that the switch takes in one transaction.
    cap: Option<usize>,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new();
        world.switch.take_commits();
        Self {
            world,
            agents: BTreeMap::new(),
            names: BTreeMap::new(),
            thief: false,
            cap: None,
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::ToSwitch(pick, bytes) => {
                if let Some(conn) = self.conn(pick) {
                    self.world.deliver_to_switch(conn, bytes.into());
                }
            }
            Action::ToSession(pick, bytes) => {
                if let Some(conn) = self.conn(pick) {
                    self.world.deliver_to_session(conn, bytes.into());
                }
            }
            Action::Work => {
                self.world.wake_sessions();
            }
            Action::Rest => self.world.run(),
            Action::Pass(ms) => {
                self.world.now = self.world.now + Duration::from_millis(ms.into());
                self.world.wake_sessions();
            }
            Action::Configure(pick, wish) => self.configure(pick, &wish, true),
            Action::Incomplete(pick, wish) => self.configure(pick, &wish, false),
            Action::Connect(agent_b, wish) => self.connect(agent_b, &wish),
            Action::Open(agent_b, complete, fit, wish) => self.open(agent_b, &wish, complete, fit),
            Action::Drain(pick) => self.command(pick, Command::Drain),
            Action::Probe(pick) => self.command(pick, Command::Probe(1)),
            Action::Fit(pick) => self.command(pick, Command::Fit),
            Action::Disconnect(pick) => {
                if let Some(conn) = self.conn(pick) {
                    self.world.disconnect(conn);
                }
            }
            Action::Refuse(times, error) => self.world.switch.refuse_next(times.into(), error, "as planned"),
            Action::Steal => self.steal("steal"),
            Action::LetGo => self.let_go(),
            Action::Edit(edit) => self.edit(&edit),
        }
    }

    fn configure(&mut self, pick: u8, wish: &Wish, complete: bool) {
        if let Some(conn) = self.conn(pick) {
            let configuration = self.configuration(self.agents[&conn], wish).into();
            let command = Command::Configure {
                configuration,
                complete,
            };
            self.world.command(conn, command);
        }
    }

    fn command(&mut self, pick: u8, command: Command) {
        if let Some(conn) = self.conn(pick) {
            self.world.command(conn, command);
        }
    }

    fn configuration(&self, agent_b: bool, wish: &Wish) -> Configuration {
        let mut configuration = wish.configuration(agent_b);
        for switch in configuration.switches.values_mut() {
            switch.rows_per_transaction_max = self.cap;
        }
        configuration
    }

    fn connect(&mut self, agent_b: bool, wish: &Wish) {
        if self.world.sessions.len() < 3 {
            let conn = self.world.connect(&self.configuration(agent_b, wish));
            self.agents.insert(conn, agent_b);
        }
    }

    fn open(&mut self, agent_b: bool, wish: &Wish, complete: bool, fit: bool) {
        if self.world.sessions.len() < 3 {
            let conn = self.world.open(&self.configuration(agent_b, wish), complete, fit);
            self.agents.insert(conn, agent_b);
        }
    }

    fn conn(&self, pick: u8) -> Option<ConnId> {
        self.world
            .sessions
            .keys()
            .nth(usize::from(pick) % self.world.sessions.len().max(1))
            .copied()
    }

    fn steal(&mut self, method: &str) {
        if !self.thief {
            self.thief = true;
            self.thief_sends(SwitchInput::Connected { conn: THIEF });
            let request = json!({"id": 1, "method": method, "params": ["tandem"]});
            self.thief_sends(SwitchInput::Bytes {
                conn: THIEF,
                data: request.to_string().into_bytes(),
            });
        }
    }

    fn let_go(&mut self) {
        if std::mem::take(&mut self.thief) {
            self.thief_sends(SwitchInput::Closed { conn: THIEF });
        }
    }

    fn thief_sends(&mut self, input: SwitchInput) {
        self.world.switch_input(input);
    }

    fn edit(&mut self, edit: &Edit) {
        // A transaction that the database refuses has no effect.
        if let Some(operations) = edit.operations(&self.world) {
            self.world.local(Value::Array(operations));
        }
    }

    /// Every write was allowed when it was made.
    fn judge(&mut self) {
        for commit in self.world.switch.take_commits() {
            if let Writer::Remote(conn) = commit.by {
                assert!(
                    commit.locks.contains("tandem"),
                    "{conn} wrote without the lock: {commit:?}"
                );
                let rows = commit
                    .changes
                    .iter()
                    .filter(|change| !change.table.starts_with("Physical_Locator"));
                let rows = rows.count();
                assert!(
                    self.cap.is_none_or(|cap| rows <= cap),
                    "{rows} rows at once: {commit:?}"
                );
                for change in &commit.changes {
                    if let Some(old) = &change.old {
                        assert!(
                            !self.is_foreign(change.table, change.uuid, old),
                            "{conn} touched what is foreign: {change:?}"
                        );
                    }
                    assert!(
                        !change.table.ends_with("_Local") || change.new.is_none(),
                        "{conn} wrote what is the switch's: {change:?}"
                    );
                }
            }
            for change in commit.changes.iter().filter(|change| change.table == "Logical_Switch") {
                if let Some(name) = change.new.as_ref().and_then(|row| row.text("name")) {
                    self.names.insert(change.uuid, name.to_owned());
                }
            }
        }
    }

    fn is_foreign(&self, table: &str, row: Uuid, columns: &Row) -> bool {
        let logical_switch = match table {
            "Logical_Switch" => Some(row),
            "Ucast_Macs_Remote" | "Mcast_Macs_Remote" | "Ucast_Macs_Local" | "Mcast_Macs_Local" => {
                columns.reference("logical_switch")
            }
            _ => None,
        };
        logical_switch
            .and_then(|row| self.names.get(&row))
            .is_some_and(|name| name.starts_with("foreign-"))
    }

    /// From here on nothing fails and no other client interferes: the switch must come to the desired state.
    fn heal(&mut self, agent_b: bool, wish: &Wish) {
        self.let_go();
        self.world.switch.refuse_no_more();
        if find_port(&self.world, "eth9").is_some() {
            self.edit(&Edit::RenamePort);
        }
        if !self
            .world
            .switch
            .rows("Physical_Switch")
            .any(|(_, row)| row.text("name") == Some("tor1"))
        {
            self.edit(&Edit::RenameSwitch);
        }
        let configuration = self.configuration(agent_b, wish);
        let others: Vec<ConnId> = self
            .world
            .sessions
            .keys()
            .filter(|conn| self.agents[conn] != agent_b)
            .copied()
            .collect();
        for conn in others {
            self.world.disconnect(conn);
        }
        for conn in self.world.sessions.keys().copied().collect::<Vec<_>>() {
            self.world.command(conn, Command::Fit);
            self.world.configure(conn, &configuration);
        }
        // Long enough for every quarantine, and for MACs that the switch does not take back.
        self.world.pass(Duration::from_secs(300));
        if self.world.sessions.is_empty() {
            self.connect(agent_b, wish);
        }
        self.world.pass(Duration::from_secs(300));
        self.judge();
        assert_eq!(
            ours(&found(&self.world.switch)),
            ours(&wanted(&configuration)),
            "{:#?}",
            self.statuses()
        );
        assert_eq!(self.exported(), self.learned(&configuration));
    }

    fn statuses(&self) -> Vec<tandem_core::status::SessionStatus> {
        self.world
            .sessions
            .values()
            .map(|session| session.status(self.world.now))
            .collect()
    }

    /// The exports of the owner, as its events report them.
    fn exported(&self) -> BTreeSet<Route> {
        let owner = self
            .world
            .sessions
            .iter()
            .find(|(_, session)| session.ownership() == Ownership::Held);
        let (owner, _) = owner.expect("an owner");
        let mut routes = BTreeSet::new();
        for event in self.world.events.iter().filter(|event| event.conn == *owner) {
            match &event.what {
                What::Exported(route) => assert!(routes.insert(*route), "exported twice: {route}"),
                What::Withdrawn(route) => assert!(routes.remove(route), "never exported: {route}"),
                _ => {}
            }
        }
        routes
    }

    fn learned(&self, configuration: &Configuration) -> BTreeSet<Route> {
        let mut routes = BTreeSet::new();
        let networks = configuration.switches[&"tor1".into()].networks();
        for n in (1..5).filter(|n| networks.contains(&network(*n))) {
            let ls = find_logical_switch(&self.world, &name(n)).expect("it is wanted");
            let rows = self.world.switch.rows("Ucast_Macs_Local");
            for (_, row) in rows.filter(|(_, row)| row.reference("logical_switch") == Some(ls)) {
                let mac = row.text("MAC").expect("a MAC").parse().expect("a MAC");
                routes.insert(Route {
                    network: network(n),
                    mac,
                    vtep: TUNNEL_IP,
                });
            }
            let mut rows = self.world.switch.rows("Mcast_Macs_Local");
            if rows.any(|(_, row)| row.reference("logical_switch") == Some(ls)) {
                routes.insert(Route {
                    network: network(n),
                    mac: tandem_core::Mac::BROADCAST,
                    vtep: TUNNEL_IP,
                });
            }
        }
        routes
    }
}
