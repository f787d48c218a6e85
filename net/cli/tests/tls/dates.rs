//! The dates of the configured certificates: what is found, and what a reload refuses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, date_time_ymd};
use tandem_net::tls::{Acceptor, Cause, Connector, Current, Peers, Refusal};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::authority::{Ca, Client, Folder, meet, patiently};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Seconds since 1970 in this many days.
fn in_days(days: i32) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    if days < 0 {
        now - DAY * days.unsigned_abs()
    } else {
        now + DAY * days.unsigned_abs()
    }
}

fn lasts(params: &mut CertificateParams, from: i32, until: i32) {
    params.not_before = date_time_ymd(1970, 1, 1) + in_days(from);
    params.not_after = date_time_ymd(1970, 1, 1) + in_days(until);
}

fn found(acceptor: &Acceptor) -> Vec<(bool, String)> {
    let findings = acceptor.findings().into_iter();
    findings.map(|finding| (finding.is_bad, finding.to_string())).collect()
}

#[test]
fn the_whole_chain_and_the_cas_of_the_peers_are_examined_and_what_ends_first_counts() {
    let mut folder = Folder::new();
    assert_eq!(found(&folder.acceptor()), []);

    folder.agents = Ca::with("agents", |params| lasts(params, -400, 3));
    folder.show(&folder.agents.issue("agent", |_| {}));
    let acceptor = folder.acceptor();
    let [(false, soon)] = &found(&acceptor)[..] else {
        panic!("{:?}", found(&acceptor))
    };
    assert!(
        soon.starts_with("tls.certificate ") && soon.contains("\"agents\"") && soon.contains("ends in "),
        "{soon}"
    );
    assert!(acceptor.not_after().abs_diff(in_days(3).as_secs().cast_signed()) < 3600);

    folder.agents = Ca::with("agents", |params| lasts(params, -400, -3));
    folder.show(&folder.agents.issue("agent", |_| {}));
    let ended = found(&folder.acceptor());
    assert!(
        matches!(&ended[..], [(true, what)] if what.contains("has ended")),
        "{ended:?}"
    );

    folder.agents = Ca::new("agents");
    folder.show(&folder.agents.issue("agent", |params| lasts(params, 3, 400)));
    let early = found(&folder.acceptor());
    assert!(
        matches!(&early[..], [(true, what)] if what.contains("is not valid before")),
        "{early:?}"
    );
}

#[test]
fn an_ended_ca_of_the_peers_beside_one_in_force_is_a_warning_and_alone_an_error() {
    let folder = Folder::new();
    let old = Ca::with("old switches", |params| lasts(params, -400, -3));
    folder.write("switch-ca.pem", &(old.0.pem() + &folder.switches.0.pem()));
    let both = found(&folder.acceptor());
    assert!(
        matches!(&both[..], [(false, what)] if what.starts_with("tls.ca ") && what.contains("old switches")),
        "{both:?}"
    );
    folder.write("switch-ca.pem", &old.0.pem());
    let acceptor = folder.acceptor();
    assert!(matches!(&found(&acceptor)[..], [(true, _)]), "{:?}", found(&acceptor));
    assert!(acceptor.authorities_not_after() < in_days(0).as_secs().cast_signed());
}

#[test]
fn a_reload_keeps_a_good_pair_from_one_that_has_ended_or_is_not_valid_yet() {
    let folder = Folder::new();
    let acceptor = folder.acceptor();
    let before = acceptor.certificate();
    for (from, until, words) in [(-9, -2, "has ended"), (2, 9, "is not valid before")] {
        folder.show(&folder.agents.issue("agent", |params| lasts(params, from, until)));
        let error = acceptor.reload().expect_err(words).to_string();
        assert!(
            error.starts_with("tls.certificate ") && error.contains(words),
            "{error}"
        );
        assert_eq!(acceptor.certificate(), before);
        assert!(!acceptor.changed(), "tried once");
    }
    folder.show(&folder.agents.issue("agent", |_| {}));
    assert!(acceptor.reload().expect("good files"));
    assert_ne!(acceptor.certificate(), before);
}

#[test]
fn a_pair_that_was_not_valid_yet_is_taken_when_it_becomes_valid() {
    let folder = Folder::new();
    let acceptor = folder.acceptor();
    // Whole seconds: two are at least one.
    let renewed = folder.agents.issue("agent", |params| {
        params.not_before = date_time_ymd(1970, 1, 1) + in_days(0) + Duration::from_secs(2);
    });
    folder.show(&renewed);
    // On a slow machine it is valid by now.
    let waited = acceptor.reload().is_err();
    while waited && !acceptor.changed() {
        std::thread::yield_now();
    }
    acceptor.reload().expect("valid now");
    assert!(!acceptor.changed());
}

