//! The status of an agent, for a person.

use std::collections::BTreeMap;
use std::fmt::Write;

use tandem_core::SwitchName;
use tandem_core::status::{AgentStatus, Alarm, Ignored, SessionStatus, SwitchStatus};

use tandem_core::machine::Fingerprint;

use super::trouble::{Trouble, natural};
use crate::commands::count;
use tandem_net::metrics::phases;

/// Certificates that are not bound to the name of their switch: more are not shown.
const UNBOUND_SHOWN: usize = 5;

/// The whole page, with a line break at its end.
pub(super) fn render(status: &AgentStatus) -> String {
    let mut page = head(status);
    if !status.control_nodes.is_empty() {
        page.push('\n');
        page.push_str(&control_nodes(status));
    }
    if !status.switches.is_empty() {
        page.push('\n');
        page.push_str(&switches(status));
    }
    let takeovers = takeovers(status);
    if takeovers.len() > 1 {
        page.push_str("\nLast takeover, in ms since the connection was accepted\n");
        page.push_str(&aligned(&takeovers));
    }
    page.push_str(&reasons(status));
    page.push_str(&unbound_certificates(status));
    if !status.unidentified.is_empty() {
        page.push_str("\nConnections that have named no configured switch\n");
        for connection in &status.unidentified {
            let named: Vec<String> = connection.named.iter().map(|name| clean(name.as_str())).collect();
            let named = if named.is_empty() {
                "nothing yet".into()
            } else {
                named.join(", ")
            };
            line(
                &mut page,
                &format!("  {} from {} named {named}", connection.conn, connection.from),
            );
        }
    }
    page
}

fn head(status: &AgentStatus) -> String {
    let connected = status
        .switches
        .values()
        .filter(|switch| !switch.sessions.is_empty())
        .count();
    let owned = sessions(status).filter(|(_, session)| session.ownership.owns()).count();
    let tsn = match status.tsn_alive {
        Some(true) => " (alive)",
        Some(false) => " (DEAD)",
        None => "",
    };
    let mut text = format!(
        "{}: {}, services node {}{tsn}, {}, {connected} connected, {owned} owned",
        clean(&status.agent),
        status.grade,
        status.tsn,
        count(status.switches.len(), "switch", "switches"),
    );
    if let Some(revision) = status.revision {
        text.push_str(&format!(", revision {revision}"));
    }
    if status.remembered {
        text.push_str(", REMEMBERED: no control node was reached since the start");
    }
    let trouble = Trouble::of_all(status);
    if !trouble.is_none() {
        text.push_str(&format!(", {}", trouble.text()));
    }
    text.push('\n');
    match status.peer.as_ref().map(|peer| (&peer.agent, peer.grade)) {
        Some((Some(agent), Some(grade))) => line(&mut text, &format!("peer {}: {grade}", clean(agent))),
        Some(_) => line(&mut text, "peer: SILENT"),
        None => {}
    }
    for node in &status.control_nodes {
        let name = clean(node.name.as_deref().unwrap_or_default());
        let revision = |revision: Option<u64>| revision.map(|it| it.to_string()).unwrap_or_default();
        let (theirs, ours) = (revision(node.revision), revision(status.revision));
        match node.ignored {
            Some(Ignored::Outdated) => {
                let what = format!("REVISION {theirs} IGNORED: revision {ours} is in force");
                line(&mut text, &format!("{name}: {what}"));
            }
            Some(Ignored::TooLarge) => line(&mut text, &format!("{name}: CONFIGURATION TOO LARGE, and ignored")),
            None => {}
        }
    }
    for (name, switch) in in_order(status) {
        for alarm in &switch.alarms {
            let what = match alarm {
                Alarm::Ownerless => "NO OWNER",
                Alarm::Contested => "BOTH AGENTS ARE OWNERS",
                Alarm::Disagreed => "CONFIGURATION DIFFERS FROM THE PEER",
            };
            line(&mut text, &format!("{}: {what}", clean(name.as_str())));
        }
        for alarm in switch.sessions.iter().flat_map(|session| &session.alarms) {
            let (title, detail) = (alarm.kind.title(), clean(&alarm.detail));
            line(&mut text, &format!("{}: {title}: {detail}", clean(name.as_str())));
        }
    }
    text
}

