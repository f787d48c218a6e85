//! Reads single values; the errors complete the sentence "`key`: ...".

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tandem_core::configuration::{CertificateRule, VlanId};
use tandem_core::identity::IdentityRule;
use tandem_core::ids::{Mac, Uuid, Vni};
use toml::de::DeValue;

use super::settings::{CONTROL_PORT, LogFormat, Orders};
use super::table::kind;
use crate::probe::Url;

/// The longest duration; sums of durations stay far from any overflow.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// A text that is not empty and has no line breaks or other control characters.
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

/// A path as written in the file, not resolved.
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

/// An `<id>` of RFC 7047, section 3.1: the name of a lock.
pub(super) fn id(value: &DeValue<'_>) -> Result<String, String> {
    let id = text(value)?;
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    if id.starts_with(letter) && id.chars().all(|c| letter(c) || c.is_ascii_digit()) {
        Ok(id)
    } else {
        Err(format!(
            "{} must consist of letters, digits and `_`, and begin with a letter",
            shown(&id)
        ))
    }
}

/// The prefix of the UUID in the name of a logical switch.
pub(super) fn prefix(value: &DeValue<'_>) -> Result<String, String> {
    let prefix = text(value)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if prefix.starts_with(|c: char| c.is_ascii_alphabetic()) && prefix.len() <= 64 && prefix.chars().all(allowed) {
        Ok(prefix)
    } else {
        Err(format!(
            "{} must consist of at most 64 letters, digits, `-`, `_` or `.`, and begin with a letter",
            shown(&prefix)
        ))
    }
}

/// A duration as text: `10s`, `1500ms`, `0s`; up to a day.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    if matches!(value, DeValue::Integer(_) | DeValue::Float(_)) {
        return Err("a duration is a text with a unit, not a bare number".into());
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
        None => Err(format!(
            "{} must be a whole number and a unit: ms, s, m or h",
            shown(text)
        )),
    }
}

/// T of the keepalive: off, or at least a second.
pub(super) fn interval(value: &DeValue<'_>) -> Result<Option<Duration>, String> {
    match duration(value)? {
        Duration::ZERO => Ok(None),
        short if short < Duration::from_secs(1) => {
            Err("this is shorter than 1s, and a busy switch needs longer to answer".into())
        }
        interval => Ok(Some(interval)),
    }
}

/// How long copies are held: not at all, or at least a second.
pub(super) fn hold(value: &DeValue<'_>) -> Result<Option<Duration>, String> {
    match duration(value)? {
        Duration::ZERO => Ok(None),
        short if short < Duration::from_secs(1) => {
            Err("this is shorter than 1s, and every failover takes longer".into())
        }
        hold => Ok(Some(hold)),
    }
}

/// An interval or a deadline of probes: from 100 ms to an hour.
pub(super) fn probe_time(value: &DeValue<'_>) -> Result<Duration, String> {
    match duration(value)? {
        short if short < Duration::from_millis(100) => Err("this is shorter than 100ms".into()),
        long if long > Duration::from_secs(3600) => Err("this is longer than 1h".into()),
        time => Ok(time),
    }
}

/// A number of consecutive probes.
pub(super) fn probes(value: &DeValue<'_>) -> Result<u32, String> {
    let number = integer(value)?;
    u32::try_from(number)
        .ok()
        .filter(|probes| (1..=100).contains(probes))
        .ok_or_else(|| format!("{number} must be between 1 and 100"))
}

/// A URL of HTTP without TLS.
pub(super) fn url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = text(value)?;
    Url::parse(&url).ok_or_else(|| {
        format!(
            "{} must be `http://`, a host with an optional port, and a path",
            shown(&url)
        )
    })
}

/// A program, by its absolute path, and its arguments.
pub(super) fn command(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let DeValue::Array(words) = value else {
        return Err(format!("this is {}, not a list of texts", kind(value)));
    };
    let words = words.iter().map(|word| quoted(word.get_ref()).map(str::to_owned));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    match words.first() {
        Some(program) if program.starts_with('/') && words.iter().all(|word| !word.contains('\0')) => Ok(words),
        Some(program) => Err(format!("{} must be the absolute path of a program", shown(program))),
        None => Err("the list names no program".into()),
    }
}

