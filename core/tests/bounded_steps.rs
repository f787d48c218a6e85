//! What one input may cost, counted in outputs: a step that is too long makes a healthy agent look hung.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::Served;
use tandem_core::agent::uplinks::{Change, Input, Options, Output, UplinkId, Uplinks, Why};
use tandem_core::bounds::LOOKS_PER_STEP;
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::event::Route;
use tandem_core::evpn::{InstanceName, Key, NextHop, Path};
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::xmpp::Stanza;
use tandem_core::{Mac, Machine, Time, Uuid, Vni};

const BLUE: Uuid = Uuid(1);
const MACS: usize = 5 * LOOKS_PER_STEP;
/// The tunnel end of our switch.
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 9);
const HOLD: Duration = Duration::from_secs(30);

fn blue() -> InstanceName {
    instance(&virtual_network("blue"))
}

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

fn died() -> CloseWhy {
    CloseWhy::new(CloseReason::ConnectionLost, "it died")
}

/// A switch in the network, or in none.
fn configuration(takes_part: bool) -> Input {
    let network = Network {
        name: "blue".into(),
        vni: vni(),
        remote_macs: BTreeMap::new(),
    };
    let bindings = if takes_part {
        [(10, BLUE)].into()
    } else {
        BTreeMap::new()
    };
    let switch = Switch {
        vtep: Some(OURS),
        ports: [("eth1".into(), bindings)].into(),
        ..Switch::default()
    };
    Input::Configured(Arc::new(Configuration {
        session: options(),
        networks: [(BLUE, network)].into(),
        switches: [("tor1".into(), switch)].into(),
    }))
}

/// What a step did.
#[derive(Debug, Default)]
struct Step {
    /// MACs whose best path changed.
    imported: usize,
    /// Networks that are complete now, or not any more.
    complete: Vec<bool>,
}

/// The uplinks of an agent with sessions of two control nodes, and the numbers of the subscriptions of each.
struct Agent {
    uplinks: Uplinks,
    numbers: BTreeMap<UplinkId, u64>,
    now: Time,
}

impl Agent {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(stale_hold: Option<Duration>) -> Self {
        let mut agent = Self {
            uplinks: Uplinks::new(Options {
                nodes: vec![([10, 0, 0, 1], 5269).into(), ([10, 0, 0, 2], 5269).into()],
                certificates: Vec::new(),
                session: options(),
                stale_hold,
                seed: 1,
            }),
            numbers: BTreeMap::new(),
            now: Time::ORIGIN,
        };
        agent.handle(configuration(true));
        agent
    }

    fn open(&mut self, id: u64) -> Step {
        self.handle(Input::Opened {
            id: UplinkId(id),
            name: format!("control-{id}"),
            ours: true,
            certificate: None,
        })
    }

    fn handle(&mut self, input: Input) -> Step {
        self.uplinks.handle(self.now, input);
        let mut step = Step::default();
        while let Some(output) = self.uplinks.poll_output() {
            match output {
                Output::SendStanza {
                    id,
                    stanza: Stanza::Subscribe {
                        number: Some(number), ..
                    },
                } => drop(self.numbers.insert(id, number)),
                Output::Imported { .. } => step.imported += 1,
                Output::RoutesComplete { complete, .. } => step.complete.push(complete),
                _ => {}
            }
        }
        step
    }

    fn has_more(&self) -> bool {
        self.uplinks.poll_timeout().is_some_and(|due| due.why == Why::MoreWork)
    }

    /// Handles an input, and goes on while more work is due; `measure` is asked before and after each step. Returns how
    /// much that changed in each.
    fn steps(&mut self, input: Input, measure: impl Fn(&Uplinks) -> usize) -> Vec<usize> {
        let mut before = measure(&self.uplinks);
        let mut next = Some(input);
        let mut steps = Vec::new();
        while let Some(input) = next {
            self.handle(input);
            let after = measure(&self.uplinks);
            steps.push(before.abs_diff(after));
            before = after;
            next = self.has_more().then_some(Input::Timeout);
        }
        steps
    }

