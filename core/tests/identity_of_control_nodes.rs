//! An agent opens sessions with control nodes whose certificate is theirs.

use std::net::Ipv4Addr;

use tandem_core::agent::uplinks::{Input, Options, Output, UplinkId, Uplinks};
use tandem_core::configuration::SessionOptions;
use tandem_core::identity::IdentityRule;
use tandem_core::machine::{Certificate, Fingerprint};
use tandem_core::{CloseReason, Machine, Time};

/// Opens a session with `control-1`, which presents this certificate. Returns why the agent closes it, if it does.
fn opened(rules: Vec<IdentityRule>, certificate: Option<&str>) -> Option<CloseReason> {
    let mut uplinks = Uplinks::new(Options {
        nodes: vec![([10, 0, 0, 1], 5269).into()],
        certificates: rules,
        session: SessionOptions {
            routed: true,
            ..SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST)
        },
        stale_hold: None,
        seed: 1,
    });
    let mut closed = None;
    let certificate = certificate.map(|name| Certificate {
        fingerprint: Fingerprint([1; 32]),
        names: vec![name.into()],
        identities: vec![name.into()],
        not_after_unix_s: 0,
        pinned_only: false,
    });
    let opened = Input::Opened {
        id: UplinkId(1),
        name: "control-1".into(),
        ours: true,
        certificate,
    };
    for input in [Input::Timeout, opened] {
        uplinks.handle(Time::ORIGIN, input);
        while let Some(output) = uplinks.poll_output() {
            if let Output::Close { why, .. } = output {
                closed = Some(why.reason);
            }
        }
    }
    assert_eq!(uplinks.peers().count() == 1, closed.is_none());
    closed
}

#[test]
fn a_control_node_presents_the_certificate_of_its_name() {
    assert_eq!(opened(Vec::new(), Some("control-1")), None);
    assert_eq!(opened(Vec::new(), Some("agent-b")), Some(CloseReason::WrongCertificate));
    assert_eq!(opened(Vec::new(), None), None, "without TLS there is no certificate");
}

#[test]
fn listed_certificates_replace_the_name() {
    let rules = |pattern: &str| vec![IdentityRule::Named(pattern.into())];
    assert_eq!(opened(rules("ctrl-*"), Some("ctrl-7")), None);
    assert_eq!(
        opened(rules("ctrl-*"), Some("control-1")),
        Some(CloseReason::WrongCertificate)
    );
    let pinned = vec![IdentityRule::Pinned(Fingerprint([1; 32]))];
    assert_eq!(opened(pinned, Some("anything")), None);
}
