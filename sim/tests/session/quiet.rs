//! A quiet session returns to its size: when nothing is desired or learned any more, and every deadline has passed, it
//! remembers no more than a fresh one.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tandem_core::ConnId;
use tandem_core::session::Command;

use crate::world::{Wanted, World, find_locator, find_logical_switch, mac, name, ops, vtep};

/// MACs of one operation: an operation that leaves anything behind leaves more than [`SLACK`].
const MACS: u32 = 40;
/// Lines of the `Debug` text in which two sessions of the same state may differ: whether something optional ever
/// happened.
const SLACK: usize = 4;
/// Longer than anything is remembered.
const LONG: Duration = Duration::from_secs(900);

/// An operation; networks and tunnel ends are named by their number, MACs by their group.
#[derive(Clone, Copy, Debug)]
enum Operation {
    /// Which of two networks are configured, with a group of remote MACs in each.
    Configure {
        networks: [bool; 2],
        group: u32,
        vtep: u8,
    },
    Learn {
        network: u32,
        group: u32,
        vtep: u8,
        keyed: bool,
    },
    Unlearn,
    /// Another program deletes the remote MACs.
    Undo,
    /// The switch refuses transactions.
    Refuse {
        times: u8,
    },
    Pass {
        seconds: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let (group, vtep) = (0..3u32, 1..4u8);
    prop_oneof![
        3 => (any::<[bool; 2]>(), group.clone(), vtep.clone())
            .prop_map(|(networks, group, vtep)| Operation::Configure { networks, group, vtep }),
        3 => (1..3u32, group, vtep, any::<bool>())
            .prop_map(|(network, group, vtep, keyed)| Operation::Learn { network, group, vtep, keyed }),
        1 => Just(Operation::Unlearn),
        1 => Just(Operation::Undo),
        1 => (1..60u8).prop_map(|times| Operation::Refuse { times }),
        2 => (0..90u64).prop_map(|seconds| Operation::Pass { seconds }),
    ]
}

struct Run {
    world: World,
    conn: ConnId,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new();
        let conn = world.manage(&Wanted::new().0);
        Self { world, conn }
    }

    fn act(&mut self, operation: Operation) {
        match operation {
            Operation::Configure {
                networks,
                group,
                vtep: end,
            } => {
                let mut wanted = Wanted::new();
                for (n, _) in (1..).zip(networks).filter(|(_, is_there)| *is_there) {
                    wanted = wanted.network(n, 5000 + n);
                    let macs = (0..MACS).map(|number| mac(1000 + group * MACS + number));
                    wanted = macs.fold(wanted, |wanted, mac| wanted.mac(n, mac, vtep(end)));
                }
                self.world.configure(self.conn, &wanted.0);
            }
            Operation::Learn {
                network,
                group,
                vtep: end,
                keyed,
            } => self.learn(network, group, end, keyed),
            Operation::Unlearn => self.empty("Ucast_Macs_Local"),
            Operation::Undo => self.empty("Ucast_Macs_Remote"),
            Operation::Refuse { times } => {
                self.world
                    .switch
                    .refuse_next(times.into(), "constraint violation", "as planned");
            }
            Operation::Pass { seconds } => self.world.pass(Duration::from_secs(seconds)),
        }
    }

    fn empty(&mut self, table: &str) {
        self.world.edit(json!([{"op": "delete", "table": table, "where": []}]));
        self.world.run();
    }

    fn learn(&mut self, network: u32, group: u32, end: u8, keyed: bool) {
        let Some(row) = find_logical_switch(&self.world, &name(network)) else {
            return;
        };
        let mut operations = Vec::new();
        let locator = match find_locator(&self.world, vtep(end)).filter(|_| !keyed) {
            Some(row) => ops::uuid(row),
            None => {
                let mut locator = ops::locator("l", vtep(end));
                if keyed {
                    locator["row"]["tunnel_key"] = json!(7000 + group);
                }
                operations.push(locator);
                ops::named("l")
            }
        };
        let macs = (0..MACS).map(|number| mac(group * MACS + number).to_string());
        operations.extend(macs.map(|mac| ops::ucast("Ucast_Macs_Local", &mac, &ops::uuid(row), &locator)));
        // A locator with this key may be there already.
        self.world.local(Value::Array(operations));
        self.world.run();
    }

    fn withdraw_everything(&mut self) {
        self.world.switch.refuse_no_more();
        self.world.configure(self.conn, &Wanted::new().0);
        self.world.command(self.conn, Command::Confirm);
        self.world.run();
        self.empty("Ucast_Macs_Local");
        self.world.pass(LONG);
        assert_eq!(self.world.sessions.len(), 1, "the session is open");
    }

    /// Everything that the session remembers, but for its statistics.
    fn text(&self) -> String {
        let text = format!("{:#?}", self.world.sessions[&self.conn]);
        let (before, rest) = text.split_once("\n    stats: Stats {\n").expect("statistics");
        let (_, after) = rest.split_once("\n    },\n").expect("their end");
        format!("{before}\n{after}")
    }
}

/// The lines that one text has more often than another.
fn more(one: &str, other: &str) -> String {
    let mut counts: BTreeMap<&str, isize> = BTreeMap::new();
    for (text, sign) in [(one, 1), (other, -1)] {
        for line in text.lines() {
            *counts.entry(line.trim()).or_default() += sign;
        }
    }
    let more = counts.into_iter().filter(|(_, count)| *count > 0);
    more.map(|(line, count)| format!("{count} x {line}\n"))
        .take(60)
        .collect()
}

/// More MACs than are compared at once.
#[test]
fn a_session_that_waits_for_the_lock_forgets_what_differs_no_more() {
    let wanted = |macs| Wanted::new().network(1, 5001).macs(1, macs);
    let mut world = World::new();
    let owner = world.manage(&wanted(1000).0);
    let waiting = world.manage(&wanted(1000).agent_b().0);
    let before = world.status(waiting).pending;
    // The owner deletes the rows before the other agent has its configuration: there they are missing for a moment.
    world.configure(owner, &wanted(0).0);
    world.run();
    world.configure(waiting, &wanted(0).agent_b().0);
    world.run();
    assert_eq!(world.status(waiting).pending, before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_quiet_session_returns_to_its_size(operations in prop::collection::vec(operation(), 1..30)) {
        let [mut used, mut fresh] = [Run::new(), Run::new()];
        for operation in operations {
            used.act(operation);
        }
        used.withdraw_everything();
        fresh.withdraw_everything();
        let (used, fresh) = (used.text(), fresh.text());
        let sizes = [&used, &fresh].map(|text| text.lines().count());
        prop_assert!(sizes[0] <= sizes[1] + SLACK, "{sizes:?}\n{}", more(&used, &fresh));
    }
}
