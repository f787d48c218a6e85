//! Reads XML, strictly: what XMPP allows of it (RFC 6120, section 11), and not a byte more.
//!
//! No declaration, document type, processing instruction or comment; no entities but the five; every prefix declared;
//! no attribute twice. What is read is a flat list of elements that borrows from the stanza.

mod document;
mod reader;
mod text;

pub use document::{Cursor, Document, XmlError};
pub(crate) use text::is_char;
