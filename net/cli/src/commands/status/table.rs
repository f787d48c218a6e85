//! The status of an agent, for a person.

use std::collections::BTreeMap;

use tandem_core::SwitchName;
use tandem_core::machine::Fingerprint;
use tandem_core::status::{AgentStatus, Alarm, Ignored, Ownership, SessionStatus, SwitchStatus, Takeover};
use tandem_net::process::ProcessStatus;

use super::detail;
use super::page::{Page, clean};
use super::process::{self, date_and_time};
use super::trouble::{Shown, Trouble, natural, part_of};

/// Certificates that are not bound to the name of their switch: more are not shown.
const UNBOUND_SHOWN: usize = 5;

/// The whole page, with a line break at its end.
pub(super) fn render(process: &ProcessStatus, status: &AgentStatus, shown: Shown<'_>, is_folded: bool) -> String {
    let mut page = Page::new(is_folded);
    head(&mut page, process, status, shown.total);
    if !status.control_nodes.is_empty() {
        page.line("");
        page.table(&control_nodes(status), &[8, 5]);
    }
    if !status.switches.is_empty() {
        page.line("");
        page.table(&switches(status), &[3, 4]);
    }
    let takeovers = takeovers(process, status);
    if takeovers.len() > 1 {
        page.title("Takeovers, in ms: until READ since the connection, after it since the lock");
        page.table(&takeovers, &[2]);
    }
    for (name, switch) in in_order(status) {
        if shown.named.contains(&name.as_str()) {
            detail::show(
                &mut page,
                process,
                &clean(name.as_str()),
                switch,
                at_peer(status, switch),
            );
        }
    }
    reasons(&mut page, status);
    unbound_certificates(&mut page, status);
    if !status.unidentified.is_empty() {
        page.title("Connections that have named no configured switch");
        for connection in &status.unidentified {
            let named: Vec<String> = connection.named.iter().map(|name| clean(name.as_str())).collect();
            let named = if named.is_empty() {
                "nothing yet".into()
            } else {
                named.join(", ")
            };
            page.fact(&format!("  {} from {} named {named}", connection.conn, connection.from));
        }
    }
    page.finish()
}

fn head(page: &mut Page, process: &ProcessStatus, status: &AgentStatus, total: usize) {
    let connected = status
        .switches
        .values()
        .filter(|switch| !switch.sessions.is_empty())
        .count();
    let owned = sessions(status).filter(|(_, session)| session.ownership.owns()).count();
    let mut parts = vec![format!("{}: {}", clean(&status.agent), status.grade)];
    parts.extend(Trouble::of_all(status).texts());
    parts.push(part_of(status.switches.len(), total));
    parts.extend([format!("{connected} connected"), format!("{owned} owned")]);
    page.list(&parts);
    let tsn = match status.tsn_alive {
        Some(true) => " (alive)",
        Some(false) => " (DEAD)",
        None => "",
    };
    let mut parts = vec![format!("services node {}{tsn}", status.tsn)];
    parts.extend(status.revision.map(|revision| format!("revision {revision}")));
    if status.remembered {
        parts.push("REMEMBERED: no control node was reached since the start".into());
    }
    page.list(&parts);
    process::show(page, process);
    match status.peer.as_ref().map(|peer| (&peer.agent, peer.grade)) {
        Some((Some(agent), Some(grade))) => page.line(&format!("peer {}: {grade}", clean(agent))),
        Some(_) => page.line("peer: SILENT"),
        None => {}
    }
    for node in &status.control_nodes {
        let name = clean(node.name.as_deref().unwrap_or_default());
        let revision = |revision: Option<u64>| revision.map(|it| it.to_string()).unwrap_or_default();
        let (theirs, ours) = (revision(node.revision), revision(status.revision));
        match node.ignored {
            Some(Ignored::Outdated) => {
                let what = format!("REVISION {theirs} IGNORED: revision {ours} is in force");
                page.fact(&format!("{name}: {what}"));
            }
            Some(Ignored::TooLarge) => page.fact(&format!("{name}: CONFIGURATION TOO LARGE, and ignored")),
            None => {}
        }
    }
    alarms(page, status);
}

/// An alarm without details that so many switches have is one line; the table has their names.
const NAMED_IN_ALARMS: usize = 5;

