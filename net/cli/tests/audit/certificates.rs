//! A certificate of the right authority is not enough where the configuration names the certificate.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use tandem_lab::{Agent, Stage};

use crate::wanted::{self, contents, converged, found};

/// Starts an agent that has this rule for the certificate of `tor1`.
fn agent(stage: &Stage, rule: &str) -> Agent {
    let mut options = wanted::options(stage, &["tor1"]);
    options.switch[0].certificate = Some(rule.into());
    Agent::start(&stage.scratch, wanted::binary(), options).expect("an agent")
}

fn fingerprint(certificate: &Path) -> String {
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let digest = Sha256::digest(&certificate);
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", digits.collect::<String>())
}

#[test]
fn the_pinned_certificate_or_the_right_name_is_let_in() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let shown = stage.scratch.path().join("pki/tor1-cert.pem");
    for rule in [fingerprint(&shown), "name:tor1".into()] {
        let agent = agent(&stage, &rule);
        converged(&stage, &agent);
        assert_eq!(found(&switch), contents(&["tor1"]), "{rule}");
    }
}

#[test]
fn another_certificate_is_refused_and_the_log_names_it_with_the_reason() {
    let stage = Stage::new().expect("a stage");
    let switch = wanted::switch(&stage);
    let shown = stage.scratch.path().join("pki/tor1-cert.pem");
    let other = stage.pki.issue("tor2").expect("a certificate").certificate;
    for rule in [fingerprint(&other), "name:tor2".into()] {
        let agent = agent(&stage, &rule);
        let line = stage
            .wait("a refusal in the log", || {
                agent.lines(&["Closed: it calls itself tor1"]).pop()
            })
            .expect("a refusal");
        assert!(line.contains(&fingerprint(&shown)), "{line}");
        assert!(
            line.contains("is not the one configured for it (the peer misbehaved)"),
            "{line}"
        );
        assert_eq!(agent.session("tor1"), None);
        println!("{line}");
        drop(agent);
    }
    assert_eq!(found(&switch), tandem_lab::Contents::default());
}
