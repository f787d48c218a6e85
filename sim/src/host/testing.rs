//! A host, a switch, and nothing between them: what one end sends is at the other at once.

use std::collections::{BTreeMap, BTreeSet};

use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch as SwitchConfiguration};
use tandem_core::event::{LogEvent, What};
use tandem_core::{Uuid, Vni};

use super::*;
use crate::socket::ACCEPTED;
use crate::switch::{self, SchemaVersion, Switch};
use crate::tls::Tls;

pub(super) const AGENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const OVSDB: SocketAddrV4 = SocketAddrV4::new(AGENT, 6640);
pub(super) const HEALTH: SocketAddrV4 = SocketAddrV4::new(AGENT, 6641);
pub(super) const AGENT_CHECK: SocketAddrV4 = SocketAddrV4::new(AGENT, 6642);
pub(super) const WORK: Duration = Duration::from_millis(4);
pub(super) const TSN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

const TUNNEL_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

/// One network on one switch.
pub(super) fn configuration() -> Arc<Configuration> {
    let network = Network {
        name: "blue".into(),
        vni: Vni::new(5001).expect("a VNI"),
        remote_macs: BTreeMap::new(),
    };
    let tor1 = SwitchConfiguration {
        vtep: Some(TUNNEL_IP),
        ports: [("eth1".into(), [(1, Uuid(1))].into())].into(),
        ..SwitchConfiguration::default()
    };
    Arc::new(Configuration {
        session: SessionOptions::new("agent-a", TSN),
        networks: [(Uuid(1), network)].into(),
        switches: [("tor1".into(), tor1)].into(),
    })
}

/// With a complete configuration.
pub(super) fn options() -> Options {
    Options {
        listen: OVSDB,
        health: HEALTH,
        agent_check: AGENT_CHECK,
        tls_work: WORK,
        configuration: configuration(),
        complete: true,
        generation: Generation(100),
        control_nodes: Vec::new(),
        stale_hold: None,
        pair: false,
        disk: None,
    }
}

/// One thread, one time.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) now: Time,
    pub(super) host: Host,
    pub(super) switch: Switch,
    pub(super) listening: BTreeSet<SocketAddrV4>,
    pub(super) events: Vec<(Time, Event)>,
    /// Connections that the host closed.
    pub(super) closed: BTreeSet<ConnId>,
    /// What arrived in plain.
    pub(super) received_bytes: usize,
    /// The other ends that speak TLS.
    clients: BTreeMap<ConnId, Tls>,
    /// Under way to the host.
    under_way: VecDeque<Input<Command>>,
    accepted: u64,
}

impl Bench {
    pub(super) fn new(seed: u64, options: Options) -> Self {
        let mut switch = Switch::new(7, SchemaVersion::V1_7_0);
        switch
            .add_physical_switch("tor1", &TUNNEL_IP.to_string(), &["eth1"])
            .expect("a switch");
        let mut bench = Self {
            now: Time::ORIGIN,
            host: Host::new(seed, options),
            switch,
            listening: BTreeSet::new(),
            events: Vec::new(),
            closed: BTreeSet::new(),
            received_bytes: 0,
            clients: BTreeMap::new(),
            under_way: VecDeque::new(),
            accepted: ACCEPTED,
        };
        bench.drain();
        bench
    }

    /// Opens a connection that sends nothing by itself.
    pub(super) fn dial(&mut self) -> ConnId {
        let conn = ConnId(self.accepted);
        self.accepted += 1;
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 40_000);
        let at = OVSDB;
        self.handle(Input::Accepted { conn, at, from });
        conn
    }

    /// The switch connects, and everything happens that needs no more than a second.
    pub(super) fn connect(&mut self) -> ConnId {
        let conn = self.dial();
        self.clients.insert(conn, Tls::client(WORK));
        self.pass(Duration::from_secs(1));
        conn
    }

    pub(super) fn handle(&mut self, input: Input<Command>) {
        self.host.handle(self.now, input);
        self.drain();
    }

    pub(super) fn bytes(&mut self, conn: ConnId, data: &[u8]) {
        let data = data.to_vec();
        self.handle(Input::Bytes { conn, data });
    }

    /// Lets everything happen that needs no time.
    pub(super) fn run(&mut self) {
        loop {
            self.wake_clients();
            if let Some(input) = self.under_way.pop_front() {
                self.handle(input);
            } else if self.host.poll_timeout().is_some_and(|deadline| deadline.at <= self.now) {
                self.handle(Input::Timeout);
            } else {
                return;
            }
        }
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            self.run();
            let clients = self.clients.values().filter_map(Tls::poll_timeout);
            let host = self.host.poll_timeout().map(|deadline| deadline.at);
            let Some(next) = clients.chain(host).min().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = next;
        }
    }

    pub(super) fn words(&self) -> Vec<&'static str> {
        self.events.iter().map(|(_, event)| event.word()).collect()
    }

    /// Why sessions and handshakes ended.
    pub(super) fn ends(&self) -> Vec<String> {
        let end = |event: &Event| match event {
            Event::Session(event) => matches!(event.what, What::Closed { .. }).then(|| event.what.to_string()),
            Event::HandshakeFailed { why, .. } | Event::ConnectionRefused { why, .. } => Some(why.to_string()),
            Event::Uplink(_) | Event::Graded(_) | Event::HealthChanged | Event::Drained => None,
        };
        self.events.iter().filter_map(|(_, event)| end(event)).collect()
    }

    fn wake_clients(&mut self) {
        let mut opened = Vec::new();
        for (conn, tls) in &mut self.clients {
            let was_open = tls.is_open();
            tls.wake(self.now);
            while let Some(data) = tls.poll_send() {
                self.under_way.push_back(Input::Bytes { conn: *conn, data });
            }
            if tls.is_open() && !was_open {
                opened.push(*conn);
            }
        }
        for conn in opened {
            self.switch_input(switch::Input::Connected { conn });
        }
    }

    fn switch_input(&mut self, input: switch::Input) {
        self.switch.handle(self.now, input);
        while let Some(output) = self.switch.poll_output() {
            self.under_way.push_back(match output {
                switch::Output::Send { conn, bytes } => Input::Bytes { conn, data: bytes },
                switch::Output::Close { conn, .. } => Input::Finished { conn },
                // It takes everything at once.
                switch::Output::Read { .. } => continue,
            });
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.host.poll_output() {
            match output {
                Output::Listen { at } => drop(self.listening.insert(at)),
                Output::Send { conn, bytes } => self.arrive(conn, bytes),
                Output::Close { conn } => {
                    self.closed.insert(conn);
                    self.clients.remove(&conn);
                    self.switch_input(switch::Input::Closed { conn });
                }
                Output::Event(event) => self.events.push((self.now, event)),
                other => panic!("a host does not do this: {other:?}"),
            }
        }
    }

    fn arrive(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let Some(tls) = self.clients.get_mut(&conn) else {
            return;
        };
        let data = tls.receive(self.now, bytes).unwrap_or_default();
        if !data.is_empty() {
            self.received_bytes += data.len();
            self.switch_input(switch::Input::Bytes { conn, data });
        }
    }
}
