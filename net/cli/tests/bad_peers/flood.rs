//! Too much of anything.

use std::io::{Read, Write};

use crate::peer::Rig;

const MIB: usize = 1 << 20;

#[test]
fn a_message_of_200_mb_is_cut_off_at_the_bound() {
    let rig = Rig::new("1s");
    let mut peer = rig.peer();
    let chunk = vec![b'a'; MIB];
    let mut sent = 0;
    let mut written = peer.0.write_all(br#"{"id":1,"method":"echo","params":[""#);
    while written.is_ok() && sent < 200 * MIB {
        written = peer.0.write_all(&chunk);
        sent += chunk.len();
    }
    println!("cut off after {} MiB", sent / MIB);
    println!(
        "{}",
        rig.line(&["WARN", "Closed: a message of more than 1048576 bytes"])
    );
    assert!(sent < 200 * MIB, "all of it was taken");
    rig.assert_undisturbed();
}

#[test]
fn what_connections_without_a_name_send_is_bounded_for_all_together_and_its_memory_returns() {
    let rig = Rig::new("0s");
    let memory_mib = || {
        let (now, peak) = rig.agent.process.memory_kib().expect("memory");
        (now >> 10, peak >> 10)
    };
    let (before, _) = memory_mib();
    let part = vec![b'a'; 15 * MIB];
    let mut peers = Vec::new();
    for _ in 0..80 {
        let mut peer = rig.peer();
        peer.send(crate::talk::schema());
        peer.send(r#"{"id":1,"result":{"Physical_Switch":{"x":{"new":{"name":""#);
        peer.send(&part);
        peers.push(peer);
    }
    let words = "connections that name no configured switch sent more than 67108864 bytes, and this one most";
    println!("{}", rig.line(&["WARN", "Closed: ", words]));
    let (now, peak) = memory_mib();
    println!(
        "before: {before} MiB; with {} MiB sent: {now} MiB, at most {peak} MiB",
        80 * 15
    );
    rig.assert_undisturbed();
    drop(peers);
    let gone = || {
        let status = rig.agent.status().ok()?;
        status["unidentified"].as_array()?.is_empty().then_some(())
    };
    rig.stage.wait("no nameless connection", gone).expect("all gone");
    // Nothing else happens meanwhile: an idle agent gives back what it does not need.
    let returned = || Some(memory_mib().0).filter(|now| *now < before + 48);
    let after = rig
        .stage
        .wait("memory near that of before", returned)
        .expect("returned");
    println!("without them: {after} MiB");
}

#[test]
fn echoes_whose_answers_are_never_read_end_with_the_session() {
    let rig = Rig::new("2s");
    let mut peer = rig.peer();
    let params = "x".repeat(1000);
    let flood = format!(r#"{{"id":1,"method":"echo","params":["{params}"]}}"#).repeat(1000);
    let mut sent = 0;
    // Writing fails when the agent hangs up.
    while peer.0.write_all(flood.as_bytes()).is_ok() {
        sent += flood.len();
        assert!(sent < 2000 * MIB, "it takes echoes without end");
    }
    println!("{} MiB of echoes were taken", sent / MIB);
    println!(
        "{}",
        rig.line(&["WARN", "Closed: it asks on and does not take the answers"])
    );
    rig.assert_undisturbed();
}

#[test]
fn a_peer_that_does_not_read_wedges_no_other() {
    let rig = Rig::new("0s");
    let mut peer = rig.peer();
    let patience = Some(std::time::Duration::from_secs(1));
    peer.0.sock.set_write_timeout(patience).expect("a timeout");
    let flood = r#"{"id":1,"method":"echo","params":[]}"#.repeat(10_000);
    while peer.0.write_all(flood.as_bytes()).is_ok() {}
    // Health and status are answered through every session.
    let status = rig.agent.status().expect("a status");
    assert_eq!(status["grade"], "fit");
    let mut health = crate::peer::dial(rig.agent.options().listen.health).expect("connected");
    let echo = br#"{"id":"echo","method":"echo","params":[]}"#;
    health.write_all(echo).expect("sent");
    assert!(health.read(&mut [0; 64]).expect("an answer") > 0);
    rig.assert_undisturbed();
}

#[test]
fn small_messages_without_end_take_bounded_memory() {
    let rig = Rig::new("2s");
    let mut peer = rig.peer();
    // Notifications that mean nothing, cut so that the agent is never between two of them.
    let flood = r#""method":"x","params":[]}{"#.repeat(40_000);
    peer.send("{");
    let mut sent = 0;
    while sent < 300 * MIB && peer.0.write_all(flood.as_bytes()).is_ok() {
        sent += flood.len();
    }
    println!("{} MiB of small messages were taken", sent / MIB);
    rig.assert_undisturbed();
}

#[test]
fn requests_that_a_manager_does_not_serve_are_refused_one_by_one() {
    let rig = Rig::new("2s");
    let mut peer = rig.peer();
    peer.send(r#"{"id":"a","method":"transact","params":["hardware_vtep"]}"#.repeat(10_000));
    peer.send("nonsense");
    let answered = peer.hung_up();
    let one = r#"{"id":"a","result":null,"error":"unknown method"}"#;
    assert!(answered >= 10_000 * one.len(), "{answered} bytes");
    rig.assert_undisturbed();
}
