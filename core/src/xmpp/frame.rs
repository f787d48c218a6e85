//! The pieces that a stream is cut into.

use crate::bounds::ELEMENT_LEVELS;
use crate::xmpp::xml::XmlError;

/// A piece of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame<'a> {
    /// The tag that opens it, with the declaration that may precede it.
    Open(StreamOpen),
    /// The offer of the server.
    Features {
        /// TLS: it never offers it without wanting it.
        starttls: bool,
    },
    /// The client wants to go on with TLS.
    StartTls,
    /// The server agrees.
    Proceed,
    /// An `iq` or a `message`, from its first byte to its last.
    Stanza(&'a [u8]),
    /// The peer is about to end the stream, and gives the condition (RFC 6120, section 4.9.3).
    Error(Box<str>),
    /// The end. Whatever follows is nothing.
    End,
}

/// Why a stream cannot be cut any further. Always the peer's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// Something else than what must stand there.
    #[error("byte {byte:#04x} where {wanted} was due: this is not XMPP")]
    Garbage {
        /// The byte.
        byte: u8,
        /// The expected input.
        wanted: &'static str,
    },
    /// A tag, a text or a stanza is larger than its bound.
    #[error("a tag, text or stanza of more than {limit_bytes} bytes")]
    TooLong {
        /// The bound.
        limit_bytes: usize,
    },
    /// A stanza nests deeper than the bound.
    #[error("a stanza that nests deeper than {ELEMENT_LEVELS} levels")]
    TooDeep,
    /// The next part is not XML.
    #[error("{error}, in {place}")]
    Xml {
        /// Why not.
        error: XmlError,
        /// The place of the text.
        place: &'static str,
    },
    /// An unknown element.
    #[error("{what}")]
    Unexpected {
        /// One sentence for a person.
        what: String,
    },
}

/// The attributes of `<stream:stream>`; those that are not there are empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StreamOpen {
    /// Of a client, its name; of a server, that of its host.
    pub from: Box<str>,
    /// Of a client, the control node; of a server, the client's name.
    pub to: Box<str>,
    /// Of a server.
    pub id: Box<str>,
    /// `jabber:client`, or the subcluster of a newer agent.
    pub xmlns: Box<str>,
    /// It is a control node of ours, of this version.
    pub ours: bool,
}
