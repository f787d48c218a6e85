//! Two switches of one name at the two agents of a pair; the test plays the sessions with the switches.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::agent::{Agent, Input, Output, What};
use tandem_core::configuration::{Configuration, SessionOptions, Switch};
use tandem_core::machine::{Certificate, Fingerprint};
use tandem_core::session::{Command, Notice};
use tandem_core::switch_identity::SwitchRow;
use tandem_core::{CloseReason, ConnId, Generation, Machine, Peer, SwitchName, Time, Uuid};

const VTEP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const CONN: ConnId = ConnId(1);

/// A pair of agents on a link without delay.
struct Pair {
    now: Time,
    agents: [Agent; 2],
    /// The commands to the session of each agent.
    commands: [Vec<Command>; 2],
    reports: [Vec<What>; 2],
    /// Whether the switch of each agent answers probes.
    alive: [bool; 2],
    /// The certificate that switches present.
    certificate: Option<Certificate>,
}

impl Pair {
    fn new() -> Self {
        let switch = Switch {
            vtep: Some(VTEP),
            ..Switch::default()
        };
        let agent = |name: &str| {
            let configuration = Arc::new(Configuration {
                session: SessionOptions::new(name, Ipv4Addr::LOCALHOST),
                networks: BTreeMap::new(),
                switches: [("tor1".into(), switch.clone())].into(),
            });
            let mut agent = Agent::new(Arc::clone(&configuration), Generation(0)).with_peer();
            let complete = true;
            agent.handle(
                Time::ORIGIN,
                Input::Configure {
                    configuration,
                    complete,
                },
            );
            while agent.poll_output().is_some() {}
            agent
        };
        Self {
            now: Time::ORIGIN,
            agents: [agent("agent-a"), agent("agent-b")],
            commands: [Vec::new(), Vec::new()],
            reports: [Vec::new(), Vec::new()],
            alive: [true, true],
            certificate: None,
        }
    }

    fn input(&mut self, agent: usize, input: Input) {
        self.agents[agent].handle(self.now, input);
        let (mut to_peer, mut answers) = (Vec::new(), Vec::new());
        while let Some(output) = self.agents[agent].poll_output() {
            match output {
                Output::SendPeer(report) => to_peer.push(report),
                Output::Pair(what) => self.reports[agent].push(what),
                Output::Command { command, .. } => {
                    answers.extend(answer(&command, self.alive[agent]));
                    self.commands[agent].push(command);
                }
                _ => {}
            }
        }
        for report in to_peer {
            self.input(1 - agent, Input::Peer(report));
        }
        for notice in answers {
            self.notify(agent, notice);
        }
    }

    fn notify(&mut self, agent: usize, notice: Notice) {
        let generation = self.agents[agent].generation(CONN);
        let Some(generation) = generation else { return };
        self.input(
            agent,
            Input::Session {
                conn: CONN,
                generation,
                notice,
            },
        );
    }

    /// A switch connects to an agent, and names itself.
    fn connect(&mut self, agent: usize, row: u128, tunnel_ip: Ipv4Addr) {
        let peer = Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: self.certificate.clone(),
        };
        let accepted_at = self.now;
        self.input(
            agent,
            Input::Connected {
                conn: CONN,
                peer,
                accepted_at,
            },
        );
        let row = SwitchRow {
            row: Uuid(row),
            tunnel_ips: vec![tunnel_ip],
        };
        let switches = [(SwitchName::from("tor1"), row)].into();
        self.notify(agent, Notice::Identified { switches });
    }

    fn is_cleared(&self, agent: usize) -> bool {
        self.commands[agent]
            .iter()
            .any(|command| matches!(command, Command::Clear))
    }

    fn is_barred(&self, agent: usize) -> bool {
        self.commands[agent]
            .iter()
            .any(|command| matches!(command, Command::Bar(_)))
    }

    fn duplicates(&self, agent: usize) -> usize {
        let reports = self.reports[agent].iter();
        reports.filter(|what| matches!(what, What::Duplicate { .. })).count()
    }
}

fn certificate(byte: u8) -> Option<Certificate> {
    Some(Certificate {
        fingerprint: Fingerprint([byte; 32]),
        names: Vec::new(),
        identities: Vec::new(),
        not_after_unix_s: 0,
        pinned_only: false,
    })
}

/// The session of a switch that is alive.
fn answer(command: &Command, is_alive: bool) -> Option<Notice> {
    match command {
        Command::Clear => Some(Notice::MayWrite { locked: true }),
        Command::Probe(probe) if is_alive => Some(Notice::Alive { probe: *probe }),
        Command::Close(why) => Some(Notice::Closed(why.reason)),
        _ => None,
    }
}

