//! The link to an agent of the previous version: what one sent is read, and it reads what we send.

use tandem_core::SwitchName;
use tandem_core::agent::{Role, SwitchRole};
use tandem_core::ids::Uuid;
use tandem_core::switch_identity::{SwitchIdentity, SwitchRow};

use super::*;

/// The lines that an agent of the previous version sent, each once: its name, and reports from its start to its end.
const RECORDED: &str = include_str!("../../../tests/previous/peer.jsonl");

/// The form that the previous version reads. It ignores other members, and no other values.
mod form {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, SocketAddr};

    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    pub(super) struct Hello {
        pub(super) protocol: u32,
        pub(super) agent: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Grade {
        Fit,
        Isolated,
        Alone,
        Unfit,
        Draining,
    }

    #[derive(Debug, Eq, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum State {
        Absent,
        Waiting,
        Owner,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Identity {
        pub(super) row: String,
        pub(super) tunnel_ips: Vec<Ipv4Addr>,
        pub(super) from: SocketAddr,
        pub(super) certificate: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Switch {
        pub(super) state: State,
        pub(super) owned: u64,
        pub(super) audited: bool,
        pub(super) configuration: String,
        #[serde(default)]
        pub(super) identity: Option<Identity>,
        #[serde(default)]
        pub(super) proven: bool,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Report {
        pub(super) agent: String,
        pub(super) grade: Grade,
        pub(super) ready: bool,
        pub(super) switches: BTreeMap<String, Switch>,
    }
}

/// Receives these lines of `agent-a` to their end. Returns the reports, and the answer.
async fn received(lines: &[u8]) -> (Vec<PeerReport>, String) {
    let (mut near, far) = tokio::io::duplex(64 << 10);
    let (agent, mut messages) = mpsc::channel(64);
    let identities = Identities {
        own: "agent-b".into(),
        peer: Vec::new(),
    };
    let receiving = tokio::spawn(async move {
        receive(
            far,
            PATIENT,
            (&identities, Some(&agent_a()), &AtomicBool::new(false)),
            &agent,
        )
        .await
    });
    near.write_all(lines).await.expect("sent");
    near.shutdown().await.expect("sent");
    let ended = tokio::time::timeout(LONG, receiving).await.expect("an end");
    ended.expect("no panic").expect("no violation");
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.expect("text");
    let mut reports = Vec::new();
    while let Some(Message::Peer(report)) = messages.recv().await {
        reports.push(report);
    }
    (reports, answer)
}

#[tokio::test]
async fn each_report_that_the_previous_version_sent_is_read() {
    let (reports, answer) = received(RECORDED.as_bytes()).await;
    assert_eq!(reports.len() + 1, RECORDED.lines().count());
    let roles = |report: &PeerReport| -> Vec<Role> { report.switches.values().map(|it| it.role).collect() };
    let seen: Vec<Vec<Role>> = reports.iter().map(roles).collect();
    assert_eq!(seen[0], [Role::Absent, Role::Absent]);
    assert!(seen.contains(&vec![Role::Active, Role::Active]), "{seen:?}");
    let both: Vec<Grade> = [Grade::Fit, Grade::Draining].into();
    assert!(reports.iter().all(|report| both.contains(&report.grade)));
    let owned = reports.iter().flat_map(|report| report.switches.values());
    let owned: Vec<&SwitchRole> = owned.filter(|it| it.role == Role::Active).collect();
    assert!(
        owned.iter().all(|it| it.owned > 0 && it.identity.is_some()),
        "{owned:?}"
    );

    let ours: form::Hello = serde_json::from_str(&answer).expect("a first line that the previous version reads");
    assert_eq!((ours.protocol, ours.agent.as_str()), (1, "agent-b"));
}

#[test]
fn the_previous_version_reads_every_report() {
    let identity = SwitchIdentity {
        row: SwitchRow {
            row: Uuid(7),
            tunnel_ips: vec![Ipv4Addr::new(10, 0, 1, 1)],
        },
        from: NOWHERE,
        certificate: Some(Fingerprint([7; 32])),
    };
    let switch = |(role, identity): (Role, Option<SwitchIdentity>)| SwitchRole {
        role,
        owned: 3,
        audited: true,
        configuration: "e126a241cf3b57e4".into(),
        proven: identity.is_some(),
        holds_lock: false,
        identity,
    };
    let roles = [
        (Role::Absent, None),
        (Role::Standby, None),
        (Role::Active, Some(identity)),
    ]
    .map(switch);
    let names = ["tor1", "tor2", "tor3"].map(SwitchName::from);
    for grade in Grade::ALL {
        let sent = PeerReport {
            grade,
            switches: names.iter().cloned().zip(roles.clone()).collect(),
            ..report("agent-a")
        };
        let line = serde_json::to_string(&sent).expect("JSON");
        let read: form::Report = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert_eq!(format!("{:?}", read.grade), format!("{grade:?}"));
        assert_eq!((read.agent.as_str(), read.ready), ("agent-a", true));
        let [absent, waiting, owner] = ["tor1", "tor2", "tor3"].map(|name| &read.switches[name]);
        let states = [&absent.state, &waiting.state, &owner.state];
        assert_eq!(
            states,
            [&form::State::Absent, &form::State::Waiting, &form::State::Owner]
        );
        assert!(absent.identity.is_none() && !waiting.proven);
        assert_eq!((owner.owned, owner.audited, owner.proven), (3, true, true));
        assert_eq!(owner.configuration, "e126a241cf3b57e4");
        let identity = owner.identity.as_ref().expect("an identity");
        assert_eq!((identity.row.len(), identity.from), (36, NOWHERE));
        assert_eq!(identity.tunnel_ips, [Ipv4Addr::new(10, 0, 1, 1)]);
        assert!(
            identity
                .certificate
                .as_ref()
                .is_some_and(|text| text.starts_with("sha256:0707"))
        );
    }
}

#[tokio::test]
async fn members_that_a_later_version_adds_are_ignored() {
    let lines = concat!(
        r#"{"protocol":1,"newest":9,"agent":"agent-a","features":["x"]}"#,
        "\n",
        r#"{"agent":"agent-a","grade":"fit","ready":true,"load":0.5,"switches":{"tor1":"#,
        r#"{"state":"owner","owned":1,"audited":true,"configuration":"x","since":12}}}"#,
        "\n",
    );
    let (reports, _) = received(lines.as_bytes()).await;
    let [report] = reports.as_slice() else {
        panic!("{reports:?}")
    };
    assert_eq!(report.switches[&"tor1".into()].role, Role::Active);
}
