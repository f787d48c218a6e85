//! Metrics for Prometheus, computed from the status at each scrape.

mod control;
mod process;
mod timings;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tandem_core::alarm::AlarmKind;
use tandem_core::health::Grade;
use tandem_core::status::{AgentStatus, Alarm, SessionStatus, SwitchStatus, UplinkStatus};
use tandem_core::{CloseCounts, CloseReason, SwitchName};

pub use process::process;
pub use values::{Labels, Metrics};

use crate::driver::timings::Timings;
use crate::process::{Outcome, ProcessStatus, Reload};
use crate::tls::Cause;
use crate::{listen, logging};

/// Counts of what happens outside the worker, and is not in the status.
#[derive(Debug, Default)]
pub struct Counters {
    /// The name of the process.
    name: Box<str>,
    listener: OnceLock<Arc<listen::Counters>>,
    timings: OnceLock<Timings>,
    certificates: Mutex<BTreeMap<String, i64>>,
    configuration: Mutex<Option<Reload>>,
}

impl Counters {
    /// Those of a process of this name.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Records that the configuration file was read, at the start or again.
    pub fn reloaded(&self, outcome: Outcome, now: SystemTime) {
        let mut last = self.configuration.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Reload::next(last.take(), outcome, now));
    }

    /// The status of this process. `pending` is what is not yet as configured.
    pub fn process(&self, pending: usize, now: SystemTime) -> ProcessStatus {
        let last = self.configuration.lock().unwrap_or_else(PoisonError::into_inner);
        ProcessStatus::of(&self.name, last.as_ref(), pending, now)
    }

    /// Reads the counters of this listener from now on. The port stays open: a second call changes nothing.
    pub fn opened(&self, listener: Arc<listen::Counters>) {
        let _ = self.listener.set(listener);
    }

    /// Reads the histograms of these sessions from now on. The worker stays: a second call changes nothing.
    pub fn timed(&self, timings: Timings) {
        let _ = self.timings.set(timings);
    }

    /// Records that a certificate of this process was loaded, under a name such as `agent`, and when it expires, in seconds
    /// since 1970.
    pub fn certificate(&self, name: impl Into<String>, not_after_unix_s: i64) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        certificates.insert(name.into(), not_after_unix_s);
    }
}

/// The text of `/metrics`. Without a status `tandem_worker_up` is 0: the worker does not answer.
///
/// # Errors
/// None in practice: writing to a string cannot fail.
pub fn render(status: Option<&impl Measured>, counters: &Counters, now: SystemTime) -> Result<String, fmt::Error> {
    let mut metrics = Metrics(Registry::with_prefix("tandem"));
    let up = [(vec![], if status.is_some() { 1.0 } else { 0.0 })];
    metrics.gauges("worker_up", "Whether the worker that handles the sessions answers", up);
    let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    metrics.gauges("build_info", "The version of this program", [(build, 1.0)]);
    ports(&mut metrics, counters, now);
    if let Some(status) = status {
        status.measure(&mut metrics);
    }
    if let Some(timings) = counters.timings.get() {
        timings::measure(&mut metrics, &timings.total());
    }
    let mut text = String::new();
    encode(&mut text, &metrics.0)?;
    Ok(text)
}

/// A status that has metrics.
pub trait Measured {
    /// Adds its metrics.
    fn measure(&self, metrics: &mut Metrics);
}

impl Measured for AgentStatus {
    fn measure(&self, metrics: &mut Metrics) {
        agent(metrics, self);
        pair(metrics, self);
        alarms(metrics, self);
        uplinks(metrics, &self.control_nodes);
        switches(metrics, self);
        takeovers(metrics, self);
        closed(metrics, [("ovsdb", &self.closed), ("xmpp", &self.closed_uplinks)]);
    }
}

