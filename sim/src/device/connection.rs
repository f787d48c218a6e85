//! One connection of a switch.

use tandem_core::Time;

use crate::tls::Tls;

#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// Whose it is.
    pub(super) target: String,
    /// Whether the server knows of it: the handshake is over.
    pub(super) is_open: bool,
    pub(super) tls: Option<Tls>,
    /// When the handshake of an accepted connection times out. A dial has the limit of its remote.
    pub(super) limit: Option<Time>,
    pub(super) queued_bytes: usize,
}