    fn receive(&mut self, id: u64, stanza: Stanza) -> Step {
        let id = UplinkId(id);
        self.handle(Input::Received { id, stanza })
    }

    /// A control node sends a path of each MAC at a tunnel end.
    fn receive_macs(&mut self, id: u64, vtep: Ipv4Addr) {
        for number in 0..MACS {
            let path = Path {
                next_hops: vec![NextHop::vxlan(vtep, vni())],
                local_preference: 100,
                ..Path::default()
            };
            let items = vec![(Key::of_mac(vni(), mac(number)), path)];
            let instance = blue();
            self.receive(id, Stanza::Items { instance, items });
        }
    }

    /// Our switch has learned every MAC.
    fn learn_macs(&mut self) {
        for number in 0..MACS {
            self.handle(exported(number, Change::Learned));
        }
        self.work();
    }

    fn end_of_rib(&mut self, id: u64) -> Step {
        let subscription = self.numbers[&UplinkId(id)];
        let instance = blue();
        self.receive(id, Stanza::InstanceEndOfRib { instance, subscription })
    }

    fn work(&mut self) {
        while self.has_more() {
            self.handle(Input::Timeout);
        }
    }
}

fn exported(number: usize, change: Change) -> Input {
    let route = Route {
        network: BLUE,
        mac: mac(number),
        vtep: OURS,
    };
    let vteps = if change == Change::Learned {
        vec![OURS]
    } else {
        Vec::new()
    };
    Input::Exported { route, change, vteps }
}

fn served() -> BTreeMap<Ipv4Addr, Served> {
    let served = Served {
        live: true,
        audited: true,
        reported_at: None,
    };
    [(OURS, served)].into()
}

fn held(uplinks: &Uplinks) -> usize {
    uplinks.held().count()
}

/// Routes that the first control node was sent, or is to be sent.
fn known_there(uplinks: &Uplinks) -> usize {
    let status = &uplinks.status()[0];
    status.routes_sent + status.routes_pending
}

fn assert_bounded(steps: &[usize]) {
    assert!(steps.iter().all(|step| *step <= LOOKS_PER_STEP), "{steps:?}");
    assert_eq!(steps.iter().sum::<usize>(), MACS, "{steps:?}");
}

/// The first control node alone has sent many routes; both have sent everything.
fn filled() -> Agent {
    let mut agent = Agent::new();
    for id in [1, 2] {
        agent.open(id);
    }
    agent.receive_macs(1, OURS);
    for id in [1, 2] {
        agent.end_of_rib(id);
    }
    assert!(agent.uplinks.is_complete(BLUE));
    agent
}

#[test]
fn a_control_node_that_dies_with_many_routes_costs_bounded_steps() {
    let mut agent = filled();
    let count = |uplinks: &Uplinks| uplinks.fabric().count();
    let steps = agent.steps(
        Input::Closed {
            id: UplinkId(1),
            why: died(),
        },
        count,
    );
    assert_bounded(&steps);
    assert!((0..MACS).all(|number| agent.uplinks.vtep(BLUE, mac(number)).is_none()));
}

#[test]
fn what_is_left_of_a_sweep_stays_when_the_last_control_node_dies() {
    let mut agent = filled();
    let mut removed = 0;
    for id in [1, 2] {
        let (id, why) = (UplinkId(id), died());
        removed += agent.handle(Input::Closed { id, why }).imported;
    }
    while agent.has_more() {
        removed += agent.handle(Input::Timeout).imported;
    }
    assert_eq!(removed, LOOKS_PER_STEP, "the rest is kept without control nodes");
}

#[test]
fn a_control_node_that_opens_is_sent_many_routes_in_bounded_steps() {
    let mut agent = Agent::new();
    agent.learn_macs();
    let opened = Input::Opened {
        id: UplinkId(1),
        name: "control-1".into(),
        ours: true,
        certificate: None,
    };
    assert_bounded(&agent.steps(opened, known_there));
    assert_eq!(agent.uplinks.status()[0].routes_sent, MACS);
}

