//! Certificates of kinds that OpenSSL takes and that cannot be verified here: the refusal names the kind.

use std::path::Path;

use tandem_net::tls::{Acceptor, Cause, Connector, Peers};

use crate::authority::{Client, Folder, Identity, meet, settings};
use crate::programs::run;

const P256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P521: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
const RSA_1024: &[&str] = &["-newkey", "rsa:1024"];

/// A self-signed CA with this kind of key, as `NAME-cert.pem`.
fn authority(dir: &Path, name: &str, key: &[&str]) {
    let (subject, certificate, secret) = (
        format!("/CN={name}"),
        format!("{name}-cert.pem"),
        format!("{name}-key.pem"),
    );
    let fixed = ["req", "-x509", "-nodes", "-days", "90", "-subj", &subject];
    let files = ["-out", &certificate, "-keyout", &secret];
    run(dir, "openssl", &[&fixed[..], key, &files].concat());
}

/// A certificate by this CA with this kind of key.
fn leaf(dir: &Path, name: &str, ca: &str, key: &[&str], digest: &str, extensions: &str) -> Identity {
    let (certificate, secret) = (format!("{name}-cert.pem"), format!("{name}-key.pem"));
    let (ca, ca_key) = (format!("{ca}-cert.pem"), format!("{ca}-key.pem"));
    let fixed = [
        "req",
        "-nodes",
        "-subj",
        "/CN=tor1",
        "-out",
        "request.pem",
        "-keyout",
        &secret,
    ];
    run(dir, "openssl", &[&fixed[..], key].concat());
    std::fs::write(
        dir.join("extensions"),
        format!("basicConstraints=CA:FALSE\n{extensions}"),
    )
    .expect("written");
    let sign = [
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "90",
        digest,
        "-extfile",
        "extensions",
        "-out",
        &certificate,
    ];
    run(dir, "openssl", &sign);
    Identity::read(dir, name)
}

#[tokio::test]
async fn a_kind_that_cannot_be_verified_is_refused_with_that_kind_and_the_kinds_that_can() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    authority(dir, "good", P256);
    authority(dir, "weak", RSA_1024);
    authority(dir, "big", P521);
    authority(dir, "self", P256);
    // It is refused before it proves that it has the key, which the client could not use either.
    let weak_leaf = Identity {
        key: folder.switch().key,
        ..leaf(dir, "weak-leaf", "good", RSA_1024, "-sha256", "")
    };
    let cases = [
        (weak_leaf, "good", ["RSA of 1024 bits", "P-384"]),
        (
            leaf(dir, "of-weak", "weak", P256, "-sha256", ""),
            "weak",
            ["RSA of 1024 bits", "issued by \"CN=weak\""],
        ),
        (
            leaf(dir, "of-big", "big", P256, "-sha256", ""),
            "big",
            ["ECDSA P-521", "P-384"],
        ),
        (
            leaf(dir, "sha512", "good", P256, "-sha512", ""),
            "good",
            ["ECDSA with SHA-512", "SHA-384"],
        ),
        (
            leaf(dir, "server", "good", P256, "-sha256", "extendedKeyUsage=serverAuth"),
            "good",
            ["clientAuth", "purpose"],
        ),
        (Identity::read(dir, "self"), "self", ["self-signed", "pin"]),
        (Identity::read(dir, "self"), "good", ["self-signed", "pin"]),
    ];
    for (switch, ca, words) in cases {
        let ca = format!("{ca}-cert.pem");
        let acceptor = Acceptor::load(&settings(dir, "agent-cert.pem", "agent-key.pem", &ca)).expect("loads");
        let refusal = meet(&acceptor, &Client::new(&switch)).await.expect_err("refused");
        for word in words.into_iter().chain(["sha256:", "ends "]) {
            assert!(refusal.what.contains(word), "{word}: {refusal:?}");
        }
    }
}

#[tokio::test]
async fn a_switch_whose_library_sends_no_certificate_is_refused_with_the_kinds_of_keys() {
    let folder = Folder::new();
    let refusal = meet(&folder.acceptor(), &Client::without_certificate())
        .await
        .expect_err("refused");
    assert_eq!(refusal.cause, Cause::NoCertificate);
    assert!(refusal.what.contains("P-256 or P-384"), "{refusal:?}");
}

/// A certificate by an intermediate certificate with these extensions, which follows it.
fn below(dir: &Path, ca: &str, extensions: &str) -> Identity {
    leaf(dir, "middle", ca, P256, "-sha256", "");
    std::fs::write(dir.join("extensions"), extensions).expect("written");
    let (ca, ca_key) = (format!("{ca}-cert.pem"), format!("{ca}-key.pem"));
    let sign = [
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-extfile",
        "extensions",
        "-out",
        "middle-cert.pem",
    ];
    let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
    run(dir, "openssl", &[&sign[..], &by].concat());
    let end = leaf(dir, "end", "middle", P256, "-sha256", "subjectAltName=DNS:tor1");
    Identity {
        pem: end.pem + &Identity::read(dir, "middle").pem,
        ..end
    }
}

