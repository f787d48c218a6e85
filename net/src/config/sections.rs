//! The sections that come once: what the agent is, where it listens, how its sessions behave.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_core::configuration::{CertificateRule, Configuration, ManagerTimers, SessionOptions};

use super::problem::{Problem, Problems, Source};
use super::table::{At, Document, Key, Table};
use super::values;
use super::{AgentConfig, Files, Listen, Log, LogFormat, failover, networks, peer, probe, switches, uplinks};
use crate::tls::Settings;

const NAME: Key<String> = Key {
    name: "name",
    read: values::text,
    example: r#""agent-a""#,
    what: "what this agent is called in logs, in `status` and in the switch's database",
};
const TSN_IP: Key<Ipv4Addr> = Key {
    name: "tsn_ip",
    read: values::tunnel_end,
    example: r#""10.0.0.11""#,
    what: "the tunnel end of this agent's services node, where broadcast goes",
};
const LOCK: Key<String> = Key {
    name: "lock",
    read: values::id,
    example: r#""tandem""#,
    what: "the OVSDB lock that both agents of a pair ask for",
};
const LOGICAL_SWITCH_PREFIX: Key<String> = Key {
    name: "logical_switch_prefix",
    read: values::prefix,
    example: r#""Contrail-""#,
    what: "what precedes the network's UUID in `Logical_Switch.name`",
};
const OVSDB: Key<SocketAddr> = Key {
    name: "ovsdb",
    read: values::socket,
    example: r#""0.0.0.0:6640""#,
    what: "where switches dial in with TLS",
};
const HEALTH: Key<Option<SocketAddr>> = Key {
    name: "health",
    read: values::socket_or_off,
    example: r#""0.0.0.0:6650""#,
    what: "where a proxy's health check is answered, or `\"off\"`",
};
const AGENT_CHECK: Key<Option<SocketAddr>> = Key {
    name: "agent_check",
    read: values::socket_or_off,
    example: r#""0.0.0.0:6651""#,
    what: "where HAProxy's agent-check is answered, or `\"off\"`",
};
pub(super) const HTTP: Key<Option<SocketAddr>> = Key {
    name: "http",
    read: values::socket_or_off,
    example: r#""127.0.0.1:6652""#,
    what: "where `/status` and `/metrics` are served, or `\"off\"`",
};
const PROXY_PROTOCOL: Key<bool> = Key {
    name: "proxy_protocol",
    read: values::boolean,
    example: "true",
    what: "whether the proxy sends a PROXY protocol v2 header",
};
pub(super) const CERTIFICATE: Key<PathBuf> = Key {
    name: "certificate",
    read: values::path,
    example: r#""agent-cert.pem""#,
    what: "a PEM file with our own certificate and what leads to its root",
};
pub(super) const PRIVATE_KEY: Key<PathBuf> = Key {
    name: "private_key",
    read: values::path,
    example: r#""agent-key.pem""#,
    what: "a PEM file with the key of the certificate",
};
const CA: Key<PathBuf> = Key {
    name: "ca",
    read: values::path,
    example: r#""switch-ca.pem""#,
    what: "a PEM file with the authorities that sign the certificates of those who connect",
};
const CRL: Key<PathBuf> = Key {
    name: "crl",
    read: values::path,
    example: r#""switch-crl.pem""#,
    what: "a PEM file with the certificates that these authorities have revoked",
};
const ALLOW_X509_V1: Key<bool> = Key {
    name: "allow_x509_v1",
    read: values::boolean,
    example: "true",
    what: "whether to take the X.509 v1 certificates of Open vSwitch 2.10 and older",
};
const INTERVAL: Key<Option<Duration>> = Key {
    name: "interval",
    read: values::interval,
    example: r#""10s""#,
    what: "the silence after which the agent sends an echo; `\"0s\"` switches it off",
};
const LOCAL_MACS_GRACE: Key<Duration> = Key {
    name: "local_macs_grace",
    read: values::duration,
    example: r#""15s""#,
    what: "how long a switch has for taking its own MACs back before a logical switch goes",
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
    what: "the longest pause before the switch dials again; 1s at least",
};
const INACTIVITY_PROBE: Key<u32> = Key {
    name: "inactivity_probe",
    read: values::milliseconds,
    example: r#""5s""#,
    what: "the silence after which the switch itself sends an echo",
};
const FORMAT: Key<LogFormat> = Key {
    name: "format",
    read: values::log_format,
    example: r#""text""#,
    what: "`text` for people or `json` for machines",
};
const LEVEL: Key<tracing::Level> = Key {
    name: "level",
    read: values::log_level,
    example: r#""info""#,
    what: "`error`, `warn`, `info`, `debug` or `trace`",
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
    let pins = switches.values().filter_map(|switch| match &switch.certificate {
        Some(CertificateRule::Pinned(fingerprint)) => Some(*fingerprint),
        Some(CertificateRule::Named(_)) | None => None,
    });
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

/// How sessions behave, and where our own name stands.
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
        manager: match manager {
            Some(Some(manager)) => Some(manager),
            Some(None) => None,
            None => default.manager,
        },
        ..default
    };
    Some((name.span, options))
}

