//! Each kind of dirt by itself, with the exact number of rows that the audit must write.

use serde_json::json;
use tandem_lab::Stage;
use tandem_lab::stage::TSN;
use tandem_lab::switch::remote_mac;

use crate::dirt::Dirt;
use crate::wanted::{self, BLUE, GONE, GREEN, RED, contents, converged, found, vtep};

const REMOTE: &str = "Ucast_Macs_Remote";
const BROADCAST: &str = "Mcast_Macs_Remote";

type Case = (&'static str, fn(&mut Dirt), usize);

/// (the kind of dirt, how to make it, rows that have to be written)
const CASES: &[Case] = &[
    ("nothing", |_| {}, 0),
    (
        "a row twice",
        |db| db.unicast(REMOTE, BLUE, &remote_mac(10), &vtep(10)),
        1,
    ),
    (
        "a row twice, once elsewhere",
        |db| db.unicast(REMOTE, BLUE, &remote_mac(10), "10.0.9.77"),
        1,
    ),
    (
        "a row three times, always elsewhere",
        |db| {
            db.delete(REMOTE, "MAC", json!(remote_mac(10)));
            for vtep in ["10.0.9.77", "10.0.9.78", "10.0.9.79"] {
                db.unicast(REMOTE, BLUE, &remote_mac(10), vtep);
            }
        },
        3,
    ),
    (
        "a row elsewhere",
        |db| {
            let locator = db.locator("10.0.9.77", None);
            db.update(REMOTE, "MAC", &remote_mac(11), json!({ "locator": locator }));
        },
        1,
    ),
    ("a missing row", |db| db.delete(REMOTE, "MAC", json!(remote_mac(12))), 1),
    (
        "a row that is not configured",
        |db| db.unicast(REMOTE, GREEN, "02:99:00:00:00:01", &vtep(0)),
        1,
    ),
    (
        "a MAC in upper and in lower case",
        |db| db.unicast(REMOTE, BLUE, &remote_mac(13).to_uppercase(), &vtep(13)),
        1,
    ),
    (
        "a text that is no MAC",
        |db| db.unicast(REMOTE, RED, "not a MAC", &vtep(0)),
        1,
    ),
    (
        "unknown-dst among the unicast rows",
        |db| db.unicast(REMOTE, RED, "unknown-dst", &vtep(0)),
        1,
    ),
    (
        "a multicast group",
        |db| db.multicast(BROADCAST, BLUE, "01:00:5e:00:00:01", &["10.0.9.1"]),
        1,
    ),
    (
        "a locator with a tunnel key of its own",
        |db| {
            db.delete(REMOTE, "MAC", json!(remote_mac(10)));
            db.unicast_keyed(REMOTE, BLUE, &remote_mac(10), &vtep(10), Some(77));
        },
        1,
    ),
    (
        "two broadcast rows",
        |db| db.multicast(BROADCAST, BLUE, "unknown-dst", &[&TSN.to_string()]),
        1,
    ),
    (
        "two broadcast rows, one elsewhere",
        |db| db.multicast(BROADCAST, BLUE, "unknown-dst", &["10.0.0.12"]),
        1,
    ),
    (
        "a second broadcast row with the other name",
        |db| {
            db.multicast(BROADCAST, BLUE, "ff:ff:ff:ff:ff:ff", &[&TSN.to_string()]);
        },
        1,
    ),
    (
        "broadcast rows by the other name",
        |db| db.update(BROADCAST, "MAC", "unknown-dst", json!({ "MAC": "FF:FF:FF:FF:FF:FF" })),
        3,
    ),
    (
        "broadcast elsewhere",
        |db| {
            let locator = db.locator("10.0.0.12", None);
            let set = db.insert("Physical_Locator_Set", json!({ "locators": locator }));
            db.update(BROADCAST, "MAC", "unknown-dst", json!({ "locator_set": set }));
        },
        3,
    ),
    (
        "broadcast at two ends",
        |db| {
            let locators = [TSN.to_string().as_str(), "10.0.0.12"].map(|end| db.locator(end, None));
            let set = db.insert("Physical_Locator_Set", json!({ "locators": ["set", locators] }));
            db.update(BROADCAST, "MAC", "unknown-dst", json!({ "locator_set": set }));
        },
        3,
    ),
    (
        "broadcast by a locator with a tunnel key of its own",
        |db| {
            let locator = db.locator(&TSN.to_string(), Some(78));
            let set = db.insert("Physical_Locator_Set", json!({ "locators": locator }));
            db.update(BROADCAST, "MAC", "unknown-dst", json!({ "locator_set": set }));
        },
        3,
    ),
    (
        "no broadcast rows",
        |db| db.delete(BROADCAST, "MAC", json!("unknown-dst")),
        3,
    ),
    (
        "another VNI",
        |db| db.update("Logical_Switch", "name", BLUE, json!({ "tunnel_key": 9000 })),
        1,
    ),
    (
        "no VNI",
        |db| db.update("Logical_Switch", "name", BLUE, json!({ "tunnel_key": ["set", []] })),
        1,
    ),
    (
        "two networks with each other's VNI",
        |db| {
            db.update("Logical_Switch", "name", BLUE, json!({ "tunnel_key": 5002 }));
            db.update("Logical_Switch", "name", GREEN, json!({ "tunnel_key": 5001 }));
        },
        3,
    ),
    (
        "three networks with each other's VNI",
        |db| {
            db.update("Logical_Switch", "name", BLUE, json!({ "tunnel_key": 5002 }));
            db.update("Logical_Switch", "name", GREEN, json!({ "tunnel_key": 5003 }));
            db.update("Logical_Switch", "name", RED, json!({ "tunnel_key": 5001 }));
        },
        4,
    ),
    (
        "two networks with one VNI",
        |db| db.update("Logical_Switch", "name", GREEN, json!({ "tunnel_key": 5001 })),
        1,
    ),
    (
        "a VNI at a logical switch of ours that is not configured",
        |db| {
            db.update("Logical_Switch", "name", BLUE, json!({ "tunnel_key": ["set", []] }));
            db.logical_switch(GONE, Some(5001));
        },
        2,
    ),
    (
        "a network with the VNI and the place of a new one",
        |db| {
            let red = db.logical_switch(RED, None);
            db.delete(BROADCAST, "logical_switch", red);
            db.unbind("eth2", 10);
            db.delete("Logical_Switch", "name", json!(RED));
            db.logical_switch(GONE, Some(5003));
            db.bind("eth2", 10, GONE);
        },
        // The old one, the new one with its broadcast row, and the port twice: it lets go, then it is bound.
        5,
    ),
    (
        "a network in the place of a new one",
        |db| {
            let red = db.logical_switch(RED, None);
            db.delete(BROADCAST, "logical_switch", red);
            db.unbind("eth2", 10);
            db.delete("Logical_Switch", "name", json!(RED));
            db.logical_switch(GONE, Some(9000));
            db.bind("eth2", 10, GONE);
        },
        // The logical switch, its broadcast row, the port, and the one that goes.
        4,
    ),
    (
        "replication at the source",
        |db| {
            db.update(
                "Logical_Switch",
                "name",
                RED,
                json!({ "replication_mode": "source_node" }),
            )
        },
        1,
    ),
    ("a missing binding", |db| db.unbind("eth1", 10), 1),
    ("a binding that is not configured", |db| db.bind("eth2", 30, BLUE), 1),
    (
        "two bindings of a port for each other",
        |db| {
            db.bind("eth1", 10, GREEN);
            db.bind("eth1", 20, BLUE);
        },
        1,
    ),
    (
        "a logical switch of ours that is not configured, with all that may stand in it",
        |db| {
            db.logical_switch(GONE, Some(5099));
            for number in 0..5 {
                db.unicast(REMOTE, GONE, &remote_mac(number), &vtep(number));
            }
            db.multicast(BROADCAST, GONE, "unknown-dst", &["10.0.0.12"]);
            db.bind("eth2", 30, GONE);
        },
        // The logical switch, its five rows and its broadcast row, and the port.
        8,
    ),
    (
        "a missing logical switch",
        |db| {
            let blue = db.logical_switch(BLUE, None);
            db.unbind("eth1", 10);
            db.delete(REMOTE, "logical_switch", blue.clone());
            db.delete(BROADCAST, "logical_switch", blue);
            db.delete("Logical_Switch", "name", json!(BLUE));
        },
        // The logical switch, its broadcast row, its six rows, and the port.
        9,
    ),
];

#[test]
fn each_kind_of_dirt_costs_its_rows_and_no_more() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let mut agent = wanted::agent(&stage, &["tor1"]);
    converged(&stage, &agent);
    assert_eq!(found(&switch), contents(&["tor1"]));
    for (name, dirty, rows) in CASES {
        agent.process.kill().expect("killed");
        let mut dirt = Dirt::on(&switch);
        dirty(&mut dirt);
        dirt.write(&switch);
        let written = wanted::clean_up(&stage, &switch, &mut agent);
        assert_eq!(found(&switch), contents(&["tor1"]), "{name}");
        assert_eq!(written, *rows, "rows written for {name}:\n{}", agent.log().join("\n"));
        println!("{name}: {written} rows");
    }
}

