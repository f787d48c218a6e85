//! Random edits of operators and firmware on one switch.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::configuration::Intent;
use super::foreign::{ForeignRow, foreign_rows, furnish};
use super::{edits, firmware, testing};
use crate::plan::Configure;
use crate::switch::{SchemaVersion, Switch};

const CHANGES: [Configure; 4] = [
    Configure::AddNetwork,
    Configure::RemoveNetwork,
    Configure::SwapVnis,
    Configure::Rebind,
];

#[test]
fn the_server_refuses_nothing_and_nothing_foreign_is_lost() {
    let mut applied = BTreeMap::<String, usize>::new();
    for version in [SchemaVersion::V1_0_0, SchemaVersion::V1_3_0, SchemaVersion::V1_7_0] {
        for seed in 0..10 {
            live(version, seed, &mut applied);
        }
    }
    for edit in testing::EDITS {
        assert!(applied.contains_key(&format!("{edit:?}")), "{edit:?} never happened");
    }
    for action in ["learn", "forget", "roam", "unlearn", "announce"] {
        assert!(applied.contains_key(action), "{action} never happened");
    }
}

#[test]
fn the_same_seed_does_the_same() {
    let run = || {
        let switch = live(SchemaVersion::V1_7_0, 7, &mut BTreeMap::new());
        let rows = switch.rows("Ucast_Macs_Local").map(|(uuid, row)| (uuid, row.clone()));
        rows.collect::<Vec<_>>()
    };
    let rows = run();
    assert!(!rows.is_empty());
    assert_eq!(rows, run());
}

/// 150 steps in the life of a switch; counts the edits by kind.
fn live(version: SchemaVersion, seed: u64, applied: &mut BTreeMap<String, usize>) -> Switch {
    let mut random = testing::random(seed);
    let plan = testing::plan(3);
    let mut intent = Intent::new(&plan);
    let mut switch = testing::switch(version);
    testing::apply(&mut switch, Some(furnish("tor1", 1)));
    for _ in 0..150 {
        let configuration = intent.configuration("agent-a", testing::TSN, &plan);
        let wanted = &configuration.switches[&"tor1".into()];
        let before = foreign_rows(&switch);
        let (editor, transaction) = match random.random_range(0..12) {
            0 | 1 => ("learn".into(), firmware::learn(&switch, &mut random)),
            2 => ("forget".into(), firmware::forget(&switch, &mut random)),
            3 => ("roam".into(), firmware::roam(&switch, &mut random)),
            4 => ("unlearn".into(), firmware::unlearn(&switch)),
            5 => ("announce".into(), firmware::announce(&switch)),
            6..9 => {
                let what = *testing::EDITS.choose(&mut random).expect("an edit");
                let transaction = edits::edit(what, &switch, &configuration, "tor1", &mut random);
                (format!("{what:?}"), transaction)
            }
            9 => {
                intent.change(*CHANGES.choose(&mut random).expect("a change"), &mut random);
                intent.change_remote(&mut random);
                continue;
            }
            _ => {
                testing::program(&mut switch, &configuration);
                continue;
            }
        };
        let Some(transaction) = transaction else {
            continue;
        };
        testing::apply(&mut switch, Some(transaction));
        switch.take_commits();
        *applied.entry(editor.clone()).or_default() += 1;
        let after = foreign_rows(&switch);
        let lost: Vec<_> = before
            .difference(&after)
            .filter(|row| !row.is_claimed_by(wanted))
            .collect();
        assert!(lost.is_empty(), "{editor} took away {lost:#?}");
        let added = after.difference(&before);
        let strange = |row: &&ForeignRow| matches!(row, ForeignRow::LogicalSwitch { .. });
        assert!(editor == "AddForeign" || added.filter(strange).count() == 0, "{editor}");
    }
    switch
}
