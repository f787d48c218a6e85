//! Reads single values; the errors complete the sentence "`key`: ...".

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tandem_core::configuration::{CertificateRule, VlanId};
use tandem_core::ids::{Mac, Uuid, Vni};
use toml::de::DeValue;

use super::control::CONTROL_PORT;
use super::table::kind;
use super::{LogFormat, probe};
use crate::probe::Url;

/// Nothing here is longer than a day; it keeps sums of durations far from any overflow.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// A text that is neither empty nor has line breaks or other control characters.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    let text = quoted(value)?;
    if text.trim().is_empty() {
        Err("this text is empty".into())
    } else if text.chars().any(char::is_control) {
        Err("this text has control characters".into())
    } else {
        Ok(text.to_owned())
    }
}

/// A path, still as it stands in the file.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(value) => Ok(*value),
        other => Err(format!("this is {}, not `true` or `false`", kind(other))),
    }
}

/// An `<id>` of RFC 7047, section 3.1: what a lock may be called.
pub(super) fn id(value: &DeValue<'_>) -> Result<String, String> {
    let id = text(value)?;
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    if id.starts_with(letter) && id.chars().all(|c| letter(c) || c.is_ascii_digit()) {
        Ok(id)
    } else {
        Err(format!(
            "{} is not made of letters, digits and `_`, beginning with a letter",
            shown(&id)
        ))
    }
}

/// What precedes a UUID in the name of a logical switch.
pub(super) fn prefix(value: &DeValue<'_>) -> Result<String, String> {
    let prefix = text(value)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if prefix.starts_with(|c: char| c.is_ascii_alphabetic()) && prefix.len() <= 64 && prefix.chars().all(allowed) {
        Ok(prefix)
    } else {
        Err(format!(
            "{} is not up to 64 letters, digits, `-`, `_` or `.`, beginning with a letter",
            shown(&prefix)
        ))
    }
}

/// A duration as text: `10s`, `1500ms`, `0s`; up to a day.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    if matches!(value, DeValue::Integer(_) | DeValue::Float(_)) {
        return Err("a duration is a text with its unit, not a bare number".into());
    }
    let text = quoted(value)?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let duration = number.parse().ok().and_then(|number: u64| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    });
    match duration {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        Some(_) => Err(format!("{} is longer than a day", shown(text))),
        None => Err(format!("{} is not a whole number and one of ms, s, m, h", shown(text))),
    }
}

/// T of the keepalive: off, or a second at least.
pub(super) fn interval(value: &DeValue<'_>) -> Result<Option<Duration>, String> {
    match duration(value)? {
        Duration::ZERO => Ok(None),
        short if short < Duration::from_secs(1) => {
            Err("this is shorter than 1s; a busy switch needs longer than that".into())
        }
        interval => Ok(Some(interval)),
    }
}

/// How long copies are held: not at all, or a second at least.
pub(super) fn hold(value: &DeValue<'_>) -> Result<Option<Duration>, String> {
    match duration(value)? {
        Duration::ZERO => Ok(None),
        short if short < Duration::from_secs(1) => Err("this is shorter than 1s; no failover is over by then".into()),
        hold => Ok(Some(hold)),
    }
}

/// What to do to a services node.
pub(super) fn probe(value: &DeValue<'_>) -> Result<probe::Kind, String> {
    match quoted(value)? {
        "tcp" => Ok(probe::Kind::Tcp),
        "http" => Ok(probe::Kind::Http),
        "command" => Ok(probe::Kind::Command),
        other => Err(format!("{} is none of `tcp`, `http`, `command`", shown(other))),
    }
}

/// A time of probes: from a tenth of a second to an hour.
pub(super) fn probe_time(value: &DeValue<'_>) -> Result<Duration, String> {
    match duration(value)? {
        short if short < Duration::from_millis(100) => Err("this is shorter than 100ms".into()),
        long if long > Duration::from_secs(3600) => Err("this is longer than 1h".into()),
        time => Ok(time),
    }
}

