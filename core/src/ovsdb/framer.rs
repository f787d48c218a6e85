//! Cuts a byte stream into JSON objects. OVSDB has no delimiter: the braces are the frame.

use std::ops::Range;

use smallvec::SmallVec;

use crate::bounds::{MEMBERS, NESTING_LEVELS};

/// One complete message, and where its top-level members lie.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    bytes: Vec<u8>,
    members: SmallVec<[Member; 4]>,
}

/// A member's name (without its quotes) and its value, as ranges of the frame.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Member {
    name: Range<usize>,
    value: Range<usize>,
}

impl Frame {
    /// The value of a top-level member, as JSON text; of equal names the last, as in `ovsdb-server`.
    pub fn member(&self, name: &str) -> Option<&[u8]> {
        self.member_range(name).and_then(|range| self.slice(range))
    }

    /// The range of that value in [`bytes`](Self::bytes).
    pub(crate) fn member_range(&self, name: &str) -> Option<Range<usize>> {
        let named = |member: &&Member| self.slice(member.name.clone()) == Some(name.as_bytes());
        self.members.iter().rev().find(named).map(|member| member.value.clone())
    }

    /// The whole message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn slice(&self, range: Range<usize>) -> Option<&[u8]> {
        self.bytes.get(range)
    }
}

/// Why a stream cannot be cut any further. Always the peer's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// Something else than an object, or than what must follow in one.
    #[error("byte {byte:#04x} where {wanted} was due: this is not OVSDB")]
    Garbage {
        /// The byte.
        byte: u8,
        /// The expected input.
        wanted: &'static str,
    },
    /// One message is larger than the bound.
    #[error("a message of more than {limit_bytes} bytes")]
    TooLong {
        /// The bound.
        limit_bytes: usize,
    },
    /// One message nests deeper than the bound.
    #[error("a message that nests deeper than {NESTING_LEVELS} levels")]
    TooDeep,
    /// One message has more members than the bound: noting where they lie would take more memory than they do.
    #[error("a message with more than {MEMBERS} members")]
    TooManyMembers,
}

/// Holds the bytes of the message that is still arriving.
///
/// Any split of the same bytes gives the same frames, and each byte is looked at once.
#[derive(Clone, Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were handed out already.
    start: usize,
    /// Bytes of `buffer` that were looked at.
    scanned: usize,
    limit_bytes: usize,
    place: Place,
    depth: usize,
    /// One bit for each open level: set for an array.
    arrays: u64,
    members: SmallVec<[Member; 4]>,
}

/// The position of the next byte in a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Between messages.
    Outside,
    /// In the object itself: before the quote of a name, and whether `}` may stand here.
    BeforeName { may_end: bool },
    /// In the name of a member.
    Name { escaped: bool },
    /// Before the colon.
    BeforeColon,
    /// In a value; not in a string.
    Value,
    /// In a string of a value.
    Text { escaped: bool },
}

