//! A session with a switch that breaks the protocol: it closes with a reason, and everything that it keeps is bounded.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::bounds::{AUDIT_ROWS_PER_STEP, DUMP_ANSWER, NAMELESS, REQUEST_ANSWER, ROWS};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::machine::{CloseWhy, Fault};
use tandem_core::ovsdb::schema::REQUIRED;
use tandem_core::session::{Command, Input, Notice, Opening, Output, Session};
use tandem_core::status::Ownership;
use tandem_core::{ConnId, Generation, Machine, Peer, Time, Uuid, Vni};

const T: Duration = Duration::from_secs(10);

/// A session, and the switch that the test plays.
struct World {
    now: Time,
    session: Session,
    configuration: Configuration,
    /// Requests that were not answered yet: id, method, first parameter but the database.
    asked: Vec<(u64, String)>,
    closed: Option<CloseWhy>,
    /// The lines of the log.
    log: Vec<String>,
    /// Whether the switch answers every echo.
    echoes: bool,
}

impl World {
    fn new() -> Self {
        let mut options = SessionOptions::new("agent-a", Ipv4Addr::new(10, 0, 0, 11));
        options.keepalive = Some(T);
        let network = Network {
            name: "blue".into(),
            vni: Vni::new(5001).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        let mut switch = Switch::default();
        switch.ports.insert("eth1".into(), [(10, Uuid(1))].into());
        let configuration = Configuration {
            session: options,
            networks: [(Uuid(1), network)].into(),
            switches: [("tor1".into(), switch)].into(),
        };
        let opened = configuration.clone();
        let opening = Opening {
            conn: ConnId(1),
            generation: Generation(1),
            peer: Peer {
                address: SocketAddr::from(([192, 0, 2, 1], 6640)),
                proxied: None,
                certificate: None,
            },
            accepted_at: Time::ORIGIN,
            configuration: Arc::new(configuration),
            complete: true,
            fit: true,
        };
        let mut world = Self {
            now: Time::ORIGIN,
            session: Session::new(Time::ORIGIN, opening),
            configuration: opened,
            asked: Vec::new(),
            closed: None,
            log: Vec::new(),
            echoes: true,
        };
        world.drain();
        world
    }

    /// One that has answered every request but the transactions.
    fn owned() -> Self {
        let mut world = Self::new();
        world.answer("get_schema", &Self::schema());
        let row = json!({ "new": { "name": "tor1", "ports": ["set", []], "tunnel_ips": "10.0.1.1" } });
        world.answer(
            "monitor small",
            &json!({ "Physical_Switch": { Uuid(9).to_string(): row } }),
        );
        world.answer("monitor server", &json!({}));
        world.answer("lock", &json!({ "locked": true }));
        world
    }

    /// The required tables and columns, and nothing else.
    fn schema() -> Value {
        let table = |columns: &[&str]| {
            let columns = columns.iter().map(|name| ((*name).to_owned(), json!({})));
            json!({ "columns": columns.collect::<serde_json::Map<_, _>>() })
        };
        let tables = REQUIRED
            .iter()
            .map(|(name, columns)| ((*name).to_owned(), table(columns)));
        json!({ "version": "1.3.0", "tables": tables.collect::<serde_json::Map<_, _>>() })
    }

    fn bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.handle(Input::Bytes(bytes.as_ref().to_vec()));
    }

    fn answer(&mut self, asked: &str, result: &Value) {
        let place = self.asked.iter().position(|(_, request)| request == asked);
        let (id, _) = self
            .asked
            .remove(place.unwrap_or_else(|| panic!("{asked} was asked: {:?}", self.asked)));
        self.bytes(json!({ "id": id, "result": result, "error": null }).to_string());
    }

