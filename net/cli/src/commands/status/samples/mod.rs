//! Made-up states of agents and control nodes, for tests of what shows them.

#[path = "../../../../../service/src/samples.rs"]
mod agent;
pub(crate) mod control;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::CloseCounts;
use tandem_core::evpn::Unusable;
use tandem_core::health::Grade;
use tandem_core::status::{AgentStatus, Ignored, PeerStatus, UplinkStatus};

pub(crate) use agent::busy;

/// An agent that has nothing to do yet.
pub(crate) fn idle() -> AgentStatus {
    AgentStatus {
        control_nodes: Vec::new(),
        revision: None,
        peer: None,
        agent: "agent-b".into(),
        tsn: Ipv4Addr::new(10, 0, 0, 12),
        tsn_alive: None,
        remembered: false,
        grade: Grade::Unfit,
        switches: BTreeMap::new(),
        unidentified: vec![],
        closed: CloseCounts::default(),
        closed_uplinks: CloseCounts::default(),
    }
}

/// An agent that has received everything from one control node, and cannot reach another.
pub(crate) fn led() -> AgentStatus {
    let node = |last| UplinkStatus {
        address: ([10, 0, 0, last], 5269).into(),
        name: None,
        configures: false,
        revision: None,
        disagrees: false,
        ignored: None,
        failures: 0,
        instances: 0,
        instances_complete: 0,
        routes_sent: 0,
        routes_pending: 0,
        routes_unusable: BTreeMap::new(),
    };
    let control_nodes = vec![
        UplinkStatus {
            name: Some("control-1".into()),
            configures: true,
            revision: Some(7),
            instances: 12,
            instances_complete: 11,
            routes_sent: 502,
            routes_pending: 3,
            routes_unusable: [(Unusable::NoVxlan, 2), (Unusable::NotAsked, 1)].into(),
            ..node(5)
        },
        UplinkStatus {
            name: Some("control-2".into()),
            revision: Some(6),
            disagrees: true,
            ignored: Some(Ignored::Outdated),
            ..node(6)
        },
        UplinkStatus { failures: 4, ..node(7) },
    ];
    AgentStatus {
        control_nodes,
        revision: Some(7),
        peer: Some(PeerStatus::default()),
        tsn_alive: Some(false),
        grade: Grade::Alone,
        ..idle()
    }
}
