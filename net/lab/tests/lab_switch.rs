//! The lab's switch: a real database server, and the ways to look into it.

use std::time::Duration;

use serde_json::{Value, json};
use tandem_lab::journal::ChangeKind;
use tandem_lab::pki::Credentials;
use tandem_lab::switch::{Manager, PhysicalSwitch, remote_mac};
use tandem_lab::{Loopback, Pki, Result, Schema, Scratch, Switch, SwitchOptions, program};

/// Generous: it only guards against hanging.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_switch_comes_up_with_its_ports_and_the_tools_agree() -> Result<()> {
    let scratch = Scratch::new()?;
    let switch = Switch::start(&scratch, "tor1", tor(Schema::default()))?;
    switch.add_logical_switch("blue", 5001)?;
    switch.add_remote_macs("blue", 250, "10.0.9.1")?;

    assert_eq!(switch.vtep_ctl(&["list-ps"])?.trim(), "tor1");
    assert_eq!(
        switch.vtep_ctl(&["list-ports", "tor1"])?.lines().collect::<Vec<_>>(),
        ["eth1", "eth2"]
    );
    assert_eq!(switch.dump("Manager", &["max_backoff"])?[0]["max_backoff"], 1000);

    let mut macs: Vec<Value> = switch
        .dump("Ucast_Macs_Remote", &["MAC"])?
        .into_iter()
        .map(|row| row["MAC"].clone())
        .collect();
    macs.sort_by_key(ToString::to_string);
    assert_eq!(
        macs,
        (0..250).map(|number| json!(remote_mac(number))).collect::<Vec<_>>()
    );
    let listed = switch.vtep_ctl(&["list-remote-macs", "blue"])?;
    assert!(
        macs.iter().all(|mac| listed.contains(mac.as_str().unwrap())),
        "{listed}"
    );
    assert_eq!(switch.dump("Physical_Locator", &[])?.len(), 1);
    let dumped = switch.ovsdb_client("dump", &["hardware_vtep", "Ucast_Macs_Remote"])?;
    assert!(dumped.contains(&remote_mac(249)), "{dumped}");
    Ok(())
}

#[test]
fn a_restart_keeps_the_database_or_starts_as_on_the_first_day() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut switch = Switch::start(&scratch, "tor1", tor(Schema::default()))?;
    switch.add_logical_switch("blue", 5001)?;
    switch.process.kill()?;
    assert!(switch.dump("Logical_Switch", &[]).is_err());
    switch.restart_with_database()?;
    assert_eq!(switch.dump("Logical_Switch", &["name"])?.len(), 1);
    switch.restart_empty()?;
    assert_eq!(switch.dump("Logical_Switch", &["name"])?.len(), 0);
    assert_eq!(switch.dump("Physical_Port", &["name"])?.len(), 2);
    Ok(())
}

#[test]
fn an_older_schema_loads_and_lacks_what_came_later() -> Result<()> {
    let scratch = Scratch::new()?;
    for (schema, lacking, having) in [
        (
            Schema::V1_0_0,
            vec!["Tunnel", "ACL", "Arp_Sources_Local"],
            vec!["Logical_Router"],
        ),
        (
            Schema::V1_3_0,
            vec!["ACL", "ACL_entry"],
            vec!["Tunnel", "Arp_Sources_Local"],
        ),
    ] {
        let switch = Switch::start(&scratch, schema.version(), tor(schema))?;
        let served = switch.client()?.call("get_schema", &json!(["hardware_vtep"]))?;
        assert_eq!(served["version"], schema.version());
        for table in lacking {
            assert!(served["tables"].get(table).is_none(), "{table} in {}", schema.version());
        }
        for table in having {
            assert!(
                served["tables"].get(table).is_some(),
                "no {table} in {}",
                schema.version()
            );
        }
        assert!(switch.dump("Logical_Switch", &["replication_mode"]).is_err());
        assert!(switch.dump("Physical_Locator", &["tunnel_key"]).is_err());
        assert_eq!(
            switch.dump("Physical_Switch", &["tunnels"]).is_ok(),
            schema == Schema::V1_3_0
        );
        switch.add_logical_switch("blue", 5001)?;
        switch.add_remote_macs("blue", 1, "10.0.9.1")?;
        assert!(switch.snapshot()?.table("Physical_Locator").count() == 1);
    }
    Ok(())
}

