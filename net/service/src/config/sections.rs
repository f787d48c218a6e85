//! The sections of an agent that occur once: its identity, its listeners, the options of its sessions.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use tandem_core::brake::Brake;
use tandem_core::configuration::{Configuration, ManagerTimers, SessionOptions};

use super::common::{HTTP, Listener, apart, log, or, tls};
use super::files::Files;
use super::format::FORMAT;
use super::problem::{Problems, Source};
use super::settings::{AgentConfig, Listen, Orders};
use super::table::{At, Document, Key, Table};
use super::values;
use super::{failover, networks, peer, probe, switches, uplinks};
use crate::tls::Settings;

pub(super) const NAME: Key<String> = Key {
    name: "name",
    read: values::text,
    example: r#""agent-a""#,
    what: "the name of this agent in logs, in `status` and in the switch's database",
};
/// The default port of the status of an agent.
pub(super) const AGENT_HTTP_PORT: u16 = 6652;
const TSN_IP: Key<Ipv4Addr> = Key {
    name: "tsn_ip",
    read: values::tunnel_end,
    example: r#""10.0.0.11""#,
    what: "the tunnel end of this agent's services node, the destination of BUM frames",
};
const LOCK: Key<String> = Key {
    name: "lock",
    read: values::id,
    example: r#""tandem""#,
    what: "the OVSDB lock that both agents of a pair request",
};
const LOGICAL_SWITCH_PREFIX: Key<String> = Key {
    name: "logical_switch_prefix",
    read: values::prefix,
    example: r#""Contrail-""#,
    what: "the prefix of the network's UUID in `Logical_Switch.name`",
};
const OVSDB: Key<SocketAddr> = Key {
    name: "ovsdb",
    read: values::socket,
    example: r#""0.0.0.0:6640""#,
    what: "the address at which switches connect with TLS",
};
const HEALTH: Key<Option<SocketAddr>> = Key {
    name: "health",
    read: values::socket_or_off,
    example: r#""0.0.0.0:6650""#,
    what: "the address of the health check for proxies, or `\"off\"`",
};
const AGENT_CHECK: Key<Option<SocketAddr>> = Key {
    name: "agent_check",
    read: values::socket_or_off,
    example: r#""0.0.0.0:6651""#,
    what: "the address of HAProxy's agent-check, or `\"off\"`",
};
pub(super) const ORDERS: Key<Orders> = Key {
    name: "orders",
    read: values::orders,
    example: r#""/run/tandem/agent/agent-a.sock""#,
    what: "the local socket for `tandem ctl`, or `\"off\"`",
};
const PROXY_PROTOCOL: Key<bool> = Key {
    name: "proxy_protocol",
    read: values::boolean,
    example: "true",
    what: "whether the proxy sends a PROXY protocol v2 header",
};
const INTERVAL: Key<Option<Duration>> = Key {
    name: "interval",
    read: values::interval,
    example: r#""10s""#,
    what: "the silence after which the agent sends an echo; `\"0s\"` is off",
};
const LOCAL_MACS_GRACE: Key<Duration> = Key {
    name: "local_macs_grace",
    read: values::duration,
    example: r#""15s""#,
    what: "how long a switch has to remove its own MACs before a logical switch is deleted",
};
const BRAKE_PERCENT: Key<usize> = Key {
    name: "percent",
    read: values::percent,
    example: "30",
    what: "the part of the rows above which deletions wait for `tandem confirm`; 0 is off",
};
const BRAKE_ROWS: Key<usize> = Key {
    name: "rows",
    read: values::count,
    example: "20",
    what: "the number of rows above which deletions wait for `tandem confirm`; 0 is off",
};
const SET: Key<bool> = Key {
    name: "set",
    read: values::boolean,
    example: "false",
    what: "whether to set the timers of the switch's `Manager` row",
};
const TARGET: Key<String> = Key {
    name: "target",
    read: values::text,
    example: r#""ssl:10.0.0.10:6640""#,
    what: "`Manager.target` of the row to set",
};
const MAX_BACKOFF: Key<u32> = Key {
    name: "max_backoff",
    read: values::backoff_ms,
    example: r#""1s""#,
    what: "the longest pause before the switch dials again, at least 1s",
};
const INACTIVITY_PROBE: Key<u32> = Key {
    name: "inactivity_probe",
    read: values::milliseconds,
    example: r#""5s""#,
    what: "the silence after which the switch itself sends an echo",
};
/// Reads the whole document; `None` only when a problem was reported.
pub(super) fn read(
    document: &Document<'_>,
    source: &Source,
    base: &Path,
    files: &dyn Files,
    problems: &mut Problems,
) -> Option<AgentConfig> {
    let mut root = document.root(source);
    root.place(FORMAT.name);
    let session = session(&mut root, problems);
    let listen = listen(&mut root, problems);
    let tls = tls(&mut root, base, files, problems);
    let log = log(&mut root, problems);
    let uplinks = uplinks::read(&mut root, base, files, problems);
    let stale_hold = failover::read(&mut root, problems);
    let peer = peer::read(&mut root, (tls.as_ref(), listen.as_ref()), base, files, problems);
    let probe = probe::read(&mut root, problems);
    let networks = networks::read(&mut root, base, files, problems);
    let switches = switches::read(&mut root, &networks, problems, |_, _, switch, _| switch);
    root.finish(problems);
    let (name, session) = session?;
    if let (Some(_), Err(why)) = (&uplinks, values::is_peer_name(&session.agent)) {
        problems.add(root.problem(name, format!("`name`: {why}")).help(NAME.help()));
    }
    let pins = switches
        .values()
        .filter_map(|switch| switch.certificate.as_ref()?.pin());
    Some(AgentConfig {
        listen: listen?,
        tls: Settings {
            pins: pins.collect(),
            ..tls?
        },
        log,
        configuration: Configuration {
            session: SessionOptions {
                routed: uplinks.is_some(),
                ..session
            },
            networks: networks.complete,
            switches,
        },
        uplinks,
        stale_hold,
        peer,
        probe,
    })
}

