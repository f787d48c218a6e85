//! A session with a switch that is an emulated one, edited, refused, robbed, cut in pieces and lied about.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tandem_core::bounds::TRANSACTIONS_IN_FLIGHT;
use tandem_core::event::{Route, What};
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::session::{Command, Input, Notice, Opening, Output, Session};
use tandem_core::status::Ownership;
use tandem_core::{ConnId, Generation, Machine, Peer, Time};
use tandem_sim::switch::{Input as SwitchInput, Output as SwitchOutput, Switch, Writer};

use super::script::Script;
use super::switch::{configuration, edit, switch};

const CONN: ConnId = ConnId(1);
const THIEF: ConnId = ConnId(2);

/// Steps that may follow each other without any time, byte or command.
const STEPS_WITHOUT_INPUT: usize = 1000;

/// Exchanges of one operation `a`.
const EXCHANGES: usize = 50;

/// Reads four bytes that choose the beginning, and then operations, each named by a letter.
pub fn run(input: &[u8]) {
    let (beginning, operations) = input.split_at(input.len().min(4));
    let mut world = World::begin(beginning);
    let mut script = Script::new(operations);
    while let Some(operation) = script.byte() {
        world.operate(operation, &mut script);
        if world.over {
            break;
        }
    }
    world.end();
}

thread_local! {
    /// Worlds after their takeover, by their beginnings: a takeover is most of the cost of a short input.
    static TAKEN_OVER: RefCell<BTreeMap<Vec<u8>, World>> = const { RefCell::new(BTreeMap::new()) };
}

#[derive(Clone)]
struct World {
    now: Time,
    session: Session,
    switch: Switch,
    to_session: VecDeque<u8>,
    to_switch: VecDeque<u8>,
    lock: String,
    has_locks: bool,
    /// The session received a line that the switch did not send, so that their states may differ.
    lied: bool,
    thief: bool,
    /// The session has identified its switch, and is to be cleared.
    identified: bool,
    /// The session has reported its end.
    closed: bool,
    /// The connection is gone.
    over: bool,
    exported: BTreeSet<Route>,
}

impl World {
    /// The kind of switch, two bytes of configuration, and a byte of which one bit requests a finished takeover.
    fn begin(bytes: &[u8]) -> Self {
        let mut script = Script::new(bytes);
        let taken_over = bytes.get(3).is_some_and(|state| state & 4 != 0);
        if !taken_over {
            return Self::new(&mut script);
        }
        TAKEN_OVER.with_borrow_mut(|known| {
            if known.len() > 200 {
                known.clear();
            }
            let take_over = || {
                let mut world = Self::new(&mut script);
                world.exchange(EXCHANGES);
                world
            };
            known.entry(bytes.to_vec()).or_insert_with(take_over).clone()
        })
    }

    fn new(script: &mut Script<'_>) -> Self {
        let now = Time::from_micros(1_000_000);
        let (mut switch, has_locks) = switch(script);
        switch.handle(now, SwitchInput::Connected { conn: CONN });
        let configuration = configuration(script);
        let lock = configuration.session.lock.clone();
        let state = script.number();
        let opening = Opening {
            conn: CONN,
            generation: Generation(1),
            peer: Peer {
                address: SocketAddr::from(([192, 0, 2, 1], 6640)),
                proxied: None,
                certificate: None,
            },
            accepted_at: now,
            configuration: Arc::new(configuration),
            complete: state & 1 == 0,
            fit: state & 2 == 0,
        };
        let mut world = Self {
            now,
            session: Session::new(now, opening),
            has_locks,
            switch,
            to_session: VecDeque::new(),
            to_switch: VecDeque::new(),
            lock,
            lied: false,
            thief: false,
            identified: false,
            closed: false,
            over: false,
            exported: BTreeSet::new(),
        };
        world.drain();
        world
    }

