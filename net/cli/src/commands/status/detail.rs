//! One switch of an agent, with everything that the table leaves out.

use tandem_core::status::{SessionStatus, SwitchStatus};
use tandem_net::metrics::phases;
use tandem_net::process::ProcessStatus;

use super::page::{Page, clean};
use super::process::utc;
use crate::commands::count;

/// Adds the section of a switch. `owner` is the other agent of the pair, if that owns it.
pub(super) fn show(page: &mut Page, process: &ProcessStatus, name: &str, switch: &SwitchStatus, owner: Option<String>) {
    page.title(&format!("{name}, configuration {}", clean(&switch.fingerprint)));
    page.line(&format!("  {} exported", count(switch.exported, "route", "routes")));
    if switch.sessions.is_empty() {
        match owner {
            Some(agent) => page.line(&format!("  no session: {agent} owns it")),
            None => page.line("  no session: in a pair the other agent may have one"),
        }
    }
    for session in &switch.sessions {
        show_session(page, process, session);
    }
}

fn show_session(page: &mut Page, process: &ProcessStatus, session: &SessionStatus) {
    let since = match process.format {
        0 => format!("for {:.0} s", session.age_ms / 1000.0),
        _ => format!("since {}", utc(process.now_unix_s - session.age_ms / 1000.0)),
    };
    page.fact(&format!(
        "  {} from {} {since}, generation {}, schema {}",
        session.conn,
        session.from,
        session.generation,
        clean(&session.schema)
    ));
    let (rows, held) = (session.rows_local, session.ownership);
    let (remote, desired) = (session.rows_remote, session.rows_desired);
    page.fact(&format!(
        "    {}, {held}: {rows} local rows, {remote} remote, {desired} desired",
        session.phase
    ));
    page.fact(&format!(
        "    {} pending, {} in flight, {}, {}",
        session.pending,
        session.in_flight,
        count(session.repairs as usize, "repair", "repairs"),
        count(session.keepalive_misses as usize, "keepalive miss", "keepalive misses"),
    ));
    let reached = phases(session).map(|(phase, ms)| Some(format!("{phase} {:.1}", ms?)));
    let reached: Vec<String> = reached.into_iter().flatten().collect();
    page.fact(&format!("    ms since it was accepted: {}", reached.join(", ")));
    let warnings = session.warnings.iter();
    let warnings: Vec<String> = warnings
        .map(|(word, count)| format!("{} {count}", clean(word)))
        .collect();
    if !warnings.is_empty() {
        page.fact(&format!("    warnings: {}", warnings.join(", ")));
    }
    for fault in &session.faults {
        page.fact(&format!("    fault: {}", clean(&fault.to_string())));
    }
}
