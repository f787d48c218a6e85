//! What sessions with switches exported goes when they end: in bounded steps, and never what another session exports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::agent::uplinks::{self, UplinkId};
use tandem_core::agent::{Agent, Input, Output, Why};
use tandem_core::bounds::LOOKS_PER_STEP;
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::event::Route;
use tandem_core::evpn::{Key, Path};
use tandem_core::session::{Command, Notice};
use tandem_core::switch_identity::SwitchRow;
use tandem_core::xmpp::Stanza;
use tandem_core::{CloseReason, ConnId, Generation, Mac, Machine, Peer, Time, Uuid, Vni};

const BLUE: Uuid = Uuid(1);
const MACS: usize = 3 * LOOKS_PER_STEP;
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 9);

fn vni() -> Vni {
    Vni::new(5001).expect("a VNI")
}

fn options() -> SessionOptions {
    SessionOptions {
        routed: true,
        ..SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST)
    }
}

fn mac(number: usize) -> Mac {
    let [.., a, b, c, d] = number.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}

fn route(number: usize) -> Route {
    Route {
        network: BLUE,
        mac: mac(number),
        vtep: OURS,
    }
}

/// An agent with a session with a control node, and the routes that the control node holds.
struct World {
    agent: Agent,
    now: Time,
    parked: Option<(Key, Path)>,
    known: BTreeMap<Key, Path>,
    commands: Vec<(ConnId, Command)>,
    is_drained: bool,
}

impl World {
    fn new() -> Self {
        let network = Network {
            name: "blue".into(),
            vni: vni(),
            remote_macs: BTreeMap::new(),
        };
        let switch = Switch {
            vtep: Some(OURS),
            ports: [("eth1".into(), [(10, BLUE)].into())].into(),
            ..Switch::default()
        };
        let configuration = Configuration {
            session: options(),
            networks: [(BLUE, network)].into(),
            switches: [("tor1".into(), switch)].into(),
        };
        let agent = Agent::new(Arc::new(configuration.clone()), Generation(0)).with_uplinks(uplinks::Options {
            nodes: vec![([10, 0, 0, 1], 5269).into()],
            certificates: Vec::new(),
            session: options(),
            stale_hold: None,
            seed: 1,
        });
        let mut world = Self {
            agent,
            now: Time::ORIGIN,
            parked: None,
            known: BTreeMap::new(),
            commands: Vec::new(),
            is_drained: false,
        };
        world.handle(Input::Configure {
            configuration: Arc::new(configuration),
            complete: true,
        });
        world.uplink(uplinks::Input::Opened {
            id: UplinkId(1),
            name: "control-1".into(),
            ours: true,
            certificate: None,
        });
        world
    }

    fn handle(&mut self, input: Input) {
        self.agent.handle(self.now, input);
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::SendStanza { stanza, .. } => self.send(stanza),
                Output::Command { conn, command } => self.commands.push((conn, command)),
                Output::Drained => self.is_drained = true,
                _ => {}
            }
        }
    }

    fn send(&mut self, stanza: Stanza) {
        match stanza {
            Stanza::Publish { route, .. } => self.parked = Some(*route),
            Stanza::Collection { associate, .. } => {
                let (key, path) = self.parked.take().expect("it was published");
                match associate {
                    true => drop(self.known.insert(key, path)),
                    false => drop(self.known.remove(&key)),
                }
            }
            _ => {}
        }
    }

    fn uplink(&mut self, input: uplinks::Input) {
        self.handle(Input::Uplink(input));
    }

    /// A session with the switch, which may write. Sessions are numbered from 1.
    fn own(&mut self, conn: u64) {
        let peer = Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: None,
        };
        self.handle(Input::Connected {
            conn: ConnId(conn),
            peer,
            accepted_at: self.now,
        });
        let switches = [("tor1".into(), SwitchRow::default())].into();
        self.notify(conn, Notice::Identified { switches });
        self.notify(conn, Notice::MayWrite { locked: true });
    }

    fn notify(&mut self, conn: u64, notice: Notice) {
        self.handle(Input::Session {
            conn: ConnId(conn),
            generation: Generation(conn),
            notice,
        });
    }

    fn has_more(&self) -> bool {
        let due = self.agent.poll_timeout();
        due.is_some_and(|due| matches!(due.why, Why::MoreWork | Why::Uplink(uplinks::Why::MoreWork)))
    }

    /// Goes on while more work is due. Returns how many exported routes went in each step.
    fn work(&mut self) -> Vec<usize> {
        let mut steps = Vec::new();
        while self.has_more() {
            let before = self.exported();
            self.handle(Input::Timeout);
            steps.push(before - self.exported());
        }
        steps
    }

    fn exported(&self) -> usize {
        self.agent.exports().routes().count()
    }

    fn known_macs(&self) -> BTreeSet<Mac> {
        self.known.keys().map(|key| key.mac).collect()
    }

    /// The control node sends every route that it holds.
    fn reflect(&mut self) {
        for (key, path) in self.known.clone() {
            let instance = instance(&virtual_network("blue"));
            self.uplink(uplinks::Input::Received {
                id: UplinkId(1),
                stanza: Stanza::Items {
                    instance,
                    items: vec![(key, path)],
                },
            });
        }
    }
}