/// How many probes in a row.
pub(super) fn probes(value: &DeValue<'_>) -> Result<u32, String> {
    let number = integer(value)?;
    u32::try_from(number)
        .ok()
        .filter(|probes| (1..=100).contains(probes))
        .ok_or_else(|| format!("{number} is not between 1 and 100"))
}

/// A page of an HTTP server, without TLS.
pub(super) fn url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = text(value)?;
    Url::parse(&url).ok_or_else(|| {
        format!(
            "{} is not `http://`, a host with or without a port, and a path",
            shown(&url)
        )
    })
}

/// A program, by its whole path, and its arguments.
pub(super) fn command(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let DeValue::Array(words) = value else {
        return Err(format!("this is {}, not a list of texts", kind(value)));
    };
    let words = words.iter().map(|word| quoted(word.get_ref()).map(str::to_owned));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    match words.first() {
        Some(program) if program.starts_with('/') && words.iter().all(|word| !word.contains('\0')) => Ok(words),
        Some(program) => Err(format!("{} is not a whole path of a program", shown(program))),
        None => Err("this names no program".into()),
    }
}

/// `Manager.max_backoff` in milliseconds; the schema takes 1000 and more.
pub(super) fn backoff_ms(value: &DeValue<'_>) -> Result<u32, String> {
    match milliseconds(value)? {
        short if short < 1000 => Err("this is shorter than 1s, which a switch refuses".into()),
        backoff => Ok(backoff),
    }
}

/// A duration in milliseconds.
pub(super) fn milliseconds(value: &DeValue<'_>) -> Result<u32, String> {
    u32::try_from(duration(value)?.as_millis()).map_err(|_| "this is too long".into())
}

/// An IP address and a port.
pub(super) fn socket(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = quoted(value)?;
    text.parse()
        .map_err(|_| format!("{} is not an address with a port", shown(text)))
}

/// An address and a port to listen on, or `off`.
pub(super) fn socket_or_off(value: &DeValue<'_>) -> Result<Option<SocketAddr>, String> {
    match quoted(value)? {
        "off" => Ok(None),
        _ => socket(value).map(Some).map_err(|why| format!("{why}, nor `off`")),
    }
}

/// An address and a port where somebody else is.
pub(super) fn reachable(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    is_reachable(socket(value)?)
}

fn is_reachable(address: SocketAddr) -> Result<SocketAddr, String> {
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
        return Err(format!("nobody can be reached at {address}"));
    }
    Ok(address)
}

/// An address where a control node is; its port may be left out.
pub(super) fn control_node(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = quoted(value)?;
    let bare = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, CONTROL_PORT));
    let address = text.parse().or(bare);
    is_reachable(address.map_err(|_| format!("{} is not an IP address with or without a port", shown(text)))?)
}

/// What someone is called who speaks XMPP: an agent, a services node, a control node.
pub(super) fn peer_name(value: &DeValue<'_>) -> Result<String, String> {
    let name = text(value)?;
    is_peer_name(&name)?;
    Ok(name)
}

/// The same, of a name that is read already.
pub(super) fn is_peer_name(name: &str) -> Result<(), String> {
    // Where a stanza belongs is found by searching its address, which begins with a name, for these words.
    const RESOURCES: [&str; 4] = ["bgp-peer", "config", "dns-peer", "other-peer"];
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() > 255 || !name.chars().all(allowed) {
        Err(format!(
            "{} is not up to 255 letters, digits, `-`, `_` or `.`",
            shown(name)
        ))
    } else if let Some(word) = RESOURCES.into_iter().find(|word| name.contains(word)) {
        Err(format!(
            "{} contains `{word}`, a word of the protocol that names must not have",
            shown(name)
        ))
    } else {
        Ok(())
    }
}

/// Which of two inventories is the newer.
pub(super) fn revision(value: &DeValue<'_>) -> Result<u64, String> {
    let number = integer(value)?;
    u64::try_from(number)
        .ok()
        .filter(|revision| *revision >= 1)
        .ok_or_else(|| format!("{number} is less than 1"))
}

/// A tunnel end: an IPv4 address that one machine can have.
pub(super) fn tunnel_end(value: &DeValue<'_>) -> Result<Ipv4Addr, String> {
    parse_tunnel_end(quoted(value)?)
}

