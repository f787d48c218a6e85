//! `tandem switch`: the emulated switch on real sockets, with the real tools and a real agent at the other end.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tandem_lab::agent::{AgentOptions, NetworkSection, PortSection, RemoteMac, SwitchSection};
use tandem_lab::pki::Credentials;
use tandem_lab::switch::PhysicalSwitch;
use tandem_lab::{Agent, Launch, Pki, Program, Result, Stage, Switch, SwitchOptions, program};

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");

/// The address of the stage at which the emulated switch listens.
const SWITCH: u8 = 21;

/// `tandem switch --json`, and how to talk to it.
struct Emulated {
    process: Program,
    remote: String,
}

impl Emulated {
    /// Starts it, and waits until it listens.
    fn start(stage: &Stage, args: &[&str]) -> Result<Self> {
        let method = if args.contains(&"--private-key") { "ssl" } else { "tcp" };
        let at = format!("{}:{}", stage.loopback.port(6640), stage.loopback.address(SWITCH));
        let (port, address) = at.split_once(':').expect("both");
        let process = Launch::new(TANDEM)?
            .args(["switch", "--json", "--name", "tor1", "--port", "eth1", "--port", "eth2"])
            .args(["--listen".to_owned(), format!("p{method}:{at}")])
            .args(args.iter().copied())
            .start(stage.scratch.path().join("switch.log"))?;
        let switch = Self {
            process,
            remote: format!("{method}:{address}:{port}"),
        };
        stage.wait("a switch that listens", || {
            switch.event(|event| event["word"] == "bound")
        })?;
        Ok(switch)
    }

    fn events(&self) -> Vec<Value> {
        let log = self.process.log();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn event(&self, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        self.events().into_iter().find(is_it)
    }

    fn vtep_ctl(&self, args: &[&str]) -> Result<String> {
        let db = format!("--db={}", self.remote);
        program::run("vtep-ctl", [db.as_str(), "--timeout=60"].iter().chain(args))
    }

    fn ovsdb_client(&self, command: &str, args: &[&str]) -> Result<String> {
        program::run(
            "ovsdb-client",
            ["--timeout=60", command, &self.remote].iter().chain(args),
        )
    }
}

/// A real one with the same ports.
fn real(stage: &Stage) -> Result<Switch> {
    let physical = PhysicalSwitch {
        name: "tor1".into(),
        tunnel_ip: "10.0.1.1".into(),
        ports: vec!["eth1".into(), "eth2".into()],
    };
    let options = SwitchOptions {
        physical_switches: vec![physical],
        ..SwitchOptions::default()
    };
    Switch::start(&stage.scratch, "real", options)
}

/// Uuids by the order in which they first come, and lines sorted: the order of rows is the server's own.
fn levelled(text: &str) -> Vec<String> {
    let is_uuid = |word: &str| word.len() == 36 && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    let delimits = |c: char| !(c == '-' || c.is_ascii_alphanumeric());
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let words = line.split(delimits).filter(|word| is_uuid(word));
            words.fold(line.to_owned(), |line, uuid| line.replace(uuid, "UUID"))
        })
        // As wide as their uuids are.
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines
}

fn tls_args(credentials: &Credentials) -> Vec<String> {
    [
        ("--private-key", &credentials.private_key),
        ("--certificate", &credentials.certificate),
        ("--ca-cert", &credentials.ca),
    ]
    .into_iter()
    .flat_map(|(option, file)| [option.to_owned(), file.display().to_string()])
    .collect()
}

#[test]
fn vtep_ctl_shows_the_same_of_it_as_of_a_real_switch() -> Result<()> {
    let stage = Stage::new()?;
    let (emulated, real) = (Emulated::start(&stage, &[])?, real(&stage)?);
    for command in [
        "show",
        "list-ps",
        "list-ports tor1",
        "add-ls blue",
        "add-ls red",
        "set Logical_Switch blue tunnel_key=5001",
        "list-ls",
        "bind-ls tor1 eth1 5 blue",
        "bind-ls tor1 eth1 6 red",
        "list-bindings tor1 eth1",
        "add-ucast-local blue 00:00:00:00:00:01 10.0.1.1",
        "add-ucast-remote blue 00:00:00:00:00:02 10.0.2.1",
        "add-mcast-remote blue unknown-dst 10.0.0.11",
        "list-local-macs blue",
        "list-remote-macs blue",
        "unbind-ls tor1 eth1 6",
        "del-ls red",
        "set-manager ssl:127.0.0.254:9 ptcp:0:127.0.0.254",
        "get-manager",
        "show",
        "del-manager",
        "list Logical_Switch",
        "list Physical_Locator",
        "clear-remote-macs blue",
        "list-remote-macs blue",
        "list Physical_Locator",
        "list Global",
    ] {
        let words: Vec<_> = command.split(' ').collect();
        let (of_it, of_real) = (emulated.vtep_ctl(&words)?, real.vtep_ctl(&words)?);
        assert_eq!(levelled(&of_it), levelled(&of_real), "{command}");
    }
    for refused in ["add-ls blue", "del-ls green", "bind-ls tor1 eth9 1 blue"] {
        let words: Vec<_> = refused.split(' ').collect();
        assert!(
            emulated.vtep_ctl(&words).is_err() && real.vtep_ctl(&words).is_err(),
            "{refused}"
        );
    }
    Ok(())
}