/// `None` where the file is silent, `Some(None)` where it says that the row is left alone.
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
                    .label("says how to set the row")
                    .before(span.clone(), "says to leave it alone")
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
    let proxy_protocol = table.optional(&PROXY_PROTOCOL, problems);
    table.finish(problems);

    let ovsdb = ovsdb?;
    let beside = |port| Some(SocketAddr::new(ovsdb.value.ip(), port));
    let local = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 6652)));
    let given = [
        ("ovsdb", Some(ovsdb.value), Some(&ovsdb.span)),
        listener("health", &health, beside(6650)),
        listener("agent_check", &agent_check, beside(6651)),
        listener("http", &http, local),
    ];
    for (index, (later, address, span)) in given.iter().enumerate() {
        for (earlier, other, other_span) in &given[..index] {
            let (Some(address), Some(other)) = (address, other) else {
                continue;
            };
            if collide(*address, *other) {
                let here = span.or(*other_span).cloned().unwrap_or_else(|| table.span());
                let problem = table
                    .problem(
                        here,
                        format!("`{later}` ({address}) and `{earlier}` ({other}) cannot both be listened on"),
                    )
                    .help("give each of them a port of its own; one that is left out has its default");
                problems.add(match (span, other_span) {
                    (Some(_), Some(before)) => problem.before((*before).clone(), format!("`{earlier}`")),
                    _ => problem,
                });
            }
        }
    }
    Some(Listen {
        ovsdb: ovsdb.value,
        health: or(health, beside(6650)),
        agent_check: or(agent_check, beside(6651)),
        http: or(http, local),
        proxy_protocol: or(proxy_protocol, false),
    })
}

type Listener<'a> = (&'static str, Option<SocketAddr>, Option<&'a Range<usize>>);

fn listener<'a>(
    name: &'static str,
    given: &'a Option<At<Option<SocketAddr>>>,
    default: Option<SocketAddr>,
) -> Listener<'a> {
    match given {
        Some(at) => (name, at.value, Some(&at.span)),
        None => (name, default, None),
    }
}

/// Whether the second bind would fail. Port 0 asks the system for any free port.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` takes IPv4 as well, as long as nobody told the kernel otherwise.
    let covers = |any: IpAddr, ip: IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
    let (ip, other) = (a.ip(), b.ip());
    a.port() != 0 && a.port() == b.port() && (ip == other || covers(ip, other) || covers(other, ip))
}

/// `[tls]`, which must be there.
pub(super) fn tls(root: &mut Table<'_>, base: &Path, files: &dyn Files, problems: &mut Problems) -> Option<Settings> {
    let mut table = root.required_section("tls", "`certificate`, `private_key` and `ca`", problems)?;
    let certificate = table.required(&CERTIFICATE, problems);
    let private_key = table.required(&PRIVATE_KEY, problems);
    let ca = table.required(&CA, problems);
    let crl = table.optional(&CRL, problems);
    let allow_x509_v1 = table.optional(&ALLOW_X509_V1, problems);
    table.finish(problems);

    let mut resolve = |given: Option<At<PathBuf>>| Some(resolve(&table, &given?, base, files, problems));
    let (certificate, private_key, ca, crl) = (resolve(certificate), resolve(private_key), resolve(ca), resolve(crl));
    Some(Settings {
        certificate: certificate?,
        private_key: private_key?,
        ca: ca?,
        crl,
        allow_x509_v1: or(allow_x509_v1, false),
        pins: Vec::new(),
    })
}

/// The path of a file that must be readable.
pub(super) fn resolve(
    table: &Table<'_>,
    at: &At<PathBuf>,
    base: &Path,
    files: &dyn Files,
    problems: &mut Problems,
) -> PathBuf {
    let path = base.join(&at.value);
    if let Err(why) = files.readable(&path) {
        problems.add(unreadable(table, at, &path, &why));
    }
    path
}

/// A file that the configuration names cannot be read.
pub(super) fn unreadable(table: &Table<'_>, at: &At<PathBuf>, path: &Path, why: &std::io::Error) -> Problem {
    table
        .problem(at.span.clone(), format!("cannot read {}: {why}", path.display()))
        .label("named here")
        .help("write a path that this user may read; a relative one starts at the folder of this file")
}

pub(super) fn log(root: &mut Table<'_>, problems: &mut Problems) -> Log {
    let mut log = Log {
        format: LogFormat::Text,
        level: tracing::Level::INFO,
    };
    if let Some(mut table) = root.section("log", problems) {
        log.format = or(table.optional(&FORMAT, problems), log.format);
        log.level = or(table.optional(&LEVEL, problems), log.level);
        table.finish(problems);
    }
    log
}

/// The value, or what holds where the file is silent.
pub(super) fn or<T>(given: Option<At<T>>, default: T) -> T {
    given.map_or(default, |at| at.value)
}