#[test]
fn the_log_names_the_writer_of_each_change() -> Result<()> {
    let scratch = Scratch::new()?;
    let switch = Switch::start(&scratch, "tor1", tor(Schema::default()))?;
    switch.transact(&json!([
        { "op": "comment", "comment": "agent-a, \"generation\" 3" },
        { "op": "insert", "table": "Logical_Switch", "row": { "name": "blue" } },
    ]))?;
    switch.transact(&json!([
        { "op": "comment", "comment": "one" },
        { "op": "update", "table": "Logical_Switch", "where": [], "row": { "tunnel_key": 7 } },
        { "op": "comment", "comment": "two" },
    ]))?;
    switch.transact(&json!([{ "op": "delete", "table": "Logical_Switch", "where": [] }]))?;

    let log = switch.log()?;
    let [insert, update, delete] = &log[log.len() - 3..] else {
        panic!("{log:?}");
    };
    assert_eq!(insert.comments, ["agent-a, \"generation\" 3"]);
    assert_eq!(update.comments, ["one", "two"]);
    assert!(delete.comments.is_empty());
    assert!(insert.unix_ms <= update.unix_ms);
    let kinds = [insert, update, delete].map(|transaction| transaction.changes[0].kind);
    assert_eq!(kinds, [ChangeKind::Inserted, ChangeKind::Modified, ChangeKind::Deleted]);
    assert_eq!(insert.changes[0].columns["name"], "blue");
    assert_eq!(update.changes[0].columns["tunnel_key"], 7);

    // The tool that people use sees as many transactions, and the same comment.
    let shown = program::run(
        "ovsdb-tool",
        ["-mm", "show-log", &switch.database().display().to_string()],
    )?;
    assert_eq!(
        shown.lines().filter(|line| line.starts_with("record ")).count(),
        log.len() + 1
    );
    assert!(shown.contains("\"agent-a, \"generation\" 3\""), "{shown}");
    Ok(())
}

#[test]
fn a_snapshot_shows_even_a_write_that_changes_nothing_else() -> Result<()> {
    let scratch = Scratch::new()?;
    let options = SwitchOptions {
        managers: Vec::new(),
        ..tor(Schema::default())
    };
    let switch = Switch::start(&scratch, "tor1", options)?;
    switch.add_logical_switch("blue", 5001)?;
    switch.add_logical_switch("red", 5002)?;
    let before = switch.snapshot()?;
    assert_eq!(switch.snapshot()?.since(&before), []);

    switch.transact(&json!([
        { "op": "update", "table": "Logical_Switch", "where": [["name", "==", "blue"]], "row": { "tunnel_key": 5003 } },
        { "op": "delete", "table": "Logical_Switch", "where": [["name", "==", "red"]] },
        { "op": "insert", "table": "Logical_Switch", "row": { "name": "green" } },
    ]))?;
    let mut names: Vec<[Option<String>; 2]> = switch
        .snapshot()?
        .since(&before)
        .into_iter()
        .map(|difference| [difference.before, difference.after].map(|row| Some(row?["name"].as_str()?.to_owned())))
        .collect();
    names.sort();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        names,
        [[None, name("green")], [name("blue"), name("blue")], [name("red"), None]]
    );
    Ok(())
}

#[test]
fn a_switch_knows_its_own_authority_from_another() -> Result<()> {
    let scratch = Scratch::new()?;
    let loopback = Loopback::claim()?;
    let [ours, others] = ["ours", "others"].map(|name| Pki::new(scratch.folder(name)?));
    let (ours, others) = (ours?, others?);
    let options = SwitchOptions {
        managers: vec![Manager::new(format!("pssl:6640:{}", loopback.address(1)))],
        credentials: Some(ours.issue("tor1")?),
        ..tor(Schema::default())
    };
    let _switch = Switch::start(&scratch, "tor1", options)?;
    let list = |certificate: Credentials| {
        program::run(
            "ovsdb-client",
            [
                format!("--private-key={}", certificate.private_key.display()),
                format!("--certificate={}", certificate.certificate.display()),
                format!("--ca-cert={}", certificate.ca.display()),
                "--timeout=10".into(),
                "list-dbs".into(),
                format!("ssl:{}:6640", loopback.address(1)),
            ],
        )
    };
    let agent = ours.issue("agent-a")?;
    let databases = scratch.wait_until("the listener", SOON, || list(agent.clone()).ok())?;
    assert!(databases.contains("hardware_vtep"), "{databases}");
    let stranger = Credentials {
        ca: ours.ca(),
        ..others.issue("agent-a")?
    };
    assert!(list(stranger).is_err(), "signed by an unknown CA");
    Ok(())
}

fn tor(schema: Schema) -> SwitchOptions {
    SwitchOptions {
        schema,
        physical_switches: vec![PhysicalSwitch {
            name: "tor1".into(),
            tunnel_ip: "10.0.1.1".into(),
            ports: vec!["eth1".into(), "eth2".into()],
        }],
        managers: vec![Manager::new("ssl:127.0.0.1:1")],
        ..SwitchOptions::default()
    }
}
