//! The certificates with which a switch is let in.

use sha2::{Digest, Sha256};
use tandem_core::machine::Fingerprint;
use tandem_net::tls::{Acceptor, Cause};

use crate::authority::{Ca, Client, Folder, Identity, meet};
use crate::programs::{run, v1_authority, v1_certificate};

#[tokio::test]
async fn a_switch_with_a_certificate_of_the_switch_ca_is_let_in_over_tls_1_2_and_1_3() {
    let folder = Folder::new();
    let (acceptor, switch) = (folder.acceptor(), folder.switch());
    for client in [Client::new(&switch), Client::new(&switch).with_tls12_only()] {
        let facts = meet(&acceptor, &client).await.expect("let in");
        assert_eq!(facts.fingerprint, fingerprint(&switch));
        assert_eq!(facts.names, ["tor1", "tor1.example"]);
        assert!(facts.not_after_unix_s > 0);
    }
}

#[tokio::test]
async fn a_switch_without_a_certificate_is_refused_with_that_reason() {
    let folder = Folder::new();
    for client in [
        Client::without_certificate(),
        Client::without_certificate().with_tls12_only(),
    ] {
        let refusal = meet(&folder.acceptor(), &client).await.expect_err("refused");
        assert_eq!(refusal.cause, Cause::NoCertificate, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_by_name_and_fingerprint() {
    let folder = Folder::new();
    let stranger = Ca::new("strangers").issue("tor1", |_| {});
    // The same name of CA, but another key.
    let forged = Ca::new("switches").issue("tor1", |_| {});
    for switch in [&stranger, &forged] {
        let refusal = meet(&folder.acceptor(), &Client::new(switch))
            .await
            .expect_err("refused");
        assert_eq!(refusal.cause, Cause::UnknownCa, "{refusal:?}");
        assert!(refusal.what.contains("\"tor1\""), "{refusal:?}");
        assert!(refusal.what.contains(&fingerprint(switch).to_string()), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_has_ended_or_not_begun_is_refused_with_its_date() {
    let folder = Folder::new();
    let ended = folder.switches.issue("tor1", |params| {
        params.not_after = rcgen::date_time_ymd(2020, 5, 17);
    });
    let to_come = folder.switches.issue("tor1", |params| {
        params.not_before = rcgen::date_time_ymd(3020, 5, 17);
    });
    for (switch, text) in [(ended, "expired on May 17"), (to_come, "not valid before May 17")] {
        let refusal = meet(&folder.acceptor(), &Client::new(&switch))
            .await
            .expect_err("refused");
        assert_eq!(refusal.cause, Cause::Expired, "{refusal:?}");
        assert!(refusal.what.contains(text), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_crl_refuses_the_certificates_that_it_names_and_those_without_a_list() {
    let folder = Folder::new();
    let others = Ca::new("others");
    folder.write("switch-ca.pem", &(folder.switches.0.pem() + &others.0.pem()));
    let mut settings = folder.settings();
    settings.crl = Some(folder.write("crl.pem", &folder.switches.revoke(&[66])));
    let acceptor = Acceptor::load(&settings).expect("loads");

    let good = folder.switches.issue("good", |p| p.serial_number = Some(65.into()));
    let bad = folder.switches.issue("bad", |p| p.serial_number = Some(66.into()));
    let unknown = others.issue("unknown", |p| p.serial_number = Some(65.into()));
    meet(&acceptor, &Client::new(&good)).await.expect("let in");
    for (switch, text) in [(&bad, "is revoked"), (&unknown, "no CRL of")] {
        let refusal = meet(&acceptor, &Client::new(switch)).await.expect_err("refused");
        assert_eq!(refusal.cause, Cause::Revoked, "{refusal:?}");
        assert!(refusal.what.contains(text), "{refusal:?}");
    }

    settings.pins = vec![fingerprint(&bad), fingerprint(&unknown)];
    let acceptor = Acceptor::load(&settings).expect("loads");
    meet(&acceptor, &Client::new(&unknown)).await.expect("pinned");
    let refusal = meet(&acceptor, &Client::new(&bad))
        .await
        .expect_err("pinned, but revoked");
    assert_eq!(refusal.cause, Cause::Revoked);
}

#[tokio::test]
async fn a_pin_of_a_later_configuration_admits_a_certificate_of_no_ca_and_outlives_a_reload() {
    let folder = Folder::new();
    let acceptor = folder.acceptor();
    let stranger = Ca::new("strangers").issue("tor1", |_| {});
    meet(&acceptor, &Client::new(&stranger)).await.expect_err("another CA");
    acceptor.pin([fingerprint(&stranger)].into());
    let facts = meet(&acceptor, &Client::new(&stranger)).await.expect("pinned");
    assert!(facts.pinned_only, "it serves no switch that does not pin it");
    acceptor.replace(&folder.settings()).expect("good files");
    meet(&acceptor, &Client::new(&stranger)).await.expect("pinned still");
    acceptor.pin([].into());
    meet(&acceptor, &Client::new(&stranger)).await.expect_err("no longer");
}

#[tokio::test]
async fn a_pin_lets_in_a_certificate_of_an_unknown_ca_and_only_this_one() {
    let folder = Folder::new();
    let strangers = Ca::new("strangers");
    let pinned = strangers.issue("pinned", |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let other = strangers.issue("pinned", |_| {});
    let mut settings = folder.settings();
    settings.pins = vec![fingerprint(&pinned)];
    let acceptor = Acceptor::load(&settings).expect("loads");
    let facts = meet(&acceptor, &Client::new(&pinned)).await.expect("let in");
    assert_eq!(facts.fingerprint, fingerprint(&pinned));
    assert!(facts.pinned_only, "no CA vouches for it");
    meet(&acceptor, &Client::new(&other)).await.expect_err("refused");
    // A client with a pinned certificate and another key is not its owner.
    for client in [
        Client::new(&Identity {
            pem: pinned.pem.clone(),
            key: other.key.clone(),
        }),
        Client::new(&Identity {
            pem: pinned.pem,
            key: other.key,
        })
        .with_tls12_only(),
    ] {
        let refusal = meet(&acceptor, &client).await.expect_err("refused");
        assert!(refusal.what.contains("did not prove"), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_pinned_certificate_of_the_ca_does_not_rely_on_its_pin() {
    let folder = Folder::new();
    let good = folder.switches.issue("tor1", |_| {});
    let ended = folder
        .switches
        .issue("tor2", |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let mut settings = folder.settings();
    settings.pins = vec![fingerprint(&good), fingerprint(&ended)];
    let acceptor = Acceptor::load(&settings).expect("loads");
    for (switch, relies) in [(&good, false), (&ended, true)] {
        let facts = meet(&acceptor, &Client::new(switch)).await.expect("let in");
        assert_eq!(facts.pinned_only, relies, "{facts:?}");
    }
}

#[tokio::test]
async fn a_v1_certificate_is_let_in_only_when_allowed_and_issued_by_a_configured_ca_itself() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    v1_authority(dir, "old-ca");
    v1_authority(dir, "other-ca");
    let good = v1_certificate(dir, "good", "old-ca", "-sha512", "7", "30");
    let ended = v1_certificate(dir, "ended", "old-ca", "-sha256", "8", "-1");
    let foreign = v1_certificate(dir, "foreign", "other-ca", "-sha512", "7", "30");
    // A v1 certificate has no field for not being a CA.
    folder.write("good.pem", &good.pem);
    let below = v1_certificate(dir, "below", "good", "-sha512", "7", "30");
    let sha1 = v1_certificate(dir, "sha1", "old-ca", "-sha1", "9", "30");
    let md5 = v1_certificate(dir, "md5", "old-ca", "-md5", "10", "30");
    let mut settings = folder.settings();
    settings.ca = folder.path("old-ca.pem");

    let strict = Acceptor::load(&settings).expect("a v1 CA loads");
    let refusal = meet(&strict, &Client::new(&good))
        .await
        .expect_err("refused by default");
    assert_eq!(refusal.cause, Cause::BadCertificate);
    assert!(refusal.what.contains("allow_x509_v1"), "{refusal:?}");

    settings.allow_x509_v1 = true;
    let lenient = Acceptor::load(&settings).expect("loads");
    for client in [Client::new(&good), Client::new(&good).with_tls12_only()] {
        let facts = meet(&lenient, &client).await.expect("let in");
        assert_eq!(facts.names, ["good"]);
    }
    for (switch, cause) in [
        (&ended, Cause::Expired),
        (&foreign, Cause::UnknownCa),
        (&below, Cause::UnknownCa),
        (&sha1, Cause::BadCertificate),
        (&md5, Cause::BadCertificate),
    ] {
        let refusal = meet(&lenient, &Client::new(switch)).await.expect_err("refused");
        assert_eq!(refusal.cause, cause, "{refusal:?}");
    }

    settings.allow_x509_v1 = false;
    settings.pins = vec![fingerprint(&sha1), fingerprint(&md5)];
    let pinning = Acceptor::load(&settings).expect("loads");
    for switch in [&sha1, &md5] {
        meet(&pinning, &Client::new(switch)).await.expect("pinned");
        meet(&pinning, &Client::new(switch).with_tls12_only())
            .await
            .expect("pinned");
    }
}

#[tokio::test]
async fn a_v1_certificate_is_checked_against_the_crl_too() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    v1_authority(dir, "old-ca");
    let good = v1_certificate(dir, "good", "old-ca", "-sha512", "7", "30");
    let bad = v1_certificate(dir, "bad", "old-ca", "-sha512", "8", "30");
    folder.write("index.txt", "");
    folder.write("crlnumber", "01\n");
    folder.write(
        "ca.cnf",
        "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ncrlnumber=crlnumber\ncertificate=old-ca.pem\n\
         private_key=old-ca-key.pem\ndefault_md=sha512\ndefault_crl_days=30\n\
         [crl_ext]\nauthorityKeyIdentifier=keyid,issuer:always\n",
    );
    run(dir, "openssl", &["ca", "-config", "ca.cnf", "-revoke", "bad-cert.pem"]);
    run(
        dir,
        "openssl",
        &[
            "ca", "-config", "ca.cnf", "-gencrl", "-crlexts", "crl_ext", "-out", "crl.pem",
        ],
    );
    let mut settings = folder.settings();
    settings.ca = folder.path("old-ca.pem");
    settings.crl = Some(folder.path("crl.pem"));
    settings.allow_x509_v1 = true;
    let acceptor = Acceptor::load(&settings).expect("loads");
    meet(&acceptor, &Client::new(&good)).await.expect("let in");
    let refusal = meet(&acceptor, &Client::new(&bad)).await.expect_err("refused");
    assert_eq!(refusal.cause, Cause::Revoked, "{refusal:?}");

    settings.crl = Some(folder.write("crl.pem", &folder.switches.revoke(&[1])));
    let acceptor = Acceptor::load(&settings).expect("loads");
    let refusal = meet(&acceptor, &Client::new(&good)).await;
    let refusal = refusal.expect_err("no list clears it");
    assert_eq!(refusal.cause, Cause::Revoked, "{refusal:?}");
}

fn fingerprint(identity: &Identity) -> Fingerprint {
    Fingerprint(Sha256::digest(identity.der()).into())
}
