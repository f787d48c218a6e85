//! Logical switches that go, and those of others, which stay.

use tandem_lab::stage::TSN;
use tandem_lab::{Contents, Stage};

use crate::dirt::Dirt;
use crate::wanted::{self, BLUE, GONE, contents, converged, found, vtep};

#[test]
fn a_logical_switch_of_ours_that_is_not_configured_goes_with_local_macs_only_after_their_grace() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let mut dirt = Dirt::on(&switch);
    dirt.logical_switch(GONE, Some(5099));
    dirt.unicast("Ucast_Macs_Local", GONE, "02:77:00:00:00:01", "10.0.1.1");
    dirt.multicast("Mcast_Macs_Local", GONE, "unknown-dst", &["10.0.1.1"]);
    dirt.unicast("Ucast_Macs_Remote", GONE, "02:77:00:00:00:02", &vtep(0));
    dirt.multicast("Mcast_Macs_Remote", GONE, "unknown-dst", &["10.0.0.12"]);
    dirt.bind("eth1", 99, GONE);
    dirt.write(&switch);

    let agent = wanted::agent(&stage, &["tor1"]);
    let waiting = stage
        .wait("a logical switch that waits for the switch's own MACs", || {
            let session = agent.session("tor1")?;
            let blocked = session["blocked"].to_string();
            blocked.contains("has not yet taken back the MACs").then_some(blocked)
        })
        .expect("blocked");
    let meanwhile = found(&switch);
    assert!(meanwhile.logical_switches.contains_key(GONE), "{meanwhile:?}");
    assert_eq!(meanwhile.local.len(), 1);
    println!("meanwhile: {waiting}");

    converged(&stage, &agent);
    assert_eq!(found(&switch), contents(&["tor1"]));
    // Nothing of it went before its local MACs did.
    let log = switch.log().expect("a log");
    let deletions: Vec<&String> = log
        .iter()
        .filter(|transaction| {
            transaction
                .changes
                .iter()
                .any(|change| change.table == "Ucast_Macs_Local")
        })
        .flat_map(|transaction| &transaction.comments)
        .filter(|comment| comment.starts_with("tandem "))
        .collect();
    assert_eq!(deletions.len(), 1, "{deletions:?}");
    assert!(deletions[0].ends_with(": deletions"), "{deletions:?}");
}

#[test]
fn local_macs_that_the_switch_takes_back_end_the_wait() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let mut dirt = Dirt::on(&switch);
    dirt.logical_switch(GONE, Some(5099));
    dirt.unicast("Ucast_Macs_Local", GONE, "02:77:00:00:00:01", "10.0.1.1");
    dirt.write(&switch);
    let mut options = wanted::options(&stage, &["tor1"]);
    options.more = toml::toml! {
        [audit]
        local_macs_grace = "1h"
    };
    let agent = tandem_lab::Agent::start(&stage.scratch, wanted::binary(), options).expect("an agent");
    stage
        .wait("a logical switch that waits for the switch's own MACs", || {
            let blocked = agent.session("tor1")?["blocked"].to_string();
            blocked.contains("has not yet taken back the MACs").then_some(())
        })
        .expect("blocked");
    let mut dirt = Dirt::on(&switch);
    dirt.delete("Ucast_Macs_Local", "MAC", "02:77:00:00:00:01");
    dirt.write(&switch);
    converged(&stage, &agent);
    assert_eq!(found(&switch), contents(&["tor1"]));
}

#[test]
fn foreign_logical_switches_keep_their_macs_and_bindings_but_where_ours_belong() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let mut dirt = Dirt::on(&switch);
    dirt.logical_switch("theirs", Some(7001));
    dirt.unicast("Ucast_Macs_Remote", "theirs", "02:77:00:00:00:02", &vtep(0));
    dirt.unicast("Ucast_Macs_Local", "theirs", "02:77:00:00:00:03", "10.0.1.1");
    dirt.multicast("Mcast_Macs_Remote", "theirs", "unknown-dst", &[&TSN.to_string()]);
    dirt.bind("eth1", 99, "theirs");
    dirt.bind("eth1", 10, "theirs");
    dirt.write(&switch);
    let before = switch.snapshot().expect("a snapshot");

    let agent = wanted::agent(&stage, &["tor1"]);
    converged(&stage, &agent);
    let after = switch.snapshot().expect("a snapshot");
    let touched: Vec<_> = after
        .since(&before)
        .into_iter()
        .filter(|difference| difference.before.is_some() && difference.table != "Manager")
        .map(|difference| difference.table)
        .collect();
    assert_eq!(
        touched,
        ["Physical_Port", "Physical_Port"],
        "apart from the two ports, nothing"
    );
    let (before, after) = (Contents::of(&before), Contents::of(&after));
    assert_eq!(
        (&after.local, after.logical_switches.get("theirs")),
        (&before.local, Some(&Some(7001)))
    );
    let place = |vlan| ("tor1".to_owned(), "eth1".to_owned(), vlan);
    assert_eq!(after.bindings[&place(99)], "theirs");
    assert_eq!(after.bindings[&place(10)], BLUE);
    let reported = agent.lines(&["BindingReplaced: VLAN 10 of port eth1 of tor1 was bound to theirs"]);
    assert_eq!(reported.len(), 1, "{}", agent.log().join("\n"));
}
