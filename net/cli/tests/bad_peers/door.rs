//! Connections that never become a session.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use tandem_lab::Pki;
use tandem_lab::pki::Credentials;

use crate::peer::{Rig, dial};

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let rig = Rig::new("1s");
    let others = Pki::new(rig.stage.scratch.folder("others").expect("a folder")).expect("an authority");
    let stranger = Credentials {
        ca: rig.stage.pki.ca(),
        ..others.issue("bad").expect("a certificate")
    };
    // In TLS 1.3 the client is done before the server has looked at its certificate.
    if let Ok(mut peer) = rig.peer_as(&stranger) {
        peer.hung_up();
    }
    println!("{}", rig.line(&["WARN", "HandshakeRefused: ", "unknown_ca"]));
    rig.assert_undisturbed();
}

#[test]
fn handshakes_that_trickle_end_at_their_deadline_and_a_switch_still_gets_in() {
    let rig = Rig::new("1s");
    let mut loris: Vec<TcpStream> = (0..200).map(|_| rig.dial()).collect();
    for stream in &mut loris {
        // The first bytes of a ClientHello.
        stream.write_all(&[0x16, 0x03, 0x01]).expect("sent");
    }
    // While they hang about:
    let mut peer = rig.peer();
    peer.send("x");
    peer.hung_up();
    for stream in &mut loris {
        let _ = stream.write_all(&[0x02]);
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
    }
    let line = rig.line(&[
        "WARN",
        "HandshakeRefused: ",
        "the handshake took longer than 10s; waited for TLS",
    ]);
    println!("{line}");
    rig.assert_undisturbed();
}

#[test]
fn two_thousand_idle_connections_disturb_no_session() {
    let rig = Rig::new("1s");
    let idle: Vec<TcpStream> = (0..2000).map(|_| rig.dial()).collect();
    println!("{}", rig.line(&["WARN", "HandshakeRefused: ", "half_open"]));
    rig.assert_undisturbed();
    // The door is open for a switch all the time.
    let mut switch = rig.peer();
    switch.send("no OVSDB");
    switch.hung_up();
    drop(idle);
    rig.assert_undisturbed();
}

#[test]
fn silent_sessions_are_bounded_in_number_and_disturb_no_other() {
    let rig = Rig::new("0s");
    let credentials = rig.stage.pki.issue("bad").expect("a certificate");
    let idle: Vec<_> = (0..400)
        .map(|_| rig.peer_as(&credentials).expect("a handshake"))
        .collect();
    let words = "Closed: it names no configured switch, and neither do 256 others";
    println!("{}", rig.line(&["WARN", words]));
    let bounded = || {
        let status = rig.agent.status().ok()?;
        let count = status["unidentified"].as_array().map(Vec::len);
        (count == Some(256)).then_some(())
    };
    rig.stage.wait("256 of them", bounded).expect("a bound");
    rig.assert_undisturbed();
    drop(idle);
    let gone = || {
        let status = rig.agent.status().ok()?;
        let gone = status["unidentified"].as_array().is_some_and(Vec::is_empty);
        gone.then_some(())
    };
    rig.stage.wait("no nameless connection", gone).expect("all gone");
}

#[test]
fn a_port_scan_leaves_no_trace_but_in_the_log() {
    let rig = Rig::new("1s");
    let listen = &rig.agent.options().listen;
    for address in [listen.ovsdb, listen.health, listen.agent_check, listen.http] {
        for _ in 0..50 {
            drop(dial(address).expect("connected"));
        }
        for bytes in [
            &b"\r\n\r\n"[..],
            b"GET / HTTP/1.0\r\n\r\n",
            b"SSH-2.0-scan\r\n",
            &[0; 64],
        ] {
            let mut stream = dial(address).expect("connected");
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    println!("{}", rig.lines(&["DEBUG", "HandshakeRefused: ", "probe"], 10)[0]);
    println!("{}", rig.lines(&["WARN", "HandshakeRefused: ", "not_tls"], 3)[0]);
    rig.assert_undisturbed();
}
