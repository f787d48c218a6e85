//! The protocol of control nodes and agents: XMPP as Contrail and Tungsten Fabric use it.
//!
//! A stream is cut into tags and stanzas by a [`Framer`]; [`xml`] reads one strictly, [`read()`] makes a [`Stanza`] of it,
//! and a [`Writer`] writes one; [`stream`] is the machine around them, from the first byte to the last; a [`Backoff`]
//! decides when to dial again.

#![warn(clippy::indexing_slicing)]

mod backoff;
mod element;
mod entry;
mod frame;
mod framer;
pub mod graph;
mod markup;
mod read;
mod stanza;
pub mod stream;
mod tags;
mod write;
pub mod xml;

pub use backoff::Backoff;
pub use element::Element;
pub use frame::StreamOpen;
pub use framer::{Frame, FrameError, Framer};
pub use read::{ReadError, read};
pub use stanza::Stanza;
pub use write::Writer;

/// The address of every control node, in both directions.
pub(crate) const CONTROL_NODE: &str = "network-control@contrailsystems.com";

/// The namespace of subscriptions, publications and routes.
pub(crate) const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

/// The namespace of the stream itself.
pub(crate) const STREAMS: &str = "http://etherx.jabber.org/streams";

/// The namespace of the beginning of TLS (RFC 6120, section 5).
pub(crate) const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// The namespace, with the version, that a control node of ours declares when it opens its stream. To such a control node
/// an agent numbers its subscriptions, and receives the number back once it has received every route. A control node that
/// declares another version, or none, is treated like any foreign one; foreign ends ignore the namespace.
pub(crate) const OURS: &str = "urn:tandem:2";

/// The id of the stream of every control node.
pub(crate) const STREAM_ID: &str = "++123";