    fn handle(&mut self, input: Input) {
        self.session.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let (mut answers, mut identified) = (Vec::new(), false);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => answers.extend(self.sent(&bytes)),
                Output::Close(why) => self.closed = Some(why),
                Output::Notify(notice) => identified |= matches!(notice, Notice::Identified { .. }),
                Output::Event(event) => self.log.push(event.what.to_string()),
            }
        }
        if identified {
            self.handle(Input::Command(Command::Clear));
        }
        for answer in answers {
            self.bytes(answer);
        }
    }

    /// Records a request, and answers those that need no decision of a test.
    fn sent(&mut self, bytes: &[u8]) -> Option<String> {
        let message: Value = serde_json::from_slice(bytes).expect("JSON");
        let method = message["method"].as_str()?;
        if method == "echo" {
            let answer = json!({ "id": message["id"], "result": message["params"], "error": null });
            return self.echoes.then(|| answer.to_string());
        }
        let name = match method {
            "monitor" | "monitor_cond" => format!("monitor {}", message["params"][1].as_str().expect("an id")),
            _ => method.into(),
        };
        self.asked.push((message["id"].as_u64().expect("a number"), name));
        None
    }

    /// Lets time pass until the session closes; answers when, and why.
    fn until_closed(&mut self) -> (Duration, CloseWhy) {
        while self.closed.is_none() {
            let deadline = self.session.poll_timeout().expect("a session without an end");
            self.now = deadline.at.max(self.now);
            assert!(
                self.now.since(Time::ORIGIN) < Duration::from_secs(3600),
                "it stays forever"
            );
            self.handle(Input::Timeout);
        }
        let why = self.closed.clone().expect("closed");
        (self.now.since(Time::ORIGIN), why)
    }

    /// Processes all that is there, without any time passing.
    fn work(&mut self) {
        while self.closed.is_none()
            && self
                .session
                .poll_timeout()
                .is_some_and(|deadline| deadline.at <= self.now)
        {
            self.handle(Input::Timeout);
        }
    }

    fn assert_misbehaved(&mut self, words: &str) {
        self.work();
        let why = self.closed.clone().expect("closed");
        assert!(why.detail.contains(words), "{why}");
        assert_eq!(why.fault, Some(Fault::PeerMisbehaved), "{why}");
    }
}

#[test]
fn a_peer_that_answers_echoes_and_never_a_request_is_closed_and_the_request_named() {
    let mut world = World::new();
    let (after, why) = world.until_closed();
    assert_eq!(after, REQUEST_ANSWER);
    assert_eq!(why.detail, "no answer to get_schema");
    assert_eq!(why.fault, Some(Fault::PeerMisbehaved));
}

#[test]
fn a_peer_that_never_answers_a_dump_is_closed_and_the_tables_named() {
    let mut world = World::owned();
    for transact in world.asked.clone().iter().filter(|(_, name)| name == "transact") {
        world.answer(&transact.1, &json!([]));
    }
    let (after, why) = world.until_closed();
    assert_eq!(after, DUMP_ANSWER);
    assert_eq!(why.detail, "no answer to monitor of the local tables");
}

#[test]
fn a_peer_that_never_answers_a_transaction_is_closed_and_the_transaction_named() {
    let mut world = World::owned();
    world.answer("monitor local", &json!({}));
    world.answer("monitor remote", &json!({}));
    world.work();
    assert_eq!(world.asked.len(), 1, "{:?}", world.asked);
    let (after, why) = world.until_closed();
    assert!(after <= DUMP_ANSWER, "{after:?}");
    assert_eq!(why.detail, "no answer to transact (logical switches, 2 rows)");
}

#[test]
fn a_peer_that_answers_nothing_at_all_is_closed() {
    let mut world = World::new();
    world.echoes = false;
    let (after, why) = world.until_closed();
    assert!(after <= NAMELESS, "{after:?}");
    assert_eq!(why.detail, "nothing received for 60.0 s", "as long as a dump may take");
}

