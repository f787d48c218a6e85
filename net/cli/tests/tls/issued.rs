//! `tandem pki issue`, `renew` and `list`, judged by OpenSSL and by an acceptor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tandem_net::tls::Acceptor;
use tempfile::TempDir;

use crate::authority::settings;

fn tandem(arguments: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let output = command.args(arguments).current_dir(dir).output();
    output.expect("tandem runs")
}

fn done(arguments: &[&str], dir: &Path) -> String {
    let output = tandem(arguments, dir);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn refused(arguments: &[&str], dir: &Path) -> String {
    let output = tandem(arguments, dir);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn openssl(arguments: &[&str], dir: &Path) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(dir).output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn started() -> TempDir {
    let scratch = TempDir::new().expect("a folder");
    done(&["pki", "init", "pki"], scratch.path());
    scratch
}

fn listed(dir: &Path, name: &str) -> Value {
    let all: Value = serde_json::from_str(&done(&["pki", "list", "pki", "--json"], dir)).expect("JSON");
    let all = all["certificates"].as_array().expect("a list").clone();
    let found = all.into_iter().find(|entry| entry["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is listed"))
}

#[test]
fn switches_of_an_inventory_get_certificates_that_openssl_verifies_and_those_that_have_one_keep_it() {
    let scratch = started();
    let dir = scratch.path();
    let switches: String = (1..=12).map(|n| format!("[[switch]]\nname = \"tor{n}\"\n")).collect();
    fs::write(dir.join("control.toml"), switches).expect("written");
    done(&["pki", "issue", "pki", "tor2"], dir);
    let before = fs::read(dir.join("pki/tor2-key.pem")).expect("a key");
    let files = done(&["pki", "issue", "pki", "--from", "control.toml"], dir);
    assert_eq!(files.lines().count(), 22, "{files}");
    assert_eq!(fs::read(dir.join("pki/tor2-key.pem")).expect("a key"), before);
    for name in ["tor1", "tor2", "tor12"] {
        let file = format!("pki/{name}-cert.pem");
        let verified = openssl(&["verify", "-x509_strict", "-CAfile", "pki/switch-ca.pem", &file], dir);
        assert_eq!(verified, format!("{file}: OK\n"));
        let names = openssl(&["x509", "-in", &file, "-noout", "-ext", "subjectAltName"], dir);
        assert!(names.contains(&format!("DNS:{name}\n")), "{names}");
        let key = dir.join(format!("pki/{name}-key.pem"));
        assert_eq!(fs::metadata(key).expect("a key").permissions().mode() & 0o777, 0o600);
    }
    let table = done(&["pki", "list", "pki"], dir);
    let at = |name: &str| table.lines().position(|line| line.starts_with(name)).expect("listed");
    assert!(at("agent-ca ") < at("tor2 ") && at("tor2 ") < at("tor10 "), "{table}");
    let index = fs::read_to_string(dir.join("pki/index.txt")).expect("an index");
    assert!(
        index.contains("switch tor12 ") && index.contains("agent agent-a "),
        "{index}"
    );
    assert!(
        index.contains(listed(dir, "tor12")["fingerprint"].as_str().expect("a text")),
        "{index}"
    );
    let hidden = fs::read_dir(dir.join("pki")).expect("a folder");
    let hidden = hidden.filter(|file| {
        file.as_ref()
            .is_ok_and(|it| it.file_name().to_string_lossy().starts_with('.'))
    });
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_key_is_replaced_only_when_asked_and_nothing_is_written_beside_one_that_exists() {
    let scratch = started();
    let dir = scratch.path();
    done(&["pki", "issue", "pki", "tor1"], dir);
    let key = || fs::read(dir.join("pki/tor1-key.pem")).expect("a key");
    let before = key();
    let why = refused(&["pki", "issue", "pki", "tor0", "tor1"], dir);
    assert!(
        why.contains("tor1-cert.pem: exists already, and nothing was written"),
        "{why}"
    );
    assert!(!dir.join("pki/tor0-cert.pem").exists());
    assert_eq!(key(), before);
    done(&["pki", "issue", "pki", "--replace", "tor1"], dir);
    assert_ne!(key(), before);
    let lines = fs::read_to_string(dir.join("pki/index.txt")).expect("an index");
    assert_eq!(
        lines.matches("switch tor1 ").count(),
        2,
        "the replaced one stays: {lines}"
    );
}

#[test]
fn a_renewed_certificate_keeps_its_key_and_its_name_and_serves_an_agent() {
    let scratch = started();
    let dir = scratch.path();
    done(
        &["pki", "issue", "pki", "--kind", "agent", "--days", "20d", "agent-c"],
        dir,
    );
    done(&["pki", "issue", "pki", "--days", "40", "tor1"], dir);
    fs::remove_file(dir.join("pki/tor1-key.pem")).expect("the key is at the switch");
    let before = listed(dir, "agent-c");
    let renewed = done(&["pki", "renew", "pki", "--within", "30d"], dir);
    assert_eq!(renewed, "pki/agent-c-cert.pem\n");
    let after = listed(dir, "agent-c");
    assert_ne!(after["fingerprint"], before["fingerprint"]);
    assert!(after["not_after_unix_s"].as_i64() > before["not_after_unix_s"].as_i64());
    assert_eq!((&after["names"], &after["kind"]), (&before["names"], &before["kind"]));
    let pki = dir.join("pki");
    let settings = settings(&pki, "agent-c-cert.pem", "agent-c-key.pem", "switch-ca.pem");
    let acceptor = Acceptor::load(&settings).expect("key, chain and CA are in order");
    assert_eq!(acceptor.certificate().identities, ["agent-c"]);
    // A switch keeps its key to itself.
    assert_eq!(done(&["pki", "renew", "pki", "tor1"], dir), "pki/tor1-cert.pem\n");
    openssl(&["verify", "-CAfile", "pki/switch-ca.pem", "pki/tor1-cert.pem"], dir);
}

#[test]
fn an_error_names_the_file_or_the_name_that_is_wrong() {
    let scratch = started();
    let dir = scratch.path();
    for (arguments, culprit) in [
        (&["issue", "pki", "rack 1/tor"][..], "\"rack 1/tor\" cannot be a name"),
        (&["issue", "pki", "../x"], "\"../x\" cannot be a name"),
        (&["issue", "pki", "tor1", "tor1"], "tor1 is named twice"),
        (&["issue", "nowhere", "tor1"], "nowhere: cannot be opened"),
        (&["issue", "pki", "--from", "none.toml"], "none.toml: cannot be read"),
        (&["renew", "pki", "tor9"], "tor9-cert.pem: is not there"),
        (&["renew", "pki", "agent-a"], "agent-a-cert.pem: would end no later"),
    ] {
        let why = refused(&[&["pki"][..], arguments].concat(), dir);
        assert!(why.contains(culprit), "{culprit}: {why}");
    }
    fs::copy(dir.join("pki/agent-ca-key.pem"), dir.join("pki/switch-ca-key.pem")).expect("copied");
    let why = refused(&["pki", "issue", "pki", "tor1"], dir);
    assert!(
        why.contains("switch-ca-key.pem: is not the key of pki/switch-ca.pem"),
        "{why}"
    );
    fs::write(dir.join("pki/tor7-cert.pem"), "rubbish").expect("written");
    let why = refused(&["pki", "list", "pki"], dir);
    assert!(why.contains("tor7-cert.pem: is no certificate"), "{why}");
}