    fn operate(&mut self, operation: u8, script: &mut Script<'_>) {
        match operation {
            // Let everything happen that needs no time.
            b'a' => self.exchange(EXCHANGES),
            b'b' => self.exchange(1),
            b's' => self.deliver_to_session(usize::from(script.number()) * 7 + 1),
            b'S' => self.deliver_to_session(usize::MAX),
            b'w' => self.deliver_to_switch(usize::from(script.number()) * 7 + 1),
            b'W' => self.deliver_to_switch(usize::MAX),
            b'i' => self.rest(),
            b'm' => self.handle(Input::Timeout),
            b't' => self.pass(script),
            b'c' => {
                let configuration = Arc::new(configuration(script));
                let complete = script.number() & 1 == 0;
                self.command(Command::Configure {
                    configuration,
                    complete,
                });
            }
            b'f' => self.command(Command::Fit),
            b'p' => self.command(Command::Probe(1)),
            b'd' => self.command(Command::Drain),
            b'H' => self.command(Command::HandOver),
            b'q' => self.command(Command::Close(CloseWhy::new(
                CloseReason::PeerClosed,
                "closed by the script",
            ))),
            b'z' => self.handle(Input::Closed(CloseWhy::new(CloseReason::PeerClosed, "cut"))),
            b'n' => {
                let queued_bytes = script.pick(&[0, 1, 5 << 20]);
                self.handle(Input::Sent { queued_bytes });
            }
            b'u' => drop(self.session.status(self.now)),
            b'e' => {
                let operations = edit(script, &self.switch);
                self.switch.local(self.now, operations);
                self.drain_switch();
            }
            b'x' => {
                let error = script.pick(&[
                    "constraint violation",
                    "referential integrity violation",
                    "resources exhausted",
                    "permission error",
                    "not owner",
                    "something new",
                ]);
                self.lied |= error == "not owner";
                self.switch
                    .refuse_next(usize::from(script.number() % 8), error, "as planned");
            }
            b'l' => self.rob("steal"),
            b'k' => self.rob("lock"),
            b'v' => self.leave(),
            b'<' => {
                let line = script.line();
                self.lie(line);
            }
            b'o' => {
                let message = template(script, &self.lock).to_string();
                self.lie(message.as_bytes());
            }
            b'y' => {
                let at = usize::from(script.number()) * 5;
                let with = script.byte().unwrap_or_default();
                if let Some(byte) = self.to_session.get_mut(at) {
                    *byte ^= with;
                    self.lied = true;
                }
            }
            _ => {}
        }
    }

    /// Bytes that the switch did not send, in the midst of those that it did.
    fn lie(&mut self, bytes: &[u8]) {
        self.lied = true;
        self.to_session.extend(bytes);
    }

    fn exchange(&mut self, times: usize) {
        for _ in 0..times {
            if self.over || self.to_switch.is_empty() && self.to_session.is_empty() {
                break;
            }
            self.deliver_to_switch(usize::MAX);
            self.deliver_to_session(usize::MAX);
            self.rest();
        }
    }

    fn deliver_to_session(&mut self, bytes: usize) {
        let bytes = bytes.min(self.to_session.len());
        if bytes > 0 {
            let data = self.to_session.drain(..bytes).collect();
            self.handle(Input::Bytes(data));
        }
    }

    fn deliver_to_switch(&mut self, bytes: usize) {
        let bytes = bytes.min(self.to_switch.len());
        if bytes > 0 && !self.over {
            let data = self.to_switch.drain(..bytes).collect();
            self.switch.handle(self.now, SwitchInput::Bytes { conn: CONN, data });
            self.drain_switch();
        }
    }

    /// Immediate work comes to rest after a bounded number of steps.
    fn rest(&mut self) {
        let mut last = None;
        for _ in 0..STEPS_WITHOUT_INPUT {
            match self.session.poll_timeout().filter(|deadline| deadline.at <= self.now) {
                None => return,
                Some(deadline) => last = Some(deadline),
            }
            self.handle(Input::Timeout);
        }
        panic!("it never comes to rest: {last:?}, {:?}", self.session.status(self.now));
    }