fn exported(route: Route) -> Notice {
    let just_learned = true;
    Notice::Exported { route, just_learned }
}

/// The switch has learned every MAC, and the control node holds its routes.
fn filled() -> World {
    let mut world = World::new();
    world.own(1);
    (0..MACS).for_each(|number| world.notify(1, exported(route(number))));
    world.work();
    assert_eq!(world.known.len(), MACS);
    world
}

#[test]
fn a_switch_that_dies_with_many_macs_is_retracted_in_bounded_steps() {
    let mut world = filled();
    world.notify(1, Notice::Closed(CloseReason::ConnectionLost));
    let at_once = MACS - world.exported();
    let mut steps = world.work();
    steps.push(at_once);
    assert!(steps.iter().all(|step| *step <= LOOKS_PER_STEP), "{steps:?}");
    assert_eq!(steps.iter().sum::<usize>(), MACS, "{steps:?}");
    assert!(world.known.is_empty());
}

#[test]
fn a_retraction_takes_nothing_that_a_newer_session_exports_meanwhile() {
    let mut world = filled();
    world.notify(1, Notice::Closed(CloseReason::ConnectionLost));
    world.own(2);
    let kept = [0, MACS / 2, MACS - 1];
    kept.iter().for_each(|number| world.notify(2, exported(route(*number))));
    assert!(world.exported() > kept.len(), "the retraction goes on");
    world.work();
    assert_eq!(world.known_macs(), kept.map(mac).into());
    world.notify(2, Notice::Withdrawn(route(MACS - 1)));
    world.work();
    assert!(!world.known_macs().contains(&mac(MACS - 1)));
}

#[test]
fn a_drain_retracts_nothing_before_it_has_copies_and_ends_after_the_last() {
    let mut world = filled();
    world.reflect();
    world.work();
    world.handle(Input::Drain);
    world.handle(Input::Announced);
    assert!(world.commands.iter().any(|(_, it)| matches!(it, Command::Drain)));
    let held = |world: &World| world.agent.uplinks().expect("uplinks").held().count();
    assert!(held(&world) <= LOOKS_PER_STEP);
    world.notify(1, Notice::Closed(CloseReason::Drained));
    assert_eq!(world.exported(), MACS, "not before all of them have copies");
    let steps = world.work();
    assert!(steps.iter().all(|step| *step <= LOOKS_PER_STEP), "{steps:?}");
    assert_eq!((world.exported(), held(&world)), (0, MACS));
    world.known.retain(|key, _| !key.mac.is_broadcast());
    assert_eq!(world.known.len(), MACS, "a copy of each");
    assert!(world.known.values().all(|path| path.local_preference == 1));
    assert!(!world.is_drained, "another agent has none of them");
    let due = world.agent.poll_timeout().expect("the drain is bounded");
    assert_eq!(due.why, Why::DrainOverdue);
    world.now = due.at;
    world.handle(Input::Timeout);
    assert!(world.is_drained);
}