fn alarms(page: &mut Page, status: &AgentStatus) {
    let of_pair = [
        (Alarm::Ownerless, "NO OWNER"),
        (Alarm::Contested, "BOTH AGENTS ARE OWNERS"),
        (Alarm::Disagreed, "CONFIGURATION DIFFERS FROM THE PEER"),
    ];
    let has = |alarm: Alarm| {
        let switches = in_order(status).into_iter();
        let having = switches.filter(move |(_, switch)| switch.alarms.contains(&alarm));
        having.map(|(name, _)| clean(name.as_str())).collect::<Vec<_>>()
    };
    let folded = |alarm: Alarm| has(alarm).len() > NAMED_IN_ALARMS;
    for (alarm, what) in of_pair.into_iter().filter(|(alarm, _)| folded(*alarm)) {
        let names = has(alarm);
        let first = names[..NAMED_IN_ALARMS].join(", ");
        let more = names.len() - NAMED_IN_ALARMS;
        page.fact(&format!("{} switches: {what}: {first}, and {more} more", names.len()));
    }
    for (name, switch) in in_order(status) {
        let name = clean(name.as_str());
        let single = of_pair
            .iter()
            .filter(|(alarm, _)| switch.alarms.contains(alarm) && !folded(*alarm));
        for (_, what) in single {
            page.fact(&format!("{name}: {what}"));
        }
        for alarm in switch.sessions.iter().flat_map(|session| &session.alarms) {
            let (title, detail) = (alarm.kind.title(), clean(&alarm.detail));
            page.fact(&format!("{name}: {title}: {detail}"));
        }
    }
}

fn control_nodes(status: &AgentStatus) -> Vec<Vec<String>> {
    let titles = [
        "CONTROL NODE",
        "NAME",
        "CONFIGURES",
        "REVISION",
        "NETWORKS",
        "SENT",
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
        row.push(format!("{}/{}", node.instances_complete, node.instances));
        let counts = [node.routes_sent, node.routes_pending];
        row.extend(counts.map(|count| count.to_string()));
        row.push(node.routes_unusable.values().sum::<u64>().to_string());
        row.push(node.failures.to_string());
        rows.push(row);
    }
    rows
}

/// The other agent of the pair, if it owns the switch.
fn at_peer(status: &AgentStatus, switch: &SwitchStatus) -> Option<String> {
    let agent = status.peer.as_ref()?.agent.as_deref()?;
    switch.at_peer.then(|| clean(agent))
}

fn switches(status: &AgentStatus) -> Vec<Vec<String>> {
    let titles = [
        "SWITCH",
        "PHASE",
        "OWNERSHIP",
        "LOCAL",
        "REMOTE",
        "PENDING",
        "SENT",
        "BLOCKED",
        "QUAR",
        "MISSES",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, switch) in in_order(status) {
        let name = clean(name.as_str());
        if switch.sessions.is_empty() {
            let at_peer = at_peer(status, switch).map(|agent| format!("at {agent}"));
            let ownership = at_peer.unwrap_or_else(|| "no session".into());
            rows.push(vec![name.clone(), "-".into(), ownership]);
        }
        for session in &switch.sessions {
            let counts = [
                session.rows_local,
                session.rows_remote,
                session.pending,
                session.in_flight,
                session.blocked.len(),
                session.quarantine.len(),
            ];
            let mut row = vec![name.clone(), session.phase.to_string(), session.ownership.to_string()];
            row.extend(counts.map(|count| count.to_string()));
            row.push(session.keepalive_misses.to_string());
            rows.push(row);
        }
    }
    rows
}