/// The options of sessions, and the place of the agent's name.
fn session(root: &mut Table<'_>, problems: &mut Problems) -> Option<(Range<usize>, SessionOptions)> {
    let keepalive = root.section("keepalive", problems).map(|mut table| {
        let interval = table.optional(&INTERVAL, problems);
        table.finish(problems);
        interval
    });
    let audit = root.section("audit", problems).map(|mut table| {
        let grace = table.optional(&LOCAL_MACS_GRACE, problems);
        table.finish(problems);
        grace
    });
    let brake = brake(root, problems);
    let manager = manager(root, problems);
    let mut agent = root.required_section("agent", "`name` and `tsn_ip`", problems)?;
    let name = agent.required(&NAME, problems);
    let tsn = agent.required(&TSN_IP, problems);
    let lock = agent.optional(&LOCK, problems);
    let prefix = agent.optional(&LOGICAL_SWITCH_PREFIX, problems);
    agent.finish(problems);

    let name = name?;
    let default = SessionOptions::new(name.value, tsn?.value);
    let options = SessionOptions {
        lock: or(lock, default.lock),
        logical_switch_prefix: or(prefix, default.logical_switch_prefix),
        keepalive: or(keepalive.flatten(), default.keepalive),
        local_macs_grace: or(audit.flatten(), default.local_macs_grace),
        brake,
        manager: match manager {
            Some(Some(manager)) => Some(manager),
            Some(None) => None,
            None => default.manager,
        },
        ..default
    };
    Some((name.span, options))
}

/// The brake on deletions; `None` if one of its bounds is 0.
fn brake(root: &mut Table<'_>, problems: &mut Problems) -> Option<Brake> {
    let mut brake = Brake::DEFAULT;
    if let Some(mut table) = root.section("brake", problems) {
        brake.percent = or(table.optional(&BRAKE_PERCENT, problems), brake.percent);
        brake.rows = or(table.optional(&BRAKE_ROWS, problems), brake.rows);
        table.finish(problems);
    }
    Some(brake).filter(|brake| brake.percent > 0 && brake.rows > 0)
}

/// `None` without a section, `Some(None)` if the section leaves the row as it is.
fn manager(root: &mut Table<'_>, problems: &mut Problems) -> Option<Option<ManagerTimers>> {
    let mut table = root.section("manager", problems)?;
    let set = table.optional(&SET, problems);
    let target = table.optional(&TARGET, problems);
    let max_backoff = table.optional(&MAX_BACKOFF, problems);
    let inactivity_probe = table.optional(&INACTIVITY_PROBE, problems);
    table.finish(problems);

    if let Some(At { value: false, span }) = set {
        let idle = [
            target.as_ref().map(|at| ("target", &at.span)),
            max_backoff.as_ref().map(|at| ("max_backoff", &at.span)),
            inactivity_probe.as_ref().map(|at| ("inactivity_probe", &at.span)),
        ];
        for (key, at) in idle.into_iter().flatten() {
            problems.add(
                table
                    .problem(at.clone(), format!("`{key}` has no effect with `set = false`"))
                    .label("sets the row")
                    .before(span.clone(), "leaves the row as it is")
                    .help(format!("remove `{key}`, or `set = false`")),
            );
        }
        return Some(None);
    }
    let default = SessionOptions::new("", Ipv4Addr::UNSPECIFIED).manager?;
    Some(Some(ManagerTimers {
        target: target.map(|at| at.value),
        max_backoff_ms: or(max_backoff, default.max_backoff_ms),
        inactivity_probe_ms: or(inactivity_probe, default.inactivity_probe_ms),
    }))
}

fn listen(root: &mut Table<'_>, problems: &mut Problems) -> Option<Listen> {
    let mut table = root.required_section("listen", "`ovsdb = \"0.0.0.0:6640\"`", problems)?;
    let ovsdb = table.required(&OVSDB, problems);
    let health = table.optional(&HEALTH, problems);
    let agent_check = table.optional(&AGENT_CHECK, problems);
    let http = table.optional(&HTTP, problems);
    let orders = table.optional(&ORDERS, problems);
    let proxy_protocol = table.optional(&PROXY_PROTOCOL, problems);
    table.finish(problems);

    let ovsdb = ovsdb?;
    let beside = |port| Some(SocketAddr::new(ovsdb.value.ip(), port));
    let local = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, AGENT_HTTP_PORT)));
    let listeners = [
        Listener::new("ovsdb", Some(&ovsdb), None),
        Listener::new("health", health.as_ref(), beside(6650)),
        Listener::new("agent_check", agent_check.as_ref(), beside(6651)),
        Listener::new("http", http.as_ref(), local),
    ];
    apart(&table, &listeners, problems);
    Some(Listen {
        ovsdb: ovsdb.value,
        health: or(health, beside(6650)),
        agent_check: or(agent_check, beside(6651)),
        http: or(http, local),
        orders: or(orders, Orders::Default),
        proxy_protocol: or(proxy_protocol, false),
    })
}
