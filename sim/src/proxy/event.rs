//! The events of a proxy.

use std::fmt;
use std::net::SocketAddrV4;

use serde::Serialize;
use tandem_core::event::LogEvent;
use tandem_core::log_words;

/// Something happened at a proxy. A `server` is named as in [`Server`](super::Server), a `client` by its address.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Event {
    /// A server takes connections again.
    ServerUp { server: String },
    /// A server gets no connections any more.
    ServerDown { server: String, why: DownWhy },
    /// The agent asked for no new connections.
    ServerDrain { server: String },
    /// The agent asked for new connections again.
    ServerReady { server: String },
    /// A client was connected with a server.
    ProxySessionOpened { client: SocketAddrV4, server: String },
    /// A client that had got a server is gone.
    ProxySessionClosed {
        client: SocketAddrV4,
        server: String,
        why: SessionEnd,
    },
    /// A client was closed at once, for there was no server to give it to.
    NoServer { client: SocketAddrV4 },
    /// A server could not be reached, and the client was given to another.
    Redispatched {
        client: SocketAddrV4,
        from: String,
        to: String,
    },
}

/// What took a server out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DownWhy {
    /// Connection refused.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The wrong answer.
    Wrong,
    /// The answer of `agent-check`.
    Agent,
    /// An operator.
    Maint,
}

/// What ended a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The client closed, or was the first to do so.
    ClientClosed,
    /// The server closed, or was the first to do so.
    ServerClosed,
    /// The connection to the client broke.
    ClientLost,
    /// The connection to the server broke.
    ServerLost,
    /// `timeout client`.
    ClientSilent,
    /// `timeout server`.
    ServerSilent,
    /// `on-marked-down shutdown-sessions`.
    ServerDown,
    /// No server could be reached, in as many attempts as are allowed.
    Unreachable,
    /// The process of before a reload lived for as long as it may.
    HardStop,
    /// The proxy was stopped.
    Stopped,
}

impl LogEvent for Event {
    log_words!(
        ServerUp,
        ServerDown,
        ServerDrain,
        ServerReady,
        ProxySessionOpened,
        ProxySessionClosed,
        NoServer,
        Redispatched
    );
}

impl fmt::Display for Event {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerUp { server } | Self::ServerDrain { server } | Self::ServerReady { server } => {
                f.write_str(server)
            }
            Self::ServerDown { server, why } => write!(f, "{server}: {why}"),
            Self::ProxySessionOpened { client, server } => write!(f, "{client} to {server}"),
            Self::ProxySessionClosed { client, server, why } => write!(f, "{client} to {server}: {why}"),
            Self::NoServer { client } => write!(f, "for {client}"),
            Self::Redispatched { client, from, to } => write!(f, "{client} from {from} to {to}"),
        }
    }
}

impl fmt::Display for DownWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::TimedOut => "no answer",
            Self::Wrong => "wrong answer",
            Self::Agent => "agent-check",
            Self::Maint => "maintenance",
        })
    }
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientClosed => "client closed",
            Self::ServerClosed => "server closed",
            Self::ClientLost => "client lost",
            Self::ServerLost => "server lost",
            Self::ClientSilent => "client silent",
            Self::ServerSilent => "server silent",
            Self::ServerDown => "server down",
            Self::Unreachable => "unreachable",
            Self::HardStop => "hard stop",
            Self::Stopped => "stopped",
        })
    }
}
