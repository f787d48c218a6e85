//! Cuts a byte stream into the tags and elements of an XMPP stream, without looking into them more than it must.

use std::ops::Range;

use crate::bounds::{ELEMENT_LEVELS, STANZA_BYTES, STREAM_OPEN_BYTES, TOKEN_BYTES};
pub use crate::xmpp::frame::{Frame, FrameError};
use crate::xmpp::tags;

/// Holds the bytes of the element that is still arriving.
///
/// Any split of the same bytes gives the same frames. Each byte is looked at once here, and once more when its element
/// is read.
#[derive(Clone, Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// The start of the element that is arriving: everything before it was handed out.
    start: usize,
    /// The start of the tag or text that is arriving.
    token: usize,
    /// Bytes that were looked at.
    scanned: usize,
    place: Place,
    /// Elements of the stanza that are open.
    depth: usize,
    stream: Stream,
}

/// The progress of the stream itself.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stream {
    Nothing,
    Declared,
    Open,
    Ended,
}

/// The position of the next byte in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Between stanzas, or before the first.
    Between,
    /// After the first byte of a keepalive.
    Keepalive,
    /// In an element, between tags.
    Text,
    /// After `<`.
    Opening,
    /// After `<` and so many bytes of `![CDATA[`.
    Bang(usize),
    /// In a section, after so many brackets.
    Section(usize),
    /// In a tag, and within these quotes.
    Tag(Option<u8>),
}