impl Framer {
    /// A framer that takes messages of `limit_bytes` at most.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            limit_bytes,
            place: Place::Outside,
            depth: 0,
            arrays: 0,
            members: SmallVec::new(),
        }
    }

    /// Changes the bound for this message and all that follow.
    pub(crate) fn set_limit_bytes(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
    }

    /// Bytes that are held for a message which is not complete.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Bytes of memory that the stream takes.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Adds bytes to the end of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        // A peer that is always in the middle of a message must not make us keep all that went before.
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message; `None` when more bytes are needed.
    ///
    /// After an error the stream cannot be read any further.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            if self.step(byte)? {
                return Ok(Some(self.cut()));
            }
            if self.scanned - self.start > self.limit_bytes {
                return Err(FrameError::TooLong {
                    limit_bytes: self.limit_bytes,
                });
            }
        }
        Ok(None)
    }

    /// Looks at the next byte; in a string, at all to its end. Whether the message ends there.
    #[inline]
    fn step(&mut self, byte: u8) -> Result<bool, FrameError> {
        let at = self.scanned - self.start;
        self.scanned += 1;
        match self.place {
            Place::Outside => match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.start = self.scanned,
                b'{' => self.begin(),
                _ => return garbage(byte, "a JSON object"),
            },
            Place::BeforeName { may_end } => match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'"' => self.begin_name(at)?,
                b'}' if may_end => return Ok(true),
                _ => return garbage(byte, "the name of a member"),
            },
            Place::Name { escaped } => match byte {
                _ if escaped => self.place = Place::Name { escaped: false },
                b'\\' => self.place = Place::Name { escaped: true },
                b'"' => {
                    self.last(|member| member.name.end = at);
                    self.place = Place::BeforeColon;
                }
                _ => {}
            },
            Place::BeforeColon => match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b':' => {
                    self.last(|member| member.value = at + 1..at + 1);
                    self.place = Place::Value;
                }
                _ => return garbage(byte, "a colon"),
            },
            Place::Value => match byte {
                b'"' => self.place = Place::Text { escaped: false },
                b'{' | b'[' => self.open(byte)?,
                b'}' | b']' => return self.close(byte, at),
                b',' if self.depth == 1 => {
                    self.last(|member| member.value.end = at);
                    self.place = Place::BeforeName { may_end: false };
                }
                _ => {}
            },
            Place::Text { escaped: true } => self.place = Place::Text { escaped: false },
            Place::Text { escaped: false } => {
                self.scanned -= 1;
                self.skip_text();
            }
        }
        Ok(false)
    }

    /// A message begins.
    fn begin(&mut self) {
        self.depth = 1;
        self.arrays = 0;
        self.members.clear();
        self.place = Place::BeforeName { may_end: true };
    }

    /// The name of a member begins after this byte.
    fn begin_name(&mut self, at: usize) -> Result<(), FrameError> {
        if self.members.len() == MEMBERS {
            return Err(FrameError::TooManyMembers);
        }
        self.members.push(Member {
            name: at + 1..at + 1,
            value: 0..0,
        });
        self.place = Place::Name { escaped: false };
        Ok(())
    }

    /// Jumps to the end of the string or to its next escape.
    fn skip_text(&mut self) {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            None => self.scanned = self.buffer.len(),
            Some(offset) => {
                let ends = rest.get(offset) == Some(&b'"');
                self.scanned += offset + 1;
                self.place = if ends {
                    Place::Value
                } else {
                    Place::Text { escaped: true }
                };
            }
        }
    }

    fn open(&mut self, byte: u8) -> Result<(), FrameError> {
        if self.depth == NESTING_LEVELS {
            return Err(FrameError::TooDeep);
        }
        let bit = 1 << self.depth;
        self.arrays = if byte == b'[' {
            self.arrays | bit
        } else {
            self.arrays & !bit
        };
        self.depth += 1;
        Ok(())
    }

    /// Whether this was the end of the message.
    fn close(&mut self, byte: u8, at: usize) -> Result<bool, FrameError> {
        self.depth -= 1;
        let in_array = self.arrays >> self.depth & 1 == 1;
        if in_array != (byte == b']') {
            let wanted = if in_array { "`]`" } else { "`}`" };
            return Err(FrameError::Garbage { byte, wanted });
        }
        if self.depth == 0 {
            self.last(|member| member.value.end = at);
        }
        Ok(self.depth == 0)
    }

    fn last(&mut self, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.last_mut() {
            change(member);
        }
    }

    /// Takes the message that ends at `scanned`. A large one is not copied, unless others precede it.
    fn cut(&mut self) -> Frame {
        const LARGE_BYTES: usize = 64 << 10;
        let end = self.scanned;
        self.place = Place::Outside;
        let bytes = if end - self.start > LARGE_BYTES {
            let rest = self.buffer.split_off(end);
            let mut whole = std::mem::replace(&mut self.buffer, rest);
            whole.drain(..self.start);
            self.start = 0;
            self.scanned = 0;
            whole
        } else {
            let whole = self.buffer.get(self.start..end).unwrap_or_default().to_vec();
            self.start = end;
            if end == self.buffer.len() {
                self.buffer.clear();
                (self.start, self.scanned) = (0, 0);
            }
            whole
        };
        Frame {
            bytes,
            members: std::mem::take(&mut self.members),
        }
    }
}

