//! Any split of the bytes gives the same frames, in bounded memory, and they are what a JSON parser sees.

use serde_json::Value;
use tandem_core::bounds::{MEMBERS, NESTING_LEVELS};
use tandem_core::ovsdb::rows::{PhysicalPortRow, UcastRow};
use tandem_core::ovsdb::rpc::Message;
use tandem_core::ovsdb::updates::{self, Cursor};
use tandem_core::ovsdb::{Frame, FrameError, Framer};

/// Small, so that inputs reach it.
const LIMIT_BYTES: usize = 512;

/// Takes four bytes that split the rest, and the rest as the stream.
pub fn run(input: &[u8]) {
    let (sizes, stream) = input.split_at(input.len().min(4));
    let whole = frames(&[stream]);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(frames(&bytes), whole, "byte by byte");
    assert_eq!(frames(&pieces(sizes, stream)), whole, "in pieces");
    let (frames, error) = whole;
    compare(stream, &frames, error);
    for frame in &frames {
        members(frame);
        parse(frame);
    }
}

type Outcome = (Vec<Frame>, Option<FrameError>);

fn frames(pieces: &[&[u8]]) -> Outcome {
    let mut framer = Framer::new(LIMIT_BYTES);
    let mut frames = Vec::new();
    let largest = pieces.iter().map(|piece| piece.len()).max().unwrap_or_default();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        // Growing doubles it, and up to half of it may be bytes that were handed out.
        let bound = 4 * (LIMIT_BYTES + largest) + 64;
        assert!(framer.buffer_bytes() <= bound, "{} bytes", framer.buffer_bytes());
    }
    (frames, None)
}

fn pieces<'a>(sizes: &[u8], mut stream: &'a [u8]) -> Vec<&'a [u8]> {
    let mut sizes = sizes.iter().map(|size| usize::from(size & 0x3f) + 1).cycle();
    let mut pieces = Vec::new();
    while let Some(size) = sizes.next().filter(|_| !stream.is_empty()) {
        let (piece, rest) = stream.split_at(size.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// As long as the stream is JSON objects within the bounds, each of them is a frame.
fn compare(stream: &[u8], frames: &[Frame], error: Option<FrameError>) {
    let mut values = serde_json::Deserializer::from_slice(stream).into_iter::<Value>();
    let mut start = 0;
    for frame in frames.iter().map(Some).chain([None]) {
        let Some(Ok(value @ Value::Object(_))) = values.next() else {
            return;
        };
        let end = values.byte_offset();
        let object = stream[start..end].trim_ascii_start();
        start = end;
        match frame {
            Some(frame) => assert_eq!(frame.bytes(), object),
            None => assert!(
                match error {
                    Some(FrameError::TooLong { limit_bytes }) => object.len() > limit_bytes,
                    Some(FrameError::TooDeep) => depth(&value) > NESTING_LEVELS,
                    Some(FrameError::TooManyMembers) => object.split(|byte| *byte == b':').count() > MEMBERS,
                    Some(FrameError::Garbage { .. }) | None => false,
                },
                "{error:?} for {value}"
            ),
        }
    }
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(values) => values.values().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    inner.unwrap_or_default() + 1
}

/// The members are found where a JSON parser finds them.
fn members(frame: &Frame) {
    let text = frame.bytes();
    let Ok(Value::Object(object)) = serde_json::from_slice(text) else {
        return;
    };
    // A name may be written in more than one way.
    if text.contains(&b'\\') {
        return;
    }
    for (name, value) in object {
        let found = frame.member(&name).map(serde_json::from_slice::<Value>);
        assert_eq!(found.and_then(Result::ok), Some(value), "{name}");
    }
}

/// The content of a frame may be anything, and is an error at worst.
fn parse(frame: &Frame) {
    let Ok(message) = Message::read(frame) else {
        return;
    };
    let range = match message {
        Message::Request { params, .. } | Message::Notification { params, .. } => params,
        Message::Reply { outcome, .. } => outcome.unwrap_or_else(|error| error),
    };
    let mut cursor = Cursor::new(range);
    while let Ok(Some(row)) = cursor.next_row(frame.bytes()) {
        let change = &frame.bytes()[row.change];
        let _ = updates::change::<UcastRow>(change);
        let _ = updates::change::<PhysicalPortRow>(change);
    }
}
