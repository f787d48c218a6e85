//! What Prometheus scrapes, computed from the status at the moment of the scrape.

mod control;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tandem_core::SwitchName;
use tandem_core::health::Grade;
use tandem_core::status::Alarm;
use tandem_core::status::{AgentStatus, SessionStatus, SwitchStatus, UplinkStatus};

use crate::listen;
use crate::tls::Cause;

/// What the status does not know, because it happens outside the worker.
#[derive(Debug, Default)]
pub struct Counters {
    door: OnceLock<Arc<listen::Counters>>,
    certificates: Mutex<BTreeMap<String, i64>>,
}

impl Counters {
    /// The TLS port is open, and counts there. It stays open: a second call changes nothing.
    pub fn opened(&self, door: Arc<listen::Counters>) {
        let _ = self.door.set(door);
    }

    /// One of our certificates was loaded, under a name such as `agent`; it ends this many seconds after 1970.
    pub fn certificate(&self, name: impl Into<String>, not_after_unix_s: i64) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        certificates.insert(name.into(), not_after_unix_s);
    }
}

/// The text of `/metrics`. Without a status, because the worker does not answer, `tandem_worker_up` is 0.
///
/// # Errors
/// None in practice: writing to a text cannot fail.
pub fn render(status: Option<&impl Measured>, counters: &Counters, now: SystemTime) -> Result<String, fmt::Error> {
    let mut metrics = Metrics(Registry::with_prefix("tandem"));
    let up = [(vec![], if status.is_some() { 1.0 } else { 0.0 })];
    metrics.gauges("worker_up", "Whether the worker that handles the sessions answers", up);
    process(&mut metrics, counters, now);
    if let Some(status) = status {
        status.measure(&mut metrics);
    }
    let mut text = String::new();
    encode(&mut text, &metrics.0)?;
    Ok(text)
}

/// What can be told in numbers.
pub trait Measured {
    /// Adds its numbers.
    fn measure(&self, metrics: &mut Metrics);
}

impl Measured for AgentStatus {
    fn measure(&self, metrics: &mut Metrics) {
        agent(metrics, self);
        pair(metrics, self);
        uplinks(metrics, &self.control_nodes);
        switches(metrics, self);
        takeovers(metrics, self);
    }
}

/// A label's name and value, as many as a value has.
pub type Labels = Vec<(&'static str, String)>;

/// What is scraped, as it comes together.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// Adds values that may go up and down.
    pub(crate) fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        self.0.register(name, help, Gauges(values.into_iter().collect()));
    }

    /// Adds values that only grow. The encoder appends `_total` to the name.
    pub(crate) fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        self.0.register(name, help, Counts(values.into_iter().collect()));
    }
}

/// Values that are known already, in the order in which they are shown.
#[derive(Debug)]
struct Gauges(Vec<(Labels, f64)>);

#[derive(Debug)]
struct Counts(Vec<(Labels, u64)>);

