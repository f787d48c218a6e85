//! Sections that agents and control nodes share: `[tls]`, `[log]`, and the addresses of listeners.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::problem::{Problem, Problems};
use super::settings::{Log, LogFormat};
use super::table::{At, Key, Table};
use super::values;
use crate::tls::Settings;

pub(super) const HTTP: Key<Option<SocketAddr>> = Key {
    name: "http",
    read: values::socket_or_off,
    example: r#""127.0.0.1:6652""#,
    what: "where `/status` and `/metrics` are served, or `\"off\"`",
};
pub(super) const CERTIFICATE: Key<PathBuf> = Key {
    name: "certificate",
    read: values::path,
    example: r#""agent-cert.pem""#,
    what: "a PEM file with the own certificate and its chain up to the root",
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
    what: "a PEM file with the CAs that sign the certificates of clients",
};
const CRL: Key<PathBuf> = Key {
    name: "crl",
    read: values::path,
    example: r#""switch-crl.pem""#,
    what: "a PEM file with the certificate revocation lists of these CAs",
};
const ALLOW_X509_V1: Key<bool> = Key {
    name: "allow_x509_v1",
    read: values::boolean,
    example: "true",
    what: "whether to accept the X.509 v1 certificates of Open vSwitch 2.10 and older",
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

/// `[tls]`, which is required.
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

/// `[log]`, which is optional.
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

/// The address of a listener.
pub(super) struct Listener<'a> {
    key: &'static str,
    address: Option<SocketAddr>,
    /// Its place in the file, if the file sets it.
    span: Option<&'a Range<usize>>,
}

impl<'a> Listener<'a> {
    /// The address in the file, or the default; `None` is off.
    pub(super) fn new<T>(key: &'static str, given: Option<&'a At<T>>, default: Option<SocketAddr>) -> Self
    where
        T: Copy + Into<Option<SocketAddr>>,
    {
        Self {
            key,
            address: given.map_or(default, |at| at.value.into()),
            span: given.map(|at| &at.span),
        }
    }
}

/// Reports listeners that need the same port.
pub(super) fn apart(table: &Table<'_>, listeners: &[Listener<'_>], problems: &mut Problems) {
    for (index, later) in listeners.iter().enumerate() {
        for earlier in listeners.iter().take(index) {
            let (Some(address), Some(other)) = (later.address, earlier.address) else {
                continue;
            };
            if collide(address, other) {
                let here = later.span.or(earlier.span).cloned().unwrap_or_else(|| table.span());
                let (later_key, earlier_key) = (later.key, earlier.key);
                let problem = table
                    .problem(
                        here,
                        format!("`{later_key}` ({address}) and `{earlier_key}` ({other}) need the same port"),
                    )
                    .help("give each of them a port of its own; a key that is left out has its default");
                problems.add(match (later.span, earlier.span) {
                    (Some(_), Some(before)) => problem.before(before.clone(), format!("`{earlier_key}`")),
                    _ => problem,
                });
            }
        }
    }
}

/// Whether the second bind would fail. Port 0 asks the system for any free port.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` also accepts IPv4, unless a setting of the kernel prevents it.
    let covers = |any: IpAddr, ip: IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
    let (ip, other) = (a.ip(), b.ip());
    a.port() != 0 && a.port() == b.port() && (ip == other || covers(ip, other) || covers(other, ip))
}

/// Resolves the path of a file, and reports it if it cannot be read.
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
        .help("write the path of a file that this user can read; a relative path starts at the folder of this file")
}

/// The value in the file, or the default.
pub(super) fn or<T>(given: Option<At<T>>, default: T) -> T {
    given.map_or(default, |at| at.value)
}
