//! Many switches behind one pair of agents and one control node: what each of them learned is in all others, and is
//! there again after the agent that owned all of them was killed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tandem_lab::journal::{Change, ChangeKind};
use tandem_lab::switch::remote_mac;
use tandem_lab::{Agent, Contents, Pair, PairOptions, Program, Switch};

use crate::BLUE;

/// The number of switches, and of MACs that each of them learns.
#[derive(Clone, Copy)]
struct Size {
    switches: u8,
    macs: u32,
}

/// 190,000 rows in all.
const LARGE: Size = Size {
    switches: 20,
    macs: 500,
};

/// 19,000 rows in all.
const SMALL: Size = Size { switches: 20, macs: 50 };

/// The services nodes of the two agents.
const TSN: [&str; 2] = ["10.0.0.11", "10.0.0.12"];

/// Generous: it guards against hanging, nothing else.
const LONG: Duration = Duration::from_secs(600);

/// The pause between two requests, because answers take time from the measured processes.
const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn twenty_switches_have_all_routes_and_have_them_again_after_their_agent_was_killed() {
    LARGE.killed(false);
}

#[test]
fn with_copies_no_route_of_twenty_switches_is_missing_when_their_agent_is_killed() {
    SMALL.killed(true);
}

impl Size {
    fn killed(self, holds: bool) {
        let pair = self.start(holds);
        let [active, standby] = &pair.agents;
        let rows = self.rows() * usize::from(self.switches);
        self.converged(&pair, active, 0);

        let began = unix_ms();
        for number in 0..self.switches {
            let switch = &pair.switches[usize::from(number)];
            let numbers = self.numbers(number);
            switch.add_local_macs(BLUE, numbers, &vtep(number)).expect("rows");
        }
        println!("{} MACs learned within {} ms", self.routes(), unix_ms() - began);
        self.converged(&pair, active, self.rows());
        let first = self.stories(&pair, began);
        let took = first.iter().filter_map(|story| story.last_row).max().expect("rows");
        let rate = rows as u64 * 1000 / took.max(1);
        println!(
            "{rows} rows in {} switches after {took} ms: {rate} rows/s",
            self.switches
        );
        memory(&pair);
        self.right(&pair, 0);

        let killed = unix_ms();
        active.process.kill().expect("killed");
        self.converged(&pair, standby, self.rows());
        let second = self.stories(&pair, killed);
        // Every route that is still on its way arrives before this one.
        let (first_switch, last) = (&pair.switches[0], remote_mac(u32::MAX));
        let done = first_switch.vtep_ctl(&["add-ucast-local", BLUE, &last, &vtep(0)]);
        done.expect("a MAC that is sent after all others");
        wait(&pair, "the last MAC in every switch", || {
            let there = |switch: &Switch| contents(switch).remote.iter().any(|(_, mac, _)| *mac == last);
            pair.switches[1..].iter().all(there).then_some(())
        });
        let done = first_switch.vtep_ctl(&["del-ucast-local", BLUE, &last]);
        done.expect("forgotten");
        self.converged(&pair, standby, self.rows());
        self.right(&pair, 1);
        let owned = second.iter().map(|story| story.claimed.expect("a claim")).max();
        let rows_at = second.iter().filter_map(|story| story.last_row).max();
        let written: usize = second.iter().map(|story| story.written).sum();
        println!(
            "agent killed, {}: broadcast rows of all switches repointed after {} ms; {} rows missing at worst, {written} written, the last after {} ms",
            if holds { "copies held" } else { "no copies" },
            owned.expect("switches"),
            worst(&second),
            rows_at.unwrap_or(0),
        );
        memory(&pair);
        if holds {
            assert_eq!(worst(&second), 0);
        }
    }

    /// One agent owns every switch, and the other is ready.
    fn start(self, holds: bool) -> Pair {
        let mut options = PairOptions::new(env!("CARGO_BIN_EXE_tandem"));
        options.switches = self.switches;
        options.control_nodes = 1;
        options.standby = true;
        options.peer = holds;
        if holds {
            let failover = "failover = { stale_hold = \"300s\" }";
            options.more = failover.parse().expect("TOML");
        }
        Pair::start(&options).expect("a system")
    }

    /// Rows of other switches' MACs in each switch.
    fn rows(self) -> usize {
        self.macs as usize * (usize::from(self.switches) - 1)
    }

    fn routes(self) -> usize {
        self.macs as usize * usize::from(self.switches)
    }

    /// The MACs that the switch learns.
    fn numbers(self, switch: u8) -> std::ops::Range<u32> {
        let first = u32::from(switch) << 16;
        first..first + self.macs
    }

