//! One switch and the sessions that its connections have, in one thread.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch as SwitchConfiguration};
use tandem_core::event::{Event, LogEvent, What};
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::session::{Command, Input, Notice, Opening, Output, Session};
use tandem_core::{ConnId, Generation, Mac, Machine, Peer, Time, Uuid, Vni};
use tandem_sim::switch::{Input as SwitchInput, Options, Output as SwitchOutput, SchemaVersion, Switch};

pub(crate) const TSN_A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);
pub(crate) const TSN_B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 12);
pub(crate) const TUNNEL_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

/// The world.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) switch: Switch,
    pub(crate) sessions: BTreeMap<ConnId, Session>,
    pub(crate) events: Vec<Event>,
    /// The notices of sessions to their agent, until the agent takes them.
    pub(crate) notices: Vec<(ConnId, Generation, Notice)>,
    /// Bytes under way, in order.
    pub(crate) to_switch: BTreeMap<ConnId, VecDeque<u8>>,
    pub(crate) to_session: BTreeMap<ConnId, VecDeque<u8>>,
    /// Everything that each session ever sent, message by message.
    pub(crate) sent: BTreeMap<ConnId, Vec<Value>>,
    connections: u64,
    /// There is no agent: each session is cleared when it has identified its switch.
    pub(crate) clears: bool,
}

impl World {
    /// A switch `tor1` with the ports `eth1` and `eth2`.
    pub(crate) fn new() -> Self {
        Self::with(Options::new(SchemaVersion::V1_7_0))
    }

    pub(crate) fn with(options: Options) -> Self {
        let mut switch = Switch::with_options(7, options);
        switch
            .add_physical_switch("tor1", &TUNNEL_IP.to_string(), &["eth1", "eth2"])
            .expect("a switch");
        Self::of(switch)
    }

    pub(crate) fn of(switch: Switch) -> Self {
        Self {
            now: Time::ORIGIN,
            switch,
            sessions: BTreeMap::new(),
            events: Vec::new(),
            notices: Vec::new(),
            to_switch: BTreeMap::new(),
            to_session: BTreeMap::new(),
            sent: BTreeMap::new(),
            connections: 0,
            clears: true,
        }
    }

    /// The switch connects to an agent with this configuration.
    pub(crate) fn connect(&mut self, configuration: &Configuration) -> ConnId {
        self.open(configuration, true, true)
    }

    pub(crate) fn open(&mut self, configuration: &Configuration, complete: bool, fit: bool) -> ConnId {
        self.connections += 1;
        let conn = ConnId(self.connections);
        let opening = Opening {
            conn,
            generation: Generation(self.connections),
            peer: Peer {
                address: SocketAddr::from(([192, 0, 2, 1], 6640)),
                proxied: None,
                certificate: None,
            },
            accepted_at: self.now,
            configuration: Arc::new(configuration.clone()),
            complete,
            fit,
        };
        self.connect_with(conn, opening)
    }

    pub(crate) fn connect_with(&mut self, conn: ConnId, opening: Opening) -> ConnId {
        self.adopt(conn, Session::new(self.now, opening))
    }

    /// The switch connects, and this session is at the other end.
    pub(crate) fn adopt(&mut self, conn: ConnId, session: Session) -> ConnId {
        self.sessions.insert(conn, session);
        self.to_switch.insert(conn, VecDeque::new());
        self.to_session.insert(conn, VecDeque::new());
        self.switch_input(SwitchInput::Connected { conn });
        self.drain_session(conn);
        conn
    }

    /// Connects, and lets everything happen that needs no time.
    pub(crate) fn manage(&mut self, configuration: &Configuration) -> ConnId {
        let conn = self.connect(configuration);
        self.run();
        conn
    }

    pub(crate) fn command(&mut self, conn: ConnId, command: Command) {
        self.session_input(conn, Input::Command(command));
    }

    pub(crate) fn configure(&mut self, conn: ConnId, configuration: &Configuration) {
        let configuration = Arc::new(configuration.clone());
        let complete = true;
        self.command(
            conn,
            Command::Configure {
                configuration,
                complete,
            },
        );
        self.run();
    }

    /// The connection breaks, and both ends notice.
    pub(crate) fn disconnect(&mut self, conn: ConnId) {
        self.session_input(conn, Input::Closed(CloseWhy::new(CloseReason::PeerClosed, "cut")));
        self.cut(conn);
    }

