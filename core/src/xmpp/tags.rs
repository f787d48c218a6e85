//! Reads what precedes stanzas: the tag that opens the stream, and the beginning of TLS.

use crate::text::short;
use crate::xmpp::frame::{Frame, FrameError, StreamOpen};
use crate::xmpp::xml::{Cursor, Document};
use crate::xmpp::{OURS, STREAMS};

/// Reads what follows `<?xml`: version 1.0 in UTF-8, and nothing else.
pub(super) fn declaration(tag: &[u8]) -> Result<(), FrameError> {
    let place = "the XML declaration";
    let inner = tag.strip_prefix(b"<?xml").and_then(|tag| tag.strip_suffix(b"?>"));
    let element = [b"<xml", inner.unwrap_or_default(), b">"].concat();
    let document = Document::read_open_tag(&element).map_err(|error| FrameError::Xml { error, place })?;
    let good = |(name, value): &(&str, std::borrow::Cow<'_, str>)| match *name {
        "version" => value == "1.0",
        "encoding" => value.eq_ignore_ascii_case("utf-8"),
        "standalone" => value == "yes",
        _ => false,
    };
    let root = document.root();
    if inner.is_some() && root.attributes().iter().all(good) && root.attribute("version").is_some() {
        return Ok(());
    }
    Err(FrameError::Unexpected {
        what: "a declaration of something else than XML 1.0 in UTF-8".into(),
    })
}

/// Reads `<stream:stream>`.
pub(super) fn open(tag: &[u8]) -> Result<StreamOpen, FrameError> {
    let place = "the tag that opens the stream";
    let document = Document::read_open_tag(tag).map_err(|error| FrameError::Xml { error, place })?;
    let root = document.root();
    if root.attribute("xmlns:stream") != Some(STREAMS) {
        let what = "a stream of another namespace".into();
        return Err(FrameError::Unexpected { what });
    }
    let value = |name| root.attribute(name).unwrap_or_default().into();
    Ok(StreamOpen {
        from: value("from"),
        to: value("to"),
        id: value("id"),
        xmlns: value("xmlns"),
        ours: root.attribute("xmlns:tandem") == Some(OURS),
    })
}

/// Reads an element that precedes stanzas.
pub(super) fn negotiation(bytes: &[u8]) -> Result<Frame<'static>, FrameError> {
    let place = "an element of the stream";
    let document = Document::read_in_stream(bytes).map_err(|error| FrameError::Xml { error, place })?;
    let element = document.root();
    match element.name() {
        "stream:features" => Ok(Frame::Features {
            starttls: element.child("starttls").is_some(),
        }),
        "starttls" => Ok(Frame::StartTls),
        "proceed" => Ok(Frame::Proceed),
        "stream:error" => {
            let condition = element.children().next().map_or("no reason", Cursor::name);
            Ok(Frame::Error(short(condition).into()))
        }
        other => {
            let what = format!("an unknown element, `{}`", short(other));
            Err(FrameError::Unexpected { what })
        }
    }
}