/// `Manager.max_backoff` in milliseconds; the schema accepts 1000 and more.
pub(super) fn backoff_ms(value: &DeValue<'_>) -> Result<u32, String> {
    match milliseconds(value)? {
        short if short < 1000 => Err("this is shorter than 1s, and switches reject that".into()),
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
        .map_err(|_| format!("{} must be an IP address and a port", shown(text)))
}

/// An address and a port to listen on, or `off`.
pub(super) fn socket_or_off(value: &DeValue<'_>) -> Result<Option<SocketAddr>, String> {
    match quoted(value)? {
        "off" => Ok(None),
        _ => socket(value).map(Some).map_err(|why| format!("{why}, or `off`")),
    }
}

/// The absolute path of a socket, or `off`.
pub(super) fn orders(value: &DeValue<'_>) -> Result<Orders, String> {
    // `sun_path` has 108 bytes.
    const PATH_BYTES_MAX: usize = 100;
    match quoted(value)? {
        "off" => Ok(Orders::Off),
        path if !path.starts_with('/') || path.ends_with('/') => Err(format!(
            "{} must be the absolute path of a socket, or `off`",
            shown(path)
        )),
        path if path.len() > PATH_BYTES_MAX => Err(format!("the path of a socket has at most {PATH_BYTES_MAX} bytes")),
        path => Ok(Orders::At(path.into())),
    }
}

/// The address and port of another machine, to be dialled.
pub(super) fn reachable(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    is_reachable(socket(value)?)
}

fn is_reachable(address: SocketAddr) -> Result<SocketAddr, String> {
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
        return Err(format!(
            "{address} cannot be dialled: unspecified, multicast, or port 0"
        ));
    }
    Ok(address)
}

/// The address of a control node; the port is optional.
pub(super) fn control_node(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = quoted(value)?;
    let bare = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, CONTROL_PORT));
    let address = text.parse().or(bare);
    is_reachable(address.map_err(|_| format!("{} must be an IP address with an optional port", shown(text)))?)
}

/// The name of an XMPP peer: an agent, a services node, a control node.
pub(super) fn peer_name(value: &DeValue<'_>) -> Result<String, String> {
    let name = text(value)?;
    is_peer_name(&name)?;
    Ok(name)
}

/// As [`peer_name`], for a name that has been read already.
pub(super) fn is_peer_name(name: &str) -> Result<(), String> {
    // A receiver classifies a stanza by searching its address, which begins with the name, for these words.
    const RESOURCES: [&str; 4] = ["bgp-peer", "config", "dns-peer", "other-peer"];
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() > 255 || !name.chars().all(allowed) {
        Err(format!(
            "{} must consist of at most 255 letters, digits, `-`, `_` or `.`",
            shown(name)
        ))
    } else if let Some(word) = RESOURCES.into_iter().find(|word| name.contains(word)) {
        Err(format!(
            "{} contains `{word}`, which the protocol reserves",
            shown(name)
        ))
    } else {
        Ok(())
    }
}

/// The revision of an inventory; the higher one is newer.
pub(super) fn revision(value: &DeValue<'_>) -> Result<u64, String> {
    let number = integer(value)?;
    u64::try_from(number)
        .ok()
        .filter(|revision| *revision >= 1)
        .ok_or_else(|| format!("{number} must be at least 1"))
}

/// A tunnel end: a unicast IPv4 address.
pub(super) fn tunnel_end(value: &DeValue<'_>) -> Result<Ipv4Addr, String> {
    parse_tunnel_end(quoted(value)?)
}

/// As [`tunnel_end`], from plain text.
pub(super) fn parse_tunnel_end(text: &str) -> Result<Ipv4Addr, String> {
    let ip: Ipv4Addr = text
        .parse()
        .map_err(|_| format!("{} must be an IPv4 address", shown(text)))?;
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        return Err(format!("{ip} is not a unicast address"));
    }
    Ok(ip)
}

/// The MAC address of one host.
pub(super) fn unicast_mac(value: &DeValue<'_>) -> Result<Mac, String> {
    parse_unicast_mac(quoted(value)?)
}

