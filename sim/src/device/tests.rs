use serde_json::json;
use tandem_core::event::LogEvent;

use super::*;
use crate::socket::{ACCEPTED, DialFailure};
use crate::switch::SchemaVersion;
use crate::tls::Tls;

const SECOND: Duration = Duration::from_secs(1);
const TARGET: &str = "tcp:10.0.0.1:6640";

/// A switch whose outputs are kept, and the other end of its connections.
struct Bench {
    device: Device,
    now: Time,
    events: Vec<Event>,
    others: Vec<Output>,
}

impl Bench {
    fn new(options: Options) -> Self {
        let mut bench = Self {
            device: Device::new(1, options),
            now: Time::ORIGIN,
            events: Vec::new(),
            others: Vec::new(),
        };
        bench.drain();
        bench
    }

    fn input(&mut self, input: Input) {
        self.device.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.device.poll_output() {
            if let Output::Event(event) = output {
                self.events.push(event);
            } else {
                self.others.push(output);
            }
        }
    }

    /// Lets time pass, and each deadline on the way be met.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self.device.poll_timeout().filter(|deadline| deadline.at <= end) {
            self.now = self.now.max(deadline.at);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    /// The connection that was dialled last; it must be the only output.
    fn dialled(&mut self) -> ConnId {
        match std::mem::take(&mut self.others).as_slice() {
            [Output::Dial { conn, .. }] => *conn,
            others => panic!("a dial, not {others:?}"),
        }
    }

    fn connect(&mut self) -> ConnId {
        let conn = self.dialled();
        self.input(Input::Connected { conn });
        conn
    }

    fn ask(&mut self, conn: ConnId, method: &str, params: &Value) -> Value {
        let request = json!({"id": 7, "method": method, "params": params});
        let data = request.to_string().into_bytes();
        self.input(Input::Bytes { conn, data });
        let reply = self.sent(conn).pop().expect("a reply");
        serde_json::from_slice(&reply).expect("JSON")
    }

    fn sent(&mut self, conn: ConnId) -> Vec<Vec<u8>> {
        let outputs = std::mem::take(&mut self.others).into_iter();
        let of_it = outputs.filter_map(|output| {
            let Output::Send { conn: to, bytes } = output else {
                return None;
            };
            (to == conn).then_some(bytes)
        });
        of_it.collect()
    }

    fn edit(&mut self, operations: Value) {
        self.input(Input::Command(Command::Edit(operations)));
    }

    fn words(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.events).iter().map(Event::word).collect()
    }
}

fn options(targets: &[&str]) -> Options {
    let physical = Physical {
        name: "tor1".into(),
        tunnel_ip: "10.0.1.1".into(),
        ports: vec!["eth1".into(), "eth2".into()],
    };
    Options {
        startup: Startup {
            physical: Some(physical),
            managers: targets.iter().copied().map(Manager::new).collect(),
        },
        ..Options::new(switch::Options::new(SchemaVersion::V1_7_0))
    }
}

fn update_managers(row: &Value) -> Value {
    json!([{"op": "update", "table": "Manager", "where": [], "row": row}])
}

#[test]
fn a_manager_is_dialled_at_once_and_after_1_2_4_8_and_8_seconds() {
    let mut bench = Bench::new(options(&[TARGET]));
    for seconds in [1, 2, 4, 8, 8] {
        let conn = bench.dialled();
        let why = DialFailure::Refused;
        bench.input(Input::DialFailed { conn, why });
        bench.pass(SECOND * seconds - Duration::from_micros(1));
        assert_eq!(bench.others, []);
        bench.pass(Duration::from_micros(1));
    }
    bench.dialled();
}

#[test]
fn a_dial_without_an_answer_is_given_up() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.dialled();
    bench.pass(SECOND);
    assert_eq!(bench.others, [Output::Close { conn }]);
    let failed = Event::DialFailed {
        target: TARGET.into(),
        conn,
        why: Ended::GaveUp,
    };
    assert!(bench.events.contains(&failed), "{:?}", bench.events);
}

#[test]
fn a_line_that_broke_is_dialled_again_after_a_second() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.connect();
    assert_eq!(bench.ask(conn, "echo", &json!([1]))["result"], json!([1]));
    bench.input(Input::Lost { conn });
    bench.pass(SECOND);
    assert_ne!(bench.dialled(), conn);
    assert_eq!(
        bench.words(),
        [
            "Booted",
            "Committed",
            "Dialling",
            "Connected",
            "Disconnected",
            "Backoff",
            "Dialling"
        ]
    );
}