fn ports(metrics: &mut Metrics, counters: &Counters, now: SystemTime) {
    let listener = counters.listener.get();
    let accepted = listener.map_or(0, |listener| listener.accepted());
    metrics.counters(
        "accepted_connections",
        "Connections with a successful TLS handshake",
        [(vec![], accepted)],
    );
    let refused = Cause::ALL.iter().map(|cause| {
        let labels = vec![("cause", cause.label().to_owned())];
        (labels, listener.map_or(0, |listener| listener.refused(*cause)))
    });
    metrics.counters(
        "refused_connections",
        "Connections that were refused before they had a session",
        refused,
    );

    let counts = logging::counts();
    for (name, help, count) in [
        (
            "log_lines_left_out",
            "Lines that were summarised because there were many of their kind",
            counts.left_out,
        ),
        (
            "log_lines_dropped",
            "Lines that were lost because the reader of the log stalled, or its disk was full",
            counts.dropped,
        ),
    ] {
        metrics.counters(name, help, [(vec![], count)]);
    }

    let last = counters.configuration.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reload) = &*last {
        let is_successful = f64::from(u8::from(reload.is_successful()));
        metrics.gauges(
            "config_last_reload_successful",
            "Whether the configuration file was applied when it was last read",
            [(vec![], is_successful)],
        );
        metrics.gauges(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration file was last applied, in seconds since 1970",
            [(vec![], reload.applied_unix_s())],
        );
    }

    let certificates = counters.certificates.lock().unwrap_or_else(PoisonError::into_inner);
    let ends = certificates
        .iter()
        .map(|(name, not_after)| (vec![("certificate", name.clone())], *not_after as f64));
    metrics.gauges(
        "certificate_expiry_timestamp_seconds",
        "When the first certificate of a file that this process uses expires, in seconds since 1970",
        ends,
    );
    let now_unix_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let days = certificates.iter().map(|(name, not_after)| {
        (
            vec![("certificate", name.clone())],
            (*not_after as f64 - now_unix_s) / 86_400.0,
        )
    });
    metrics.gauges(
        "certificate_days_to_expiry",
        "Days until the first certificate of a file that this process uses expires; negative after that",
        days,
    );
}

fn agent(metrics: &mut Metrics, status: &AgentStatus) {
    let labels = vec![("agent", status.agent.clone()), ("tsn", status.tsn.to_string())];
    metrics.gauges("agent_info", "Name and services node of this agent", [(labels, 1.0)]);
    let grades = Grade::ALL.map(|grade| {
        let is = if status.grade == grade { 1.0 } else { 0.0 };
        (vec![("grade", grade.to_string())], is)
    });
    metrics.gauges("agent_grade", "1 for the current grade of the agent", grades);
    let alive = status.tsn_alive.map(|alive| (vec![], f64::from(u8::from(alive))));
    if alive.is_some() {
        metrics.gauges("tsn_up", "Whether the services node passes its probes", alive);
    }
    if !status.control_nodes.is_empty() {
        metrics.gauges(
            "configuration_remembered",
            "Whether the configuration in force is the one that the agent remembered from before its start",
            [(vec![], f64::from(u8::from(status.remembered)))],
        );
    }
    let revision = status.revision.map(|revision| (vec![], revision as f64));
    if revision.is_some() {
        metrics.gauges(
            "configuration_revision",
            "Revision of the active configuration received from control nodes",
            revision,
        );
    }
    let unidentified = [(vec![], status.unidentified.len() as f64)];
    metrics.gauges(
        "unidentified_connections",
        "Connections that have not named a configured switch",
        unidentified,
    );
}

/// Metrics of the link to the other agent of the pair.
fn pair(metrics: &mut Metrics, status: &AgentStatus) {
    let configured = status.switches.iter();
    let configured = configured.map(|(name, switch)| configuration(name, &switch.fingerprint));
    metrics.gauges(CONFIGURATION.0, CONFIGURATION.1, configured);
    let Some(peer) = &status.peer else { return };
    let up = f64::from(u8::from(peer.agent.is_some()));
    metrics.gauges(
        "peer_up",
        "Whether the other agent of the pair sends reports",
        [(vec![], up)],
    );
}

