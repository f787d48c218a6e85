//! Valid, but one byte at a time.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tandem_lab::switch::PhysicalSwitch;
use tandem_lab::{Switch, SwitchOptions};

use crate::peer::{Peer, Rig};

#[test]
fn a_switch_that_sends_one_byte_at_a_time_is_managed_as_any_other() {
    let rig = Rig::new("1s");
    let options = SwitchOptions {
        physical_switches: vec![PhysicalSwitch {
            name: "bad".into(),
            tunnel_ip: "10.0.1.2".into(),
            ports: vec!["eth1".into()],
        }],
        ..SwitchOptions::default()
    };
    let switch = Switch::start(&rig.stage.scratch, "bad", options).expect("a switch");
    let server = UnixStream::connect(switch.socket()).expect("connected");
    let over = Arc::new(AtomicBool::new(false));
    let relay = {
        let (peer, over) = (rig.peer(), Arc::clone(&over));
        thread::spawn(move || relay(peer, server, &over))
    };
    let session = rig.stage.converged(&rig.agent, "bad").expect("converged");
    over.store(true, Ordering::Relaxed);
    let bytes = relay.join().expect("a relay");
    let bindings = switch.vtep_ctl(&["list-bindings", "bad", "eth1"]).expect("vtep-ctl");
    assert_eq!(bindings.trim(), "0010 Contrail-6f1c0d0e-0000-4000-8000-000000000001");
    println!("{bytes} bytes, each by itself: {}", session["takeover_ms"]);
    rig.assert_undisturbed();
}

/// Between agent and database server: to the agent each byte goes by itself. Answers how many.
fn relay(mut peer: Peer, mut server: UnixStream, over: &AtomicBool) -> usize {
    let patience = Some(Duration::from_millis(1));
    peer.0.sock.set_read_timeout(patience).expect("a timeout");
    server.set_read_timeout(patience).expect("a timeout");
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    while !over.load(Ordering::Relaxed) {
        let length = some(server.read(&mut buffer));
        for byte in &buffer[..length] {
            peer.send([*byte]);
        }
        bytes += length;
        let length = some(peer.0.read(&mut buffer));
        server.write_all(&buffer[..length]).expect("the server takes it");
    }
    bytes
}

fn some(read: io::Result<usize>) -> usize {
    match read {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}
