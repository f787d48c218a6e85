//! Others write the same things in the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use tandem_lab::Switch;

use crate::rig::{BLUE, Rig, delete_all, everything_of};

/// A client that sends these transactions one after the other, and does not care which of them fail.
struct Rival {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(usize, usize)>,
}

impl Rival {
    fn start(switch: &Switch, transactions: Vec<Value>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut client = switch.client().expect("a client");
        let running = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let (mut applied, mut refused) = (0, 0);
            while !running.load(Ordering::Relaxed) {
                for transaction in &transactions {
                    match client.transact(transaction) {
                        Ok(_) => applied += 1,
                        Err(_) => refused += 1,
                    }
                }
            }
            (applied, refused)
        });
        Self { over, thread }
    }

    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        let (applied, refused) = self.thread.join().expect("a rival");
        println!("the rival: {applied} transactions applied, {refused} refused");
    }
}

/// The rival may win for as long as it likes; when it ends, everything has to be right soon. A few rounds, because repairs
/// of the same object slow down.
fn outlives(rig: &Rig, rival: Rival, rounds: usize) {
    let repaired = || (rig.agent.lines(&["Programmed: "]).len() >= rounds).then_some(());
    rig.stage.wait("a fight", repaired).expect("a fight");
    rival.end();
    rig.converged();
    let refused = rig.agent.lines(&["TransactionRejected: "]);
    println!("{} refusals, such as {:?}", refused.len(), refused.last());
    assert!(
        rig.agent.lines(&["Closed: "]).is_empty(),
        "{}",
        rig.agent.log().join("\n")
    );
    let session = rig.agent.session("tor1").expect("a session");
    assert_eq!((&session["pending"], &session["blocked"]), (&json!(0), &json!([])));
}

#[test]
fn a_rival_that_creates_the_same_logical_switch_and_locator_is_outlived() {
    let insert = json!([
        { "op": "insert", "table": "Logical_Switch", "uuid-name": "ls", "row": { "name": BLUE, "tunnel_key": 5001 } },
        { "op": "insert", "table": "Physical_Locator", "uuid-name": "l",
          "row": { "dst_ip": "10.0.9.1", "encapsulation_type": "vxlan_over_ipv4" } },
        { "op": "insert", "table": "Ucast_Macs_Remote",
          "row": { "MAC": "02:01:00:00:00:01", "logical_switch": ["named-uuid", "ls"], "locator": ["named-uuid", "l"] } },
    ]);
    let mut rival = None;
    let rig = Rig::starting(300, |switch| {
        rival = Some(Rival::start(switch, vec![insert, delete_all()]));
    });
    outlives(&rig, rival.expect("a rival"), 12);
}

#[test]
fn a_logical_switch_that_goes_while_it_is_claimed_read_and_written_is_made_anew() {
    let mut rival = None;
    let rig = Rig::starting(300, |switch| {
        switch.add_logical_switch(BLUE, 5001).expect("a logical switch");
        rival = Some(Rival::start(switch, vec![delete_all()]));
    });
    outlives(&rig, rival.expect("a rival"), 8);
}

#[test]
fn a_locator_that_comes_and_goes_is_found_again() {
    let rig = Rig::new(300);
    // Deleting every row deletes the locator with the last of them, while new rows still refer to it.
    let rival = Rival::start(&rig.switch, vec![json!([everything_of("Ucast_Macs_Remote")])]);
    outlives(&rig, rival, 12);
}
