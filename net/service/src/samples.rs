//! A sample status of an agent, for tests. The tests of `tandem status` include this file, too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tandem_core::alarm::{AlarmKind, SessionAlarm};
use tandem_core::health::Grade;
use tandem_core::ids::{ConnId, Generation};
use tandem_core::status::{
    AgentStatus, Alarm, Ownership, PeerStatus, Phase, SessionStatus, SwitchStatus, Takeover, UnidentifiedStatus,
};
use tandem_core::{CloseCounts, CloseReason, SwitchName};

/// One switch that is owned and has problems, one with two sessions, one on standby, one without a session.
pub(crate) fn busy() -> AgentStatus {
    let twice = vec![
        session(2, Phase::Synced, Ownership::Held),
        session(5, Phase::Reading, Ownership::Waiting),
    ];
    let tor3 = session(3, Phase::Identifying, Ownership::Waiting);
    let mut switches = BTreeMap::from([
        ("tor1".into(), switch(vec![troubled()], 12)),
        ("tor2".into(), switch(twice, 0)),
        ("tor3".into(), switch(vec![tor3], 0)),
    ]);
    let tor4 = SwitchStatus {
        alarms: vec![Alarm::Ownerless, Alarm::Disagreed],
        ..switch(vec![], 0)
    };
    switches.insert("tor4".into(), tor4);
    AgentStatus {
        control_nodes: Vec::new(),
        revision: None,
        remembered: false,
        peer: Some(PeerStatus {
            agent: Some("agent-b".into()),
            grade: Some(Grade::Fit),
        }),
        agent: "agent-a".into(),
        tsn: Ipv4Addr::new(10, 0, 0, 11),
        tsn_alive: Some(true),
        grade: Grade::Fit,
        switches,
        unidentified: vec![unidentified(7, vec!["spine1".into()]), unidentified(8, vec![])],
        closed: closed([CloseReason::Silent, CloseReason::Silent, CloseReason::LockLost]),
        closed_uplinks: closed([CloseReason::DialFailed]),
    }
}

/// A session with objects that wait, that fail, and with a takeover that has not ended.
fn troubled() -> SessionStatus {
    SessionStatus {
        rows_local: 12,
        rows_remote: 100_003,
        rows_desired: 100_005,
        pending: 2,
        in_flight: 1,
        keepalive_misses: 3,
        repairs: 5,
        alarms: vec![SessionAlarm {
            kind: AlarmKind::WritesStopped,
            objects: 17,
            detail: "unicast: 17 objects wait: I/O error: no space".into(),
        }],
        warnings: [("Quarantined".to_owned(), 2), ("TransactionRejected".to_owned(), 11)].into(),
        blocked: vec![(
            "logical switch Contrail-red".into(),
            "VNI 5002 still belongs to Contrail-blue".into(),
        )],
        quarantine: vec![(
            "02:00:00:00:00:09 in Contrail-blue".into(),
            "constraint violation: the switch refuses the locator 10.0.9.300".into(),
        )],
        takeover_ms: Takeover {
            tls: Some(12.04),
            identified: Some(13.5),
            locked: Some(13.6),
            claimed: Some(18.25),
            read: Some(1240.0),
            audited: None,
        },
        ..session(1, Phase::Synced, Ownership::Held)
    }
}

fn switch(sessions: Vec<SessionStatus>, exported: usize) -> SwitchStatus {
    SwitchStatus {
        sessions,
        exported,
        fingerprint: "812d249470fb7c92".into(),
        at_peer: false,
        alarms: vec![],
    }
}

fn unidentified(number: u16, named: Vec<SwitchName>) -> UnidentifiedStatus {
    UnidentifiedStatus {
        conn: ConnId(number.into()),
        from: ([10, 0, 0, 99], 50993 + number).into(),
        named,
    }
}

fn closed(reasons: impl IntoIterator<Item = CloseReason>) -> CloseCounts {
    let mut counts = CloseCounts::default();
    reasons.into_iter().for_each(|reason| counts.count(reason));
    counts
}

fn session(number: u8, phase: Phase, ownership: Ownership) -> SessionStatus {
    SessionStatus {
        conn: ConnId(number.into()),
        generation: Generation(number.into()),
        from: ([10, 0, 1, number], 40000 + u16::from(number)).into(),
        unbound_certificate: None,
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
        faults: vec![],
        alarms: vec![],
        repairs: 0,
        keepalive_misses: 0,
        warnings: [].into(),
        age_ms: 5000.0,
        takeover_ms: Takeover {
            tls: Some(11.0),
            identified: Some(12.0),
            ..Takeover::default()
        },
    }
}