#[test]
fn ovsdb_client_shows_the_same_of_it_as_of_a_real_switch() -> Result<()> {
    let stage = Stage::new()?;
    let (emulated, real) = (Emulated::start(&stage, &[])?, real(&stage)?);
    let insert = r#"["hardware_vtep",{"op":"insert","table":"Logical_Switch","row":{"name":"blue","tunnel_key":7}}]"#;
    let select = r#"["hardware_vtep",{"op":"select","table":"Logical_Switch","where":[["tunnel_key","==",7]],"columns":["name"]}]"#;
    let commands: [(&str, &[&str]); 9] = [
        ("list-dbs", &[]),
        ("get-schema-version", &["hardware_vtep"]),
        ("get-schema-cksum", &["hardware_vtep"]),
        ("list-tables", &["hardware_vtep"]),
        ("list-columns", &["hardware_vtep", "Physical_Port"]),
        ("transact", &[insert]),
        ("transact", &[select]),
        ("dump", &["hardware_vtep"]),
        ("dump", &["hardware_vtep", "Logical_Switch", "name", "tunnel_key"]),
    ];
    for (command, args) in commands {
        let (of_it, of_real) = (emulated.ovsdb_client(command, args)?, real.ovsdb_client(command, args)?);
        assert_eq!(levelled(&of_it), levelled(&of_real), "{command} {args:?}");
    }
    let schemas = [
        emulated.ovsdb_client("get-schema", &["hardware_vtep"])?,
        real.ovsdb_client("get-schema", &["hardware_vtep"])?,
    ];
    let [of_it, of_real] = schemas.map(|schema| serde_json::from_str::<Value>(&schema).expect("JSON"));
    assert_eq!(of_it, of_real);
    Ok(())
}

#[test]
fn a_monitor_receives_the_changes_of_others() -> Result<()> {
    let stage = Stage::new()?;
    let emulated = Emulated::start(&stage, &[])?;
    let monitor = Launch::new("ovsdb-client")?
        .args(["monitor", &emulated.remote, "hardware_vtep", "Logical_Switch", "name"])
        .start(stage.scratch.path().join("monitor.log"))?;
    // The monitor receives this row whether it begins before or after the insert.
    emulated.vtep_ctl(&["add-ls", "blue"])?;
    stage.wait("the first of two", || monitor.log().contains("blue").then_some(()))?;
    emulated.vtep_ctl(&["add-ls", "green"])?;
    stage.wait("an insert", || {
        let log = monitor.log();
        let line = log.lines().find(|line| line.contains("green"))?.to_owned();
        line.contains("insert").then_some(())
    })
}

#[test]
fn it_takes_tls_only_from_clients_of_a_trusted_ca() -> Result<()> {
    let stage = Stage::new()?;
    let args = tls_args(&stage.pki.issue("tor1")?);
    let emulated = Emulated::start(&stage, &args.iter().map(String::as_str).collect::<Vec<_>>())?;
    let ask = |credentials: &Credentials| {
        let mut args = tls_args(credentials);
        args.extend([
            format!("--db={}", emulated.remote),
            "--timeout=60".into(),
            "list-ps".into(),
        ]);
        program::run("vtep-ctl", &args)
    };
    assert_eq!(ask(&stage.pki.issue("operator")?)?.trim(), "tor1");

    let strangers = Pki::new(stage.scratch.folder("strangers")?)?;
    let mut stranger = strangers.issue("stranger")?;
    stranger.ca = stage.pki.ca();
    let mut args = tls_args(&stranger);
    args.extend([
        format!("--db={}", emulated.remote),
        "--timeout=3".into(),
        "list-ps".into(),
    ]);
    assert!(program::run("vtep-ctl", &args).is_err());
    stage.wait("a handshake that failed", || {
        emulated.event(|event| event["word"] == "connection_failed")
    })?;
    Ok(())
}

#[test]
fn a_manager_row_is_dialled_and_dropped_while_it_runs() -> Result<()> {
    let stage = Stage::new()?;
    let emulated = Emulated::start(&stage, &[])?;
    let manager = TcpListener::bind((stage.loopback.address(12), 0)).expect("a port");
    let target = format!("tcp:{}", manager.local_addr().expect("an address"));
    emulated.vtep_ctl(&["set-manager", &target])?;
    let (mut dialled, _) = manager.accept().expect("a switch");
    stage.wait("a row that shows it", || {
        let rows = emulated.vtep_ctl(&["--columns=is_connected", "list", "Manager"]).ok()?;
        rows.contains("true").then_some(())
    })?;
    emulated.vtep_ctl(&["del-manager"])?;
    assert_eq!(dialled.read(&mut [0; 64]).expect("an end"), 0);
    Ok(())
}

