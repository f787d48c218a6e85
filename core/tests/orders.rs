//! Orders of an operator to an agent.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::{Agent, Answer, Input, Order, OrderId, Output, PeerReport, Role, SwitchRole};
use tandem_core::bounds::{ANNOUNCE, MOVE};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::health::Grade;
use tandem_core::ids::{Uuid, Vni};
use tandem_core::session::{Command, Notice};
use tandem_core::switch_identity::SwitchRow;
use tandem_core::{CloseReason, ConnId, Generation, Machine, Peer, SwitchName, Time};

/// An agent with a peer, and sessions with tor1 and tor2 on connections 1 and 2, that may write.
struct Bench {
    agent: Agent,
    now: Time,
    orders: u64,
    /// Of the last input.
    commands: Vec<(u64, String)>,
    answers: Vec<Answer>,
    grades: Vec<Grade>,
}

impl Bench {
    fn new() -> Self {
        let switch = || Switch {
            vtep: None,
            certificate: None,
            ports: BTreeMap::new(),
            sole_manager: false,
            rows_per_transaction_max: None,
        };
        let blue = Network {
            name: "blue".into(),
            vni: Vni::new(5001).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        let configuration = Arc::new(Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: [(Uuid(1), blue)].into(),
            switches: ["tor1", "tor2"].map(|name| (name.into(), switch())).into(),
        });
        let mut bench = Self {
            agent: Agent::new(Arc::clone(&configuration), Generation(0)).with_peer(),
            now: Time::ORIGIN,
            orders: 0,
            commands: vec![],
            answers: vec![],
            grades: vec![],
        };
        bench.handle(Input::Configure {
            configuration,
            complete: true,
        });
        for (conn, switch) in [(1, "tor1"), (2, "tor2")] {
            let peer = Peer {
                address: (Ipv4Addr::LOCALHOST, 1).into(),
                proxied: None,
                certificate: None,
            };
            bench.handle(Input::Connected {
                conn: ConnId(conn),
                peer,
                accepted_at: bench.now,
            });
            let switches = [(switch.into(), SwitchRow::default())].into();
            bench.notice(conn, Notice::Identified { switches });
            bench.notice(conn, Notice::MayWrite { locked: true });
        }
        bench
    }

    fn handle(&mut self, input: Input) {
        self.commands.clear();
        self.grades.clear();
        self.agent.handle(self.now, input);
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Command { conn, command } => match command {
                    Command::HandOver => self.commands.push((conn.0, "drain".into())),
                    Command::Retry => self.commands.push((conn.0, "retry".into())),
                    Command::Confirm => self.commands.push((conn.0, "confirm".into())),
                    _ => {}
                },
                Output::Ordered { id, answer } => {
                    assert!(id.0 < self.orders);
                    self.answers.push(answer);
                }
                Output::Graded { grade, .. } => self.grades.push(grade),
                _ => {}
            }
        }
    }

    fn notice(&mut self, conn: u64, notice: Notice) {
        self.handle(Input::Session {
            conn: ConnId(conn),
            generation: Generation(conn),
            notice,
        });
    }

    /// Gives an order. Returns its answer, if it has one already.
    fn order(&mut self, order: Order) -> Option<Answer> {
        let id = OrderId(self.orders);
        self.orders += 1;
        self.answers.clear();
        self.handle(Input::Order { id, order });
        self.answers.pop()
    }

    /// The other agent reports that it is fit, or not, and owns these switches.
    fn peer_report(&mut self, ready: bool, owned: &[&str]) {
        let role = |name: &&str| {
            let role = SwitchRole {
                role: Role::Active,
                owned: 1,
                ..SwitchRole::default()
            };
            (SwitchName::from(*name), role)
        };
        self.handle(Input::Peer(PeerReport {
            agent: "agent-b".into(),
            grade: Grade::Fit,
            ready,
            switches: owned.iter().map(role).collect(),
        }));
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.handle(Input::Timeout);
    }
}

fn release(switch: &str) -> Order {
    Order::Release { switch: switch.into() }
}

#[test]
fn one_switch_moves_to_the_other_agent_and_the_others_stay() {
    let mut bench = Bench::new();
    bench.peer_report(true, &[]);
    assert_eq!(bench.order(release("tor1")), None, "the answer follows");
    assert_eq!((bench.grades.clone(), bench.commands.len()), (vec![Grade::Draining], 0));
    bench.handle(Input::Announced);
    assert_eq!(bench.commands, [(1, "drain".into())]);
    bench.notice(1, Notice::Closed(CloseReason::Drained));
    assert!(bench.answers.is_empty());
    bench.peer_report(true, &["tor1"]);
    assert_eq!(bench.answers, [Answer::done("tor1 moved to agent-b")]);
    assert_eq!(bench.grades, [Grade::Fit]);
}

