//! The events of the process itself: start, reload, stop, and its ports.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tandem_core::agent::Answer;
use tandem_core::event::{Level, LogEvent};
use tandem_core::log_words;

/// Words of the log target `tandem::tls`, whose lines have fields of their own.
pub const TLS_WORDS: &[&str] = &[HANDSHAKE_REFUSED, CRL_OUTDATED];

/// The target of the lines of all events.
pub(crate) const TARGET: &str = "tandem";

/// Words of the log about itself.
pub const LOG_WORDS: &[&str] = &[LOG_LINES_LOST];

/// The reader of the log stalled, and lines found no room; or its disk was full.
pub(crate) const LOG_LINES_LOST: &str = "LogLinesLost";

/// A connection ended before or in its TLS handshake.
pub(crate) const HANDSHAKE_REFUSED: &str = "HandshakeRefused";

/// A list of revoked certificates is past its next update.
pub(crate) const CRL_OUTDATED: &str = "CrlOutdated";

/// Something that happened to an agent or a control node as a process.
#[derive(Debug, Serialize)]
#[serde(tag = "word")]
pub enum ServiceEvent {
    /// The agent runs, and serves no switch before it has received its configuration.
    AwaitingConfiguration { agent: String, nodes: Vec<SocketAddr> },
    /// Switches, or agents, can connect from now on.
    Serving {
        what: &'static str,
        name: String,
        address: SocketAddr,
    },
    /// The configuration file was read again, and is in force.
    Reloaded { file: String },
    /// A key of the file changed that a reload does not reach.
    RestartRequired { key: String },
    /// The configuration file cannot be used; nothing is changed. One event for each problem, and one for their number.
    ReloadFailed { problem: String },
    /// New certificates are in force.
    CertificatesReloaded,
    /// New certificates cannot be used; nothing is changed.
    CertificatesRejected { problem: String },
    /// A certificate ends within a month, or a CA beside others has ended.
    CertificateEnding { what: String },
    /// A certificate that is in force cannot serve: it has ended, is not valid yet, or is of the wrong kind.
    CertificateUnfit { what: String },
    /// The own certificate does not carry the own name, which others compare.
    CertificateMisnamed { what: String },
    /// An operator gave an order: over the socket, with the number of the user.
    Ordered { order: String, user: u32, answer: Answer },
    /// A signal changed the level of the log.
    LogLevelChanged { directives: String },
    /// The file of the remembered configuration cannot be used; it is ignored.
    MemoryUnusable { file: String, problem: String },
    /// The configuration cannot be kept on disk.
    MemoryFailed { file: String, problem: String },
    /// The configuration is kept on disk again, after a failure.
    MemoryWritten { file: String },
    /// These proxies did not fetch the agent check of a draining agent in time.
    AnnouncementMissed { proxies: String, after: Duration },
    /// A port cannot accept a connection, for lack of file descriptors as a rule.
    AcceptFailed { port: &'static str, problem: String },
    /// The process ends in good order.
    Stopped { done: &'static str },
}

impl LogEvent for ServiceEvent {
    log_words!(
        AwaitingConfiguration,
        Serving,
        Reloaded,
        RestartRequired,
        ReloadFailed,
        CertificatesReloaded,
        CertificatesRejected,
        CertificateEnding,
        CertificateUnfit,
        CertificateMisnamed,
        Ordered,
        LogLevelChanged,
        MemoryUnusable,
        MemoryFailed,
        MemoryWritten,
        AnnouncementMissed,
        AcceptFailed,
        Stopped
    );

    fn level(&self) -> Level {
        match self {
            Self::AwaitingConfiguration { .. }
            | Self::Serving { .. }
            | Self::Reloaded { .. }
            | Self::CertificatesReloaded
            | Self::Ordered { .. }
            | Self::LogLevelChanged { .. }
            | Self::MemoryWritten { .. }
            | Self::Stopped { .. } => Level::Info,
            Self::RestartRequired { .. }
            | Self::CertificatesRejected { .. }
            | Self::CertificateEnding { .. }
            | Self::CertificateMisnamed { .. }
            | Self::MemoryUnusable { .. }
            | Self::MemoryFailed { .. }
            | Self::AnnouncementMissed { .. }
            | Self::AcceptFailed { .. } => Level::Warn,
            Self::ReloadFailed { .. } | Self::CertificateUnfit { .. } => Level::Error,
        }
    }
}

impl fmt::Display for ServiceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AwaitingConfiguration { agent, nodes } => {
                write!(f, "agent {agent} waits for its configuration from {nodes:?}")
            }
            Self::Serving { what, name, address } => write!(f, "{what} {name} at {address}"),
            Self::Reloaded { file } => write!(f, "{file}"),
            Self::RestartRequired { key } => write!(f, "{key} changes only after a restart"),
            Self::ReloadFailed { problem } => write!(f, "{problem}"),
            Self::CertificatesReloaded => f.write_str("open sessions keep the old certificates"),
            Self::CertificatesRejected { problem } => write!(f, "{problem}; nothing is changed"),
            Self::CertificateEnding { what } | Self::CertificateUnfit { what } | Self::CertificateMisnamed { what } => {
                f.write_str(what)
            }
            Self::Ordered { order, user, answer } => {
                let outcome = if answer.ok { "done" } else { "refused" };
                write!(f, "{order} by user {user}: {outcome}: {}", answer.text)
            }
            Self::LogLevelChanged { directives } => write!(f, "SIGUSR1: the log has {directives}"),
            Self::MemoryUnusable { file, problem } => write!(f, "{file}: {problem}; it is ignored"),
            Self::MemoryFailed { file, problem } => {
                write!(
                    f,
                    "{file}: {problem}; after a restart the agent needs a control node; trying again"
                )
            }
            Self::MemoryWritten { file } => write!(f, "{file}: the configuration in force is remembered again"),
            Self::AnnouncementMissed { proxies, after } => {
                write!(f, "{proxies} did not poll within {after:?}; continuing")
            }
            Self::AcceptFailed { port, problem } => write!(f, "port {port}: {problem}"),
            Self::Stopped { done } => f.write_str(done),
        }
    }
}
