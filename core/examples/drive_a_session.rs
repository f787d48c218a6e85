//! Drives a session with a switch by hand: no socket, no clock, no thread. Run it with
//! `cargo run -p tandem-core --example drive_a_session`.
//!
//! A switch has connected. It answers four requests, and it gives us the lock. Then it goes silent: the session sends an
//! echo after ten seconds, and closes after twenty. A driver does the same with a socket and a real clock.
#![allow(clippy::print_stdout, reason = "printing is all that it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tandem_core::configuration::{Configuration, SessionOptions, Switch};
use tandem_core::event::LogEvent;
use tandem_core::ovsdb::schema::REQUIRED;
use tandem_core::session::{Command, Input, Opening, Output, Session};
use tandem_core::{ConnId, Generation, Machine, Peer, Time};

fn main() -> Result<(), Box<dyn Error>> {
    let opening = Opening {
        conn: ConnId(1),
        generation: Generation(1),
        peer: Peer {
            address: "192.0.2.1:6640".parse()?,
            proxied: None,
            certificate: None,
        },
        accepted_at: Time::ORIGIN,
        configuration: Arc::new(Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::new(10, 0, 0, 11)),
            networks: BTreeMap::new(),
            switches: BTreeMap::from([("tor1".into(), Switch::default())]),
        }),
        complete: true,
        fit: true,
    };
    let mut now = Time::ORIGIN;
    let mut session = Session::new(now, opening);
    let mut answers = drain(now, &mut session);
    // An agent does so when it knows no other switch of this name.
    session.handle(now, Input::Command(Command::Clear));
    loop {
        let input = if answers.is_empty() {
            // Nothing to read: wait until the session wants to be woken. Time is a number, so this takes no time.
            let Some(deadline) = session.poll_timeout() else {
                return Ok(());
            };
            now = deadline.at.max(now);
            Input::Timeout
        } else {
            Input::Bytes(answers.remove(0))
        };
        session.handle(now, input);
        answers.extend(drain(now, &mut session));
    }
}

/// Takes every output, and answers the requests among them as a switch does.
fn drain(now: Time, session: &mut Session) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    while let Some(output) = session.poll_output() {
        match output {
            Output::Send(bytes) => answers.extend(switch(now, &bytes)),
            Output::Close(why) => println!("{now} close: {why}"),
            Output::Notify(notice) => println!("{now} notify the agent: {notice:?}"),
            Output::Event(event) => println!("{now} {}: {event}", event.word()),
        }
    }
    answers
}

/// The other end: an empty switch named `tor1`, which answers no echo.
fn switch(now: Time, request: &[u8]) -> Option<Vec<u8>> {
    let request: Value = serde_json::from_slice(request).ok()?;
    println!("{now} send {} {}", request["method"], request["params"][1]);
    let result = match (request["method"].as_str()?, request["params"][1].as_str()) {
        ("get_schema", _) => json!({ "version": "1.7.0", "tables": tables() }),
        ("monitor", Some("small")) => json!({ "Physical_Switch": { "6f1c0d0e-0000-4000-8000-000000000009":
            { "new": { "name": "tor1", "ports": ["set", []], "tunnel_ips": "192.0.2.1" } } } }),
        ("lock", _) => json!({ "locked": true }),
        ("echo", _) => return None,
        _ => json!({}),
    };
    serde_json::to_vec(&json!({ "id": request["id"], "result": result, "error": null })).ok()
}

fn tables() -> Map<String, Value> {
    let columns = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({})))
            .collect::<Map<_, _>>()
    };
    REQUIRED
        .iter()
        .map(|(name, names)| ((*name).to_owned(), json!({ "columns": columns(names) })))
        .collect()
}
