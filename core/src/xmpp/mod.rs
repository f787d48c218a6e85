//! What control nodes and agents send each other: XMPP as Contrail and Tungsten Fabric use it.
//!
//! A stream is cut into tags and stanzas by the [`framer`]; [`xml`] reads one strictly, [`mod@read`] makes a
//! [`stanza`] of it, and [`mod@write`] writes one; [`stream`] is the machine around them, from the first byte to the last;
//! [`backoff`] decides when to dial again.

#![warn(clippy::indexing_slicing)]

pub mod backoff;
pub mod element;
mod entry;
mod frame;
pub mod framer;
pub mod graph;
mod markup;
pub mod read;
pub mod stanza;
pub mod stream;
mod tags;
pub mod write;
pub mod xml;

/// The address of every control node, in both directions.
pub const CONTROL_NODE: &str = "network-control@contrailsystems.com";

/// The namespace of subscriptions, publications and routes.
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

/// The namespace of the stream itself.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";

/// The namespace of the beginning of TLS (RFC 6120, section 5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// The namespace, with the version, that a control node of ours declares when it opens its stream. To such a control node
/// an agent numbers its subscriptions, and receives the number back once it has received every route. A control node that
/// declares another version, or none, is treated like any foreign one; foreign ends ignore the namespace.
pub const OURS: &str = "urn:tandem:2";

/// The id of the stream of every control node.
pub const STREAM_ID: &str = "++123";