#[test]
fn a_second_switch_at_the_other_agent_is_barred_and_both_agents_report_it() {
    let mut pair = Pair::new();
    pair.connect(0, 1, VTEP);
    assert!(pair.is_cleared(0));
    pair.connect(1, 2, ELSEWHERE);
    assert!(pair.is_barred(1) && !pair.is_cleared(1));
    assert_eq!([pair.duplicates(0), pair.duplicates(1)], [1, 1]);
    assert!(
        !pair.commands[0]
            .iter()
            .any(|command| matches!(command, Command::Close(_)))
    );
}

#[test]
fn the_switch_at_the_configured_tunnel_end_ends_the_session_of_the_other_agent_with_the_stranger() {
    let mut pair = Pair::new();
    pair.connect(0, 1, ELSEWHERE);
    pair.connect(1, 2, VTEP);
    assert!(pair.is_cleared(1), "it waits for nothing");
    let closed = |command: &Command| matches!(command, Command::Close(why) if why.reason == CloseReason::Duplicate);
    assert!(pair.commands[0].iter().any(closed));
    pair.connect(0, 1, ELSEWHERE);
    assert!(pair.is_barred(0));
}

#[test]
fn a_session_at_the_other_agent_that_may_be_dead_is_waited_for_and_nothing_is_reported() {
    let mut pair = Pair::new();
    pair.connect(0, 1, VTEP);
    pair.alive[0] = false;
    pair.connect(1, 2, VTEP);
    assert!(!pair.is_cleared(1) && !pair.is_barred(1));
    pair.notify(0, Notice::Closed(CloseReason::Silent));
    assert!(pair.is_cleared(1));
    assert_eq!([pair.duplicates(0), pair.duplicates(1)], [0, 0]);
}

#[test]
fn the_same_switch_at_both_agents_waits_for_no_clearance() {
    let mut pair = Pair::new();
    pair.connect(0, 1, VTEP);
    pair.connect(1, 1, VTEP);
    assert!(pair.is_cleared(1));
    assert_eq!([pair.duplicates(0), pair.duplicates(1)], [0, 0]);
}

#[test]
fn a_switch_waits_three_seconds_for_its_clearance_at_most() {
    let mut pair = Pair::new();
    pair.connect(0, 1, VTEP);
    pair.alive[0] = false;
    pair.connect(1, 2, VTEP);
    while !pair.is_cleared(1) && pair.now < Time::from_micros(10_000_000) {
        let due = pair
            .agents
            .iter()
            .filter_map(|agent| agent.poll_timeout().map(|due| due.at));
        pair.now = due.min().expect("a deadline").max(pair.now);
        (0..2).for_each(|agent| pair.input(agent, Input::Timeout));
    }
    assert_eq!(pair.now, Time::from_micros(3_000_000));
}

#[test]
fn a_copy_of_the_database_at_the_other_agent_is_barred_before_it_is_written_to() {
    let mut pair = Pair::new();
    pair.certificate = certificate(1);
    pair.connect(0, 1, VTEP);
    assert!(pair.is_cleared(0));
    pair.certificate = certificate(2);
    pair.connect(1, 1, VTEP);
    assert!(!pair.is_cleared(1), "a certificate of its own");
    assert_eq!([pair.duplicates(0), pair.duplicates(1)], [0, 0]);
    pair.notify(1, Notice::Granted);
    assert!(pair.is_barred(1) && !pair.is_cleared(1));
    assert_eq!([pair.duplicates(0), pair.duplicates(1)], [1, 1]);
}

#[test]
fn a_copy_with_another_tunnel_end_is_barred_and_the_right_switch_is_not() {
    let mut pair = Pair::new();
    pair.connect(0, 1, ELSEWHERE);
    pair.connect(1, 1, VTEP);
    assert!(pair.is_cleared(1));
    let mut pair = Pair::new();
    pair.connect(0, 1, VTEP);
    pair.connect(1, 1, ELSEWHERE);
    pair.notify(1, Notice::Granted);
    assert!(pair.is_barred(1));
}

#[test]
fn a_switch_with_a_new_certificate_that_waits_for_the_lock_is_no_copy() {
    let mut pair = Pair::new();
    pair.certificate = certificate(1);
    pair.connect(0, 1, VTEP);
    pair.certificate = certificate(2);
    pair.connect(1, 1, VTEP);
    for seconds in 1..=3 {
        assert!(!pair.is_cleared(1) && !pair.is_barred(1));
        assert_eq!([pair.duplicates(0), pair.duplicates(1)], [0, 0]);
        pair.now = Time::from_micros(seconds * 1_000_000);
        (0..2).for_each(|agent| pair.input(agent, Input::Timeout));
    }
    assert!(pair.is_cleared(1), "it waits for the lock");
}