#[test]
fn a_mac_in_upper_case_is_the_same_mac_and_its_row_stays() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let mut agent = wanted::agent(&stage, &["tor1"]);
    converged(&stage, &agent);
    agent.process.kill().expect("killed");
    let mut dirt = Dirt::on(&switch);
    let upper = remote_mac(10).to_uppercase();
    dirt.update(REMOTE, "MAC", &remote_mac(10), json!({ "MAC": upper }));
    dirt.write(&switch);
    assert_eq!(wanted::clean_up(&stage, &switch, &mut agent), 0);
    assert!(found(&switch).remote.iter().any(|(_, mac, _)| *mac == upper));
}

#[test]
fn a_vni_that_others_hold_is_waited_for_and_holds_no_other_object_up() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let mut dirt = Dirt::on(&switch);
    dirt.logical_switch("theirs", Some(5001));
    dirt.write(&switch);
    let agent = wanted::agent(&stage, &["tor1"]);
    let blocked = stage
        .wait("a network that waits for its VNI", || {
            let session = agent.session("tor1").filter(|session| session["pending"] == 1)?;
            (!session["takeover_ms"]["audited"].is_null()).then(|| session["blocked"].to_string())
        })
        .expect("blocked");
    assert!(blocked.contains("VNI 5001 is still in use"), "{blocked}");
    let mut expected = contents(&["tor1"]);
    expected.logical_switches.remove(BLUE);
    expected.logical_switches.insert("theirs".into(), Some(5001));
    expected.broadcast.retain(|(logical_switch, ..)| logical_switch != BLUE);
    expected.remote.retain(|(logical_switch, ..)| logical_switch != BLUE);
    expected.bindings.retain(|_, logical_switch| logical_switch != BLUE);
    assert_eq!(found(&switch), expected);
    let mut dirt = Dirt::on(&switch);
    dirt.delete("Logical_Switch", "name", json!("theirs"));
    dirt.write(&switch);
    converged(&stage, &agent);
    assert_eq!(found(&switch), contents(&["tor1"]));
}