    /// Another program writes to the database; answers the results.
    pub(crate) fn local(&mut self, operations: Value) -> Value {
        let results = self.switch.local(self.now, operations);
        self.drain_switch();
        results
    }

    /// The same, and everything must be applied.
    pub(crate) fn edit(&mut self, operations: Value) {
        let results = self.local(operations);
        let failed = results
            .as_array()
            .expect("results")
            .iter()
            .any(|result| result.get("error").is_some());
        assert!(!failed, "{results}");
    }

    /// A client of the database that is no session of ours; its answers are not looked at.
    pub(crate) fn client(&mut self) -> ConnId {
        self.connections += 1;
        let conn = ConnId(self.connections);
        self.switch_input(SwitchInput::Connected { conn });
        conn
    }

    pub(crate) fn client_sends(&mut self, conn: ConnId, message: &Value) {
        let data = message.to_string().into_bytes();
        self.switch_input(SwitchInput::Bytes { conn, data });
    }

    pub(crate) fn client_leaves(&mut self, conn: ConnId) {
        self.switch_input(SwitchInput::Closed { conn });
    }

    /// Lets everything happen that needs no time.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            let delivered = self.deliver_all();
            let worked = self.wake_sessions();
            if !delivered && !worked {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets time pass, from deadline to deadline.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            self.run();
            let sessions = self
                .sessions
                .values()
                .filter_map(|session| session.poll_timeout().map(|deadline| deadline.at));
            let switch = self.switch.poll_timeout().map(|deadline| deadline.at);
            let next = sessions.chain(switch).min().filter(|at| *at <= until);
            let Some(next) = next else {
                self.now = until;
                return;
            };
            self.now = next.max(self.now);
            self.wake_sessions();
            if switch.is_some_and(|at| at <= self.now) {
                self.switch_input(SwitchInput::Timeout);
            }
        }
    }

    fn deliver_all(&mut self) -> bool {
        let conns: Vec<ConnId> = self.to_switch.keys().copied().collect();
        let mut delivered = false;
        for conn in conns {
            delivered |= self.deliver_to_switch(conn, usize::MAX);
            delivered |= self.deliver_to_session(conn, usize::MAX);
        }
        delivered
    }

    pub(crate) fn deliver_to_switch(&mut self, conn: ConnId, bytes: usize) -> bool {
        let Some(data) = take(self.to_switch.get_mut(&conn), bytes) else {
            return false;
        };
        self.switch_input(SwitchInput::Bytes { conn, data });
        true
    }

    pub(crate) fn deliver_to_session(&mut self, conn: ConnId, bytes: usize) -> bool {
        let Some(data) = take(self.to_session.get_mut(&conn), bytes) else {
            return false;
        };
        self.session_input(conn, Input::Bytes(data));
        true
    }

    /// Wakes every session whose time has come.
    pub(crate) fn wake_sessions(&mut self) -> bool {
        let due = |session: &&Session| session.poll_timeout().is_some_and(|deadline| deadline.at <= self.now);
        let due: Vec<ConnId> = self
            .sessions
            .iter()
            .filter(|(_, session)| due(session))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in &due {
            self.session_input(*conn, Input::Timeout);
        }
        !due.is_empty()
    }

    pub(crate) fn session_input(&mut self, conn: ConnId, input: Input) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.handle(self.now, input);
            self.drain_session(conn);
        }
    }

    fn drain_session(&mut self, conn: ConnId) {
        let mut identified = false;
        while let Some(output) = self.sessions.get_mut(&conn).and_then(Session::poll_output) {
            match output {
                Output::Send(bytes) => {
                    let message = serde_json::from_slice(&bytes).expect("a session sends JSON");
                    self.sent.entry(conn).or_default().push(message);
                    if let Some(stream) = self.to_switch.get_mut(&conn) {
                        stream.extend(bytes);
                    }
                }
                Output::Close(_) => self.cut(conn),
                Output::Notify(notice) => {
                    identified |= matches!(notice, Notice::Identified { .. });
                    let generation = self.sessions.get(&conn).map(Session::generation);
                    self.notices
                        .extend(generation.map(|generation| (conn, generation, notice)));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
        if identified && self.clears {
            self.command(conn, Command::Clear);
        }
    }

    pub(crate) fn switch_input(&mut self, input: SwitchInput) {
        self.switch.handle(self.now, input);
        self.drain_switch();
    }

    fn drain_switch(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                SwitchOutput::Send { conn, bytes } => {
                    if let Some(stream) = self.to_session.get_mut(&conn) {
                        stream.extend(bytes);
                    }
                }
                SwitchOutput::Close { conn, .. } => self.disconnect(conn),
                SwitchOutput::Read { .. } => {}
            }
        }
    }

    fn cut(&mut self, conn: ConnId) {
        self.sessions.remove(&conn);
        self.to_session.remove(&conn);
        if self.to_switch.remove(&conn).is_some() {
            self.switch_input(SwitchInput::Closed { conn });
        }
    }

    /// Whether something like this happened.
    pub(crate) fn happened(&self, what: impl Fn(&What) -> bool) -> bool {
        self.events.iter().any(|event| what(&event.what))
    }

    /// The words of what happened, in order.
    pub(crate) fn words(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.what.word()).collect()
    }

    /// Transactions that the agents committed since this was asked last: (comment, rows changed).
    pub(crate) fn commits(&mut self) -> Vec<(String, usize)> {
        let commits = self.switch.take_commits().into_iter();
        let ours = commits.filter(|commit| !commit.comments.is_empty());
        ours.map(|commit| (commit.comments.join(" "), commit.changes.len()))
            .collect()
    }
}

