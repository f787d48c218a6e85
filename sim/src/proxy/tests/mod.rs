//! A proxy on a bench: servers that live, hang or are dark, clients, and simulated time.

mod checks;
mod sessions;

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::plan;
use crate::socket::{ACCEPTED, Check, CheckKind, DialFailure, Outcome};
use tandem_core::event::LogEvent;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// How a server does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Condition {
    Alive,
    /// Its process is dead; its kernel refuses.
    Refusing,
    /// Its process hangs; its kernel takes connections.
    Hung,
    /// Does not answer.
    Dark,
}

struct Bench {
    now: Time,
    proxy: Proxy,
    /// By the last number of the address.
    servers: BTreeMap<u8, (Condition, &'static str)>,
    checks: BTreeMap<u64, Checking>,
    inputs: VecDeque<Input<Command>>,
    log: Vec<(Time, Event)>,
    /// What goes to connections, in the order in which it went.
    wire: Vec<Output<Event>>,
    clients: u64,
}

struct Checking {
    what: Check,
    begins_at: Time,
    /// What it will have found, and when.
    finds: Option<(Time, Outcome)>,
}

fn listen() -> SocketAddrV4 {
    "10.0.0.100:6640".parse().expect("an address")
}

fn server(name: &str, number: u8) -> Server {
    let at = |port| SocketAddrV4::new([10, 0, 0, number].into(), port);
    Server {
        name: name.into(),
        at: at(6640),
        check_at: at(6650),
        agent_check_at: Some(at(6651)),
        backup: false,
    }
}

fn options(change: impl FnOnce(&mut plan::Proxy)) -> Options {
    let mut proxy = plan::Proxy::default();
    change(&mut proxy);
    Options {
        proxy,
        listens: vec![Listen {
            at: listen(),
            servers: vec![server("a", 1), server("b", 2)],
        }],
        hard_stop_after: SECOND * 600,
    }
}

impl Bench {
    /// Two servers that are alive, and a proxy that has checked them for five seconds.
    fn new(change: impl FnOnce(&mut plan::Proxy)) -> Self {
        let mut bench = Self::with_options(1, options(change));
        bench.run(SECOND * 5);
        bench
    }

    fn with_options(seed: u64, options: Options) -> Self {
        Self {
            now: Time::from_micros(1_000_000),
            proxy: Proxy::new(seed, options),
            servers: [1, 2]
                .map(|number| (number, (Condition::Alive, "ready up 100%")))
                .into(),
            checks: BTreeMap::new(),
            inputs: VecDeque::new(),
            log: Vec::new(),
            wire: Vec::new(),
            clients: 0,
        }
    }

    fn set(&mut self, number: u8, condition: Condition) {
        self.servers.get_mut(&number).expect("a server").0 = condition;
    }

    /// Sets the `agent-check` answer of an agent.
    fn answer(&mut self, number: u8, text: &'static str) {
        self.servers.get_mut(&number).expect("a server").1 = text;
        self.run(SECOND);
    }

    /// A client dials; its connection.
    fn dial(&mut self) -> ConnId {
        self.clients += 1;
        let conn = ConnId(ACCEPTED + self.clients);
        let port = u16::try_from(self.clients).expect("few clients");
        self.handle(Input::Accepted {
            conn,
            at: listen(),
            from: SocketAddrV4::new([10, 0, 1, 1].into(), port),
        });
        conn
    }

    /// Where a client landed.
    fn server_of(&self, client: ConnId) -> &str {
        let mut connections = self.proxy.connections();
        connections
            .find(|connection| connection.client == client && connection.open)
            .map_or("", |found| found.server)
    }

    fn server_conn(&self, client: ConnId) -> ConnId {
        let mut connections = self.proxy.connections();
        let found = connections.find(|connection| connection.client == client);
        found.and_then(|found| found.server_conn).expect("a server")
    }

    fn handle(&mut self, input: Input<Command>) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            self.proxy.handle(self.now, input);
            while let Some(output) = self.proxy.poll_output() {
                self.carry_out(output);
            }
        }
    }

    fn carry_out(&mut self, output: Output<Event>) {
        match output {
            Output::Dial { conn, to } => match self.condition(to) {
                Condition::Alive | Condition::Hung => self.inputs.push_back(Input::Connected { conn }),
                Condition::Refusing => {
                    let why = DialFailure::Refused;
                    self.inputs.push_back(Input::DialFailed { conn, why });
                }
                Condition::Dark => {}
            },
            Output::Check { check, what } => {
                let checking = Checking {
                    begins_at: self.now + what.first,
                    what,
                    finds: None,
                };
                self.checks.insert(check, checking);
            }
            Output::Uncheck { check } => drop(self.checks.remove(&check)),
            Output::Event(event) => self.log.push((self.now, event)),
            output @ (Output::Listen { .. }
            | Output::Unlisten { .. }
            | Output::Send { .. }
            | Output::Read { .. }
            | Output::Finish { .. }
            | Output::Close { .. }
            | Output::Reset { .. }) => self.wire.push(output),
            Output::Multicast { .. } | Output::Hold { .. } | Output::Release { .. } => panic!("no business of a proxy"),
        }
    }

    /// Lets time go by.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.proxy.poll_timeout().map(|deadline| (deadline.at, None));
            let checks = self.checks.iter().map(|(check, checking)| {
                let at = checking.finds.as_ref().map_or(checking.begins_at, |(at, _)| *at);
                (at, Some(*check))
            });
            let Some((at, check)) = checks.chain(due).min().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            match check {
                None => self.handle(Input::Timeout),
                Some(check) => self.advance(check),
            }
        }
        self.now = end;
    }

    /// A check begins or ends.
    fn advance(&mut self, check: u64) {
        let checking = &self.checks[&check];
        let finds = match &checking.finds {
            None => Some(self.find(&checking.what)),
            Some((_, found)) if checking.what.unless.as_ref() == Some(found) => None,
            Some((_, found)) => {
                let outcome = found.clone();
                self.checks.remove(&check);
                return self.handle(Input::Checked { check, outcome });
            }
        };
        let checking = self.checks.get_mut(&check).expect("the same");
        if finds.is_none() {
            checking.begins_at = checking.begins_at + checking.what.every;
        }
        checking.finds = finds;
    }

    fn find(&self, what: &Check) -> (Time, Outcome) {
        let text = self.servers[&what.to.ip().octets()[3]].1;
        match (self.condition(what.to), what.kind) {
            (Condition::Refusing, _) => (self.now, Outcome::Refused),
            (Condition::Dark, _) => (self.now + what.connect_timeout, Outcome::TimedOut),
            (Condition::Alive, CheckKind::Agent) => (self.now, Outcome::AgentCheck(text.into())),
            (Condition::Alive, _) | (Condition::Hung, CheckKind::Connect) => (self.now, Outcome::Passed),
            (Condition::Hung, CheckKind::Echo | CheckKind::Tls | CheckKind::Agent) => {
                (self.now + what.timeout, Outcome::TimedOut)
            }
        }
    }

    fn condition(&self, at: SocketAddrV4) -> Condition {
        self.servers[&at.ip().octets()[3]].0
    }

    /// The words of the events since the last call.
    fn words(&mut self) -> Vec<String> {
        let word = |(_, event): (Time, Event)| format!("{} {event}", event.word());
        std::mem::take(&mut self.log).into_iter().map(word).collect()
    }

    /// What went to connections since the last time.
    fn wire(&mut self) -> Vec<Output<Event>> {
        std::mem::take(&mut self.wire)
    }
}