/// As [`unicast_mac`], from plain text.
pub(super) fn parse_unicast_mac(text: &str) -> Result<Mac, String> {
    let mac: Mac = text
        .parse()
        .map_err(|_| format!("{} must be a MAC address", shown(text)))?;
    if mac.is_multicast() {
        Err(format!("{mac} is a multicast address, not the address of a host"))
    } else if mac == Mac([0; 6]) {
        Err(format!("{mac} is not the address of a host"))
    } else {
        Ok(mac)
    }
}

/// A network's UUID.
pub(super) fn uuid(value: &DeValue<'_>) -> Result<Uuid, String> {
    let text = quoted(value)?;
    text.parse().map_err(|_| format!("{} must be a UUID", shown(text)))
}

/// A VXLAN network identifier.
pub(super) fn vni(value: &DeValue<'_>) -> Result<Vni, String> {
    let number = integer(value)?;
    u32::try_from(number)
        .ok()
        .and_then(Vni::new)
        .ok_or_else(|| format!("{number} must be between 1 and 16777215"))
}

/// A VLAN of a port; 0 means untagged.
pub(super) fn vlan(value: &DeValue<'_>) -> Result<VlanId, String> {
    let number = integer(value)?;
    VlanId::try_from(number)
        .ok()
        .filter(|vlan| *vlan <= 4095)
        .ok_or_else(|| format!("{number} must be between 0 (untagged) and 4095"))
}

/// A number, or 0.
pub(super) fn count(value: &DeValue<'_>) -> Result<usize, String> {
    let number = integer(value)?;
    usize::try_from(number).map_err(|_| format!("{number} must be at least 0"))
}

/// A part of a hundred.
pub(super) fn percent(value: &DeValue<'_>) -> Result<usize, String> {
    let percent = count(value)?;
    if percent > 100 {
        return Err(format!("{percent} must be between 0 and 100"));
    }
    Ok(percent)
}

/// A number of rows, at least one.
pub(super) fn rows(value: &DeValue<'_>) -> Result<usize, String> {
    let number = integer(value)?;
    usize::try_from(number)
        .ok()
        .filter(|rows| *rows >= 1)
        .ok_or_else(|| format!("{number} must be at least 1"))
}

/// The rule that binds a switch to a certificate.
pub(super) fn certificate_rule(value: &DeValue<'_>) -> Result<CertificateRule, String> {
    let rule = text(value)?;
    match rule.strip_prefix("name:") {
        Some("") => Err("the name after `name:` is empty".into()),
        Some(name) => Ok(CertificateRule::Named(name.to_owned())),
        None if rule.starts_with("sha256:") => rule
            .parse()
            .map(CertificateRule::Pinned)
            .map_err(|why| format!("{why}")),
        None => Err(format!("{} must begin with `sha256:` or `name:`", shown(&rule))),
    }
}

/// A certificate that the holder of a name may present; `*` in a name stands for any text.
pub(super) fn identity_rule(value: &DeValue<'_>) -> Result<IdentityRule, String> {
    certificate_rule(value).map(|rule| match rule {
        CertificateRule::Pinned(pin) => IdentityRule::Pinned(pin),
        CertificateRule::Named(name) => IdentityRule::Named(name.as_str().into()),
    })
}

/// The format of a line of the log.
pub(super) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, String> {
    match quoted(value)? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("{} must be `text` or `json`", shown(other))),
    }
}

/// The lowest level that is logged.
pub(super) fn log_level(value: &DeValue<'_>) -> Result<tracing::Level, String> {
    match quoted(value)? {
        "error" => Ok(tracing::Level::ERROR),
        "warn" => Ok(tracing::Level::WARN),
        "info" => Ok(tracing::Level::INFO),
        "debug" => Ok(tracing::Level::DEBUG),
        "trace" => Ok(tracing::Level::TRACE),
        other => Err(format!(
            "{} must be `error`, `warn`, `info`, `debug` or `trace`",
            shown(other)
        )),
    }
}

pub(super) fn quoted<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
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

/// Quotes a text of the file for a message: shortened, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("`{}{dots}`", short.escape_debug())
}
