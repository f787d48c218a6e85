//! vRouters that are connected with a control host by wires without delay.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::Vni;
use tandem_core::configuration::Network;
use tandem_core::control::{Access, Inventory, UnknownClients};
use tandem_core::event::LogEvent;

use super::*;
use crate::control::{self, ControlHost};
use crate::socket::ACCEPTED;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
const NETWORK: Uuid = Uuid(7);

fn node(number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 4, number), 5269)
}

fn vtep(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, last)
}

fn instances() -> BTreeMap<InstanceName, Uuid> {
    inventory(1, &[]).instances()
}

/// One network with these MACs: control nodes reflect what is configured like what agents publish.
fn inventory(revision: u64, macs: &[(Mac, Ipv4Addr)]) -> Inventory {
    let network = Network {
        name: "net".into(),
        vni: Vni::new(5001).expect("a VNI"),
        remote_macs: macs.iter().copied().collect(),
    };
    Inventory {
        revision,
        networks: [(NETWORK, network)].into(),
        switches: BTreeMap::new(),
        access: Access {
            unknown: UnknownClients::Accept,
            ..Access::default()
        },
    }
}

/// A vRouter and its control nodes; those that are `None` refuse every connection.
struct Wire {
    vrouter: VRouter,
    nodes: Vec<Option<ControlHost>>,
    /// Which node each connection leads to.
    conns: BTreeMap<ConnId, usize>,
    now: Time,
    events: Vec<String>,
    dials: usize,
    to_vrouter: VecDeque<Input<Command>>,
}

/// A connection at its other end.
fn far(conn: ConnId) -> ConnId {
    ConnId(conn.0 ^ ACCEPTED)
}

impl Wire {
    fn new(nodes: u8) -> Self {
        let options = Options {
            name: "vrouter-1".into(),
            control_nodes: (1..=nodes).map(node).collect(),
        };
        let mut wire = Self {
            vrouter: VRouter::new(1, options),
            nodes: (1..=nodes).map(|_| None).collect(),
            conns: BTreeMap::new(),
            now: Time::ORIGIN,
            events: Vec::new(),
            dials: 0,
            to_vrouter: VecDeque::new(),
        };
        wire.handle(Input::Command(Command::Subscribe(instances())));
        wire
    }

    fn start(&mut self, number: usize, inventory: Inventory) {
        let options = control::Options {
            name: format!("control-{}", number + 1),
            listen: node(u8::try_from(number + 1).expect("few")),
            certificates: Default::default(),
            #[cfg(feature = "mutants")]
            mutant: None,
        };
        self.nodes[number] = Some(ControlHost::new(options));
        self.configure(number, inventory);
    }

    fn configure(&mut self, number: usize, inventory: Inventory) {
        let command = control::Command::Configure(Arc::new(inventory));
        let host = self.nodes[number].as_mut().expect("a control node");
        while host.poll_output().is_some() {}
        host.handle(self.now, Input::Command(command));
        self.carry();
    }