#[test]
fn another_vni_withdraws_nothing_before_everything_has_its_new_key() {
    let mut agent = Agent::new();
    agent.learn_macs();
    agent.open(1);
    agent.work();
    let Input::Configured(before) = configuration(true) else {
        panic!("a configuration")
    };
    let mut after = Configuration::clone(&before);
    after.networks.get_mut(&BLUE).expect("blue").vni = Vni::new(6001).expect("a VNI");
    let (mut next, mut most) = (Some(Input::Configured(Arc::new(after))), 0);
    while let Some(input) = next {
        agent.handle(input);
        most = most.max(agent.uplinks.status()[0].routes_sent);
        next = agent.has_more().then_some(Input::Timeout);
    }
    assert_eq!((most, agent.uplinks.status()[0].routes_sent), (2 * MACS, MACS));
}

#[test]
fn a_network_is_complete_when_all_that_only_we_know_of_it_is_presumed_in_bounded_steps() {
    let mut agent = Agent::new();
    agent.learn_macs();
    agent.open(1);
    agent.work();
    let mut steps = vec![agent.end_of_rib(1)];
    while agent.has_more() {
        steps.push(agent.handle(Input::Timeout));
    }
    let imported: Vec<usize> = steps.iter().map(|step| step.imported).collect();
    assert_bounded(&imported);
    let complete = steps.iter().position(|step| step.complete == [true]);
    let last = imported.iter().rposition(|count| *count > 0);
    assert_eq!(complete, last, "{steps:?}");
}

#[test]
fn a_network_that_is_left_goes_in_bounded_steps_and_may_come_back_meanwhile() {
    let mut agent = filled();
    let mut steps = vec![agent.handle(configuration(false)).imported];
    assert_eq!(agent.uplinks.fabric().count(), 0, "none of its MACs has a path");
    agent.handle(configuration(true));
    let path = Path {
        next_hops: vec![NextHop::vxlan(OURS, vni())],
        ..Path::default()
    };
    let (instance, items) = (blue(), vec![(Key::of_mac(vni(), mac(MACS - 1)), path)]);
    agent.receive(1, Stanza::Items { instance, items });
    while agent.has_more() {
        steps.push(agent.handle(Input::Timeout).imported);
    }
    assert!(steps.iter().all(|step| *step <= LOOKS_PER_STEP), "{steps:?}");
    assert_eq!(agent.uplinks.vtep(BLUE, mac(MACS - 1)), Some(OURS));
    assert_eq!(agent.uplinks.fabric().count(), 1);
}

#[test]
fn many_copies_are_made_for_a_release_in_bounded_steps() {
    let mut agent = filled();
    agent.learn_macs();
    assert_bounded(&agent.steps(Input::Releasing(served()), held));
}

#[test]
fn many_copies_whose_originals_become_stale_grow_old_and_go_in_bounded_steps() {
    let mut agent = Agent::with(Some(HOLD));
    agent.handle(Input::Served(served()));
    agent.open(1);
    agent.receive_macs(1, OURS);
    agent.work();
    assert_eq!(held(&agent.uplinks), MACS);
    agent.handle(Input::Served([(OURS, Served::default())].into()));
    let (id, why) = (UplinkId(1), died());
    let steps = agent.steps(Input::Closed { id, why }, held);
    assert!(steps.len() >= MACS / LOOKS_PER_STEP, "{steps:?}");
    assert_eq!(held(&agent.uplinks), MACS, "for a while");
    agent.now = agent.now + HOLD;
    assert_bounded(&agent.steps(Input::Timeout, held));
}

#[test]
fn many_copies_go_in_bounded_steps_with_their_switch_and_with_their_network() {
    for gone in [Input::Served(BTreeMap::new()), configuration(false)] {
        let mut agent = Agent::with(Some(HOLD));
        agent.handle(Input::Served(served()));
        agent.open(1);
        agent.receive_macs(1, OURS);
        agent.work();
        assert_bounded(&agent.steps(gone, held));
    }
}
