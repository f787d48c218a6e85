//! One end of a stream, read as theirs read it: by looking for strings.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The keepalive of both their ends, sent after 30 s without a stanza: U+0200 in UTF-8.
const KEEPALIVE: [u8; 2] = [0xc8, 0x80];
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// All that may stand between stanzas.
const BLANKS: [&[u8]; 5] = [b" ", b"\r", b"\n", b"\t", &KEEPALIVE];

/// The end of the opening tag. Their pattern requires this attribute to be the last.
const OPENED: &[u8] = br#"xmlns:stream="http://etherx.jabber.org/streams""#;

/// The most bytes that they read before the first stanza.
const OPENING_BYTES: usize = 1024;

/// A script's end of a stream.
pub(crate) struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
    last_sent: Instant,
    last_received: Instant,
    /// Whether it sends keepalives.
    pub(crate) keepalive: bool,
    /// The number of keepalives from the other end.
    pub(crate) keepalives_received: usize,
    pub(crate) ended: bool,
}

impl Line {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).expect("a socket");
        let pause = Some(Duration::from_millis(20));
        stream.set_read_timeout(pause).expect("a socket");
        Self {
            stream,
            unread: Vec::new(),
            last_sent: Instant::now(),
            last_received: Instant::now(),
            keepalive: true,
            keepalives_received: 0,
            ended: false,
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.write(text.as_bytes());
    }

    pub(crate) fn send_keepalive(&mut self) {
        self.write(&KEEPALIVE);
    }

    /// The tag that opens the other end's stream, once it is there.
    pub(crate) fn opening(&mut self) -> Option<String> {
        self.read();
        let attributes = find(&self.unread, OPENED)? + OPENED.len();
        let end = attributes + find(&self.unread[attributes..], b">")?;
        let tag = self.take(end + 1);
        assert!(tag.len() <= OPENING_BYTES, "{tag}");
        assert!(tag.starts_with("<?xml version=\"1.0\"?><stream:stream "), "{tag}");
        let rest = &tag[attributes..end];
        assert!(rest.trim().is_empty(), "not the last attribute: {tag}");
        Some(tag)
    }

    /// The next stanza, once all of it is there.
    pub(crate) fn stanza(&mut self) -> Option<String> {
        self.read();
        while let Some(blank) = BLANKS.iter().find(|blank| self.unread.starts_with(blank)) {
            self.keepalives_received += usize::from(**blank == KEEPALIVE);
            self.unread.drain(..blank.len());
        }
        let unread = &self.unread;
        let end_tag: &[u8] = match unread {
            _ if unread.starts_with(b"<iq") => b"</iq",
            _ if unread.starts_with(b"<message") => b"</message",
            // Theirs know no closing tag: they wait for the end of the connection.
            _ if unread.starts_with(b"</stream:stream>") => return None,
            _ if unread.len() < b"<message".len() => return None,
            _ => panic!("nothing that theirs understand: {}", String::from_utf8_lossy(unread)),
        };
        let end = find(unread, end_tag)? + end_tag.len();
        let close = end + find(&unread[end..], b">")?;
        Some(self.take(close + 1))
    }

    /// The time since the last bytes of the other end.
    pub(crate) fn idle(&mut self) -> Duration {
        self.read();
        self.last_received.elapsed()
    }

    /// Sends a keepalive, if it is due.
    pub(crate) fn live(&mut self) {
        if self.keepalive && self.last_sent.elapsed() >= KEEPALIVE_INTERVAL {
            self.send_keepalive();
        }
    }

    fn read(&mut self) {
        self.live();
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.last_received = Instant::now();
                self.unread.extend_from_slice(&buffer[..count]);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                _ => self.ended = true,
            },
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.last_sent = Instant::now();
        self.stream.write_all(bytes).expect("an open connection");
    }

    fn take(&mut self, count: usize) -> String {
        let taken = self.unread.drain(..count).collect();
        String::from_utf8(taken).expect("UTF-8")
    }
}

/// The position of `what`.
fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The text after each of these, up to the next quote or tag; each is searched behind the one before.
pub(crate) fn values<'a>(text: &str, after: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut rest = text;
    let value = |after: &str| {
        let start = rest
            .find(after)
            .unwrap_or_else(|| panic!("no {after} in {rest} of {text}"));
        rest = &rest[start + after.len()..];
        rest[..rest.find(['"', '<']).unwrap_or(rest.len())].to_owned()
    };
    after.into_iter().map(value).collect()
}
