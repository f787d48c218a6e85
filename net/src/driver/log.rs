//! One line for each event: its word first, then who, then what.

use std::collections::BTreeSet;

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