/// The alarms of each switch: those of its sessions, and with a peer those of the pair. Every kind has a value.
fn alarms(metrics: &mut Metrics, status: &AgentStatus) {
    let with_peer = status.switches.iter().filter(|_| status.peer.is_some());
    let of_pair = with_peer.flat_map(|(name, switch)| {
        let raised = |alarm: &Alarm| f64::from(u8::from(switch.alarms.contains(alarm)));
        Alarm::ALL.map(|alarm| (alarm_labels(name, alarm.label()), raised(&alarm)))
    });
    let objects = |switch: &SwitchStatus, kind: AlarmKind| {
        let alarms = switch.sessions.iter().flat_map(|session| &session.alarms);
        let of_kind = alarms.filter(|alarm| alarm.kind == kind);
        of_kind.map(|alarm| alarm.objects).reduce(|sum, objects| sum + objects)
    };
    let connected = || status.switches.iter().filter(|(_, switch)| !switch.sessions.is_empty());
    let of_session = connected().flat_map(|(name, switch)| {
        let raised = |kind| f64::from(u8::from(objects(switch, kind).is_some()));
        AlarmKind::ALL.map(|kind| (alarm_labels(name, kind.label()), raised(kind)))
    });
    metrics.gauges(
        "switch_alarm",
        "1 for each alarm of a switch",
        of_pair.chain(of_session),
    );
    let faults = leading(status).flat_map(|(name, session)| {
        session
            .faults
            .iter()
            .filter(move |fault| fault.switch == *name)
            .map(|fault| {
                let port = fault.port.as_ref().map(ToString::to_string).unwrap_or_default();
                let labels = vec![
                    ("switch", name.to_string()),
                    ("port", port),
                    ("fault", fault.fault.clone()),
                ];
                (labels, 1.0)
            })
    });
    metrics.gauges(
        "switch_fault",
        "1 for each fault that a switch reports of itself or of a port",
        faults,
    );
    let concerned = connected().flat_map(|(name, switch)| {
        let value = |kind| objects(switch, kind).unwrap_or(0) as f64;
        AlarmKind::ALL.map(|kind| (alarm_labels(name, kind.label()), value(kind)))
    });
    metrics.gauges(
        "switch_alarm_objects",
        "Objects that an alarm of the sessions with a switch concerns",
        concerned,
    );
}

fn alarm_labels(switch: &SwitchName, alarm: &str) -> Labels {
    vec![("switch", switch.to_string()), ("alarm", alarm.to_owned())]
}

/// The sessions and dials that ended, by protocol and reason. Every reason has a value from the start, so that a rate sees the first.
fn closed<const N: usize>(metrics: &mut Metrics, protocols: [(&str, &CloseCounts); N]) {
    let values = protocols.into_iter().flat_map(|(protocol, counts)| {
        CloseReason::ALL.iter().map(move |reason| {
            let labels = vec![("protocol", protocol.to_owned()), ("reason", reason.to_string())];
            (labels, counts.of(*reason))
        })
    });
    metrics.counters(
        "closed_sessions",
        "Sessions that ended and dials that failed, by reason",
        values,
    );
}

/// Name and help of a metric that agents and control nodes share.
const CONFIGURATION: (&str, &str) = (
    "switch_configuration_info",
    "Fingerprint of the configuration of a switch; equal configurations have equal fingerprints",
);

fn configuration(switch: &SwitchName, fingerprint: &str) -> (Labels, f64) {
    let labels = vec![("switch", switch.to_string()), ("fingerprint", fingerprint.to_owned())];
    (labels, 1.0)
}

/// Name, help and value of each gauge of a control node.
type UplinkGauge = (&'static str, &'static str, fn(&UplinkStatus) -> f64);