#[test]
fn a_new_row_is_dialled_and_a_deleted_one_is_dropped() {
    let mut bench = Bench::new(options(&[]));
    assert_eq!(bench.others, []);
    bench.edit(json!([
        {"op": "insert", "table": "Manager", "uuid-name": "m", "row": {"target": TARGET}},
        {"op": "mutate", "table": "Global", "where": [], "mutations": [["managers", "insert", ["named-uuid", "m"]]]},
    ]));
    let conn = bench.connect();
    bench.edit(json!([{"op": "update", "table": "Global", "where": [], "row": {"managers": ["set", []]}}]));
    assert_eq!(bench.others, [Output::Close { conn }]);
    bench.pass(SECOND * 60);
    assert_eq!(bench.others.len(), 1);
    assert_eq!(bench.device.poll_timeout(), None);
}

#[test]
fn a_manager_may_shorten_its_own_back_off_and_probe() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.connect();
    let mut tune = update_managers(&json!({"max_backoff": 1000, "inactivity_probe": 2000}));
    tune.as_array_mut()
        .expect("operations")
        .insert(0, json!("hardware_vtep"));
    bench.ask(conn, "transact", &tune);
    bench.pass(SECOND * 2);
    assert_eq!(bench.sent(conn), [br#"{"id":"echo","method":"echo","params":[]}"#]);
    bench.pass(SECOND * 2);
    assert_eq!(bench.others, [Output::Close { conn }]);
    for _ in 0..4 {
        bench.others.clear();
        bench.pass(SECOND);
        let conn = bench.dialled();
        let why = DialFailure::Refused;
        bench.input(Input::DialFailed { conn, why });
    }
}

#[test]
fn a_maximum_that_is_lowered_ends_a_back_off_under_way() {
    let mut bench = Bench::new(options(&[TARGET]));
    for seconds in [1, 2, 4, 2] {
        let conn = bench.dialled();
        let why = DialFailure::Refused;
        bench.input(Input::DialFailed { conn, why });
        bench.pass(SECOND * seconds);
    }
    assert_eq!(bench.others, []);
    bench.edit(update_managers(&json!({"max_backoff": 1000})));
    bench.dialled();
}

#[test]
fn tls_is_part_of_the_dial() {
    let mut options = options(&["ssl:10.0.0.1:6640"]);
    options.tls = Some(Duration::from_millis(4));
    let mut bench = Bench::new(options);
    let conn = bench.connect();
    let mut server = Tls::server(Duration::ZERO, None);
    for _ in 0..2 {
        for flight in bench.sent(conn) {
            server.receive(bench.now, flight).expect("TLS");
        }
        server.wake(bench.now);
        while let Some(data) = server.poll_send() {
            bench.input(Input::Bytes { conn, data });
        }
        assert!(
            !bench
                .events
                .iter()
                .any(|event| matches!(event, Event::Connected { .. }))
                || server.is_open()
        );
        bench.pass(Duration::from_millis(4));
    }
    assert_eq!(bench.events.last().map(Event::word), Some("Connected"));
    assert_eq!(bench.ask(conn, "echo", &json!([1]))["result"], json!([1]));
}

#[test]
fn a_proxy_that_closes_in_the_handshake_is_a_dial_that_failed() {
    let mut options = options(&["ssl:10.0.0.1:6640"]);
    options.tls = Some(Duration::from_millis(4));
    let mut bench = Bench::new(options);
    for seconds in [1, 2, 4, 8, 8] {
        let conn = bench.connect();
        bench.others.clear();
        bench.input(Input::Finished { conn });
        assert_eq!(bench.others, [Output::Close { conn }]);
        let backoff = bench.events.last().cloned();
        assert_eq!(
            backoff,
            Some(Event::Backoff {
                target: "ssl:10.0.0.1:6640".into(),
                ms: seconds * 1000
            })
        );
        bench.others.clear();
        bench.pass(Duration::from_secs(seconds));
    }
}

#[test]
fn a_silent_manager_is_probed_and_cut_and_an_answer_counts() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.connect();
    bench.pass(SECOND * 5);
    assert_eq!(bench.sent(conn), [br#"{"id":"echo","method":"echo","params":[]}"#]);
    let data = br#"{"id":"echo","result":[],"error":null}"#.to_vec();
    bench.input(Input::Bytes { conn, data });
    bench.pass(SECOND * 5);
    assert_eq!(bench.sent(conn).len(), 1);
    bench.pass(SECOND * 5);
    assert_eq!(bench.others, [Output::Close { conn }]);
}

#[test]
fn bytes_that_the_network_takes_late_are_a_sign_of_life() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.connect();
    bench.pass(SECOND * 4);
    for queued_bytes in [100, 0] {
        bench.input(Input::Sent { conn, queued_bytes });
    }
    assert_eq!(
        bench.device.poll_timeout().map(|deadline| deadline.at),
        Some(bench.now + SECOND * 5)
    );
}

#[test]
fn a_client_that_dials_a_listening_switch_is_served() {
    let mut options = options(&["ptcp:6640:10.0.1.1"]);
    options.remotes = vec!["ptcp:7000".into()];
    let mut bench = Bench::new(options);
    let listens: Vec<_> = std::mem::take(&mut bench.others);
    let at = |address: &str| Output::Listen {
        at: address.parse().expect("an address"),
    };
    assert_eq!(listens, [at("10.0.1.1:6640"), at("0.0.0.0:7000")]);
    for (number, address) in ["10.0.1.1:6640", "10.0.1.1:7000"].into_iter().enumerate() {
        let conn = ConnId(ACCEPTED + number as u64);
        let at = address.parse().expect("an address");
        bench.input(Input::Accepted { conn, at, from: at });
        assert_eq!(bench.ask(conn, "echo", &json!([1]))["result"], json!([1]));
    }
    let conn = ConnId(ACCEPTED + 2);
    let at = "10.0.1.1:1".parse().expect("an address");
    bench.input(Input::Accepted { conn, at, from: at });
    assert_eq!(bench.others, [Output::Close { conn }]);
}

#[test]
fn an_unusable_target_is_reported_once() {
    let mut bench = Bench::new(options(&["ssl:somewhere"]));
    bench.edit(update_managers(&json!({"max_backoff": 2000})));
    assert_eq!(bench.words(), ["Booted", "Committed", "TargetUnusable", "Committed"]);
    assert_eq!(bench.device.poll_timeout(), None);
}

#[test]
fn a_reboot_without_the_database_leaves_what_the_startup_configuration_writes() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.connect();
    bench.ask(conn, "lock", &json!(["tandem"]));
    bench.edit(json!([{"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}}]));
    for (keeps_database, switches) in [(true, 1), (false, 0)] {
        bench.others.clear();
        bench.input(Input::Command(Command::Booted { keeps_database }));
        assert_ne!(bench.dialled(), conn);
        let switch = bench.device.switch();
        assert_eq!(switch.lock_holder("tandem"), None);
        assert_eq!(switch.rows("Logical_Switch").count(), switches);
        assert_eq!(
            (switch.rows("Physical_Port").count(), switch.rows("Manager").count()),
            (2, 1)
        );
    }
}

#[test]
fn the_row_shows_whether_it_is_connected() {
    let mut bench = Bench::new(options(&[TARGET, "ssl:10.0.0.2"]));
    let dials = std::mem::take(&mut bench.others);
    let conn = dials.iter().find_map(|output| {
        let Output::Dial { conn, to } = output else {
            return None;
        };
        (to.ip().octets() == [10, 0, 0, 1]).then_some(*conn)
    });
    let conn = conn.expect("a dial");
    bench.input(Input::Connected { conn });
    bench.pass(SECOND);
    let rows = bench.ask(
        conn,
        "transact",
        &json!(["hardware_vtep", {"op": "select", "table": "Manager", "where": [["target", "==", TARGET]],
            "columns": ["is_connected", "status"]}]),
    );
    let row = &rows["result"][0]["rows"][0];
    assert_eq!(row["is_connected"], true);
    assert_eq!(
        row["status"],
        json!(["map", [["sec_since_connect", "0"], ["state", "ACTIVE"]]])
    );
    let other = bench
        .device
        .switch()
        .rows("Manager")
        .find(|(_, row)| row.text("target") != Some(TARGET));
    let status = other
        .and_then(|(_, row)| row.datum("status").cloned())
        .expect("a status");
    assert!(format!("{status:?}").contains("BACKOFF"), "{status:?}");
}

#[test]
fn commit_events_name_writer_rows_and_locks() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.connect();
    bench.ask(conn, "lock", &json!(["tandem"]));
    bench.events.clear();
    let insert = json!({"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}});
    let comment = json!({"op": "comment", "comment": "agent-a 7"});
    bench.ask(conn, "transact", &json!(["hardware_vtep", comment, insert]));
    bench.input(Input::Lost { conn });
    let committed = Committed {
        by: Some(conn),
        locks: vec!["tandem".into()],
        comments: vec!["agent-a 7".into()],
        changes: [("Logical_Switch", 1)].into(),
    };
    let passed = Event::LockPassed {
        lock: "tandem".into(),
        from: Some(conn),
        to: None,
    };
    assert_eq!(bench.events.first(), Some(&Event::Committed(committed)));
    assert!(bench.events.contains(&passed), "{:?}", bench.events);
}

#[test]
fn an_edit_that_fails_is_reported() {
    let mut bench = Bench::new(options(&[]));
    bench.edit(json!([{"op": "insert", "table": "No_Such_Table", "row": {}}]));
    assert_eq!(bench.words(), ["Booted", "Committed", "EditRejected"]);
}

#[test]
fn a_clone_goes_on_the_same_way() {
    let mut bench = Bench::new(options(&[TARGET]));
    let conn = bench.connect();
    let run = |mut device: Device| {
        let mut outputs = Vec::new();
        let request = json!({"id": 1, "method": "transact", "params": ["hardware_vtep",
            {"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}}]});
        let data = request.to_string().into_bytes();
        device.handle(Time::ORIGIN, Input::Bytes { conn, data });
        outputs.extend(std::iter::from_fn(|| device.poll_output()));
        device.handle(Time::ORIGIN, Input::Lost { conn });
        outputs.extend(std::iter::from_fn(|| device.poll_output()));
        outputs
    };
    assert_eq!(run(bench.device.clone()), run(bench.device));
}

#[test]
fn a_switch_that_is_busy_with_a_dump_does_not_dial() {
    let mut options = options(&[TARGET, "tcp:10.0.0.2:6640"]);
    options.switch.dump_us_per_row = 1_000_000;
    let mut bench = Bench::new(options);
    let dials = std::mem::take(&mut bench.others);
    let [Output::Dial { conn, .. }, Output::Dial { conn: other, .. }] = dials.as_slice() else {
        panic!("two dials, not {dials:?}");
    };
    bench.input(Input::Connected { conn: *conn });
    let why = DialFailure::Refused;
    bench.input(Input::DialFailed { conn: *other, why });
    let dump =
        json!({"id": 1, "method": "monitor", "params": ["hardware_vtep", 1, {"Manager": {"columns": ["target"]}}]});
    let data = dump.to_string().into_bytes();
    bench.input(Input::Bytes { conn: *conn, data });
    let busy = bench.device.poll_timeout();
    assert_eq!(
        busy.map(|deadline| (deadline.at, deadline.why)),
        Some((Time::ORIGIN + SECOND * 2, Why::Server(switch::Why::Busy)))
    );
    bench.pass(SECOND * 2 - Duration::from_micros(1));
    assert_eq!(bench.others, []);
    bench.pass(Duration::from_micros(1));
    let answered_and_dialled = matches!(bench.others.as_slice(), [Output::Send { .. }, Output::Dial { .. }]);
    assert!(answered_and_dialled, "{:?}", bench.others);
}

#[test]
fn what_was_asked_before_the_end_is_answered_before_the_end() {
    let mut options = options(&[TARGET]);
    options.switch.dump_us_per_row = 1;
    let mut bench = Bench::new(options);
    let conn = bench.connect();
    let dump = json!({"id": 1, "method": "monitor", "params": ["hardware_vtep", 1, {"Manager": {}}]});
    let data = dump.to_string().into_bytes();
    bench.input(Input::Bytes { conn, data });
    bench.input(Input::Finished { conn });
    assert_eq!(bench.others, []);
    bench.pass(SECOND / 2);
    let answered_and_closed = matches!(bench.others.as_slice(), [Output::Send { .. }, Output::Close { .. }]);
    assert!(answered_and_closed, "{:?}", bench.others);
    let why = Ended::Closed;
    let target = TARGET.to_owned();
    assert!(
        bench.events.contains(&Event::Disconnected { target, conn, why }),
        "{:?}",
        bench.events
    );
}

#[test]
fn a_client_without_tls_is_not_waited_for() {
    let mut options = options(&["pssl:6640:10.0.1.1"]);
    options.tls = Some(Duration::from_millis(4));
    let mut bench = Bench::new(options);
    let (conn, at) = (ConnId(ACCEPTED), "10.0.1.1:6640".parse().expect("an address"));
    bench.input(Input::Accepted { conn, at, from: at });
    bench.others.clear();
    bench.pass(SECOND * 10);
    assert_eq!(bench.others, [Output::Close { conn }]);
}