/// What came before the lock is measured from the connection, and what came after it from the lock: a session that waits
/// for the lock is ready all the while.
fn takeovers(process: &ProcessStatus, status: &AgentStatus) -> Vec<Vec<String>> {
    let titles = [
        "SWITCH",
        "LOCKED (UTC)",
        "TLS",
        "IDENTIFIED",
        "READ",
        "CLAIMED",
        "AUDITED",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for (name, session) in sessions(status) {
        let Takeover {
            tls,
            identified,
            locked,
            claimed,
            read,
            audited,
        } = session.takeover_ms;
        let locked = match session.ownership {
            Ownership::Lockless => identified,
            Ownership::Waiting | Ownership::Held | Ownership::Lost | Ownership::Barred => locked,
        };
        let date = locked.filter(|_| process.format > 0).map(|locked| {
            let accepted = process.now_unix_s - session.age_ms / 1000.0;
            date_and_time(accepted + locked / 1000.0)
        });
        let since_lock = |ms: Option<f64>| Some((ms? - locked?).max(0.0));
        let times = [tls, identified, read, since_lock(claimed), since_lock(audited)];
        let times = times.map(|ms| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")));
        rows.push([vec![name, date.unwrap_or_else(|| "-".into())], times.to_vec()].concat());
    }
    rows
}

/// The switches whose names any switch of the CA could take, and the line that ends it.
fn unbound_certificates(page: &mut Page, status: &AgentStatus) {
    let unbound = sessions(status).filter_map(|(name, session)| Some((name, session.unbound_certificate?)));
    let unbound: BTreeMap<String, Fingerprint> = unbound.collect();
    if !unbound.is_empty() {
        page.title("To adopt the certificate of a switch, add the line to its `[[switch]]`");
    }
    for (name, fingerprint) in unbound.iter().take(UNBOUND_SHOWN) {
        page.line(&format!("  {name}: certificate = \"{fingerprint}\""));
    }
    let rest = unbound.len().saturating_sub(UNBOUND_SHOWN);
    if rest > 0 {
        page.line(&format!("  and {rest} more, which `--json` shows"));
    }
}

/// Why something is blocked or in quarantine.
fn reasons(page: &mut Page, status: &AgentStatus) {
    for (name, session) in sessions(status) {
        for (title, list) in [("blocked", &session.blocked), ("in quarantine", &session.quarantine)] {
            if !list.is_empty() {
                page.title(&format!("{name}: {title}"));
            }
            for (object, reason) in list {
                page.fact(&format!("  {}: {}", clean(object), clean(reason)));
            }
        }
    }
}

fn sessions(status: &AgentStatus) -> impl Iterator<Item = (String, &SessionStatus)> {
    in_order(status)
        .into_iter()
        .flat_map(|(name, switch)| switch.sessions.iter().map(|session| (clean(name.as_str()), session)))
}

/// The switches in the order of their names for people.
fn in_order(status: &AgentStatus) -> Vec<(&SwitchName, &SwitchStatus)> {
    let mut switches: Vec<_> = status.switches.iter().collect();
    switches.sort_by_key(|(name, _)| natural(name.as_str()));
    switches
}

#[cfg(test)]
mod tests {
    use tandem_core::health::Grade;
    use tandem_core::status::PeerStatus;

    use super::super::samples;
    use super::*;

    fn all<'a>(status: &AgentStatus, named: &'a [&'a str]) -> Shown<'a> {
        Shown {
            named,
            total: status.switches.len(),
        }
    }

    fn shown(status: &AgentStatus) -> String {
        render(&samples::process(), status, all(status, &[]), true)
    }

    #[test]
    fn a_busy_agent_shows_switches_takeovers_and_reasons() {
        insta::assert_snapshot!(shown(&samples::busy()));
    }

    #[test]
    fn a_certificate_that_is_not_bound_to_its_switch_is_shown_with_the_line_that_binds_it() {
        let mut status = samples::busy();
        let tor1 = status.switches.get_mut(&"tor1".into()).expect("tor1");
        tor1.sessions[0].unbound_certificate = Some(Fingerprint([0xab; 32]));
        let page = shown(&status);
        let fingerprint = format!("sha256:{}", "ab".repeat(32));
        assert!(
            page.contains(&format!("  tor1: certificate = \"{fingerprint}\"\n")),
            "{page}"
        );
    }

    #[test]
    fn an_agent_without_switches_is_one_line() {
        insta::assert_snapshot!(shown(&samples::idle()));
    }

    #[test]
    fn an_agent_with_control_nodes_lists_each_with_its_configuration_and_session() {
        insta::assert_snapshot!(shown(&samples::led()));
    }

    #[test]
    fn the_widest_realistic_page_has_lines_of_80_columns() {
        let mut status = samples::widest();
        let page = shown(&status);
        for line in page.lines() {
            let is_to_copy = line.contains(": certificate = \"sha256:");
            assert!(is_to_copy || line.chars().count() <= 80, "{line}\n{page}");
        }
        assert!(
            page.lines()
                .any(|line| line.starts_with("rack-17-tor-2  ") && line.contains("  held")),
            "{page}"
        );
        // In a pipe each fact is one line.
        let piped = render(&samples::process(), &status, all(&status, &["rack-17-tor-2"]), false);
        let reason = &status.switches[&"rack-17-tor-2".into()].sessions[0].quarantine[0].1;
        assert!(
            reason.len() > 80 && piped.lines().any(|line| line.ends_with(reason)),
            "{piped}"
        );
        status.switches.clear();
        assert!(shown(&status).lines().count() < page.lines().count());
    }

    #[test]
    fn a_named_switch_is_shown_with_what_the_table_leaves_out() {
        let busy = samples::busy();
        insta::assert_snapshot!(render(&samples::process(), &busy, all(&busy, &["tor1", "tor4"]), true));
    }

    #[test]
    fn the_times_of_a_takeover_have_its_date_and_leave_the_wait_for_the_lock_out() {
        let mut status = samples::busy();
        let session = &mut status.switches.get_mut(&"tor1".into()).expect("tor1").sessions[0];
        session.age_ms = 7_200_000.0;
        session.takeover_ms = Takeover {
            tls: Some(12.0),
            identified: Some(13.0),
            read: Some(1240.0),
            locked: Some(3_600_000.0),
            claimed: Some(3_600_004.5),
            audited: Some(3_600_010.0),
        };
        let page = shown(&status);
        let line = "tor1    2027-01-15 07:00:00 12.0       13.0 1240.0     4.5    10.0";
        assert!(page.contains(line), "{page}");
    }

    #[test]
    fn no_control_character_of_a_switch_reaches_the_terminal() {
        let mut status = samples::busy();
        let mut tor1 = status.switches.remove(&"tor1".into()).expect("tor1");
        tor1.sessions[0].quarantine.push(("row\x1b[2J".into(), "a\nb".into()));
        status.switches.insert("tor\x07\x1b]0;x".into(), tor1);
        status.unidentified[0].named.push("\u{9b}31m".into());
        let page = shown(&status);
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
        assert!(page.contains("  row\\u{1b}[2J: a\\nb\n"), "{page}");
    }

    #[test]
    fn a_switch_without_a_session_is_at_the_other_agent_if_that_owns_it() {
        let mut status = samples::busy();
        status.peer = Some(PeerStatus {
            agent: Some("agent-b".into()),
            grade: Some(Grade::Fit),
        });
        let tor4 = status.switches.get_mut(&"tor4".into()).expect("tor4");
        tor4.sessions.clear();
        tor4.at_peer = true;
        let page = render(&samples::process(), &status, all(&status, &["tor4"]), true);
        assert!(page.contains("tor4  ") && page.contains("  at agent-b"), "{page}");
        assert!(page.contains("  no session: agent-b owns it\n"), "{page}");
        status.switches.get_mut(&"tor4".into()).expect("tor4").at_peer = false;
        assert!(!shown(&status).contains("at agent-b"));
    }

    #[test]
    fn an_alarm_of_many_switches_is_one_line_and_a_part_of_them_is_counted_as_such() {
        let mut status = samples::idle();
        for number in 1..=300 {
            let switch = SwitchStatus {
                alarms: vec![Alarm::Ownerless],
                ..SwitchStatus::default()
            };
            status.switches.insert(format!("tor{number}").as_str().into(), switch);
        }
        let page = shown(&status);
        let line = "300 switches: NO OWNER: tor1, tor2, tor3, tor4, tor5, and 295 more\n";
        assert_eq!(page.matches("NO OWNER").count(), 1, "{page}");
        assert!(page.contains(line), "{page}");
        status.switches.retain(|name, _| name.as_str() == "tor7");
        let only = Shown {
            named: &["tor7"],
            total: 300,
        };
        let page = render(&samples::process(), &status, only, true);
        assert!(
            page.starts_with("agent-b: unfit, 1 alarm, 1 of 300 switches, "),
            "{page}"
        );
        assert!(page.contains("\ntor7: NO OWNER\n"), "{page}");
    }
}