fn control_nodes(status: &AgentStatus) -> String {
    let titles = [
        "CONTROL NODE",
        "NAME",
        "CONFIGURES",
        "REVISION",
        "NETWORKS",
        "COMPLETE",
        "ROUTES SENT",
        "PENDING",
        "UNUSABLE",
        "FAILURES",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for node in &status.control_nodes {
        let name = node.name.as_deref().map_or_else(|| "no session".into(), clean);
        let configures = if node.configures { "yes" } else { "no" };
        let remark = match node.ignored {
            Some(Ignored::Outdated) => " IGNORED",
            Some(Ignored::TooLarge) => " TOO LARGE",
            None if node.disagrees => " DISAGREES",
            None => "",
        };
        let revision = node.revision.map(|revision| revision.to_string());
        let revision = match (revision, remark.trim_start()) {
            (None, "") => "-".into(),
            (revision, _) => format!("{}{remark}", revision.unwrap_or_default())
                .trim_start()
                .to_owned(),
        };
        let mut row = vec![node.address.to_string(), name, configures.into(), revision];
        let counts = [
            node.instances,
            node.instances_complete,
            node.routes_sent,
            node.routes_pending,
        ];
        row.extend(counts.map(|count| count.to_string()));
        row.push(node.routes_unusable.values().sum::<u64>().to_string());
        row.push(node.failures.to_string());
        rows.push(row);
    }
    aligned(&rows)
}

fn switches(status: &AgentStatus) -> String {
    let titles = [
        "SWITCH",
        "PHASE",
        "OWNERSHIP",
        "FROM",
        "LOCAL",
        "REMOTE",
        "DESIRED",
        "EXPORTED",
        "PENDING",
        "IN FLIGHT",
        "BLOCKED",
        "QUARANTINED",
        "MISSES",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, switch) in in_order(status) {
        let name = clean(name.as_str());
        if switch.sessions.is_empty() {
            rows.push(vec![name.clone(), "no session".into()]);
        }
        for session in &switch.sessions {
            let counts = [
                session.rows_local,
                session.rows_remote,
                session.rows_desired,
                switch.exported,
                session.pending,
                session.in_flight,
                session.blocked.len(),
                session.quarantine.len(),
            ];
            let mut row = vec![
                name.clone(),
                session.phase.to_string(),
                session.ownership.to_string(),
                session.from.to_string(),
            ];
            row.extend(counts.map(|count| count.to_string()));
            row.push(session.keepalive_misses.to_string());
            rows.push(row);
        }
    }
    aligned(&rows)
}

fn takeovers(status: &AgentStatus) -> Vec<Vec<String>> {
    let titles = ["SWITCH", "TLS", "IDENTIFIED", "LOCKED", "CLAIMED", "READ", "AUDITED"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, session) in sessions(status) {
        let times = phases(session).map(|(_, ms)| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")));
        rows.push([vec![name], times.to_vec()].concat());
    }
    rows
}

/// The switches whose names any switch of the CA could take, and the line that ends it.
fn unbound_certificates(status: &AgentStatus) -> String {
    let unbound = sessions(status).filter_map(|(name, session)| Some((name, session.unbound_certificate?)));
    let unbound: BTreeMap<String, Fingerprint> = unbound.collect();
    let mut text = String::new();
    if !unbound.is_empty() {
        line(
            &mut text,
            "\nTo adopt the certificate of a switch, add the line to its `[[switch]]`",
        );
    }
    for (name, fingerprint) in unbound.iter().take(UNBOUND_SHOWN) {
        line(&mut text, &format!("  {name}: certificate = \"{fingerprint}\""));
    }
    let rest = unbound.len().saturating_sub(UNBOUND_SHOWN);
    if rest > 0 {
        line(&mut text, &format!("  and {rest} more, which `--json` shows"));
    }
    text
}

/// Why something is blocked or in quarantine.
fn reasons(status: &AgentStatus) -> String {
    let mut text = String::new();
    for (name, session) in sessions(status) {
        for (title, list) in [("blocked", &session.blocked), ("in quarantine", &session.quarantine)] {
            if !list.is_empty() {
                line(&mut text, &format!("\n{name}: {title}"));
            }
            for (object, reason) in list {
                line(&mut text, &format!("  {}: {}", clean(object), clean(reason)));
            }
        }
    }
    text
}

fn sessions(status: &AgentStatus) -> impl Iterator<Item = (String, &SessionStatus)> {
    in_order(status)
        .into_iter()
        .flat_map(|(name, switch)| switch.sessions.iter().map(|session| (clean(name.as_str()), session)))
}

/// The switches in the order of their names for people.
fn in_order(status: &AgentStatus) -> Vec<(&SwitchName, &SwitchStatus)> {
    let mut switches: Vec<_> = status.switches.iter().collect();
    switches.sort_by_key(|(name, _)| natural(name));
    switches
}

/// Columns two blanks apart; numbers end where their title ends.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let number = |cell: &str| cell == "-" || cell.parse::<f64>().is_ok();
    let numbers: Vec<bool> = (0..columns)
        .map(|column| {
            rows.iter()
                .skip(1)
                .filter_map(|row| row.get(column))
                .all(|cell| number(cell))
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths.iter().zip(&numbers))
            .map(|(cell, (width, number))| {
                if *number {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        line(&mut text, cells.join("  ").trim_end());
    }
    text
}

/// Names and reasons come from switches: no control character of theirs reaches the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// Writing to a text cannot fail.
pub(super) fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_busy_agent_shows_switches_takeovers_and_reasons() {
        insta::assert_snapshot!(render(&samples::busy()));
    }

    #[test]
    fn a_certificate_that_is_not_bound_to_its_switch_is_shown_with_the_line_that_binds_it() {
        let mut status = samples::busy();
        let tor1 = status.switches.get_mut(&"tor1".into()).expect("tor1");
        tor1.sessions[0].unbound_certificate = Some(Fingerprint([0xab; 32]));
        let page = render(&status);
        let fingerprint = format!("sha256:{}", "ab".repeat(32));
        assert!(
            page.contains(&format!("  tor1: certificate = \"{fingerprint}\"\n")),
            "{page}"
        );
    }

    #[test]
    fn an_agent_without_switches_is_one_line() {
        insta::assert_snapshot!(render(&samples::idle()));
    }

    #[test]
    fn an_agent_with_control_nodes_lists_each_with_its_configuration_and_session() {
        insta::assert_snapshot!(render(&samples::led()));
    }

    #[test]
    fn no_control_character_of_a_switch_reaches_the_terminal() {
        let mut status = samples::busy();
        let mut tor1 = status.switches.remove(&"tor1".into()).expect("tor1");
        tor1.sessions[0].quarantine.push(("row\x1b[2J".into(), "a\nb".into()));
        status.switches.insert("tor\x07\x1b]0;x".into(), tor1);
        status.unidentified[0].named.push("\u{9b}31m".into());
        let page = render(&status);
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
        assert!(page.contains("  row\\u{1b}[2J: a\\nb\n"), "{page}");
    }
}