    /// Time passes, and everybody is woken when they wish.
    fn pass(&mut self, script: &mut Script<'_>) {
        let until = self.now + script.span();
        for _ in 0..EXCHANGES {
            self.rest();
            let session = self.session.poll_timeout().map(|deadline| deadline.at);
            let switch = self.switch.poll_timeout().map(|deadline| deadline.at);
            let next = [session, switch].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= until && !self.over) else {
                break;
            };
            self.now = self.now.max(next);
            if switch.is_some_and(|at| at <= self.now) {
                self.switch.handle(self.now, SwitchInput::Timeout);
                self.drain_switch();
            }
        }
        self.now = until;
    }

    fn rob(&mut self, method: &str) {
        if !self.thief {
            self.thief = true;
            self.switch.handle(self.now, SwitchInput::Connected { conn: THIEF });
            let request = json!({"id": 1, "method": method, "params": [self.lock]}).to_string();
            let input = SwitchInput::Bytes {
                conn: THIEF,
                data: request.into_bytes(),
            };
            self.switch.handle(self.now, input);
            self.drain_switch();
        }
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.thief) {
            self.switch.handle(self.now, SwitchInput::Closed { conn: THIEF });
            self.drain_switch();
        }
    }

    fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    fn handle(&mut self, input: Input) {
        let gone = matches!(input, Input::Closed(_));
        self.session.handle(self.now, input);
        self.drain();
        if gone {
            assert!(self.closed, "an end is reported");
            self.over = true;
        }
        if self.over {
            assert!(self.session.poll_timeout().is_none(), "no deadline after the end");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            assert!(!self.over, "after the end: {output:?}");
            match output {
                Output::Send(bytes) => {
                    assert!(!self.closed, "sent after the end: {}", String::from_utf8_lossy(&bytes));
                    self.check(&bytes);
                    self.to_switch.extend(bytes);
                }
                Output::Close(_) => {
                    assert!(self.closed, "an end is reported with its reason");
                    self.over = true;
                }
                Output::Notify(notice) => {
                    assert!(!self.closed, "after the end: {notice:?}");
                    self.notified(&notice);
                }
                Output::Event(event) => {
                    assert!(!self.closed, "after the end: {event:?}");
                    if let What::Retracted { routes } = event.what {
                        assert_eq!(routes, self.exported.len());
                    }
                }
            }
        }
        if std::mem::take(&mut self.identified) && !self.over {
            self.handle(Input::Command(Command::Clear));
        }
        assert_eq!(self.session.exported(), self.exported.len());
        if self.session.ownership() == Ownership::Lockless {
            assert!(self.lied || !self.has_locks, "the switch knows locks");
        }
    }

    fn check(&self, bytes: &[u8]) {
        let message: Value = match serde_json::from_slice(bytes) {
            Ok(message) => message,
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(bytes)),
        };
        assert!(message["id"].is_u64() || message["id"] == "echo" || message.get("method").is_none());
        if message["method"] == "transact" {
            let assert = json!({"op": "assert", "lock": self.lock});
            let lockless = self.session.ownership() == Ownership::Lockless;
            assert!(lockless || message["params"][1] == assert, "no assert: {message}");
        }
    }

    fn notified(&mut self, notice: &Notice) {
        match notice {
            Notice::Exported { route, .. } => assert!(self.exported.insert(*route), "exported twice: {route}"),
            Notice::Withdrawn(route) => assert!(self.exported.remove(route), "never exported: {route}"),
            Notice::Closed(_) => {
                self.exported.clear();
                self.closed = true;
            }
            Notice::Identified { .. } => self.identified = true,
            Notice::Unidentified { .. } | Notice::Alive { .. } | Notice::Received { .. } => {}
            Notice::Confirmed { .. } => {}
            Notice::Granted | Notice::MayWrite { .. } | Notice::Read | Notice::Audited => {}
        }
    }

    fn drain_switch(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                SwitchOutput::Send { conn: CONN, bytes } => self.to_session.extend(bytes),
                SwitchOutput::Close { conn: CONN, .. } if !self.over => {
                    self.handle(Input::Closed(CloseWhy::new(CloseReason::PeerClosed, "cut")));
                }
                SwitchOutput::Send { .. } | SwitchOutput::Close { .. } | SwitchOutput::Read { .. } => {}
            }
        }
        for commit in self.switch.take_commits() {
            let held = commit.locks.contains(&self.lock) || !self.has_locks;
            assert!(held || commit.by == Writer::Local || self.lied, "{commit:?}");
        }
        assert!(self.session.status(self.now).in_flight <= TRANSACTIONS_IN_FLIGHT);
    }

    fn end(&mut self) {
        if !self.over {
            self.rest();
            self.handle(Input::Closed(CloseWhy::new(
                CloseReason::PeerClosed,
                "the script is over",
            )));
        }
        self.handle(Input::Timeout);
        self.handle(Input::Bytes(b"{\"id\":1,\"method\":\"echo\"}".to_vec()));
    }
}