    /// The program dies, and its kernel closes its connections.
    fn kill(&mut self, number: usize) {
        self.nodes[number] = None;
        let gone: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, it)| **it == number)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in gone {
            self.conns.remove(&conn);
            self.handle(Input::Lost { conn });
        }
    }

    fn handle(&mut self, input: Input<Command>) {
        self.vrouter.handle(self.now, input);
        self.carry();
    }

    /// Lets time pass, and wakes every machine when it is due.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        loop {
            let hosts = self.nodes.iter().flatten();
            let due = hosts.filter_map(|host| host.poll_timeout().map(|it| it.at));
            let due = due.chain(self.vrouter.poll_timeout().map(|it| it.at)).min();
            let Some(due) = due.filter(|due| *due <= until) else {
                break;
            };
            self.now = self.now.max(due);
            for host in self.nodes.iter_mut().flatten() {
                if host.poll_timeout().is_some_and(|it| it.at <= self.now) {
                    host.handle(self.now, Input::Timeout);
                }
            }
            if self.vrouter.poll_timeout().is_some_and(|it| it.at <= self.now) {
                self.vrouter.handle(self.now, Input::Timeout);
            }
            self.carry();
        }
        self.now = until;
    }

    /// Until no machine has an output left.
    fn carry(&mut self) {
        loop {
            self.drain_vrouter();
            self.drain_nodes();
            let Some(input) = self.to_vrouter.pop_front() else {
                return;
            };
            self.vrouter.handle(self.now, input);
        }
    }

    fn drain_vrouter(&mut self) {
        while let Some(output) = self.vrouter.poll_output() {
            match output {
                Output::Dial { conn, to } => {
                    self.dials += 1;
                    let number = usize::from(to.ip().octets()[3]) - 1;
                    if self.nodes[number].is_none() {
                        let why = DialFailure::Refused;
                        self.to_vrouter.push_back(Input::DialFailed { conn, why });
                        continue;
                    }
                    self.conns.insert(conn, number);
                    let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 5, 1), 40_000);
                    let accepted = Input::Accepted {
                        conn: far(conn),
                        at: to,
                        from,
                    };
                    self.node_input(conn, accepted);
                    self.to_vrouter.push_back(Input::Connected { conn });
                }
                Output::Send { conn, bytes } => {
                    let data = bytes;
                    self.node_input(conn, Input::Bytes { conn: far(conn), data });
                }
                Output::Event(event) => self.events.push(format!("{} {event}", event.word())),
                Output::Close { conn } => drop(self.conns.remove(&conn)),
                other => panic!("a vRouter has no business with {other:?}"),
            }
        }
    }

    fn node_input(&mut self, conn: ConnId, input: Input<control::Command>) {
        self.drain_nodes();
        if let Some(number) = self.conns.get(&conn)
            && let Some(host) = &mut self.nodes[*number]
        {
            host.handle(self.now, input);
        }
    }

    fn drain_nodes(&mut self) {
        for host in self.nodes.iter_mut().flatten() {
            while let Some(output) = host.poll_output() {
                if let Output::Send { conn, bytes } = output {
                    let (conn, data) = (far(conn), bytes);
                    self.to_vrouter.push_back(Input::Bytes { conn, data });
                }
            }
        }
    }

    fn ends(&self, mac: Mac) -> Vec<Ipv4Addr> {
        let paths = self.vrouter.fabric().paths(NETWORK, mac);
        paths.map(|path| path.vtep).collect()
    }
}

#[test]
fn it_keeps_the_routes_of_both_control_nodes() {
    let mut wire = Wire::new(2);
    wire.start(0, inventory(1, &[(MAC, vtep(1))]));
    wire.start(1, inventory(1, &[(MAC, vtep(1)), (OTHER, vtep(2))]));
    wire.pass(5);
    assert_eq!(wire.vrouter.uplinks().collect::<Vec<_>>(), ["control-1", "control-2"]);
    assert_eq!(wire.ends(MAC), [vtep(1), vtep(1)]);
    assert_eq!(wire.ends(OTHER), [vtep(2)]);
}

#[test]
fn a_mac_that_is_taken_back_is_gone_and_one_that_moves_is_at_its_new_tunnel_end() {
    let mut wire = Wire::new(1);
    wire.start(0, inventory(1, &[(MAC, vtep(1)), (OTHER, vtep(1))]));
    wire.pass(5);
    wire.configure(0, inventory(2, &[(MAC, vtep(2))]));
    wire.pass(5);
    assert_eq!(wire.ends(MAC), [vtep(2)]);
    assert!(wire.ends(OTHER).is_empty());
    let imported: Vec<_> = wire.events.iter().filter(|line| line.starts_with("Imported")).collect();
    assert_eq!(imported.len(), 4, "{imported:?}");
}

#[test]
fn stale_routes_stay_until_the_network_is_complete_again() {
    let mut wire = Wire::new(1);
    wire.start(0, inventory(1, &[(MAC, vtep(1)), (OTHER, vtep(1))]));
    wire.pass(5);
    assert!(wire.vrouter.is_complete(NETWORK));
    wire.kill(0);
    wire.pass(5);
    assert!(!wire.vrouter.is_complete(NETWORK));
    assert_eq!(wire.ends(OTHER), [vtep(1)]);
    wire.start(0, inventory(1, &[(MAC, vtep(1))]));
    wire.pass(60);
    assert!(wire.vrouter.is_complete(NETWORK));
    assert_eq!((wire.ends(MAC), wire.ends(OTHER)), (vec![vtep(1)], vec![]));
}

#[test]
fn routes_of_a_lost_control_node_go_if_the_other_has_completed_the_network() {
    let mut wire = Wire::new(2);
    wire.start(0, inventory(1, &[(MAC, vtep(1)), (OTHER, vtep(1))]));
    wire.start(1, inventory(1, &[(MAC, vtep(1))]));
    wire.pass(5);
    wire.kill(0);
    assert_eq!((wire.ends(MAC), wire.ends(OTHER)), (vec![vtep(1)], vec![]));
}

