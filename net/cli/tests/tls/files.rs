//! Files that cannot be used keep the listener shut; new files count from the next handshake on.

use std::fs;
use std::path::Path;

use tandem::pki;
use tandem_core::Fault;
use tandem_net::tls::{Acceptor, Problem, Settings, TlsError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::authority::{Ca, Client, Folder, Identity, meet, patiently, settings};
use crate::programs::{v1_authority, v1_certificate};

#[test]
fn each_bad_file_is_named_with_what_is_wrong() {
    let folder = Folder::new();
    let other = folder.write("other.pem", &folder.switch().key);
    let words = folder.write("words.pem", "no PEM at all\n");
    let damaged = folder.write(
        "damaged.pem",
        "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n",
    );
    let encrypted = folder.write(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let absent = folder.path("absent.pem");
    let backwards = Identity::read(folder.dir.path(), "agent");
    let (leaf, root) = backwards
        .pem
        .split_at(backwards.pem.len() - folder.agents.0.pem().len());
    let backwards = folder.write("backwards.pem", &format!("{root}{leaf}"));

    type Change<'a> = &'a dyn Fn(&mut Settings);
    let cases: &[(&str, &Path, &str, Change<'_>)] = &[
        ("certificate", &absent, "cannot be read", &|s| {
            s.certificate = absent.clone()
        }),
        ("certificate", &words, "no PEM", &|s| s.certificate = words.clone()),
        ("certificate", &damaged, "damaged", &|s| s.certificate = damaged.clone()),
        ("private_key", &absent, "cannot be read", &|s| {
            s.private_key = absent.clone()
        }),
        ("private_key", &words, "no PEM", &|s| s.private_key = words.clone()),
        ("private_key", &encrypted, "passphrase", &|s| {
            s.private_key = encrypted.clone()
        }),
        ("private_key", &other, "does not belong", &|s| {
            s.private_key = other.clone()
        }),
        ("private_key", &folder.path("agent-key.pem"), "to certificate 2", &|s| {
            s.certificate = backwards.clone()
        }),
        ("ca", &absent, "cannot be read", &|s| s.ca = absent.clone()),
        ("ca", &words, "no PEM", &|s| s.ca = words.clone()),
        ("crl", &absent, "cannot be read", &|s| s.crl = Some(absent.clone())),
        ("crl", &words, "no PEM", &|s| s.crl = Some(words.clone())),
    ];
    for (role, file, message, change) in cases {
        let mut settings = folder.settings();
        change(&mut settings);
        let error = Acceptor::load(&settings).expect_err(message);
        let text = error.to_string();
        assert_eq!((error.role, &*error.file), (*role, *file), "{text}");
        assert!(text.starts_with(&format!("tls.{role} ")), "{text}");
        assert!(
            text.contains(message) && text.contains(&*file.to_string_lossy()),
            "{text}"
        );
        assert_eq!(error.fault(), Fault::Environment);
    }
}

#[test]
fn a_crl_that_its_ca_did_not_sign_keeps_the_listener_shut() {
    let folder = Folder::new();
    let mut settings = folder.settings();
    settings.crl = Some(folder.write("crl.pem", &Ca::new("switches").revoke(&[1])));
    let error = Acceptor::load(&settings).expect_err("shut");
    assert!(
        matches!(
            error,
            TlsError {
                problem: Problem::BadCrl { number: 1, .. },
                ..
            }
        ),
        "{error}"
    );
    settings.crl = Some(folder.write("crl.pem", &folder.switches.revoke(&[1])));
    Acceptor::load(&settings).expect("its own opens it");
}

#[tokio::test]
async fn a_reload_serves_the_new_certificate_and_leaves_sessions_alone() {
    let folder = Folder::new();
    let acceptor = folder.acceptor();
    let (switch, before) = (folder.switch(), acceptor.certificate());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let client = Client::new(&switch);
    let serve = async {
        let (stream, _) = listener.accept().await.expect("accepts");
        acceptor.accept(stream).await.expect("let in").0
    };
    let (session, mut served) = patiently(async { tokio::join!(client.connect(address), serve) }).await;
    let mut session = session.expect("connects");

    assert!(!acceptor.changed());
    assert!(!acceptor.reload().expect("nothing new"));
    let renewed = folder
        .agents
        .issue("agent", |p| p.not_after = rcgen::date_time_ymd(3000, 1, 1));
    folder.show(&renewed);
    assert!(acceptor.changed());
    assert!(acceptor.reload().expect("good files"));
    assert!(!acceptor.changed());
    assert_ne!(acceptor.certificate(), before);
    assert_eq!(acceptor.not_after(), 32_503_680_000);

    patiently(async {
        session.write_all(b"still here").await.expect("writes");
        session.flush().await.expect("writes");
        let mut received = [0; 10];
        served.read_exact(&mut received).await.expect("reads");
        assert_eq!(&received, b"still here");
    })
    .await;
    let serve = async {
        let (stream, _) = listener.accept().await.expect("accepts");
        acceptor.accept(stream).await.expect("let in").0
    };
    let (next, _served) = patiently(async { tokio::join!(client.connect(address), serve) }).await;
    let next = next.expect("connects");
    assert_eq!(next.get_ref().1.peer_certificates().expect("a chain")[0], renewed.der());
}

#[tokio::test]
async fn a_reload_of_bad_files_keeps_the_old_ones_and_is_tried_once() {
    let folder = Folder::new();
    let acceptor = folder.acceptor();
    let (switch, before) = (folder.switch(), acceptor.certificate());
    let renewed = folder.agents.issue("agent", |_| {});
    // The moment between the two files of a renewal.
    folder.write("agent-cert.pem", &renewed.pem);
    assert!(acceptor.changed());
    let error = acceptor.reload().expect_err("the old key");
    assert!(
        matches!(error.problem, Problem::KeyMismatch { position: None, .. }),
        "{error}"
    );
    assert!(!acceptor.changed(), "a broken state is tried once");
    assert_eq!(acceptor.certificate(), before);
    meet(&acceptor, &Client::new(&switch)).await.expect("let in as before");

    fs::remove_file(folder.path("agent-key.pem")).expect("removes");
    assert!(acceptor.changed());
    acceptor.reload().expect_err("no key");
    assert!(!acceptor.changed());
    folder.write("agent-key.pem", &renewed.key);
    assert!(acceptor.changed());
    assert!(acceptor.reload().expect("whole again"));
}

#[tokio::test]
async fn a_reload_takes_new_pins_and_a_new_crl() {
    let folder = Folder::new();
    let acceptor = folder.acceptor();
    let switch = folder.switches.issue("tor1", |p| p.serial_number = Some(66.into()));
    meet(&acceptor, &Client::new(&switch)).await.expect("let in");
    let mut settings = folder.settings();
    settings.crl = Some(folder.write("crl.pem", &folder.switches.revoke(&[66])));
    assert!(acceptor.replace(&settings).expect("good files"));
    meet(&acceptor, &Client::new(&switch)).await.expect_err("revoked");
}

#[tokio::test]
async fn an_agent_may_show_a_v1_certificate_itself() {
    let folder = Folder::new();
    let dir = folder.dir.path();
    v1_authority(dir, "old-ca");
    v1_certificate(dir, "old-agent", "old-ca", "-sha512", "7", "30");
    let settings = settings(dir, "old-agent-cert.pem", "old-agent-key.pem", "switch-ca.pem");
    let acceptor = Acceptor::load(&settings).expect("loads");
    for client in [
        Client::new(&folder.switch()),
        Client::new(&folder.switch()).with_tls12_only(),
    ] {
        meet(&acceptor, &client).await.expect("let in");
    }
}

#[tokio::test]
async fn pki_init_makes_pairs_that_work_with_secret_keys_and_never_overwrites() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    for (name, shared, agents) in [("two", false, &["agent-a", "agent-b"][..]), ("one", true, &["agent"])] {
        let dir = folder.path(name);
        let files = pki::init(&dir, shared).expect("makes them");
        assert_eq!(files.len(), 12 + 2 * agents.len());
        for file in &files {
            let mode = fs::metadata(file).expect("is there").permissions().mode() & 0o777;
            let secret = file.to_string_lossy().ends_with("-key.pem");
            assert!(!secret || mode == 0o600, "{}: {mode:o}", file.display());
        }
        for agent in agents {
            let (certificate, key) = (format!("{agent}-cert.pem"), format!("{agent}-key.pem"));
            let chain = fs::read_to_string(dir.join(&certificate)).expect("reads");
            assert!(chain.ends_with(&fs::read_to_string(dir.join("agent-ca.pem")).expect("reads")));
            let settings = settings(&dir, &certificate, &key, "switch-ca.pem");
            let acceptor = Acceptor::load(&settings).expect("loads");
            let switch = Identity::read(&dir, "switch");
            meet(&acceptor, &Client::new(&switch)).await.expect("let in");
            let refusal = meet(&acceptor, &Client::new(&Identity::read(&dir, agent))).await;
            refusal.expect_err("an agent is no switch");
        }
        let acceptor = Acceptor::load(&settings(
            &dir,
            "control-1-cert.pem",
            "control-1-key.pem",
            "agent-ca.pem",
        ));
        let acceptor = acceptor.expect("loads");
        let agent = Client::new(&Identity::read(&dir, agents[0]));
        meet(&acceptor, &agent).await.expect("let in");
        let switch = Client::new(&Identity::read(&dir, "switch"));
        meet(&acceptor, &switch).await.expect_err("a switch is no agent");
        let before = fs::read(dir.join("agent-ca-key.pem")).expect("reads");
        fs::remove_file(dir.join("switch-key.pem")).expect("removes");
        let error = pki::init(&dir, shared).expect_err("there already");
        assert!(error.to_string().contains("never overwritten"), "{error}");
        assert_eq!(fs::read(dir.join("agent-ca-key.pem")).expect("reads"), before);
        assert!(!dir.join("switch-key.pem").exists(), "nothing is written then");
    }
}
