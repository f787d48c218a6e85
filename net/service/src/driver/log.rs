//! One line for each event: its word first, then who, then what.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tandem_core::agent::{event as pair, uplinks};
use tandem_core::control;
use tandem_core::event::{Event, Level};
use tandem_core::health::Grade;
use tandem_core::machine::CloseWhy;
use tandem_core::{ConnId, SwitchName};
use tracing::{debug, error, info, warn};

/// Logs what happened in a session.
pub fn event(event: &Event, served: &BTreeSet<SwitchName>) {
    let word = event.what.word();
    let names: Vec<&str> = served.iter().map(SwitchName::as_str).collect();
    let switch = if names.is_empty() { "-".into() } else { names.join(",") };
    let (conn, generation, what) = (event.conn.0, event.generation.0, &event.what);
    match event.what.level() {
        Level::Debug => debug!(target: "tandem", switch, conn, generation, "{word}: {what}"),
        Level::Info => info!(target: "tandem", switch, conn, generation, "{word}: {what}"),
        Level::Warn => warn!(target: "tandem", switch, conn, generation, "{word}: {what}"),
        Level::Error => error!(target: "tandem", switch, conn, generation, "{word}: {what}"),
    }
}

/// Logs that a connection got no session.
pub fn refused(conn: ConnId, why: &CloseWhy) {
    warn!(target: "tandem", conn = conn.0, "Refused: {why}");
}

/// Logs what the health port says from now on.
pub fn graded(grade: Grade) {
    info!(target: "tandem", "Graded: this agent is {grade}");
}

/// Logs that the services node lives, or why it counts as dead from now on.
pub fn probed(alive: bool, why: Option<&str>) {
    match (alive, why) {
        (true, _) => info!(target: "tandem", "Probed: the services node is alive"),
        (false, why) => {
            warn!(target: "tandem", "Probed: the services node is dead: {}", why.unwrap_or("its probe fails"))
        }
    }
}

/// Logs that the other agent of the pair listens to us.
pub fn peer_dialled(address: SocketAddr, agent: &str) {
    info!(target: "tandem", "PeerLink: {} at {address} listens to us", agent.escape_debug());
}

/// Logs that it does not listen to us, or no longer; quietly, if that is known.
pub fn peer_lost(address: SocketAddr, why: &str, is_news: bool) {
    if is_news {
        warn!(target: "tandem", "PeerLink: {address} does not listen to us: {why}");
    } else {
        debug!(target: "tandem", "PeerLink: {address} does not listen to us: {why}");
    }
}

/// Logs that somebody who has a certificate for it does not speak as the other agent of a pair does.
pub fn peer_refused(from: SocketAddr, why: &str) {
    warn!(target: "tandem", "PeerLink: {from} is not listened to: {why}");
}

/// Logs what happened between an agent and its control nodes.
pub fn uplink(what: &uplinks::What) {
    let word = what.word();
    match what.level() {
        Level::Debug => debug!(target: "tandem", "{word}: {what}"),
        Level::Info => info!(target: "tandem", "{word}: {what}"),
        Level::Warn => warn!(target: "tandem", "{word}: {what}"),
        Level::Error => error!(target: "tandem", "{word}: {what}"),
    }
}

/// Logs what is wrong between the two agents of a pair, or right again.
pub fn pair(what: &pair::What) {
    let word = what.word();
    match what.level() {
        Level::Debug => debug!(target: "tandem", "{word}: {what}"),
        Level::Info => info!(target: "tandem", "{word}: {what}"),
        Level::Warn => warn!(target: "tandem", "{word}: {what}"),
        Level::Error => error!(target: "tandem", "{word}: {what}"),
    }
}

/// Logs what happened at a control node.
pub fn control(event: &control::Event) {
    let word = event.word();
    match event.level() {
        Level::Debug => debug!(target: "tandem", "{word}: {event}"),
        Level::Info => info!(target: "tandem", "{word}: {event}"),
        Level::Warn => warn!(target: "tandem", "{word}: {event}"),
        Level::Error => error!(target: "tandem", "{word}: {event}"),
    }
}

/// Logs that a connection never became a stream. Whoever just connects and goes is a probe, and many are.
pub fn stream_refused(from: SocketAddr, why: &CloseWhy) {
    match why.fault {
        None => debug!(target: "tandem", "StreamEnded: {from}: {why}"),
        Some(_) => warn!(target: "tandem", "StreamEnded: {from}: {why}"),
    }
}
