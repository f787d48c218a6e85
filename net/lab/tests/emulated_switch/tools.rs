//! The programs of Open vSwitch against the emulated server, on a real socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::{ConnId, Machine, Time};
use tandem_lab::{Launch, Result, Scratch, program};
use tandem_sim::switch::{DATABASE, Input, Output, SchemaVersion, Switch};

/// Serves a switch with the physical switch `tor1` until the process ends; answers how to reach it.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let remote = format!("tcp:{}", listener.local_addr().expect("an address"));
    let (inputs, arrived) = channel();
    thread::spawn(move || {
        let mut switch = Switch::new(7, SchemaVersion::V1_7_0);
        let added = switch.add_physical_switch("tor1", "10.0.1.1", &["eth1", "eth2"]);
        added.expect("a new name");
        let mut streams = BTreeMap::new();
        for (stream, input) in arrived {
            if let Some((conn, stream)) = stream {
                streams.insert(conn, stream);
            }
            switch.handle(Time::ORIGIN, input);
            while let Some(output) = switch.poll_output() {
                carry_out(&mut streams, output);
            }
        }
    });
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let inputs = inputs.clone();
            thread::spawn(move || read(ConnId(number as u64), stream.expect("a connection"), &inputs));
        }
    });
    remote
}

type Fact = (Option<(ConnId, TcpStream)>, Input);

fn read(conn: ConnId, mut stream: TcpStream, inputs: &Sender<Fact>) {
    let writer = stream.try_clone().expect("the other half");
    let send = |stream, input| drop(inputs.send((stream, input)));
    send(Some((conn, writer)), Input::Connected { conn });
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return send(None, Input::Finished { conn }),
            Ok(read) => {
                let data = buffer[..read].to_vec();
                send(None, Input::Bytes { conn, data });
            }
            Err(_) => return send(None, Input::Closed { conn }),
        }
    }
}

fn carry_out(streams: &mut BTreeMap<ConnId, TcpStream>, output: Output) {
    match output {
        Output::Send { conn, bytes } => {
            // A closed connection shows when reading.
            let _ = streams.get_mut(&conn).map(|stream| stream.write_all(&bytes));
        }
        Output::Close { conn, .. } => {
            let stream = streams.remove(&conn);
            let _ = stream.map(|stream| stream.shutdown(Shutdown::Both));
        }
        Output::Read { .. } => {}
    }
}

fn run(program: &str, args: &[&str]) -> Result<String> {
    program::run(program, args).map(|output| output.trim().to_owned())
}

#[test]
fn vtep_ctl_manages_the_emulated_switch() -> Result<()> {
    let db = format!("--db={}", serve());
    let vtep_ctl = |args: &[&str]| run("vtep-ctl", &[&[db.as_str(), "--timeout=30"], args].concat());
    vtep_ctl(&["add-ls", "blue", "--", "bind-ls", "tor1", "eth1", "100", "blue"])?;
    vtep_ctl(&["add-ucast-remote", "blue", "00:00:00:00:00:01", "10.0.0.1"])?;
    vtep_ctl(&["add-mcast-remote", "blue", "unknown-dst", "10.0.0.2"])?;
    vtep_ctl(&["set-manager", "ssl:10.0.0.9:6640"])?;
    assert_eq!(vtep_ctl(&["list-ps"])?, "tor1");
    assert_eq!(vtep_ctl(&["list-ls"])?, "blue");
    assert_eq!(vtep_ctl(&["get-manager"])?, "ssl:10.0.0.9:6640");
    assert_eq!(vtep_ctl(&["list-bindings", "tor1", "eth1"])?, "0100 blue");
    let macs = vtep_ctl(&["list-remote-macs", "blue"])?;
    for part in [
        "00:00:00:00:00:01 -> vxlan_over_ipv4/10.0.0.1",
        "unknown-dst -> vxlan_over_ipv4/10.0.0.2",
    ] {
        assert!(macs.contains(part), "{macs}");
    }
    vtep_ctl(&[
        "del-ucast-remote",
        "blue",
        "00:00:00:00:00:01",
        "--",
        "del-mcast-remote",
        "blue",
        "unknown-dst",
        "10.0.0.2",
    ])?;
    vtep_ctl(&["unbind-ls", "tor1", "eth1", "100", "--", "del-ls", "blue"])?;
    assert_eq!(vtep_ctl(&["list-ls"])?, "");
    Ok(())
}

#[test]
fn ovsdb_client_asks_the_emulated_switch() -> Result<()> {
    let remote = serve();
    let client = |args: &[&str]| run("ovsdb-client", &[&["--timeout=30"], args].concat());
    assert_eq!(client(&["list-dbs", &remote])?, "_Server\nhardware_vtep");
    assert_eq!(client(&["get-schema-version", &remote, DATABASE])?, "1.7.0");
    assert!(client(&["list-tables", &remote, "_Server"])?.contains("Database"));
    let insert = json!([DATABASE, {"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}}]);
    let results: Value = serde_json::from_str(&client(&["transact", &remote, &insert.to_string()])?).expect("JSON");
    assert!(results[0]["uuid"].is_array(), "{results}");
    let dump = client(&["dump", &remote, DATABASE, "Logical_Switch", "name"])?;
    assert!(dump.ends_with("blue"), "{dump}");
    assert!(client(&["dump", &remote, "_Server"])?.contains("standalone"));
    let wait = client(&["wait", &remote, DATABASE, "connected"])?;
    assert_eq!(wait, "");
    Ok(())
}

#[test]
fn ovsdb_client_watches_the_emulated_switch() -> Result<()> {
    let remote = serve();
    let scratch = Scratch::new()?;
    let log = scratch.path().join("ovsdb-client.log");
    let condition = r#"[["name","==","blue"]]"#;
    let _client = Launch::new("ovsdb-client")?
        .args([
            "--timeout=60",
            "--format=csv",
            "monitor-cond",
            &remote,
            DATABASE,
            condition,
        ])
        .args(["Logical_Switch", "name"])
        .start(log.clone())?;
    for name in ["red", "blue"] {
        let insert = json!([DATABASE, {"op": "insert", "table": "Logical_Switch", "row": {"name": name}}]);
        run(
            "ovsdb-client",
            &["--timeout=30", "transact", &remote, &insert.to_string()],
        )?;
    }
    let seen = scratch.wait_until("the client sees the row", Duration::from_secs(60), || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("blue").then_some(text)
    })?;
    assert!(!seen.contains("red"), "{seen}");
    Ok(())
}