/// The bytes that open a section, after the first.
const SECTION: &[u8] = b"![CDATA[";

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// A framer for a stream that begins.
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            token: 0,
            scanned: 0,
            place: Place::Between,
            depth: 0,
            stream: Stream::Nothing,
        }
    }

    /// Bytes that are held: of an element that is not complete, and of those that were not asked for.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Bytes of memory that the stream takes.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Adds bytes to the end of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        // A peer that is always in the middle of a stanza must not make us keep all that went before.
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.token = self.token.saturating_sub(self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` when more bytes are needed. Keepalives and blanks between stanzas are skipped.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        while self.stream != Stream::Ended && self.scanned < self.buffer.len() {
            let complete = self.step()?;
            let limit_bytes = if self.stream < Stream::Open {
                STREAM_OPEN_BYTES
            } else {
                TOKEN_BYTES
            };
            let token_left = (self.token + limit_bytes).checked_sub(self.scanned);
            let stanza_left = (self.start + STANZA_BYTES).checked_sub(self.scanned);
            if token_left.is_none() || stanza_left.is_none() {
                let stanza_first = self.start + STANZA_BYTES < self.token + limit_bytes;
                let limit_bytes = if stanza_first { STANZA_BYTES } else { limit_bytes };
                return Err(FrameError::TooLong { limit_bytes });
            }
            if complete && let Some(element) = self.cut()? {
                return self.frame(element).map(Some);
            }
        }
        if self.stream == Stream::Ended {
            self.buffer.clear();
            (self.start, self.token, self.scanned) = (0, 0, 0);
        }
        Ok(None)
    }

    /// Looks at one byte, or at as many as cannot matter. Whether a tag ends there that completes something.
    #[inline]
    fn step(&mut self) -> Result<bool, FrameError> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(&byte) = rest.first() else {
            return Ok(false);
        };
        let (looked_at, place) = match self.place {
            Place::Between => (1, self.between(byte)?),
            Place::Keepalive => (1, self.keepalive(byte)?),
            Place::Text => match skip(rest, memchr::memchr(b'<', rest)) {
                (bytes, None) => (bytes, Place::Text),
                (bytes, Some(_)) => {
                    // The text before the bracket must not be too long either.
                    if self.scanned + bytes - 1 <= self.token + TOKEN_BYTES {
                        self.token = self.scanned + bytes - 1;
                    }
                    (bytes, Place::Opening)
                }
            },
            Place::Opening => self.opening(byte)?,
            Place::Bang(seen) => (1, bang(byte, seen)?),
            Place::Section(brackets) => match (byte, brackets) {
                (b']', _) => (1, Place::Section(2.min(brackets + 1))),
                (b'>', 2) => {
                    self.token = self.scanned + 1;
                    (1, Place::Text)
                }
                _ => match skip(rest, memchr::memchr(b']', rest)) {
                    (bytes, None) => (bytes, Place::Section(0)),
                    (bytes, Some(_)) => (bytes - 1, Place::Section(0)),
                },
            },
            Place::Tag(Some(quote)) => match skip(rest, memchr::memchr(quote, rest)) {
                (bytes, None) => (bytes, Place::Tag(Some(quote))),
                (bytes, Some(_)) => (bytes, Place::Tag(None)),
            },
            Place::Tag(None) => match skip(rest, memchr::memchr3(b'>', b'"', b'\'', rest)) {
                (bytes, None) => (bytes, Place::Tag(None)),
                (bytes, Some(b'>')) => {
                    self.scanned += bytes;
                    return Ok(true);
                }
                (bytes, Some(quote)) => (bytes, Place::Tag(Some(*quote))),
            },
        };
        self.scanned += looked_at;
        self.place = place;
        Ok(false)
    }

    /// The state after a byte between stanzas.
    #[inline]
    fn between(&mut self, byte: u8) -> Result<Place, FrameError> {
        let place = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => Place::Between,
            0xC8 if self.stream == Stream::Open => Place::Keepalive,
            b'<' => Place::Opening,
            _ => return garbage(byte, "a tag"),
        };
        self.start = self.scanned + usize::from(place == Place::Between);
        self.token = self.start;
        Ok(place)
    }

    /// The state after the second byte of a keepalive.
    fn keepalive(&mut self, byte: u8) -> Result<Place, FrameError> {
        if byte != 0x80 {
            return garbage(byte, "the second byte of a keepalive");
        }
        self.start = self.scanned + 1;
        self.token = self.start;
        Ok(Place::Between)
    }

    /// The kind of section that `<` opens, and the number of bytes after `<` that open it.
    #[inline]
    fn opening(&self, byte: u8) -> Result<(usize, Place), FrameError> {
        match byte {
            b'!' if self.depth > 0 => Ok((1, Place::Bang(1))),
            b'!' => garbage(byte, "the name of an element"),
            b'?' if self.stream != Stream::Nothing => garbage(byte, "the name of an element"),
            _ => Ok((0, Place::Tag(None))),
        }
    }

    /// A tag ends at `scanned`. If something ends with it that is a frame: where that lies.
    fn cut(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        let tag = self.buffer.get(self.token..self.scanned).unwrap_or_default();
        if self.stream == Stream::Nothing && tag.starts_with(b"<?xml") {
            tags::declaration(tag)?;
            self.stream = Stream::Declared;
        } else if self.stream < Stream::Open {
            self.stream = Stream::Open;
        } else if self.depth == 0 && named(tag, b"<stream:stream") {
            let what = "a stream within a stream".into();
            return Err(FrameError::Unexpected { what });
        } else if STANZAS.iter().any(|name| named(tag, name)) && self.depth > usize::from(tag.starts_with(b"</")) {
            // Others see the end of a stanza in the first end tag of its name. We would wait for one that never comes.
            let what = "a stanza within a stanza".into();
            return Err(FrameError::Unexpected { what });
        } else if tag.starts_with(b"</") && self.depth == 0 {
            self.stream = Stream::Ended;
        } else if tag.starts_with(b"</") {
            self.depth -= 1;
        } else if !tag.ends_with(b"/>") {
            if self.depth == ELEMENT_LEVELS {
                return Err(FrameError::TooDeep);
            }
            self.depth += 1;
        }
        let whole = self.start..self.scanned;
        self.token = self.scanned;
        if self.depth > 0 {
            self.place = Place::Text;
            return Ok(None);
        }
        self.place = Place::Between;
        self.start = self.scanned;
        Ok(Some(whole).filter(|_| self.stream != Stream::Declared))
    }

    fn frame(&self, range: Range<usize>) -> Result<Frame<'_>, FrameError> {
        let bytes = self.buffer.get(range).unwrap_or_default();
        if named(bytes, b"<stream:stream") {
            tags::open(bytes).map(Frame::Open)
        } else if named(bytes, b"</stream:stream") {
            Ok(Frame::End)
        } else if STANZAS.iter().any(|name| named(bytes, name)) {
            Ok(Frame::Stanza(bytes))
        } else {
            tags::negotiation(bytes)
        }
    }
}

/// The number of bytes up to and with the one that was found, and that byte; all bytes, if none was found.
#[inline]
fn skip(rest: &[u8], found: Option<usize>) -> (usize, Option<&u8>) {
    (found.map_or(rest.len(), |at| at + 1), found.and_then(|at| rest.get(at)))
}

/// The state after a byte of the text that opens a section, of which this many bytes were seen before.
fn bang(byte: u8, seen: usize) -> Result<Place, FrameError> {
    match SECTION.get(seen) {
        Some(wanted) if *wanted == byte && seen + 1 == SECTION.len() => Ok(Place::Section(0)),
        Some(wanted) if *wanted == byte => Ok(Place::Bang(seen + 1)),
        _ => garbage(byte, "a section"),
    }
}

/// The tags that begin and end a stanza, and stand nowhere within.
const STANZAS: [&[u8]; 4] = [b"<iq", b"</iq", b"<message", b"</message"];

/// Whether a tag begins with this, and not with something longer.
fn named(tag: &[u8], name: &[u8]) -> bool {
    let after = tag.strip_prefix(name).and_then(<[u8]>::first);
    after.is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'>' | b'/'))
}

fn garbage<T>(byte: u8, wanted: &'static str) -> Result<T, FrameError> {
    Err(FrameError::Garbage { byte, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN: &str = "<?xml version=\"1.0\"?><stream:stream from=\"a\" to='b' id=\"++123\" version=\"1.0\" xml:lang=\"en\" \
                        xmlns=\"c\" xmlns:stream=\"http://etherx.jabber.org/streams\" >";

    /// Each frame as text, and the error that ended the stream.
    fn frames(pieces: &[&[u8]]) -> (Vec<String>, Option<FrameError>) {
        let mut framer = Framer::new();
        let mut frames = Vec::new();
        for piece in pieces {
            framer.push(piece);
            loop {
                match framer.next_frame() {
                    Ok(Some(Frame::Stanza(bytes))) => frames.push(String::from_utf8_lossy(bytes).into_owned()),
                    Ok(Some(frame)) => frames.push(format!("{frame:?}")),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    }

    fn after_open(stream: &str) -> (Vec<String>, Option<FrameError>) {
        let (mut seen, error) = frames(&[OPEN.as_bytes(), stream.as_bytes()]);
        seen.remove(0);
        (seen, error)
    }

    #[test]
    fn a_stream_opens_with_any_declaration_of_xml_or_none() {
        let tag = OPEN.split_once("?>").expect("a declaration").1;
        let wanted = r#"Open(StreamOpen { from: "a", to: "b", id: "++123", xmlns: "c", ours: false })"#;
        for declaration in [
            "",
            "\r\n",
            "<?xml version='1.0'?>",
            "<?xml version=\"1.0\" encoding='UTF-8' ?>\n",
        ] {
            let (seen, error) = frames(&[declaration.as_bytes(), tag.as_bytes()]);
            assert_eq!((seen, error), (vec![wanted.to_owned()], None), "{declaration}");
        }
        for declaration in [
            "<?xml?>",
            "<?xml version='1.1'?>",
            "<?xml version='1.0'>",
            "<?php ?>",
            "<?xml version='1.0'?><?xml version='1.0'?>",
        ] {
            let (seen, error) = frames(&[declaration.as_bytes(), tag.as_bytes()]);
            assert!(seen.is_empty() && error.is_some(), "{declaration}: {seen:?}");
        }
    }

    #[test]
    fn tags_of_the_negotiation_are_told_from_stanzas() {
        let (seen, error) = after_open(
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>\
             <stream:features/><starttls xmlns='x'/><proceed xmlns='x'/><iq/></stream:stream >rest",
        );
        let wanted = [
            "Features { starttls: true }",
            "Features { starttls: false }",
            "StartTls",
            "Proceed",
            "<iq/>",
            "End",
        ];
        assert_eq!((seen, error), (wanted.map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn brackets_in_values_and_sections_are_no_tags() {
        let stanza = "<iq a=\"></iq>'\" b='\">'>]]<b c='/'/><![CDATA[</iq>]]]><![CDATA[<]]></iq >";
        let (seen, error) = after_open(&format!(" \u{200}\r{stanza}\n\u{200}\u{200}{stanza}\t"));
        assert_eq!((seen, error), (vec![stanza.to_owned(); 2], None));
    }

    #[test]
    fn what_is_no_stream_is_refused_at_once() {
        for stream in [
            &b"GET / HTTP/1.1"[..],
            b"\x16\x03\x01",
            b"\xC8\x80",
            b"<!DOCTYPE",
            b"<html>",
            b"<stream:stream>",
        ] {
            let (seen, error) = frames(&[stream]);
            assert!(seen.is_empty() && error.is_some(), "{stream:?}: {seen:?}");
        }
        for stream in ["x", "<!--", "<iq><!--", "<iq><![X", "<?x?>", "<presence/>", OPEN] {
            let (seen, error) = after_open(stream);
            assert!(seen.is_empty() && error.is_some(), "{stream}: {seen:?}");
        }
        let (_, error) = frames(&[OPEN.as_bytes(), b"\xC8 "]);
        assert!(
            matches!(error, Some(FrameError::Garbage { byte: b' ', .. })),
            "{error:?}"
        );
    }

    #[test]
    fn tags_texts_stanzas_and_their_depth_are_bounded() {
        let long = |limit_bytes| Some(FrameError::TooLong { limit_bytes });
        let tag = format!("<stream:stream from='{}", "x".repeat(STREAM_OPEN_BYTES));
        assert_eq!(frames(&[tag.as_bytes()]).1, long(STREAM_OPEN_BYTES));
        assert_eq!(
            after_open(&format!("<iq a='{}", "x".repeat(TOKEN_BYTES))).1,
            long(TOKEN_BYTES)
        );
        assert_eq!(
            after_open(&format!("<iq>{}<b", "x".repeat(TOKEN_BYTES + 1))).1,
            long(TOKEN_BYTES)
        );
        assert_eq!(after_open(&format!("<iq>{}<b", "x".repeat(TOKEN_BYTES))).1, None);
        assert_eq!(
            after_open(&format!("<iq>{}", "x".repeat(TOKEN_BYTES + 1))).1,
            long(TOKEN_BYTES)
        );
        assert_eq!(
            after_open(&format!("<iq><![CDATA[{}", "]".repeat(TOKEN_BYTES))).1,
            long(TOKEN_BYTES)
        );
        assert_eq!(
            after_open(&format!("<iq>{}", "<b></b>".repeat(STANZA_BYTES / 7 + 1))).1,
            long(STANZA_BYTES)
        );
        let nested = |levels| format!("<iq>{}{}</iq>", "<b>".repeat(levels), "</b>".repeat(levels));
        assert_eq!(after_open(&nested(ELEMENT_LEVELS - 1)).1, None);
        assert_eq!(after_open(&nested(ELEMENT_LEVELS)).1, Some(FrameError::TooDeep));
    }

    #[test]
    fn a_stream_that_is_never_between_two_stanzas_is_not_kept() {
        let mut framer = Framer::new();
        framer.push(format!("{OPEN}<iq").as_bytes());
        assert!(matches!(framer.next_frame(), Ok(Some(Frame::Open(_)))));
        for _ in 0..10_000 {
            framer.push(b"></iq><iq");
            assert_eq!(framer.next_frame(), Ok(Some(Frame::Stanza(b"<iq></iq>"))));
            assert_eq!(framer.next_frame(), Ok(None));
        }
        assert!(framer.buffer_bytes() < 2000, "{} bytes", framer.buffer_bytes());
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "<iq a='[>\"/]{0,3}'>(x|<b/>|<b>]</b>|<!\\[CDATA\\[[\\]<>]{0,3}\\]\\]>){0,4}</iq>",
            2 => "[ \n]|\u{200}",
            1 => "<message></message>|<proceed/>|</stream:stream>|<iq>",
            1 => "[<>/a!?'\"\\[\\]]{1,4}",
        ]
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_frames(
            pieces in prop::collection::vec(piece(), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let stream = format!("{OPEN}{}", pieces.concat()).into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            pieces.push(&stream[from..]);
            let whole = frames(&[&stream]);
            prop_assert_eq!(&whole, &frames(&pieces));
            prop_assert_eq!(&whole, &frames(&stream.chunks(1).collect::<Vec<_>>()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = frames(&[&bytes]);
            let _ = frames(&[OPEN.as_bytes(), b"<iq>", &bytes]);
        }
    }
}
