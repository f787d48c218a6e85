//! Never two writers: one fault after another, while another client deletes rows that the owner must put back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::json;
use tandem_lab::jsonrpc::Client;
use tandem_lab::pair::Pair;
use tandem_lab::switch::remote_mac;

use crate::pair::{LONG, TSN, audited_by, owner_among, proxied, sessions, start, wait, with_macs};
use crate::watch::Watch;
use crate::writers::writers;

#[test]
fn whatever_dies_there_is_one_writer_at_a_time_and_one_broadcast_row() {
    let mut options = with_macs(MACS);
    options.targets = 2;
    let mut pair = start(&options);
    let first = owner_among(&pair, &[0, 1]);
    audited_by(&pair, first, "tor1");
    let watch = Watch::start(&pair.switches[0]);
    let nuisance = Nuisance::start(pair.switches[0].client().expect("a connection"));
    for fault in [hang, kill, drain] {
        let owner = owner_among(&pair, &[0, 1]);
        let other = 1 - owner;
        fault(&mut pair, owner);
        watch.until(&pair.scratch, TSN[other]);
        proxied(&pair, owner, "UP");
        // Both targets are at one agent now; this brings them apart again, and maybe another owner.
        pair.haproxy.restart().expect("a proxy");
        (0..2).for_each(|agent| proxied(&pair, agent, "UP"));
        wait(&pair, "a session with each agent", || {
            (0..2)
                .all(|agent| !sessions(&pair, agent, "tor1").is_empty())
                .then_some(())
        });
    }
    let deleted = nuisance.stop();
    let writers = writers(&pair, 0);
    println!("three faults, {deleted} rows deleted by another client: owners in turn {writers:?}");
    assert!(writers.len() > 3, "{writers:?}");
    assert!(deleted > 0);
    watch.ends();
}

const MACS: u32 = 50;

/// Hangs until the other has taken over.
fn hang(pair: &mut Pair, owner: usize) {
    pair.agents[owner].process.stop().expect("stopped");
    owner_among(pair, &[1 - owner]);
    pair.agents[owner].process.cont().expect("continued");
}

fn kill(pair: &mut Pair, owner: usize) {
    pair.agents[owner].process.kill().expect("killed");
    owner_among(pair, &[1 - owner]);
    pair.agents[owner].restart().expect("an agent");
}

fn drain(pair: &mut Pair, owner: usize) {
    pair.agents[owner].process.terminate().expect("a signal");
    let status = pair.agents[owner].process.wait(LONG).expect("the end");
    assert!(status.success(), "{status}");
    pair.agents[owner].restart().expect("an agent");
}

/// Deletes one remote MAC after another, as fast as the server does it.
struct Nuisance {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Nuisance {
    fn start(mut client: Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut deleted = 0;
            for mac in (0..MACS).cycle().map(remote_mac) {
                if asked.load(Ordering::Relaxed) {
                    break;
                }
                let result = client.transact(&json!([
                    { "op": "comment", "comment": "test: delete a MAC" },
                    { "op": "delete", "table": "Ucast_Macs_Remote", "where": [["MAC", "==", mac]] },
                ]));
                deleted += result.expect("a transaction")[1]["count"].as_u64().unwrap_or_default();
            }
            deleted
        });
        Self { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}