#[test]
fn an_answer_to_nothing_is_logged_once_and_those_to_echoes_are_not() {
    let mut world = World::new();
    world.bytes(r#"{"id":"echo","result":[],"error":null}{"id" : "echo" ,"result":[]}"#);
    world.work();
    let reports = |world: &World| {
        let lines = world.log.iter();
        lines
            .filter(|line| line.contains("an answer to a request that was never made"))
            .count()
    };
    assert_eq!(reports(&world), 0);
    for answer in [
        r#"{"id":99,"result":{},"error":null}"#,
        r#"{"id":"x","error":"y"}"#,
        r#"{"id":-1,"result":[]}"#,
    ] {
        let mut world = World::new();
        world.bytes(answer.repeat(1000));
        world.work();
        assert_eq!((reports(&world), &world.closed), (1, &None), "{answer}");
    }
}

#[test]
fn a_second_answer_to_one_request_changes_nothing() {
    let mut world = World::new();
    world.answer("lock", &json!({ "locked": false }));
    world.bytes(r#"{"id":3,"result":{"locked":true},"error":null}"#);
    world.work();
    assert_eq!(world.closed, None);
    assert_eq!(world.session.ownership(), Ownership::Waiting);
}

#[test]
fn an_update_of_tables_that_were_not_asked_for_is_refused() {
    for (monitor, words) in [
        ("remote", "an update of the remote tables, which were never asked for"),
        ("unknown", "an update that names no monitor of ours"),
    ] {
        let mut world = World::new();
        world.bytes(format!(
            r#"{{"id":null,"method":"update","params":["{monitor}",{{}}]}}"#
        ));
        world.assert_misbehaved(words);
    }
}

#[test]
fn rows_that_cannot_be_read_are_refused_and_named() {
    let uuid = Uuid(7).to_string();
    for (result, words) in [
        (
            json!({ "Physical_Switch": { "x": {} } }),
            "a row is not named by a UUID",
        ),
        (json!({ "Physical_Switch": [] }), "a table or a row is no object"),
        (json!([]), "a table or a row is no object"),
        (json!({ "Physical_Switch": { &uuid: {} } }), "an empty row update"),
        (
            json!({ "Physical_Switch": { &uuid: { "new": { "name": 5 } } } }),
            uuid.as_str(),
        ),
        (
            json!({ "Physical_Port": { &uuid: { "new": { "vlan_bindings": ["set", []] } } } }),
            uuid.as_str(),
        ),
        (
            json!({ "Logical_Switch": { &uuid: { "modify": {} } } }),
            "a difference where a whole row was due",
        ),
    ] {
        let mut world = World::new();
        world.answer("monitor small", &result);
        world.assert_misbehaved(words);
    }
}

#[test]
fn rows_without_end_are_refused() {
    let mut world = World::owned();
    world.answer("monitor local", &json!({}));
    let mut rows = 0u128;
    while world.closed.is_none() {
        let row = |number: u128| format!(r#""{}":{{"insert":{{}}}}"#, Uuid(number));
        let many: Vec<String> = (rows..rows + 5000).map(row).collect();
        rows += 5000;
        let update = many.join(",");
        world.bytes(format!(
            r#"{{"id":null,"method":"update2","params":["local",{{"Ucast_Macs_Local":{{{update}}}}}]}}"#
        ));
        world.work();
        assert!(rows < 2 * ROWS as u128, "they are all taken");
    }
    world.assert_misbehaved(&format!("more than {ROWS} rows"));
}

#[test]
fn small_messages_that_wait_are_counted_with_what_they_cost() {
    let mut world = World::new();
    let flood = r#"{"method":"x"}"#.repeat(4096);
    let mut bytes = 0;
    // The session gets no time for its work.
    while world.closed.is_none() {
        world.bytes(&flood);
        bytes += flood.len();
        assert!(bytes < 192 << 20, "they take many times their size");
    }
    world.assert_misbehaved("bytes of messages at once");
}

#[test]
fn text_of_a_peer_stays_short_and_on_one_line() {
    let mut world = World::new();
    let name = format!("tor9\nINFO: all is well {}", "x".repeat(1 << 19));
    let row = json!({ "new": { "name": name } });
    world.answer("get_schema", &World::schema());
    world.answer(
        "monitor small",
        &json!({ "Physical_Switch": { Uuid(9).to_string(): row } }),
    );
    world.work();
    let line = world.log.pop().expect("a line");
    assert!(
        line.starts_with("no switch of this name is configured: tor9\\nINFO"),
        "{line}"
    );
    assert!(line.len() < 500, "{} bytes", line.len());
    let mut world = World::new();
    let complaint = json!({ "id": 0, "error": name, "result": null });
    world.bytes(complaint.to_string());
    world.work();
    let why = world.closed.clone().expect("closed").to_string();
    assert!(why.starts_with("it refuses get_schema: tor9\\nINFO"), "{why}");
    assert!(why.len() < 1000, "{} bytes", why.len());
}

/// A session that may write, with the logical switch of its network.
fn with_logical_switch() -> World {
    let mut world = World::owned();
    let row = json!({ "new": { "name": format!("Contrail-{}", Uuid(1)), "tunnel_key": 5001 } });
    let update = json!({ "Logical_Switch": { Uuid(50).to_string(): row } });
    let message = json!({ "id": null, "method": "update", "params": ["small", update] });
    world.bytes(message.to_string());
    world
}

#[test]
fn macs_that_wait_for_one_locator_are_exported_a_step_at_a_time() {
    let mut world = with_logical_switch();
    world.answer("monitor remote", &json!({}));
    let macs = 3 * AUDIT_ROWS_PER_STEP;
    let row = |number: usize| {
        let [high, low] = u16::try_from(number).expect("few").to_be_bytes();
        let set = |uuid: u128| json!(["uuid", Uuid(uuid).to_string()]);
        let mac = format!("02:00:00:00:{high:02x}:{low:02x}");
        let row = json!({ "MAC": mac, "logical_switch": set(50), "locator": set(999) });
        (Uuid(1000 + number as u128).to_string(), json!({ "initial": row }))
    };
    let rows: serde_json::Map<_, _> = (0..macs).map(row).collect();
    world.answer("monitor local", &json!({ "Ucast_Macs_Local": rows }));
    world.work();
    assert_eq!(world.session.exported(), 0, "their locator has not arrived");
    let locator = json!({ "new": { "encapsulation_type": "vxlan_over_ipv4", "dst_ip": "10.0.9.9" } });
    let update = json!({ "Physical_Locator": { Uuid(999).to_string(): locator } });
    let message = json!({ "id": null, "method": "update", "params": ["small", update] });
    world.bytes(message.to_string());
    assert_eq!(world.session.exported(), AUDIT_ROWS_PER_STEP);
    world.work();
    assert_eq!((world.session.exported(), world.closed), (macs, None));
}

#[test]
fn a_route_that_arrives_for_a_network_that_the_session_has_left_is_not_there_when_it_is_back() {
    let mut world = World::new();
    let mut configuration = world.configuration.clone();
    let network = Network {
        name: "red".into(),
        vni: Vni::new(5002).expect("a VNI"),
        remote_macs: BTreeMap::new(),
    };
    configuration.networks.insert(Uuid(2), network);
    let mut switch = Switch::default();
    switch.ports.insert("eth1".into(), [(10, Uuid(2))].into());
    configuration.switches.insert("tor2".into(), switch);
    world.handle(Input::Command(Command::Configure {
        configuration: Arc::new(configuration),
        complete: true,
    }));
    world.answer("get_schema", &World::schema());
    let row = |name| json!({ "new": { "name": name, "ports": ["set", []], "tunnel_ips": "10.0.1.1" } });
    let named =
        |name| json!({ "Physical_Switch": { Uuid(9).to_string(): row("tor1"), Uuid(8).to_string(): row(name) } });
    world.answer("monitor small", &named("tor2"));
    assert_eq!(world.session.served().len(), 2);
    let rename = |world: &mut World, name| {
        let message = json!({ "id": null, "method": "update", "params": ["small", named(name)] });
        world.bytes(message.to_string());
    };
    rename(&mut world, "another");
    assert_eq!(world.session.served().len(), 1);
    // The agent does not know yet that the session has left the network.
    world.handle(Input::Command(Command::Import {
        network: Uuid(2),
        macs: vec![(tandem_core::Mac([2, 0, 0, 0, 0, 1]), Some(Ipv4Addr::new(10, 0, 9, 9)))],
    }));
    rename(&mut world, "tor2");
    assert_eq!(world.session.served().len(), 2);
    assert_eq!(
        world.session.status(world.now).rows_desired,
        0,
        "the agent will send it again, if it is still there"
    );
}