#[test]
fn a_switch_that_does_not_reach_the_other_agent_is_taken_again() {
    let mut bench = Bench::new();
    bench.peer_report(true, &[]);
    bench.order(release("tor1"));
    bench.pass(ANNOUNCE);
    assert_eq!(bench.commands, [(1, "drain".into())], "no proxy polls");
    bench.pass(MOVE);
    assert_eq!(bench.answers.last().map(|answer| answer.ok), Some(false));
    assert_eq!(bench.grades, [Grade::Fit]);
}

#[test]
fn no_switch_is_released_without_a_fit_agent_that_takes_it() {
    let mut bench = Bench::new();
    let refused = |bench: &mut Bench, switch: &str| {
        let answer = bench.order(release(switch)).expect("an answer at once");
        assert!(!answer.ok && bench.grades.is_empty(), "{answer:?}");
        answer.text
    };
    assert!(refused(&mut bench, "tor1").contains("is not fit"));
    bench.peer_report(false, &[]);
    assert!(refused(&mut bench, "tor1").contains("is not fit"));
    bench.peer_report(true, &[]);
    assert!(refused(&mut bench, "tor9").contains("not configured"));
    bench.notice(2, Notice::Closed(CloseReason::Silent));
    assert!(refused(&mut bench, "tor2").contains("no session"));
}

#[test]
fn every_switch_leaves_until_the_agent_is_to_resume_and_the_process_stays() {
    let mut bench = Bench::new();
    let answer = bench.order(Order::Drain).expect("an answer");
    assert!(
        answer.ok && answer.text.contains("2 owned switches") && answer.text.contains("no other agent"),
        "{answer:?}"
    );
    assert_eq!(bench.grades, [Grade::Draining]);
    let again = bench.order(Order::Drain).expect("an answer").text;
    assert_eq!(
        again,
        "the agent drains already: 2 owned switches are still to be released"
    );
    bench.handle(Input::Announced);
    assert_eq!(bench.commands.len(), 2);
    for conn in [1, 2] {
        bench.notice(conn, Notice::Closed(CloseReason::Drained));
    }
    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.agent.grade(), Grade::Draining);
    assert_eq!(bench.order(Order::Resume).map(|answer| answer.ok), Some(true));
    assert_eq!(bench.grades, [Grade::Fit]);
}

#[test]
fn quarantined_objects_are_retried_at_one_switch_or_at_all() {
    let mut bench = Bench::new();
    let switch = Some("tor2".into());
    assert_eq!(bench.order(Order::Retry { switch }).map(|answer| answer.ok), Some(true));
    assert_eq!(bench.commands, [(2, "retry".into())]);
    assert_eq!(
        bench.order(Order::Retry { switch: None }).map(|answer| answer.ok),
        Some(true)
    );
    assert_eq!(bench.commands.len(), 2);
    let switch = Some("tor9".into());
    assert_eq!(
        bench.order(Order::Retry { switch }).map(|answer| answer.ok),
        Some(false)
    );
}

#[test]
fn deletions_are_confirmed_at_the_owner_of_a_switch_and_refused_at_a_standby() {
    let mut bench = Bench::new();
    let confirm = || Order::Confirm {
        switch: Some("tor2".into()),
    };
    assert_eq!(bench.order(confirm()), None, "the answer follows");
    assert_eq!(bench.commands, [(2, "confirm".into())]);
    let networks = [Uuid(1), Uuid(2)].into();
    bench.notice(
        2,
        Notice::Confirmed {
            deletions: 40,
            networks,
        },
    );
    let second = Uuid(2);
    let released = Answer::done(format!("tor2: 40 withheld rows of networks blue, {second} released"));
    assert_eq!(bench.answers, [released]);
    assert_eq!(bench.order(confirm()), None);
    bench.notice(2, Notice::Closed(CloseReason::Silent));
    assert_eq!(
        bench.answers.last().map(|answer| answer.ok),
        Some(false),
        "it never answers"
    );
    bench.peer_report(true, &["tor2"]);
    bench.handle(Input::Connected {
        conn: ConnId(3),
        peer: Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: None,
        },
        accepted_at: bench.now,
    });
    let switches = [("tor2".into(), SwitchRow::default())].into();
    bench.notice(3, Notice::Identified { switches });
    let answer = bench.order(confirm()).expect("an answer");
    assert_eq!(
        answer,
        Answer::refused("this agent does not own tor2: confirm at agent-b")
    );
    assert!(bench.commands.is_empty());
}

#[test]
fn without_a_switch_the_answer_counts_over_every_owned_one_and_names_the_agent_of_the_others() {
    let mut bench = Bench::new();
    bench.notice(2, Notice::Closed(CloseReason::Silent));
    bench.peer_report(true, &["tor2"]);
    assert_eq!(bench.order(Order::Confirm { switch: None }), None, "the answer follows");
    assert_eq!(bench.commands, [(1, "confirm".into())]);
    bench.notice(
        1,
        Notice::Confirmed {
            deletions: 0,
            networks: [].into(),
        },
    );
    let none = "nothing is withheld at tor1; agent-b owns 1 switch: confirm there, too";
    assert_eq!(bench.answers, [Answer::done(none)]);
}