#[test]
fn it_dials_ever_more_rarely_and_then_another_control_node() {
    let mut wire = Wire::new(3);
    wire.start(0, inventory(1, &[]));
    wire.start(2, inventory(1, &[(MAC, vtep(3))]));
    wire.pass(20);
    assert!(wire.dials < 10, "{} dials", wire.dials);
    let mut known: Vec<_> = wire.vrouter.uplinks().collect();
    known.sort_unstable();
    assert_eq!(known, ["control-1", "control-3"]);
    assert_eq!(wire.ends(MAC), [vtep(3)]);
}

#[test]
fn an_unanswered_dial_is_given_up() {
    let options = Options {
        name: "vrouter-1".into(),
        control_nodes: vec![node(1)],
    };
    let mut vrouter = VRouter::new(1, options);
    vrouter.handle(Time::ORIGIN, Input::Command(Command::Subscribe(instances())));
    while vrouter.poll_output().is_some() {}
    let overdue = vrouter.poll_timeout().expect("a deadline");
    assert_eq!((overdue.at, overdue.why), (Time::ORIGIN + DIAL, Why::DialOverdue));
    vrouter.handle(overdue.at, Input::Timeout);
    let outputs: Vec<_> = std::iter::from_fn(|| vrouter.poll_output()).collect();
    assert_eq!(outputs[0], Output::Close { conn: ConnId(1) });
    assert!(vrouter.poll_timeout().is_some_and(|it| it.why == Why::DialDue));
}

#[test]
fn an_unsubscribed_network_is_forgotten_at_once_and_comes_back_complete() {
    let mut wire = Wire::new(1);
    wire.start(0, inventory(1, &[(MAC, vtep(1))]));
    wire.pass(5);
    wire.handle(Input::Command(Command::Subscribe(BTreeMap::new())));
    assert!(wire.ends(MAC).is_empty());
    assert!(!wire.vrouter.is_in(NETWORK));
    wire.handle(Input::Command(Command::Subscribe(instances())));
    wire.pass(5);
    assert_eq!(wire.ends(MAC), [vtep(1)]);
    assert!(wire.vrouter.is_complete(NETWORK));
}

/// What a vRouter sends to a control node that declares this version, and what it makes of every kind of end-of-RIB: that
/// of the older version (no item at all), that of ours, and that of the session.
fn sent_to(version: &str) -> (VRouter, String) {
    let options = Options {
        name: "vrouter-1".into(),
        control_nodes: vec![node(1)],
    };
    let (mut vrouter, conn) = (VRouter::new(1, options), ConnId(1));
    let reply = format!(
        "<?xml version=\"1.0\"?><stream:stream from=\"control-1\" to=\"vrouter-1\" id=\"++123\" version=\"1.0\" \
         xmlns=\"jabber:client\"{version} xmlns:stream=\"http://etherx.jabber.org/streams\" >"
    );
    let message = |items: &str| {
        let event = "<event xmlns=\"http://jabber.org/protocol/pubsub\">";
        format!("<message to=\"vrouter-1/bgp-peer\">{event}{items}</event></message>")
    };
    let (instance, _) = instances().pop_first().expect("an instance");
    let of_instance = |inside: &str| message(&format!("<items node=\"25/242/{instance}\">{inside}</items>"));
    let ends = [
        of_instance(""),
        of_instance("<end-of-rib xmlns=\"urn:tandem:2\">1</end-of-rib>"),
        message("<items node=\"0/0/EndOfRib\"></items>"),
    ];
    let bytes = |text: String| Input::Bytes {
        conn,
        data: text.into_bytes(),
    };
    let mut sent = String::new();
    for input in [
        Input::Command(Command::Subscribe(instances())),
        Input::Connected { conn },
        bytes(reply),
        bytes(ends.concat()),
    ] {
        vrouter.handle(Time::ORIGIN, input);
        while let Some(output) = vrouter.poll_output() {
            if let Output::Send { bytes, .. } = output {
                sent += &String::from_utf8_lossy(&bytes);
            }
        }
    }
    (vrouter, sent)
}

#[test]
fn a_control_node_of_another_version_receives_no_number_and_completes_nothing() {
    let (vrouter, sent) = sent_to(" xmlns:tandem=\"urn:tandem:2\"");
    assert!(
        sent.contains("<subscription xmlns=\"urn:tandem:2\">1</subscription>"),
        "{sent}"
    );
    assert!(vrouter.is_complete(NETWORK));
    for version in ["", " xmlns:tandem=\"urn:tandem\""] {
        let (vrouter, sent) = sent_to(version);
        assert!(sent.contains("<subscribe ") && !sent.contains("urn:tandem"), "{sent}");
        assert!(!vrouter.is_complete(NETWORK), "{version}");
    }
}
