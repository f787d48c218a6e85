//! Edits by hand.

use tandem_lab::switch::remote_mac;

use crate::rig::{BLUE, Rig, delete_all};

#[test]
fn rows_edited_by_hand_are_put_right_and_the_log_names_them() {
    let edits: &[(&[&str], &str)] = &[
        (
            &["del-ucast-remote", BLUE, "02:01:00:00:00:01"],
            "Repaired: 02:01:00:00:00:01 in",
        ),
        (
            &["add-ucast-remote", BLUE, "02:99:00:00:00:01", "10.0.9.7"],
            "Repaired: 02:99:00:00:00:01 in",
        ),
        (
            &["add-ucast-remote", BLUE, "02:01:00:00:00:02", "10.0.9.7"],
            "Repaired: 02:01:00:00:00:02 in",
        ),
        (
            &["add-ucast-remote", BLUE, "nonsense", "10.0.9.7"],
            "Repaired: stray rows in",
        ),
        (
            &["add-mcast-remote", BLUE, "01:00:5e:00:00:01", "10.0.9.7"],
            "Repaired: stray rows in",
        ),
        (
            &["del-mcast-remote", BLUE, "unknown-dst", "10.0.0.11"],
            "Repaired: broadcast row of",
        ),
        (
            &["add-mcast-remote", BLUE, "unknown-dst", "10.0.0.12"],
            "Repaired: broadcast row of",
        ),
        (&["unbind-ls", "tor1", "eth1", "10"], "Repaired: port eth1 of tor1"),
        (&["bind-ls", "tor1", "eth2", "77", BLUE], "Repaired: port eth2 of tor1"),
        (&["clear-remote-macs", BLUE], "Repaired: 02:01:00:00:00:04 in"),
        (
            &["set", "Logical_Switch", BLUE, "tunnel_key=7"],
            "Repaired: logical switch of",
        ),
    ];
    // An agent names the first ten of a word in a minute.
    for edits in edits.chunks(5) {
        let rig = Rig::new(5);
        let generation = rig.converged()["generation"].clone();
        for (edit, words) in edits {
            let lines = rig.agent.lines(&["WARN", words]).len();
            rig.vtep_ctl(edit);
            let waited = rig.stage.wait(&format!("{words} after {edit:?}"), || {
                (rig.agent.lines(&["WARN", words]).len() > lines).then_some(())
            });
            waited.unwrap_or_else(|error| panic!("{error}"));
            rig.converged();
            println!("{edit:?}: {words}");
        }
        assert_eq!(rig.converged()["generation"], generation, "one session saw it all");
    }
}

#[test]
fn a_logical_switch_that_is_deleted_with_all_that_stands_in_it_comes_back_with_all_of_it() {
    let rig = Rig::new(250);
    for _ in 0..3 {
        rig.switch.transact(&delete_all()).expect("deleted");
        rig.line(&["WARN", "Repaired: logical switch of"]);
        let session = rig.converged();
        assert_eq!(session["rows_remote"], 250);
    }
    assert!(rig.agent.lines(&["Closed: "]).is_empty());
}

#[test]
fn a_binding_that_another_client_moves_to_a_foreign_logical_switch_is_moved_back_and_reported() {
    let rig = Rig::new(0);
    rig.vtep_ctl(&["add-ls", "theirs"]);
    rig.vtep_ctl(&[
        "unbind-ls",
        "tor1",
        "eth1",
        "10",
        "--",
        "bind-ls",
        "tor1",
        "eth1",
        "10",
        "theirs",
    ]);
    println!(
        "{}",
        rig.line(&[
            "WARN",
            "BindingReplaced: VLAN 10 of port eth1 of tor1 was bound to theirs"
        ])
    );
    rig.vtep_ctl(&["del-ls", "theirs"]);
    rig.converged();
}

#[test]
fn a_thousand_macs_at_a_new_tunnel_end_fail_no_transaction() {
    let rig = Rig::new(1000);
    assert_eq!(rig.agent.lines(&["TransactionRejected: "]), Vec::<String>::new());
    let locators = rig.switch.dump("Physical_Locator", &["dst_ip"]).expect("a table");
    assert_eq!(locators.len(), 2, "one for the MACs and one for broadcast");
    assert!(rig.found().remote.iter().any(|(_, mac, _)| *mac == remote_mac(999)));
}
