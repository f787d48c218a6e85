//! A session that ends with many routes: the agent withdraws them a bounded number at a time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::agent::uplinks::{Input as Up, Options, UplinkId};
use tandem_core::agent::{Agent, Input, Output};
use tandem_core::bounds::{ROUTES_PER_STEP, SEQUENCE_MEMORY};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::event::Route;
use tandem_core::evpn::{Key, NextHop, Path};
use tandem_core::session::Notice;
use tandem_core::switch_identity::SwitchRow;
use tandem_core::xmpp::Stanza;
use tandem_core::{CloseReason, ConnId, Generation, Mac, Machine, Peer, Time, Uuid, Vni};

const NETWORK: Uuid = Uuid(1);
const VTEP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

fn configuration(session: &SessionOptions) -> Configuration {
    let network = Network {
        name: "blue".into(),
        vni: Vni::new(5001).expect("a VNI"),
        remote_macs: BTreeMap::new(),
    };
    let mut switch = Switch {
        vtep: Some(VTEP),
        ..Switch::default()
    };
    switch.ports.insert("eth1".into(), [(10, NETWORK)].into());
    Configuration {
        session: session.clone(),
        networks: [(NETWORK, network)].into(),
        switches: [("tor1".into(), switch)].into(),
    }
}

/// How many stanzas an input makes the agent send at once.
fn sent(agent: &mut Agent, input: Input) -> usize {
    agent.handle(Time::ORIGIN, input);
    let outputs = std::iter::from_fn(|| agent.poll_output());
    outputs
        .filter(|output| matches!(output, Output::SendStanza { .. }))
        .count()
}

const CONN: ConnId = ConnId(1);
const GENERATION: Generation = Generation(1);

/// An agent that has published so many routes of its only session to a control node, and how many stanzas that took.
fn published(routes: u32) -> (Agent, usize) {
    let session = SessionOptions {
        routed: true,
        ..SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST)
    };
    let configured = Arc::new(configuration(&session));
    let options = Options {
        nodes: vec![([10, 0, 0, 5], 5269).into()],
        certificates: Vec::new(),
        session,
        stale_hold: None,
        seed: 1,
    };
    let mut agent = Agent::new(Arc::clone(&configured), Generation(0)).with_uplinks(options);
    sent(&mut agent, Input::Timeout);
    let id = UplinkId(1);
    let opened = Up::Opened {
        id,
        name: "control-1".into(),
        ours: true,
        certificate: None,
    };
    sent(&mut agent, Input::Uplink(opened));
    sent(
        &mut agent,
        Input::Configure {
            configuration: configured,
            complete: true,
        },
    );
    let (conn, generation) = (CONN, GENERATION);
    let peer = Peer {
        address: (Ipv4Addr::LOCALHOST, 1).into(),
        proxied: None,
        certificate: None,
    };
    sent(
        &mut agent,
        Input::Connected {
            conn,
            peer,
            accepted_at: Time::ORIGIN,
        },
    );
    let mut notify = |notice| {
        sent(
            &mut agent,
            Input::Session {
                conn,
                generation,
                notice,
            },
        )
    };
    notify(Notice::Identified {
        switches: [("tor1".into(), SwitchRow::default())].into(),
    });
    notify(Notice::MayWrite { locked: true });
    let mut published = 0;
    for number in 0..routes {
        let [a, b, c, d] = number.to_be_bytes();
        let mac = Mac([2, 0, a, b, c, d]);
        let route = Route {
            network: NETWORK,
            mac,
            vtep: VTEP,
        };
        let just_learned = true;
        published += notify(Notice::Exported { route, just_learned });
    }
    assert_eq!(published, 2 * routes as usize);
    (agent, published)
}

/// The control node sends a route of the agent's and takes it back.
fn reflect(agent: &mut Agent, number: u32) {
    let [a, b, c, d] = number.to_be_bytes();
    let vni = Vni::new(5001).expect("a VNI");
    let key = Key::of_mac(vni, Mac([2, 0, a, b, c, d]));
    let path = Path {
        next_hops: vec![NextHop::vxlan(VTEP, vni)],
        ..Path::default()
    };
    let instance = instance(&virtual_network("blue"));
    let id = UplinkId(1);
    for stanza in [
        Stanza::Items {
            instance: instance.clone(),
            items: vec![(key, path)],
        },
        Stanza::Retracts {
            instance: instance.clone(),
            keys: vec![key],
        },
    ] {
        sent(agent, Input::Uplink(Up::Received { id, stanza }));
    }
}

#[test]
fn the_routes_of_a_session_that_ends_are_withdrawn_a_step_at_a_time() {
    let (mut agent, published) = published(20_000);
    let closed = Input::Session {
        conn: CONN,
        generation: GENERATION,
        notice: Notice::Closed(CloseReason::ConnectionLost),
    };
    let mut withdrawn = sent(&mut agent, closed);
    assert!(withdrawn <= 2 * ROUTES_PER_STEP, "{withdrawn} stanzas in one step");
    while agent.poll_timeout().is_some_and(|deadline| deadline.at <= Time::ORIGIN) {
        let step = sent(&mut agent, Input::Timeout);
        assert!(step <= 2 * ROUTES_PER_STEP, "{step} stanzas in one step");
        withdrawn += step;
    }
    assert_eq!(withdrawn, published);
}

#[test]
fn the_routes_of_a_network_that_is_left_are_withdrawn_a_step_at_a_time() {
    let (mut agent, published) = published(20_000);
    let mut configuration = agent.configuration().clone();
    configuration.networks.clear();
    let configuration = Arc::new(configuration);
    let complete = true;
    let step = sent(
        &mut agent,
        Input::Configure {
            configuration,
            complete,
        },
    );
    assert!(
        step <= 2 * ROUTES_PER_STEP,
        "{step} stanzas in one step, of {published}"
    );
}

/// A quiet agent returns to its size: whatever it remembers for a time, it is woken to forget.
#[test]
fn an_agent_whose_routes_went_is_woken_until_it_has_forgotten_them() {
    let (mut agent, _) = published(2_000);
    let mut now = Time::ORIGIN;
    let closed = Input::Session {
        conn: CONN,
        generation: GENERATION,
        notice: Notice::Closed(CloseReason::ConnectionLost),
    };
    sent(&mut agent, closed);
    // The control node sends the routes, as it does, and then that they are gone.
    for number in 0..2_000 {
        reflect(&mut agent, number);
    }
    let mut wakes = 0;
    while let Some(deadline) = agent.poll_timeout() {
        wakes += 1;
        assert!(wakes < 100, "woken again and again: {deadline:?}");
        now = now.max(deadline.at);
        agent.handle(now, Input::Timeout);
        while agent.poll_output().is_some() {}
    }
    let forgotten = Time::ORIGIN + SEQUENCE_MEMORY;
    assert!(now >= forgotten && now < forgotten + SEQUENCE_MEMORY, "{now}");
}
