//! A stream takes any bytes, however they are split, does the same, and keeps no more than its bounds.

use tandem_core::bounds::{STANZA_BYTES, STREAM_BYTES_PER_STEP};
use tandem_core::xmpp::stream::{Event, Input, Output, Role, Stream, StreamOptions, Why};
use tandem_core::xmpp::{Framer, Stanza};
use tandem_core::{Machine, Time};

/// Takes a byte that chooses our end, `0` to `3`; three that split the rest; and the rest as the bytes of the peer.
pub fn run(input: &[u8]) {
    let Some((&end, rest)) = input.split_first() else {
        return;
    };
    let (sizes, stream) = rest.split_at(rest.len().min(3));
    let whole = outcome(end, &[stream]);
    assert_eq!(
        outcome(end, &stream.chunks(1).collect::<Vec<_>>()),
        whole,
        "byte by byte"
    );
    assert_eq!(outcome(end, &pieces(sizes, stream)), whole, "in pieces");
    framer(&pieces(sizes, stream));
}

/// The bytes sent, joined, and the other outputs. `None` if TLS begins: the bytes after that belong to TLS.
fn outcome(end: u8, pieces: &[&[u8]]) -> Option<(Vec<u8>, Vec<Output>)> {
    let role = if end & 1 == 0 { Role::Client } else { Role::Server };
    let mut stream = Stream::new(Time::ORIGIN, StreamOptions::new(role, "a", end & 2 != 0));
    let mut sent = Vec::new();
    let mut did = Vec::new();
    drain(&mut stream, &mut sent, &mut did);
    for piece in pieces {
        stream.handle(Time::ORIGIN, Input::Bytes(piece.to_vec()));
        drain(&mut stream, &mut sent, &mut did);
        if did.iter().any(begins_tls) {
            return None;
        }
        while stream
            .poll_timeout()
            .is_some_and(|deadline| deadline.why == Why::MoreWork)
        {
            stream.handle(Time::ORIGIN, Input::Timeout);
            drain(&mut stream, &mut sent, &mut did);
        }
    }
    let ended = did.iter().position(|output| matches!(output, Output::Close(_)));
    assert!(
        ended.is_none_or(|at| at + 2 == did.len()),
        "only an event follows a close"
    );
    Some((sent, did))
}

fn begins_tls(output: &Output) -> bool {
    match output {
        Output::StartTls => true,
        Output::Close(why) => why.detail.starts_with("bytes in clear"),
        Output::Send(_) | Output::Event(_) => false,
    }
}

fn drain(stream: &mut Stream, sent: &mut Vec<u8>, did: &mut Vec<Output>) {
    let mut read_bytes = 0;
    while let Some(output) = stream.poll_output() {
        match output {
            Output::Send(bytes) => sent.extend(bytes),
            Output::Event(Event::Received(stanza)) => {
                // Every stanza that was read can be written.
                let mut again = String::new();
                tandem_core::xmpp::Writer::of_agent("a").write(&stanza, &mut again);
                assert_eq!(
                    again.is_empty(),
                    matches!(stanza, Stanza::Unreadable { .. }) || is_empty(&stanza)
                );
                read_bytes += again.len();
                did.push(Output::Event(Event::Received(stanza)));
            }
            output => did.push(output),
        }
    }
    assert!(read_bytes < 64 * (STANZA_BYTES + STREAM_BYTES_PER_STEP));
}

fn is_empty(stanza: &Stanza) -> bool {
    matches!(stanza, Stanza::Configuration(changes) if changes.is_empty())
}

fn framer(pieces: &[&[u8]]) {
    let mut framer = Framer::new();
    let largest = pieces.iter().map(|piece| piece.len()).max().unwrap_or_default();
    for piece in pieces {
        framer.push(piece);
        while let Ok(Some(_)) = framer.next_frame() {}
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(framer.buffer_bytes() <= 4 * (STANZA_BYTES.min(total) + largest) + 64);
    }
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
