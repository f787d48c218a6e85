//! What control nodes and agents say to each other: XMPP as Contrail and Tungsten Fabric speak it.
//!
//! [`xml`] reads one stanza strictly, [`mod@read`] says what it means, and [`mod@write`] says it the other way.

#![warn(clippy::indexing_slicing)]

pub mod element;
mod entry;
pub mod graph;
pub mod read;
pub mod stanza;
pub mod write;
pub mod xml;

/// The name under which every control node is spoken to, and from which it speaks.
pub const CONTROL_NODE: &str = "network-control@contrailsystems.com";

/// The namespace of everything that is subscribed, published and told.
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