fn take(stream: Option<&mut VecDeque<u8>>, bytes: usize) -> Option<Vec<u8>> {
    let stream = stream?;
    let bytes = bytes.min(stream.len());
    (bytes > 0).then(|| stream.drain(..bytes).collect())
}

/// Network `n` has this UUID.
pub(crate) fn network(n: u32) -> Uuid {
    Uuid(u128::from(n))
}

pub(crate) fn name(n: u32) -> String {
    format!("Contrail-{}", network(n))
}

pub(crate) fn mac(n: u32) -> Mac {
    let [_, a, b, c] = n.to_be_bytes();
    Mac([2, 0, 0, a, b, c])
}

pub(crate) fn vtep(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 9, n)
}

/// A configuration under construction.
pub(crate) struct Wanted(pub(crate) Configuration);

impl Wanted {
    /// Of `agent-a`, with nothing in it but the switch `tor1`.
    pub(crate) fn new() -> Self {
        let switch = SwitchConfiguration {
            vtep: Some(TUNNEL_IP),
            ..SwitchConfiguration::default()
        };
        Self(Configuration {
            session: SessionOptions::new("agent-a", TSN_A),
            networks: BTreeMap::new(),
            switches: [("tor1".into(), switch)].into(),
        })
    }

    /// Network `n`, bound to `eth1` with VLAN `n`.
    pub(crate) fn network(self, n: u32, vni: u32) -> Self {
        let vlan = u16::try_from(n).expect("a VLAN");
        self.unbound(n, vni).bind("eth1", vlan, n)
    }

    pub(crate) fn unbound(mut self, n: u32, vni: u32) -> Self {
        let it = Network {
            name: n.to_string(),
            vni: Vni::new(vni).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        self.0.networks.insert(network(n), it);
        self
    }

    pub(crate) fn bind(mut self, port: &str, vlan: u16, n: u32) -> Self {
        let switch = self.0.switches.get_mut(&"tor1".into()).expect("tor1");
        switch.ports.entry(port.into()).or_default().insert(vlan, network(n));
        self
    }

    pub(crate) fn mac(mut self, n: u32, mac: Mac, vtep: Ipv4Addr) -> Self {
        self.0
            .networks
            .get_mut(&network(n))
            .expect("the network")
            .remote_macs
            .insert(mac, vtep);
        self
    }

    pub(crate) fn macs(self, n: u32, count: u32) -> Self {
        (0..count).fold(self, |wanted, i| {
            wanted.mac(n, mac(i), vtep(u8::try_from(i % 4).expect("small")))
        })
    }

    pub(crate) fn agent_b(mut self) -> Self {
        self.0.session.agent = "agent-b".into();
        self.0.session.tsn = TSN_B;
        self
    }
}

/// Operations on the database as other programs write them.
pub(crate) mod ops {
    use super::*;

    pub(crate) fn logical_switch(name: &str, vni: u32) -> Value {
        json!({"op": "insert", "table": "Logical_Switch", "uuid-name": "ls", "row": {"name": name, "tunnel_key": vni}})
    }

    pub(crate) fn locator(uuid_name: &str, vtep: Ipv4Addr) -> Value {
        let row = json!({"dst_ip": vtep.to_string(), "encapsulation_type": "vxlan_over_ipv4"});
        json!({"op": "insert", "table": "Physical_Locator", "uuid-name": uuid_name, "row": row})
    }