fn garbage<T>(byte: u8, wanted: &'static str) -> Result<T, FrameError> {
    Err(FrameError::Garbage { byte, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(pieces: &[&[u8]]) -> Result<Vec<Frame>, FrameError> {
        let mut framer = Framer::new(1 << 20);
        let mut frames = Vec::new();
        for piece in pieces {
            framer.push(piece);
            while let Some(frame) = framer.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn members_are_found_and_the_last_of_equal_names_wins() {
        let stream = br#" {"id":1, "result" : {"a":[1,{"id":9}]},"id":"}\"" }{}"#;
        let frames = frames(&[stream]).expect("two messages");
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].member("id"), Some(&br#""}\"" "#[..]));
        assert_eq!(frames[0].member("result"), Some(&br#" {"a":[1,{"id":9}]}"#[..]));
        assert_eq!(frames[0].member("method"), None);
    }

    #[test]
    fn a_stream_that_is_never_between_two_messages_is_not_kept() {
        let mut framer = Framer::new(1 << 20);
        framer.push(br#"{"id":"#);
        for _ in 0..10_000 {
            framer.push(br#"1}{"id":"#);
            let frame = framer.next_frame().expect("no error").expect("a message");
            assert_eq!(frame.member("id"), Some(&b"1"[..]));
            assert_eq!(framer.next_frame(), Ok(None));
        }
        assert!(framer.buffer_bytes() < 1000, "{} bytes", framer.buffer_bytes());
    }

    #[test]
    fn a_message_of_members_only_is_refused() {
        let members = vec![r#""a":1"#; MEMBERS + 1];
        let message = |count| format!("{{{}}}", members[..count].join(","));
        assert!(frames(&[message(MEMBERS).as_bytes()]).is_ok());
        assert_eq!(
            frames(&[message(MEMBERS + 1).as_bytes()]),
            Err(FrameError::TooManyMembers)
        );
    }

    #[test]
    fn what_is_not_an_object_is_refused_at_once() {
        for stream in [
            &b"GET / HTTP/1.1"[..],
            b"[1]",
            b"\x16\x03\x01",
            b"{1",
            b"{\"a\" 1",
            b"{\"a\":[}",
            b"{\"a\":1,}",
        ] {
            assert!(
                matches!(frames(&[stream]), Err(FrameError::Garbage { .. })),
                "{stream:?}"
            );
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let mut framer = Framer::new(100);
        framer.push(b"{\"a\":\"");
        framer.push(&[b'x'; 200]);
        assert_eq!(framer.next_frame(), Err(FrameError::TooLong { limit_bytes: 100 }));
        let deep = format!("{{\"a\":{}", "[".repeat(NESTING_LEVELS));
        assert_eq!(frames(&[deep.as_bytes()]), Err(FrameError::TooDeep));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Into::into),
            "\\PC{0,12}|[\"\\\\{}\\[\\],: ]{0,6}".prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_messages(
            values in prop::collection::vec(prop::collection::btree_map("[a-z]{1,8}", json(), 0..4), 1..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let stream: Vec<u8> = values.iter().flat_map(|value| serde_json::to_vec(value).expect("JSON")).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            pieces.push(&stream[from..]);
            let whole = frames(&[&stream]).expect("messages");
            prop_assert_eq!(&whole, &frames(&pieces).expect("messages"));
            prop_assert_eq!(whole.len(), values.len());
            for (frame, value) in whole.iter().zip(&values) {
                for (name, member) in value {
                    let read: serde_json::Value = serde_json::from_slice(frame.member(name).expect("member")).expect("JSON");
                    prop_assert_eq!(&read, member);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = frames(&[b"{\"a\":", &bytes]);
        }
    }
}