const UPLINK_GAUGES: [UplinkGauge; 7] = [
    (
        "control_node_up",
        "Whether the session with a control node is open",
        |it| f64::from(u8::from(it.name.is_some())),
    ),
    (
        "control_node_configures",
        "1 for the control node whose configuration is in force",
        |it| f64::from(u8::from(it.configures)),
    ),
    (
        "control_node_disagrees",
        "Whether a control node has served a configuration different from the one in force for five seconds",
        |it| f64::from(u8::from(it.disagrees)),
    ),
    (
        "control_node_failures",
        "Dials and sessions that have failed since the last session opened",
        |it| f64::from(it.failures),
    ),
    (
        "control_node_instances_open",
        "Instances whose routes are not complete at a control node",
        |it| it.instances.saturating_sub(it.instances_complete) as f64,
    ),
    ("control_node_routes_sent", "Routes sent to a control node", |it| {
        it.routes_sent as f64
    }),
    (
        "control_node_routes_pending",
        "Routes not yet sent to a control node",
        |it| it.routes_pending as f64,
    ),
];

fn uplinks(metrics: &mut Metrics, nodes: &[UplinkStatus]) {
    for (metric, help, value) in UPLINK_GAUGES.into_iter().filter(|_| !nodes.is_empty()) {
        let values = nodes
            .iter()
            .map(|node| (vec![("address", node.address.to_string())], value(node)));
        metrics.gauges(metric, help, values);
    }
    let unusable = nodes.iter().flat_map(|node| {
        node.routes_unusable.iter().map(|(why, count)| {
            let labels = vec![("address", node.address.to_string()), ("why", why.label().to_owned())];
            (labels, *count)
        })
    });
    metrics.counters(
        "control_node_routes_unusable",
        "Routes received from a control node in this session that the agent cannot use",
        unusable,
    );
}

fn switches(metrics: &mut Metrics, status: &AgentStatus) {
    let sessions = status
        .switches
        .iter()
        .map(|(name, it)| (switch(name), it.sessions.len() as f64));
    metrics.gauges("switch_sessions", "Sessions between a switch and this agent", sessions);
    let exported = status
        .switches
        .iter()
        .map(|(name, it)| (switch(name), it.exported as f64));
    metrics.gauges(
        "switch_exported_routes",
        "Routes of a switch that this agent exports",
        exported,
    );
    let phases = leading(status).map(|(name, session)| {
        let mut labels = switch(name);
        labels.push(("phase", session.phase.to_string()));
        labels.push(("ownership", session.ownership.to_string()));
        (labels, 1.0)
    });
    metrics.gauges(
        "switch_session_info",
        "Phase and ownership of a switch's leading session: the owner, or else the newest",
        phases,
    );
    rows(metrics, status);
    objects(metrics, status);
    let repairs = leading(status).map(|(name, session)| (switch(name), session.repairs));
    metrics.counters(
        "switch_repairs",
        "Repairs of objects that another client had changed; reset with each session",
        repairs,
    );
    let misses = leading(status).map(|(name, session)| (switch(name), session.keepalive_misses));
    metrics.counters(
        "switch_keepalive_misses",
        "Echoes sent because no byte was received for an interval; reset with each session",
        misses,
    );
    let warnings = leading(status).flat_map(|(name, session)| {
        session.warnings.iter().map(|(word, count)| {
            let labels = vec![("switch", name.to_string()), ("word", word.clone())];
            (labels, *count)
        })
    });
    metrics.counters(
        "switch_warnings",
        "Warnings and errors of a session by the word in the log, which summarises them; reset with each session",
        warnings,
    );
}

fn rows(metrics: &mut Metrics, status: &AgentStatus) {
    let rows = leading(status).flat_map(|(name, session)| {
        let counts = [
            ("local", session.rows_local),
            ("remote", session.rows_remote),
            ("desired", session.rows_desired),
        ];
        counts.map(|(kind, count)| {
            let mut labels = switch(name);
            labels.push(("kind", kind.to_owned()));
            (labels, count as f64)
        })
    });
    metrics.gauges(
        "switch_rows",
        "Unicast MAC rows: learned by the switch, found in its remote table, desired there",
        rows,
    );
}

/// Name, help and value of each count of a session.
type SessionGauge = (&'static str, &'static str, fn(&SessionStatus) -> usize);