impl EncodeMetric for Gauges {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(labels, value)| match labels.as_slice() {
            [] => encoder.encode_gauge(value),
            labels => encoder.encode_family(&labels)?.encode_gauge(value),
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl EncodeMetric for Counts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(labels, value)| match labels.as_slice() {
            [] => encoder.encode_counter::<NoLabelSet, _, u64>(value, None),
            labels => encoder
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(value, None),
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

fn process(metrics: &mut Metrics, counters: &Counters, now: SystemTime) {
    let door = counters.door.get();
    let accepted = door.map_or(0, |door| door.accepted());
    metrics.counters(
        "accepted_connections",
        "Connections whose handshake ended well",
        [(vec![], accepted)],
    );
    let refused = Cause::ALL.iter().map(|cause| {
        let labels = vec![("cause", cause.label().to_owned())];
        (labels, door.map_or(0, |door| door.refused(*cause)))
    });
    metrics.counters(
        "refused_connections",
        "Connections that were refused before they became a session",
        refused,
    );

    let now_unix_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let certificates = counters.certificates.lock().unwrap_or_else(PoisonError::into_inner);
    let days = certificates.iter().map(|(name, not_after)| {
        (
            vec![("certificate", name.clone())],
            (*not_after as f64 - now_unix_s) / 86_400.0,
        )
    });
    metrics.gauges(
        "certificate_days_to_expiry",
        "Days until a certificate ends; negative when it has ended",
        days,
    );
}

fn agent(metrics: &mut Metrics, status: &AgentStatus) {
    let labels = vec![("agent", status.agent.clone()), ("tsn", status.tsn.to_string())];
    metrics.gauges("agent_info", "This agent", [(labels, 1.0)]);
    let grades = Grade::ALL.map(|grade| {
        let is = if status.grade == grade.to_string() { 1.0 } else { 0.0 };
        (vec![("grade", grade.to_string())], is)
    });
    metrics.gauges("agent_grade", "1 for the grade that the health ports announce", grades);
    let alive = status.tsn_alive.map(|alive| (vec![], f64::from(u8::from(alive))));
    if alive.is_some() {
        metrics.gauges("tsn_up", "Whether the services node passes its probes", alive);
    }
    let revision = status.revision.map(|revision| (vec![], revision as f64));
    if revision.is_some() {
        metrics.gauges(
            "configuration_revision",
            "Of the configuration that control nodes told",
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

/// What the agent knows by comparing itself with the other one of its pair.
fn pair(metrics: &mut Metrics, status: &AgentStatus) {
    let configured = status.switches.iter();
    let configured = configured.map(|(name, switch)| configuration(name, &switch.fingerprint));
    metrics.gauges(CONFIGURATION.0, CONFIGURATION.1, configured);
    let Some(peer) = &status.peer else { return };
    let up = f64::from(u8::from(peer.agent.is_some()));
    metrics.gauges(
        "peer_up",
        "Whether the other agent of the pair says how it stands",
        [(vec![], up)],
    );
    let alarms = status.switches.iter().flat_map(|(name, switch)| {
        Alarm::ALL.map(|alarm| {
            let labels = vec![("switch", name.to_string()), ("alarm", alarm.label().to_owned())];
            (labels, f64::from(u8::from(switch.alarms.contains(&alarm))))
        })
    });
    metrics.gauges(
        "switch_alarm",
        "1 for what has been wrong for a while between the two agents of the pair",
        alarms,
    );
}

/// The name and the explanation of a metric that agents and control nodes have.
const CONFIGURATION: (&str, &str) = (
    "switch_configuration_info",
    "The fingerprint of what is configured for a switch: the same wherever it is configured alike",
);

fn configuration(switch: &SwitchName, fingerprint: &str) -> (Labels, f64) {
    let labels = vec![("switch", switch.to_string()), ("fingerprint", fingerprint.to_owned())];
    (labels, 1.0)
}

fn uplinks(metrics: &mut Metrics, nodes: &[UplinkStatus]) {
    type Value = fn(&UplinkStatus) -> f64;
    let values: [(&str, &str, Value); 7] = [
        (
            "control_node_up",
            "Whether a session with a control node is open",
            |it| f64::from(u8::from(it.name.is_some())),
        ),
        (
            "control_node_configures",
            "1 for the control node that says what is wanted",
            |it| f64::from(u8::from(it.configures)),
        ),
        (
            "control_node_disagrees",
            "Whether a control node has told another configuration than the one in force for five seconds",
            |it| f64::from(u8::from(it.disagrees)),
        ),
        (
            "control_node_failures",
            "Dials and sessions that failed since the last session opened",
            |it| f64::from(it.failures),
        ),
        (
            "control_node_instances_open",
            "Instances of which a control node has not told everything yet",
            |it| it.instances.saturating_sub(it.instances_complete) as f64,
        ),
        (
            "control_node_routes_told",
            "Routes that a control node was told",
            |it| it.routes_told as f64,
        ),
        (
            "control_node_routes_untold",
            "Routes that a control node may have to be told yet",
            |it| it.routes_untold as f64,
        ),
    ];
    for (metric, help, value) in values.into_iter().filter(|_| !nodes.is_empty()) {
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
        "Routes that a control node told in this session and that are of no use",
        unusable,
    );
}

fn switches(metrics: &mut Metrics, status: &AgentStatus) {
    let switch = |name: &dyn fmt::Display| vec![("switch", name.to_string())];
    let sessions = status
        .switches
        .iter()
        .map(|(name, it)| (switch(name), it.sessions.len() as f64));
    metrics.gauges("switch_sessions", "Sessions of a switch with this agent", sessions);
    let exported = status
        .switches
        .iter()
        .map(|(name, it)| (switch(name), it.exported as f64));
    metrics.gauges(
        "switch_exported_routes",
        "Routes of a switch that are exported",
        exported,
    );
    let phases = leading(status).map(|(name, session)| {
        let mut labels = switch(name);
        labels.push(("phase", session.phase.clone()));
        labels.push(("ownership", session.ownership.clone()));
        (labels, 1.0)
    });
    metrics.gauges(
        "switch_session_info",
        "Phase and ownership of a switch's leading session",
        phases,
    );
    let rows = leading(status).flat_map(|(name, session)| {
        let counts = [
            ("local", session.rows_local),
            ("remote", session.rows_remote),
            ("wanted", session.rows_wanted),
        ];
        counts.map(|(kind, count)| {
            let mut labels = switch(name);
            labels.push(("kind", kind.to_owned()));
            (labels, count as f64)
        })
    });
    metrics.gauges(
        "switch_rows",
        "Unicast MAC rows: learned by the switch, found in its remote table, wanted there",
        rows,
    );

    type Count = fn(&SessionStatus) -> usize;
    let counts: [(&str, &str, Count); 4] = [
        (
            "switch_pending_objects",
            "Objects that differ and are not in flight",
            |it| it.pending,
        ),
        (
            "switch_in_flight_transactions",
            "Transactions that await their reply",
            |it| it.in_flight,
        ),
        ("switch_blocked_objects", "Objects that cannot be written yet", |it| {
            it.blocked.len()
        }),
        ("switch_quarantined_objects", "Objects that keep failing", |it| {
            it.quarantine.len()
        }),
    ];
    for (metric, help, count) in counts {
        let values = leading(status).map(|(name, session)| (switch(name), count(session) as f64));
        metrics.gauges(metric, help, values);
    }
    let misses = leading(status).map(|(name, session)| (switch(name), session.keepalive_misses));
    metrics.counters(
        "switch_keepalive_misses",
        "Echoes without any byte for an interval; starts anew with each session",
        misses,
    );
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
        "Since the connection was accepted, when the leading session reached each phase",
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

/// Of each switch the session that counts: the one that may write, or else the newest.
fn leading(status: &AgentStatus) -> impl Iterator<Item = (&SwitchName, &SessionStatus)> {
    let leader = |switch: &'_ SwitchStatus| {
        let owns = |session: &SessionStatus| matches!(session.ownership.as_str(), "held" | "lockless");
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
    fn an_agent_at_work_is_told_in_prometheus_text() {
        let counters = Counters::default();
        counters.certificate("agent", 86_400 * 40);
        let now = UNIX_EPOCH + Duration::from_secs(86_400 * 10);
        insta::assert_snapshot!(render(Some(&samples::busy()), &counters, now).expect("text"));
    }

    #[test]
    fn a_wedged_worker_is_told_and_what_is_known_without_it_stays() {
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
