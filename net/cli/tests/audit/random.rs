//! Any dirty database comes to the same end.

use std::collections::BTreeSet;

use tandem_lab::snapshot::{Row, Snapshot};
use tandem_lab::switch::{Switch, remote_mac};
use tandem_lab::{Agent, Contents, Stage};

use crate::dirt::Dirt;
use crate::wanted::{self, BLUE, GONE, GREEN, RED, contents, converged, found, rows_written};

const SEEDS: u64 = 30;

const OURS: [&str; 4] = [BLUE, GREEN, RED, GONE];

/// The last looks like ours, but Contrail and Tandem write `Contrail-` with a UUID in lower case.
const THEIRS: [&str; 3] = ["theirs", "5001", "Contrail-6F1C0D0E-0000-4000-8000-000000000001"];

/// Only their logical switch shows whose they are.
const MAC_TABLES: [&str; 4] = [
    "Ucast_Macs_Remote",
    "Ucast_Macs_Local",
    "Mcast_Macs_Remote",
    "Mcast_Macs_Local",
];

#[test]
fn any_dirty_database_becomes_the_desired_state_and_foreign_rows_survive_untouched() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let mut options = wanted::options(&stage, &["tor1"]);
    options.more = toml::toml! {
        [audit]
        local_macs_grace = "50ms"
        [brake]
        rows = 0
        [log]
        level = "debug"
    };
    let mut agent = Agent::start(&stage.scratch, wanted::binary(), options).expect("an agent");
    converged(&stage, &agent);
    for seed in 0..SEEDS {
        agent.process.kill().expect("killed");
        make_dirty(&switch, seed);
        let (before, length) = (switch.snapshot().expect("a snapshot"), log_length(&switch));
        let foreign = foreign(&before);
        agent.restart().expect("an agent");
        // A switch that reads its database, and unlearns a deleted MAC, would take longer than the grace here.
        stage
            .wait("what is wanted", || {
                converged(&stage, &agent);
                (ours(&found(&switch)) == contents(&["tor1"])).then_some(())
            })
            .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{:#?}", ours(&found(&switch))));
        let after = switch.snapshot().expect("a snapshot");
        assert_eq!(self::foreign(&after), foreign, "seed {seed}");
        assert_eq!(foreign_bindings(&after), expected_bindings(&before), "seed {seed}");
        let written = rows_written(&switch.log().expect("a log")[length..]);
        let differing = after
            .since(&before)
            .iter()
            .filter(|difference| MAC_TABLES.contains(&difference.table.as_str()))
            .count();
        println!("seed {seed}: {written} rows written, {differing} rows of MACs differ");
    }
}

fn log_length(switch: &Switch) -> usize {
    switch.log().expect("a log").len()
}

/// Wipes the database and fills it as this seed decides.
fn make_dirty(switch: &Switch, seed: u64) {
    let mut wipe = Dirt::on(switch);
    wipe.wipe();
    wipe.write(switch);
    let mut dirt = Dirt::on(switch);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    let mut there: Vec<&str> = Vec::new();
    for name in OURS {
        if random.below(4) > 0 {
            let vni = [Some(5001), Some(5002), Some(5003), Some(9000), None][random.below(5)];
            dirt.logical_switch(name, vni);
            there.push(name);
        }
    }
    for (index, name) in THEIRS.iter().enumerate() {
        if random.below(3) > 0 {
            dirt.logical_switch(name, Some(6000 + i64::try_from(index).expect("small")));
            there.push(name);
        }
    }
    for name in &there {
        let ours = OURS.contains(name);
        for _ in 0..random.below(8) {
            let vtep = ["10.0.9.1", "10.0.9.2", "10.0.9.3", "10.0.1.1"][random.below(4)];
            let key = (random.below(8) == 0).then_some(77);
            dirt.unicast_keyed("Ucast_Macs_Remote", name, &mac(&mut random), vtep, key);
        }
        for _ in 0..random.below(3) {
            let mac = ["unknown-dst", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:09"][random.below(3)];
            let ends: &[&str] = [&["10.0.0.11"][..], &["10.0.0.12"], &["10.0.0.11", "10.0.0.12"]][random.below(3)];
            dirt.multicast("Mcast_Macs_Remote", name, mac, ends);
        }
        // Local MACs belong to the switch, and are in the way only in a logical switch that is to go.
        if !ours || *name == GONE {
            for number in 0..random.below(3) {
                let number = u32::try_from(number).expect("small");
                dirt.unicast("Ucast_Macs_Local", name, &remote_mac(300 + number), "10.0.1.1");
            }
        }
    }
    for port in ["eth1", "eth2"] {
        for vlan in [0, 10, 20, 30] {
            if !there.is_empty() && random.below(2) == 0 {
                dirt.bind(port, vlan, there[random.below(there.len())]);
            }
        }
    }
    dirt.write(switch);
}

/// Mostly one that is wanted somewhere, in either case; sometimes none at all.
fn mac(random: &mut Random) -> String {
    let number = u32::try_from(random.below(8)).expect("small");
    match random.below(8) {
        0 => "no MAC".into(),
        1 => "ff:ff:ff:ff:ff:ff".into(),
        2 => remote_mac(10 + number).to_uppercase(),
        3 | 4 => remote_mac(100 + number),
        _ => remote_mac(10 + number),
    }
}

/// The contents that are not foreign, with every MAC in lower case.
fn ours(contents: &Contents) -> Contents {
    let mut contents = contents.clone();
    let foreign = |name: &String| THEIRS.contains(&name.as_str());
    contents.logical_switches.retain(|name, _| !foreign(name));
    contents.broadcast.retain(|(name, ..)| !foreign(name));
    contents.local.retain(|(name, ..)| !foreign(name));
    contents.remote.retain(|(name, ..)| !foreign(name));
    contents.bindings.retain(|_, name| !foreign(name));
    contents
        .remote
        .iter_mut()
        .for_each(|(_, mac, _)| mac.make_ascii_lowercase());
    contents.remote.sort();
    contents
}

/// Every row that is not ours, with its `_version`.
fn foreign(snapshot: &Snapshot) -> Vec<Row> {
    let switches: Vec<&Row> = snapshot
        .table("Logical_Switch")
        .filter(|row| THEIRS.iter().any(|name| row["name"] == *name))
        .collect();
    let names: BTreeSet<String> = switches.iter().map(|row| row["_uuid"].to_string()).collect();
    let rows = MAC_TABLES.iter().flat_map(|table| snapshot.table(table));
    let rows = rows.filter(|row| names.contains(&row["logical_switch"].to_string()));
    rows.chain(switches).cloned().collect()
}

type Bindings = BTreeSet<((String, String, i64), String)>;

fn foreign_bindings(snapshot: &Snapshot) -> Bindings {
    let bindings = Contents::of(snapshot).bindings.into_iter();
    bindings.filter(|(_, name)| THEIRS.contains(&name.as_str())).collect()
}

/// They stay, unless one of ours belongs there.
fn expected_bindings(before: &Snapshot) -> Bindings {
    let wanted = contents(&["tor1"]).bindings;
    let bindings = foreign_bindings(before).into_iter();
    bindings.filter(|(place, _)| !wanted.contains_key(place)).collect()
}

/// xorshift64: the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound as u64).expect("small")
    }
}