#[tokio::test]
async fn a_certificate_that_its_chain_does_not_allow_is_refused_in_words() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    authority(dir, "good", P256);
    let critical = "1.2.3.4=critical,ASN1:UTF8String:x";
    let cases = [
        (below(dir, "good", "basicConstraints=CA:FALSE"), "CA:TRUE"),
        (
            below(
                dir,
                "good",
                "basicConstraints=CA:TRUE\nnameConstraints=critical,permitted;DNS:.example",
            ),
            "nameConstraints",
        ),
        (
            leaf(dir, "critical", "good", P256, "-sha256", critical),
            "critical extension",
        ),
    ];
    for (switch, word) in cases {
        let acceptor = Acceptor::load(&settings(dir, "agent-cert.pem", "agent-key.pem", "good-cert.pem"));
        let refusal = meet(&acceptor.expect("loads"), &Client::new(&switch)).await;
        let what = refusal.expect_err("refused").what;
        assert!(what.contains(word) && !what.contains("is refused"), "{word}: {what}");
    }
}

#[tokio::test]
async fn only_where_a_pin_counts_a_refusal_advises_one() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    authority(dir, "good", P256);
    authority(dir, "self", P256);
    authority(dir, "big", P521);
    let refused = [
        Identity::read(dir, "self"),
        leaf(dir, "sha512", "good", P256, "-sha512", ""),
        leaf(dir, "of-big", "big", P256, "-sha256", ""),
        leaf(dir, "sha1", "good", P256, "-sha1", ""),
    ];
    let cas = ["good", "big"].map(|ca| Identity::read(dir, ca).pem);
    folder.write("cas.pem", &cas.concat());
    let settings = settings(dir, "agent-cert.pem", "agent-key.pem", "cas.pem");
    for peers in [Peers::Switches, Peers::LedSwitches, Peers::Clients, Peers::Pair] {
        let acceptor = Acceptor::load_for(peers, &settings).expect("loads");
        for client in &refused {
            let refusal = meet(&acceptor, &Client::new(client)).await.expect_err("refused");
            let advises = refusal.what.contains("pin");
            assert_eq!(advises, peers == Peers::Switches, "{peers:?}: {refusal:?}");
        }
    }
}

#[test]
fn an_own_key_of_a_kind_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    authority(dir, "good", P256);
    for (key, kind) in [(P521, "P-521"), (RSA_1024, "RSA of 1024 bits")] {
        leaf(dir, "own", "good", key, "-sha256", "");
        let error = Acceptor::load(&settings(dir, "own-cert.pem", "own-key.pem", "good-cert.pem"));
        let error = error.expect_err("cannot be used").to_string();
        assert!(error.starts_with("tls.private_key ") && error.contains(kind), "{error}");
    }
}

#[test]
fn a_ca_whose_key_cannot_be_used_and_an_own_certificate_for_clients_alone_are_found_before_any_connection() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    authority(dir, "good", P256);
    authority(dir, "weak", RSA_1024);
    leaf(dir, "client", "good", P256, "-sha256", "extendedKeyUsage=clientAuth");
    let found = |certificate: &str, key: &str, ca: &str| {
        let acceptor = Acceptor::load(&settings(dir, certificate, key, ca)).expect("loads");
        let findings = acceptor.findings().into_iter();
        findings
            .filter(|it| it.is_bad)
            .map(|it| it.to_string())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(found("agent-cert.pem", "agent-key.pem", "good-cert.pem"), "");
    let weak = found("agent-cert.pem", "agent-key.pem", "weak-cert.pem");
    assert!(
        weak.starts_with("tls.ca ") && weak.contains("RSA of 1024 bits"),
        "{weak}"
    );
    let client = found("client-cert.pem", "client-key.pem", "good-cert.pem");
    assert!(
        client.starts_with("tls.certificate ") && client.contains("serverAuth"),
        "{client}"
    );
    leaf(dir, "server", "good", P256, "-sha256", "extendedKeyUsage=serverAuth");
    assert_eq!(found("server-cert.pem", "server-key.pem", "good-cert.pem"), "");
    let settings = settings(dir, "server-cert.pem", "server-key.pem", "good-cert.pem");
    let dials = Connector::load_for("control", &settings).expect("loads").findings();
    let pair = Acceptor::load_for(Peers::Pair, &settings).expect("loads").findings();
    for findings in [dials, pair] {
        let bad = findings
            .iter()
            .find(|it| it.is_bad)
            .expect("not for clients")
            .to_string();
        assert!(
            bad.starts_with("tls.certificate ") && bad.contains("clientAuth"),
            "{bad}"
        );
    }
}

#[test]
fn a_file_that_is_no_plain_pem_is_named_as_what_it_is() {
    let folder = Folder::new();
    let pem = std::fs::read(folder.path("agent-cert.pem")).expect("reads");
    let utf16: Vec<u8> = pem.iter().flat_map(|byte| [*byte, 0]).collect();
    let der = folder.switch().der().to_vec();
    let key = std::fs::read(folder.path("agent-key.pem")).expect("reads");
    let contents = [
        ([&b"\xef\xbb\xbf"[..], &pem].concat(), "byte order mark"),
        ([&b"\xff\xfe"[..], &utf16].concat(), "UTF-16"),
        (der, "DER"),
        (key, "\"PRIVATE KEY\""),
        (Vec::new(), "empty"),
    ];
    for (content, word) in contents {
        std::fs::write(folder.path("other.pem"), content).expect("written");
        let mut settings = folder.settings();
        settings.certificate = folder.path("other.pem");
        let error = Acceptor::load(&settings).expect_err(word).to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}