/// A message that a switch might send, true or not.
fn template(script: &mut Script<'_>, lock: &str) -> Value {
    match script.number() % 6 {
        0 => json!({"id": null, "method": "locked", "params": [lock]}),
        1 => json!({"id": null, "method": "stolen", "params": [lock]}),
        2 => json!({"id": script.number(), "method": script.pick(&["echo", "list_dbs"]), "params": [script.number()]}),
        3 => {
            let errors = [
                json!("unknown method"),
                json!({"error": "not owner"}),
                json!({"error": "constraint violation", "details": "d"}),
                json!(7),
            ];
            json!({"id": script.number(), "error": errors[usize::from(script.number() & 3)], "result": null})
        }
        4 => {
            let results = [
                json!([{}]),
                json!({}),
                json!({"locked": true}),
                json!({"locked": false}),
                json!([{"error": "not owner"}]),
                json!([null, {"error": "referential integrity violation"}]),
                json!([]),
                json!(null),
            ];
            let result = &results[usize::from(script.number() & 7)];
            json!({"id": script.number(), "error": null, "result": result})
        }
        _ => update(script),
    }
}

/// A row that the database does not have, in a table that is watched.
fn update(script: &mut Script<'_>) -> Value {
    let (monitor, table) = script.pick(&[
        ("remote", "Ucast_Macs_Remote"),
        ("local", "Ucast_Macs_Local"),
        ("small", "Mcast_Macs_Remote"),
        ("small", "Mcast_Macs_Local"),
        ("small", "Logical_Switch"),
        ("small", "Physical_Port"),
        ("small", "Physical_Switch"),
        ("small", "Physical_Locator"),
        ("small", "Physical_Locator_Set"),
        ("small", "Manager"),
        ("extras", "Logical_Switch"),
        ("extras", "Physical_Locator"),
        ("none", "None"),
    ]);
    let mut uuid = || format!("00000000-0000-0000-0000-{:012}", script.number() % 4);
    let (row, other, third) = (uuid(), json!(["uuid", uuid()]), json!(["uuid", uuid()]));
    let columns = [
        json!({}),
        json!({"MAC": "02:00:00:00:00:01", "logical_switch": other, "locator": third}),
        json!({"MAC": "unknown-dst", "logical_switch": other, "locator_set": third}),
        json!({"name": "Contrail-00000000-0000-0000-0000-000000000001", "tunnel_key": 5001}),
        json!({"name": "eth1", "vlan_bindings": ["map", [[10, other], [4095, third]]]}),
        json!({"name": "tor1", "ports": ["set", [other, third]], "tunnel_ips": "10.0.1.1"}),
        json!({"dst_ip": "10.0.9.1", "encapsulation_type": "vxlan_over_ipv4"}),
        json!({"locators": ["set", [other, third]]}),
        json!({"target": "ssl:10.0.0.1:6640", "max_backoff": 1, "inactivity_probe": ["set", []]}),
        json!({"tunnel_key": -1, "replication_mode": "source_node"}),
        json!({"name": 1, "MAC": null, "logical_switch": ["set", []], "locator": ["map", []]}),
    ];
    let columns = &columns[usize::from(script.number()) % columns.len()];
    let change = match script.number() % 6 {
        0 => json!({"insert": columns}),
        1 => json!({"modify": columns}),
        2 => json!({"delete": null}),
        3 => json!({"new": columns}),
        4 => json!({"old": columns}),
        _ => json!({"old": {}, "new": columns}),
    };
    let method = if script.number() & 1 == 0 { "update2" } else { "update" };
    json!({"id": null, "method": method, "params": [monitor, {table: {row: change}}]})
}
