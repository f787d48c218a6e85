//! Another client takes the lock by force.

use serde_json::json;

use crate::rig::{BLUE, Rig};

#[test]
fn an_agent_whose_lock_is_stolen_stops_closes_and_waits_peacefully_until_it_is_given_back() {
    let rig = Rig::new(5);
    let first = rig.converged()["generation"].clone();
    let mut learned = rig.switch.client().expect("a client");
    let found = rig.switch.dump("Logical_Switch", &["_uuid"]).expect("a table")[0]["_uuid"].clone();
    learned
        .transact(&json!([
            { "op": "insert", "table": "Physical_Locator", "uuid-name": "l",
              "row": { "dst_ip": "10.0.1.1", "encapsulation_type": "vxlan_over_ipv4" } },
            { "op": "insert", "table": "Ucast_Macs_Local",
              "row": { "MAC": "02:55:00:00:00:01", "logical_switch": found, "locator": ["named-uuid", "l"] } },
        ]))
        .expect("a MAC that the switch learned");
    let exported = || rig.agent.lines(&["Exported: 02:55:00:00:00:01 at 10.0.1.1"]).pop();
    rig.stage
        .wait("the export of a learned MAC", exported)
        .expect("exported");

    let mut thief = rig.switch.client().expect("a client");
    let stolen = thief.call("steal", &json!(["tandem"])).expect("stolen");
    assert_eq!(stolen, json!({ "locked": true }));
    println!("{}", rig.line(&["WARN", "Stolen: "]));
    println!("{}", rig.line(&["Retracted: 1 route"]));
    println!("{}", rig.line(&["WARN", "Closed: another client took the lock"]));
    // The session that lost the lock logs these in this order, and nothing after them.
    let mine: Vec<String> = rig.agent.lines(&[&format!("generation={first}")]);
    let last: Vec<bool> = mine[mine.len() - 3..]
        .iter()
        .zip(["Stolen: ", "Retracted: ", "Closed: "])
        .map(|(line, word)| line.contains(word))
        .collect();
    assert_eq!(last, [true; 3], "{mine:?}");

    // It comes back and waits. It repairs nothing of what the thief does meanwhile.
    let waiting = || {
        let session = rig.agent.session("tor1")?;
        (session["generation"] != first && session["ownership"] == "waiting" && session["phase"] == "synced")
            .then_some(session)
    };
    let session = rig.stage.wait("a session that waits", waiting).expect("it waits");
    let written = rig.comments().len();
    rig.vtep_ctl(&["del-ucast-remote", BLUE, "02:01:00:00:00:01"]);
    rig.vtep_ctl(&["unbind-ls", "tor1", "eth1", "10"]);
    let seen = || (rig.agent.session("tor1")?["rows_remote"] == 4).then_some(());
    rig.stage.wait("a row that went", seen).expect("seen");
    assert_eq!(rig.comments().len(), written, "a session without the lock wrote");
    assert!(thief.call("echo", &json!([])).is_ok());
    assert_eq!(
        rig.agent.session("tor1").expect("a session")["generation"],
        session["generation"]
    );

    // Given back, it is taken, and everything is put right.
    thief.call("unlock", &json!(["tandem"])).expect("unlocked");
    let converged = || {
        let session = rig.agent.session("tor1")?;
        (session["ownership"] == "held" && rig.found().remote.len() == 5).then_some(session)
    };
    let owner = rig.stage.wait("an owner", converged).expect("an owner");
    assert_eq!(
        owner["generation"], session["generation"],
        "it had waited on this connection"
    );
    assert!(rig.found().bindings.values().any(|name| name == BLUE));
}
