//! A sample status of an agent, for tests. The tests of `tandem status` include this file, too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::health::Grade;
use tandem_core::ids::{ConnId, Generation};
use tandem_core::status::{
    AgentStatus, Alarm, Ownership, PeerStatus, Phase, SessionStatus, SwitchStatus, Takeover, UnidentifiedStatus,
};

/// One switch that is owned and has problems, one with two sessions, one on standby, one without a session.
pub(crate) fn busy() -> AgentStatus {
    let mut tor1 = session(1, Phase::Synced, Ownership::Held);
    tor1.rows_local = 12;
    tor1.rows_remote = 100_003;
    tor1.rows_desired = 100_005;
    tor1.pending = 2;
    tor1.in_flight = 1;
    tor1.keepalive_misses = 3;
    tor1.blocked = vec![(
        "logical switch Contrail-red".into(),
        "VNI 5002 still belongs to Contrail-blue".into(),
    )];
    tor1.quarantine = vec![(
        "02:00:00:00:00:09 in Contrail-blue".into(),
        "constraint violation: the switch refuses the locator 10.0.9.300".into(),
    )];
    tor1.takeover_ms = Takeover {
        tls: Some(12.04),
        identified: Some(13.5),
        locked: Some(13.6),
        claimed: Some(18.25),
        read: Some(1240.0),
        audited: None,
    };
    let switches = [
        ("tor1", vec![tor1], 12),
        (
            "tor2",
            vec![
                session(2, Phase::Synced, Ownership::Held),
                session(5, Phase::Reading, Ownership::Waiting),
            ],
            0,
        ),
        ("tor3", vec![session(3, Phase::Identifying, Ownership::Waiting)], 0),
        ("tor4", vec![], 0),
    ];
    let switches = switches.map(|(name, sessions, exported): (&str, _, _)| {
        (
            name.into(),
            SwitchStatus {
                sessions,
                exported,
                fingerprint: "812d249470fb7c92".into(),
                alarms: if name == "tor4" {
                    vec![Alarm::Ownerless, Alarm::Disagreed]
                } else {
                    vec![]
                },
            },
        )
    });
    AgentStatus {
        control_nodes: Vec::new(),
        revision: None,
        peer: Some(PeerStatus {
            agent: Some("agent-b".into()),
            grade: Some(Grade::Fit),
        }),
        agent: "agent-a".into(),
        tsn: Ipv4Addr::new(10, 0, 0, 11),
        tsn_alive: Some(true),
        grade: Grade::Fit,
        switches: BTreeMap::from(switches),
        unidentified: vec![
            UnidentifiedStatus {
                conn: ConnId(7),
                from: ([10, 0, 0, 99], 51000).into(),
                named: vec!["spine1".into()],
            },
            UnidentifiedStatus {
                conn: ConnId(8),
                from: ([10, 0, 0, 99], 51001).into(),
                named: vec![],
            },
        ],
    }
}

fn session(number: u8, phase: Phase, ownership: Ownership) -> SessionStatus {
    SessionStatus {
        conn: ConnId(number.into()),
        generation: Generation(number.into()),
        from: ([10, 0, 1, number], 40000 + u16::from(number)).into(),
        phase,
        ownership,
        schema: "1.7.0".into(),
        rows_local: 0,
        rows_remote: 0,
        rows_desired: 0,
        pending: 0,
        in_flight: 0,
        blocked: vec![],
        quarantine: vec![],
        keepalive_misses: 0,
        age_ms: 5000.0,
        takeover_ms: Takeover {
            tls: Some(11.0),
            identified: Some(12.0),
            ..Takeover::default()
        },
    }
}