const SESSION_GAUGES: [SessionGauge; 4] = [
    (
        "switch_pending_objects",
        "Objects that differ from the desired state and are not in flight",
        |it| it.pending,
    ),
    (
        "switch_in_flight_transactions",
        "Transactions that await their reply",
        |it| it.in_flight,
    ),
    (
        "switch_blocked_objects",
        "Objects that wait for another object or for the switch",
        |it| it.blocked.len(),
    ),
    (
        "switch_quarantined_objects",
        "Objects that the switch keeps rejecting",
        |it| it.quarantine.len(),
    ),
];

fn objects(metrics: &mut Metrics, status: &AgentStatus) {
    for (metric, help, count) in SESSION_GAUGES {
        let values = leading(status).map(|(name, session)| (switch(name), count(session) as f64));
        metrics.gauges(metric, help, values);
    }
}

fn switch(name: &SwitchName) -> Labels {
    vec![("switch", name.to_string())]
}

fn takeovers(metrics: &mut Metrics, status: &AgentStatus) {
    let takeovers = leading(status).flat_map(|(name, session)| {
        let reached = |(phase, ms): (&'static str, Option<f64>)| {
            let labels = vec![("switch", name.to_string()), ("phase", phase.to_owned())];
            ms.map(|ms| (labels, (ms * 1000.0).round() / 1e6))
        };
        phases(session).into_iter().filter_map(reached)
    });
    metrics.gauges(
        "takeover_seconds",
        "Time from accepting the connection to each phase of the takeover, for the leading session",
        takeovers,
    );
}

/// The phases of a session's takeover, in their usual order, in milliseconds.
pub fn phases(session: &SessionStatus) -> [(&'static str, Option<f64>); 6] {
    let takeover = session.takeover_ms;
    [
        ("tls", takeover.tls),
        ("identified", takeover.identified),
        ("locked", takeover.locked),
        ("claimed", takeover.claimed),
        ("read", takeover.read),
        ("audited", takeover.audited),
    ]
}

/// The leading session of each switch: the one that may write, or else the newest.
fn leading(status: &AgentStatus) -> impl Iterator<Item = (&SwitchName, &SessionStatus)> {
    let leader = |switch: &'_ SwitchStatus| {
        let owns = |session: &SessionStatus| session.ownership.owns();
        switch
            .sessions
            .iter()
            .rposition(owns)
            .or_else(|| switch.sessions.len().checked_sub(1))
    };
    status
        .switches
        .iter()
        .filter_map(move |(name, switch)| Some((name, switch.sessions.get(leader(switch)?)?)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::samples;

    #[test]
    fn a_busy_agent_as_prometheus_text() {
        let counters = Counters::default();
        counters.certificate("agent", 86_400 * 40);
        counters.reloaded(Ok(vec![]), UNIX_EPOCH + Duration::from_secs(86_400));
        counters.reloaded(Err(vec![]), UNIX_EPOCH + Duration::from_secs(86_400 * 2));
        counters.timed(Timings::default());
        let now = UNIX_EPOCH + Duration::from_secs(86_400 * 10);
        insta::assert_snapshot!(render(Some(&samples::busy()), &counters, now).expect("text"));
    }

    #[test]
    fn without_a_worker_its_metric_is_0_and_the_counters_stay() {
        let counters = Counters::default();
        counters.opened(listen::Counters::sample(3, Cause::Expired, 2));
        let text = render(None::<&AgentStatus>, &counters, UNIX_EPOCH).expect("text");
        for line in [
            "tandem_worker_up 0.0\n",
            "tandem_accepted_connections_total 3\n",
            "tandem_refused_connections_total{cause=\"expired\"} 2\n",
            "tandem_refused_connections_total{cause=\"unknown_ca\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("tandem_switch"), "{text}");
    }

    #[test]
    fn a_name_with_quotes_and_line_breaks_cannot_break_the_text() {
        let mut status = samples::busy();
        let tor1 = status.switches.remove(&"tor1".into()).expect("tor1");
        status.switches.insert("a\"b\\\nc".into(), tor1);
        let text = render(Some(&status), &Counters::default(), UNIX_EPOCH).expect("text");
        assert!(
            text.contains(r#"tandem_switch_sessions{switch="a\"b\\\nc"} 1"#),
            "{text}"
        );
    }
}
