//! The target of a `Manager` row, or of `--remote`: an address to dial, or one to listen on.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

const DEFAULT_PORT: u16 = 6640;

/// A target as `ovsdb-server` takes it, IPv4 only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// `ssl:IP[:PORT]`, `tcp:IP[:PORT]`.
    Dial { to: SocketAddrV4, tls: bool },
    /// `pssl:[PORT][:IP]`, `ptcp:[PORT][:IP]`. People write `IP:PORT`, too; that is understood.
    Listen { at: SocketAddrV4, tls: bool },
}

/// The text is no usable target.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a target is ssl:IP[:PORT], tcp:IP[:PORT], pssl:[PORT][:IP] or ptcp:[PORT][:IP], with an IPv4 address")]
pub struct TargetError;

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (method, rest) = text.split_once(':').ok_or(TargetError)?;
        let to = || address(rest).ok_or(TargetError);
        let at = || listener(rest).ok_or(TargetError);
        Ok(match method {
            "ssl" => Self::Dial { to: to()?, tls: true },
            "tcp" => Self::Dial { to: to()?, tls: false },
            "pssl" => Self::Listen { at: at()?, tls: true },
            "ptcp" => Self::Listen { at: at()?, tls: false },
            _ => return Err(TargetError),
        })
    }
}

fn address(text: &str) -> Option<SocketAddrV4> {
    let whole = text.parse().ok();
    whole.or_else(|| Some(SocketAddrV4::new(text.parse().ok()?, DEFAULT_PORT)))
}

fn listener(text: &str) -> Option<SocketAddrV4> {
    let (port, ip) = text.split_once(':').unwrap_or((text, ""));
    if let Some(address) = address(text).filter(|_| port.contains('.')) {
        return Some(address);
    }
    let port = if port.is_empty() {
        DEFAULT_PORT
    } else {
        port.parse().ok()?
    };
    let ip = if ip.is_empty() {
        Ipv4Addr::UNSPECIFIED
    } else {
        ip.parse().ok()?
    };
    Some(SocketAddrV4::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_target_is_understood() {
        let dial = |to: &str, tls| Target::Dial {
            to: to.parse().expect("an address"),
            tls,
        };
        let listen = |at: &str, tls| Target::Listen {
            at: at.parse().expect("an address"),
            tls,
        };
        for (text, target) in [
            ("ssl:10.0.0.1:7000", dial("10.0.0.1:7000", true)),
            ("tcp:10.0.0.1", dial("10.0.0.1:6640", false)),
            ("ptcp:", listen("0.0.0.0:6640", false)),
            ("pssl:7000", listen("0.0.0.0:7000", true)),
            ("ptcp:7000:127.0.0.1", listen("127.0.0.1:7000", false)),
            ("ptcp::127.0.0.1", listen("127.0.0.1:6640", false)),
            ("ptcp:127.0.0.1:7000", listen("127.0.0.1:7000", false)),
            ("pssl:127.0.0.1", listen("127.0.0.1:6640", true)),
        ] {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
    }

    #[test]
    fn a_target_that_cannot_be_dialled_is_refused() {
        for text in [
            "",
            "ssl",
            "ssl:",
            "ssl:host:1",
            "tcp:[::1]:1",
            "ptcp:x",
            "ptcp:1:2:3",
            "unix:/a",
            "tcp:1.2.3.4:70000",
        ] {
            assert_eq!(text.parse::<Target>(), Err(TargetError), "{text}");
        }
    }
}
