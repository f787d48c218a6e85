//! Made-up states of agents and control nodes, for tests of what shows them.

#[path = "../../../../../service/src/samples.rs"]
mod agent;
pub(crate) mod control;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::CloseCounts;
use tandem_core::evpn::Unusable;
use tandem_core::health::Grade;
use tandem_core::machine::Fingerprint;
use tandem_core::status::{AgentStatus, Alarm, Ignored, PeerStatus, Phase, UplinkStatus};
use tandem_net::process::{ProcessStatus, ReloadStatus};

pub(crate) use agent::busy;

/// A process that has run for three days.
pub(crate) fn process() -> ProcessStatus {
    ProcessStatus {
        format: 1,
        name: "control-1".into(),
        version: "0.1.0".into(),
        now_unix_s: 1_800_000_000.0,
        started_unix_s: 1_799_726_000.0,
        reload: Some(ReloadStatus {
            at_unix_s: 1_799_726_000.0,
            successful: true,
            applied_unix_s: 1_799_726_000.0,
            ..ReloadStatus::default()
        }),
    }
}

/// Long names and large numbers, and everything at once.
pub(crate) fn widest() -> AgentStatus {
    let mut status = led();
    status.agent = "tor-agent-a.site-1".into();
    status.remembered = true;
    for node in &mut status.control_nodes {
        node.address = ([192, 168, 100, 100], 52_690).into();
        node.name = Some("control-1.site-1".into());
        (node.instances, node.instances_complete) = (4096, 4096);
        (node.routes_sent, node.routes_pending) = (100_000, 100_000);
    }
    let busy = busy();
    let template = &busy.switches[&"tor1".into()];
    for (rack, phase) in [(17, Phase::Synced), (18, Phase::Identifying)] {
        let mut switch = template.clone();
        switch.alarms = Alarm::ALL.to_vec();
        let session = &mut switch.sessions[0];
        session.phase = phase;
        session.unbound_certificate = Some(Fingerprint([0xab; 32]));
        (session.rows_local, session.rows_remote, session.pending) = (100_000, 100_000, 100_000);
        session.quarantine[0].1 = "constraint violation: ".repeat(8) + "the end";
        session.takeover_ms.audited = Some(100_000.0);
        status
            .switches
            .insert(format!("rack-{rack}-tor-2").as_str().into(), switch.clone());
        let name = format!("leaf-{rack}.row-3.site-1.example.net");
        status.switches.insert(name.as_str().into(), switch);
    }
    status.unidentified = busy.unidentified;
    status
}

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