    /// Waits until an agent owns every switch, desires `rows` rows in each, and has nothing left to do.
    fn converged(self, pair: &Pair, agent: &Agent, rows: usize) {
        let name = &agent.options().agent.name;
        let what = format!("{name} with {} switches of {rows} remote MACs each", self.switches);
        let done = |switch: &Value| {
            let session = &switch["sessions"][0];
            let idle = session["pending"] == 0 && session["in_flight"] == 0;
            let read = session["ownership"] == "held" && !session["takeover_ms"]["audited"].is_null();
            read && idle && session["rows_desired"] == rows && session["rows_remote"] == rows
        };
        wait(pair, &what, || {
            let status = agent.status().ok()?;
            let switches = status["switches"].as_object()?;
            (switches.len() == usize::from(self.switches) && switches.values().all(done)).then_some(())
        });
    }

    /// Every switch has the MACs of all others, each behind its own tunnel end, and sends broadcasts to this agent's
    /// services node.
    fn right(self, pair: &Pair, agent: usize) {
        for (number, switch) in (0..).zip(&pair.switches) {
            let found = contents(switch);
            let others = (0..self.switches).filter(|other| *other != number);
            let rows = others.flat_map(|other| self.numbers(other).map(move |mac| (mac, vtep(other))));
            let wanted: BTreeSet<_> = rows
                .map(|(mac, vtep)| (BLUE.to_owned(), remote_mac(mac), vtep))
                .collect();
            assert_eq!(found.remote.len(), wanted.len());
            let wrong: Vec<_> = found
                .remote
                .iter()
                .filter(|row| !wanted.contains(row))
                .take(5)
                .collect();
            assert!(wrong.is_empty(), "{wrong:?}");
            let broadcast = (BLUE.into(), "unknown-dst".into(), vec![TSN[agent].into()]);
            assert_eq!(found.broadcast, [broadcast]);
        }
    }

    fn stories(self, pair: &Pair, since: u64) -> Vec<Story> {
        pair.switches.iter().map(|switch| Story::of(switch, since)).collect()
    }
}

/// The changes of the remote rows of a switch, in milliseconds since an event.
#[derive(Default)]
struct Story {
    /// When its broadcast row was repointed.
    claimed: Option<u64>,
    /// When the last row of a MAC was written.
    last_row: Option<u64>,
    /// The number of rows of MACs that were written or deleted.
    written: usize,
    /// By how many there were more then, or fewer.
    steps: Vec<(u64, i64)>,
}

impl Story {
    /// From the database's own log, so that the test need not watch meanwhile.
    fn of(switch: &Switch, since: u64) -> Self {
        let mut story = Self::default();
        for transaction in switch.log().expect("a log") {
            let Some(at) = transaction.unix_ms.checked_sub(since) else {
                continue;
            };
            let touched = |table: &'static str| transaction.changes.iter().filter(move |change| change.table == table);
            if touched("Mcast_Macs_Remote").next().is_some() {
                story.claimed = Some(at);
            }
            let written = touched("Ucast_Macs_Remote").count();
            if written > 0 {
                story.written += written;
                story.last_row = Some(at);
                story.steps.push((at, touched("Ucast_Macs_Remote").map(more).sum()));
            }
        }
        story
    }
}

fn more(change: &Change) -> i64 {
    match change.kind {
        ChangeKind::Inserted => 1,
        ChangeKind::Modified => 0,
        ChangeKind::Deleted => -1,
    }
}

/// The number of rows that were missing in all switches at the worst moment.
fn worst(stories: &[Story]) -> i64 {
    let mut steps: Vec<_> = stories.iter().flat_map(|story| story.steps.iter().copied()).collect();
    steps.sort_unstable();
    let mut there = 0;
    let after = steps.into_iter().map(|(_, rows)| {
        there += rows;
        there
    });
    -after.min().unwrap_or(0).min(0)
}

fn memory(pair: &Pair) {
    let print = |name: &str, process: &Program| {
        if let Ok((now, peak)) = process.memory_kib() {
            println!("memory of {name}: {} MiB, at most {} MiB", now >> 10, peak >> 10);
        }
    };
    for agent in &pair.agents {
        print(&agent.options().agent.name, &agent.process);
    }
    for node in &pair.control_nodes {
        print(&node.options().control.name, &node.process);
    }
    print("one ovsdb-server", &pair.switches[0].process);
}

fn contents(switch: &Switch) -> Contents {
    Contents::of(&switch.snapshot().expect("a snapshot"))
}

fn vtep(switch: u8) -> String {
    format!("10.0.1.{}", switch + 1)
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a time after 1970").as_millis() as u64
}

fn wait(pair: &Pair, what: &str, mut condition: impl FnMut() -> Option<()>) {
    let done = pair.scratch.wait_until(what, LONG, || {
        let done = condition();
        if done.is_none() {
            std::thread::sleep(PAUSE);
        }
        done
    });
    done.unwrap_or_else(|error| panic!("{error}"));
}