#[test]
fn a_real_agent_programs_it_and_it_comes_back_to_an_agent_that_died() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(&stage.scratch, Path::new(TANDEM), programming(&stage)?)?;
    let mut agent = agent;
    let manager = format!("ssl:{}", agent.options().listen.ovsdb);
    let mut args = tls_args(&stage.pki.issue("tor1")?);
    args.extend(["--manager", &manager, "--max-backoff", "1000"].map(str::to_owned));
    // The listener is plain, so that the test can look.
    let (port, address) = (stage.loopback.port(6640), stage.loopback.address(SWITCH));
    args.extend(["--listen".to_owned(), format!("ptcp:{}:{address}", port + 1)]);
    let mut emulated = Emulated::start(&stage, &args.iter().map(String::as_str).collect::<Vec<_>>())?;
    emulated.remote = format!("tcp:{address}:{}", port + 1);

    stage.converged(&agent, "tor1")?;
    let macs = emulated.vtep_ctl(&["list-remote-macs", &logical_switch()])?;
    assert!(macs.contains("02:00:00:00:00:01 -> vxlan_over_ipv4/10.0.2.1"), "{macs}");
    assert!(macs.contains("unknown-dst -> vxlan_over_ipv4/10.0.0.11"), "{macs}");
    let bindings = emulated.vtep_ctl(&["list-bindings", "tor1", "eth1"])?;
    assert_eq!(bindings.trim(), format!("0005 {}", logical_switch()));
    let claimed = |event: &Value| event["word"] == "lock_passed" && event["lock"] == "tandem" && !event["to"].is_null();
    assert!(emulated.event(claimed).is_some());

    agent.restart()?;
    stage.converged(&agent, "tor1")?;
    let words: Vec<_> = emulated
        .events()
        .iter()
        .filter_map(|event| Some(event["word"].as_str()?.to_owned()))
        .collect();
    let times = |word: &str| words.iter().filter(|other| *other == word).count();
    assert!(times("lock_passed") >= 3 && times("backoff") >= 1, "{words:?}");
    emulated.process.terminate()?;
    assert!(emulated.process.wait(Duration::from_secs(60))?.success());
    assert_eq!(emulated.events().last(), Some(&serde_json::json!({"ok": true})));
    Ok(())
}

#[test]
fn a_switch_that_cannot_do_what_the_command_line_demands_does_not_start() -> Result<()> {
    let stage = Stage::new()?;
    let taken = TcpListener::bind((stage.loopback.address(13), 0)).expect("a port");
    let SocketAddr::V4(at) = taken.local_addr().expect("an address") else {
        panic!("IPv4");
    };
    let taken = format!("ptcp:{}:{}", at.port(), at.ip());
    let twice = ["--manager", "tcp:127.0.0.1:1"].repeat(2);
    for (args, complaint) in [
        (vec!["--listen", &taken], "cannot listen"),
        (vec!["--manager", "ssl:127.0.0.1:1"], "needs --private-key"),
        (vec!["--manager", "ssl:somewhere:1"], "IPv4"),
        (twice, "--manager tcp:127.0.0.1:1 is there twice"),
        (["--port", "eth1"].repeat(2), "--port eth1 is there twice"),
        (vec![], "give it --listen, --manager, or both"),
        (vec!["--port", "eth1"], "give it --listen, --manager, or both"),
        (vec!["--name", "", "--listen", "ptcp:0:127.0.0.1"], "--name is empty"),
        (vec!["--port", "", "--listen", "ptcp:0:127.0.0.1"], "--port is empty"),
        (vec!["--schema", "1.8.0"], "1.7.0"),
        (vec!["--listen", "tcp:127.0.0.1:1"], "ptcp"),
    ] {
        let output = Command::new(TANDEM)
            .arg("switch")
            .args(&args)
            .output()
            .expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(complaint), "{args:?}: {stderr}");
    }
    Ok(())
}

const NETWORK: &str = "00000000-0000-0000-0000-000000000005";

fn logical_switch() -> String {
    format!("Contrail-{NETWORK}")
}

fn programming(stage: &Stage) -> Result<AgentOptions> {
    let mut options = stage.agent()?;
    options.network.push(NetworkSection {
        name: "blue".into(),
        uuid: NETWORK.into(),
        vni: 5001,
        remote_macs: vec![RemoteMac {
            mac: "02:00:00:00:00:01".into(),
            vtep: [10, 0, 2, 1].into(),
        }],
        remote_macs_file: None,
    });
    options.switch.push(SwitchSection {
        name: "tor1".into(),
        vtep: [10, 0, 1, 1].into(),
        certificate: None,
        ports: vec![PortSection {
            port: "eth1".into(),
            vlan: 5,
            network: "blue".into(),
        }],
    });
    Ok(options)
}