#[test]
fn an_ended_pair_is_replaced_even_by_another_ended_one() {
    let folder = Folder::new();
    folder.show(&folder.agents.issue("agent", |params| lasts(params, -9, -2)));
    let acceptor = folder.acceptor();
    folder.show(&folder.agents.issue("agent", |params| lasts(params, -9, -1)));
    assert!(acceptor.reload().expect("no worse than before"));
}

#[test]
fn an_end_that_dials_keeps_its_good_files_too() {
    let folder = Folder::new();
    let current = Current::new("control");
    let loads = || current.load(&folder.settings());
    let good = loads().expect("loads");
    folder.write("agent-key.pem", &folder.switch().key);
    let kept = loads().expect("the pair from before");
    assert!(std::sync::Arc::ptr_eq(&good, &kept));
    folder.show(&folder.agents.issue("agent", |params| lasts(params, -9, -2)));
    assert!(std::sync::Arc::ptr_eq(&good, &loads().expect("the pair from before")));
    folder.show(&folder.agents.issue("agent", |_| {}));
    assert!(!std::sync::Arc::ptr_eq(&good, &loads().expect("the new pair")));
}

#[tokio::test]
async fn a_client_that_does_not_accept_the_certificate_leads_to_a_line_with_its_state_and_the_clocks() {
    let mut folder = Folder::new();
    folder.agents = Ca::with("agents", |params| lasts(params, -400, -3));
    folder.show(&folder.agents.issue("agent", |_| {}));
    let acceptor = folder.acceptor();
    let client = Client::new(&folder.switch()).refusing(rustls::CertificateError::NotValidYet);
    let refusal = meet(&acceptor, &client).await.expect_err("refused");
    assert_eq!(refusal.cause, Cause::RefusedByPeer);
    assert!(
        refusal.what.contains("clock") && refusal.what.contains("\"agents\""),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn an_end_that_dials_learns_why_its_certificate_is_refused() {
    let mut folder = Folder::new();
    folder.agents = Ca::with("agents", |params| lasts(params, -400, 400));
    folder.write("agent-ca.pem", &folder.agents.0.pem());
    folder.show(&folder.agents.issue("server", |_| {}));
    let mut settings = folder.settings();
    settings.ca = folder.path("agent-ca.pem");
    let acceptor = Acceptor::load_for(Peers::Clients, &settings).expect("loads");
    let strangers = Folder::new();
    let cases = [
        (folder.agents.issue("agent", |params| lasts(params, -9, -2)), "clock"),
        (strangers.agents.issue("agent", |_| {}), "does not know the CA"),
        (Ca::new("others").issue("agent", |_| {}), "does not know the CA"),
    ];
    for (own, words) in cases {
        folder.show(&own);
        let connector = Connector::load_for("control", &settings).expect("loads");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let serve = async { acceptor.accept(listener.accept().await.expect("accepts").0).await };
        let dial = async {
            let stream = TcpStream::connect(address).await.expect("connects");
            let (mut stream, _) = connector
                .connect(stream)
                .await
                .expect("a handshake without our certificate");
            stream.read_u8().await
        };
        let (read, served) = patiently(async { tokio::join!(dial, serve) }).await;
        served.expect_err("refused");
        let error = read.expect_err("refused");
        let refusal = Refusal::of(&error).unwrap_or_else(|| panic!("{words}: {error}"));
        assert_eq!(refusal.cause, Cause::RefusedByPeer);
        assert!(
            refusal.what.contains(words) && refusal.what.contains("here: the certificate \"agent\""),
            "{words}: {refusal}"
        );
    }
}

#[tokio::test]
async fn a_certificate_outside_its_dates_is_refused_with_the_own_clock() {
    let folder = Folder::new();
    let acceptor = folder.acceptor();
    for (from, until) in [(-9, -2), (2, 9)] {
        let switch = folder.switches.issue("tor1", |params| lasts(params, from, until));
        let refusal = meet(&acceptor, &Client::new(&switch)).await.expect_err("refused");
        assert!(refusal.what.contains("compare the clocks: ours shows "), "{refusal}");
    }
}

#[tokio::test]
async fn an_end_that_dials_names_the_certificate_that_it_refuses() {
    let folder = Folder::new();
    let strangers = Folder::new();
    let (acceptor, settings) = (strangers.acceptor(), folder.settings());
    let connector = Connector::load_for("control", &settings).expect("loads");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let serve = async { acceptor.accept(listener.accept().await.expect("accepts").0).await };
    let dial = async {
        connector
            .connect(TcpStream::connect(address).await.expect("connects"))
            .await
    };
    let (dialled, _) = patiently(async { tokio::join!(dial, serve) }).await;
    let error = dialled.expect_err("refused").to_string();
    for words in ["\"agent\"", "control.ca", "sha256:"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}