/// The same, from plain text.
pub(super) fn parse_tunnel_end(text: &str) -> Result<Ipv4Addr, String> {
    let ip: Ipv4Addr = text
        .parse()
        .map_err(|_| format!("{} is not an IPv4 address", shown(text)))?;
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        return Err(format!("{ip} is not the address of one machine"));
    }
    Ok(ip)
}

/// A MAC address that one host can have.
pub(super) fn unicast_mac(value: &DeValue<'_>) -> Result<Mac, String> {
    parse_unicast_mac(quoted(value)?)
}

/// The same, from plain text.
pub(super) fn parse_unicast_mac(text: &str) -> Result<Mac, String> {
    let mac: Mac = text
        .parse()
        .map_err(|_| format!("{} is not a MAC address", shown(text)))?;
    if mac.is_multicast() {
        Err(format!("{mac} is a multicast address, which no host has"))
    } else if mac == Mac([0; 6]) {
        Err(format!("{mac} is no host's address"))
    } else {
        Ok(mac)
    }
}

/// A network's UUID.
pub(super) fn uuid(value: &DeValue<'_>) -> Result<Uuid, String> {
    let text = quoted(value)?;
    text.parse().map_err(|_| format!("{} is not a UUID", shown(text)))
}

/// A VXLAN network identifier.
pub(super) fn vni(value: &DeValue<'_>) -> Result<Vni, String> {
    let number = integer(value)?;
    u32::try_from(number)
        .ok()
        .and_then(Vni::new)
        .ok_or_else(|| format!("{number} is not between 1 and 16777215"))
}

/// A VLAN of a port; 0 is untagged.
pub(super) fn vlan(value: &DeValue<'_>) -> Result<VlanId, String> {
    let number = integer(value)?;
    VlanId::try_from(number)
        .ok()
        .filter(|vlan| *vlan <= 4095)
        .ok_or_else(|| format!("{number} is not between 0 (untagged) and 4095"))
}

/// How many rows; one at least.
pub(super) fn rows(value: &DeValue<'_>) -> Result<usize, String> {
    let number = integer(value)?;
    usize::try_from(number)
        .ok()
        .filter(|rows| *rows >= 1)
        .ok_or_else(|| format!("{number} is less than 1"))
}

/// What ties a certificate to a switch.
pub(super) fn certificate_rule(value: &DeValue<'_>) -> Result<CertificateRule, String> {
    let rule = text(value)?;
    match rule.strip_prefix("name:") {
        Some("") => Err("the name after `name:` is empty".into()),
        Some(name) => Ok(CertificateRule::Named(name.to_owned())),
        None if rule.starts_with("sha256:") => rule
            .parse()
            .map(CertificateRule::Pinned)
            .map_err(|why| format!("{why}")),
        None => Err(format!(
            "{} begins neither with `sha256:` nor with `name:`",
            shown(&rule)
        )),
    }
}

/// What a line of the log looks like.
pub(super) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, String> {
    match quoted(value)? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("{} is neither `text` nor `json`", shown(other))),
    }
}

/// How much is logged.
pub(super) fn log_level(value: &DeValue<'_>) -> Result<tracing::Level, String> {
    match quoted(value)? {
        "error" => Ok(tracing::Level::ERROR),
        "warn" => Ok(tracing::Level::WARN),
        "info" => Ok(tracing::Level::INFO),
        "debug" => Ok(tracing::Level::DEBUG),
        "trace" => Ok(tracing::Level::TRACE),
        other => Err(format!(
            "{} is none of `error`, `warn`, `info`, `debug`, `trace`",
            shown(other)
        )),
    }
}

fn quoted<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    match value {
        DeValue::String(text) => Ok(text),
        other => Err(format!("this is {}, not a text in double quotes", kind(other))),
    }
}

fn integer(value: &DeValue<'_>) -> Result<i64, String> {
    match value {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| format!("{number} is too large"))
        }
        other => Err(format!("this is {}, not a whole number", kind(other))),
    }
}

/// A text of the file as a message may repeat it: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("`{}{dots}`", short.escape_debug())
}