    pub(crate) fn set(uuid_name: &str, locator: &str) -> Value {
        let row = json!({"locators": ["named-uuid", locator]});
        json!({"op": "insert", "table": "Physical_Locator_Set", "uuid-name": uuid_name, "row": row})
    }

    pub(crate) fn mcast(table: &str, mac: &str, logical_switch: &Value, set: &str) -> Value {
        let row = json!({"MAC": mac, "logical_switch": logical_switch, "locator_set": ["named-uuid", set]});
        json!({"op": "insert", "table": table, "row": row})
    }

    pub(crate) fn ucast(table: &str, mac: &str, logical_switch: &Value, locator: &Value) -> Value {
        json!({"op": "insert", "table": table, "row": {"MAC": mac, "logical_switch": logical_switch, "locator": locator}})
    }

    pub(crate) fn named(name: &str) -> Value {
        json!(["named-uuid", name])
    }

    pub(crate) fn uuid(row: Uuid) -> Value {
        json!(["uuid", row.to_string()])
    }

    pub(crate) fn delete(table: &str, row: Uuid) -> Value {
        json!({"op": "delete", "table": table, "where": [["_uuid", "==", uuid(row)]]})
    }
}

/// A logical switch with a broadcast row at `tsn` and remote MACs, as another agent would have left it.
pub(crate) fn leave_behind(world: &mut World, ls: &str, vni: u32, tsn: Ipv4Addr, macs: &[(String, Ipv4Addr)]) {
    let places: std::collections::BTreeSet<Ipv4Addr> = macs.iter().map(|(_, vtep)| *vtep).chain([tsn]).collect();
    let mut operations = vec![ops::logical_switch(ls, vni)];
    let locator = |vtep: &Ipv4Addr| format!("l{}", vtep.to_bits());
    for place in &places {
        match find_locator(world, *place) {
            Some(_) => {}
            None => operations.push(ops::locator(&locator(place), *place)),
        }
    }
    let reference = |world: &World, vtep: Ipv4Addr| match find_locator(world, vtep) {
        Some(row) => ops::uuid(row),
        None => ops::named(&locator(&vtep)),
    };
    let set_row = json!({"locators": reference(world, tsn)});
    operations.push(json!({"op": "insert", "table": "Physical_Locator_Set", "uuid-name": "set", "row": set_row}));
    operations.push(ops::mcast("Mcast_Macs_Remote", "unknown-dst", &ops::named("ls"), "set"));
    for (mac, vtep) in macs {
        operations.push(ops::ucast(
            "Ucast_Macs_Remote",
            mac,
            &ops::named("ls"),
            &reference(world, *vtep),
        ));
    }
    world.edit(Value::Array(operations));
}

pub(crate) fn find_locator(world: &World, vtep: Ipv4Addr) -> Option<Uuid> {
    let text = vtep.to_string();
    let mut rows = world.switch.rows("Physical_Locator");
    rows.find(|(_, row)| row.text("dst_ip") == Some(&text))
        .map(|(row, _)| row)
}

pub(crate) fn find_logical_switch(world: &World, name: &str) -> Option<Uuid> {
    let mut rows = world.switch.rows("Logical_Switch");
    rows.find(|(_, row)| row.text("name") == Some(name)).map(|(row, _)| row)
}

pub(crate) fn find_port(world: &World, name: &str) -> Option<Uuid> {
    let mut rows = world.switch.rows("Physical_Port");
    rows.find(|(_, row)| row.text("name") == Some(name)).map(|(row, _)| row)
}

pub(crate) fn find_remote(world: &World, mac: &str) -> Vec<Uuid> {
    let rows = world.switch.rows("Ucast_Macs_Remote");
    rows.filter(|(_, row)| row.text("MAC") == Some(mac))
        .map(|(row, _)| row)
        .collect()
}

/// The switch learns a MAC behind its own tunnel end.
pub(crate) fn learn(world: &mut World, ls: &str, mac: Mac, at: Ipv4Addr) {
    let ls = ops::uuid(find_logical_switch(world, ls).expect("a logical switch"));
    let mut operations = Vec::new();
    let locator = match find_locator(world, at) {
        Some(row) => ops::uuid(row),
        None => {
            operations.push(ops::locator("l", at));
            ops::named("l")
        }
    };
    operations.push(ops::ucast("Ucast_Macs_Local", &mac.to_string(), &ls, &locator));
    world.edit(Value::Array(operations));
    world.run();
}
