//! Two ends of a stream, and ends that meet something else.

use std::time::Duration;

use tandem_core::bounds::{NEGOTIATION, STANZA_BYTES, STREAM_BYTES_PER_STEP, TOKEN_BYTES};
use tandem_core::machine::{CloseReason, CloseWhy};
use tandem_core::xmpp::Stanza;
use tandem_core::xmpp::stream::{
    Event, HOLD, Input, KEEPALIVE, KEEPALIVE_BYTES, Output, Role, Stream, StreamOptions, Why,
};
use tandem_core::{Machine, Time};

const OPEN: &str = "<?xml version=\"1.0\"?><stream:stream from=\"tor-agent-1\" to=\"network-control@contrailsystems.com\" \
                    version=\"1.0\" xml:lang=\"en\" xmlns=\"jabber:client\" xmlns:stream=\"http://etherx.jabber.org/streams\" >";
const REPLY: &str = "<?xml version=\"1.0\"?><stream:stream from=\"ctrl-1\" to=\"tor-agent-1\" id=\"++123\" version=\"1.0\" \
                     xml:lang=\"en\" xmlns=\"jabber:client\" xmlns:tandem=\"urn:tandem:2\" \
                     xmlns:stream=\"http://etherx.jabber.org/streams\" >";
const FEATURES: &str =
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const END: &str = "</stream:stream>";
const STANZA: &str = "<message to=\"tor-agent-1/bgp-peer\"><event/></message>";

/// A stream and the hand that feeds it.
struct End {
    stream: Stream,
    now: Time,
}

/// The outputs: bytes as text, and the rest by name.
fn shown(output: Output) -> String {
    match output {
        Output::Send(bytes) if bytes == KEEPALIVE_BYTES => "keepalive".into(),
        Output::Send(bytes) => String::from_utf8(bytes).expect("text"),
        Output::StartTls => "start TLS".into(),
        Output::Close(why) => format!("close: {why}"),
        Output::Event(Event::Opened { peer, .. }) => format!("opened: {peer}"),
        Output::Event(Event::Received(stanza)) => format!("received: {stanza:?}"),
        Output::Event(Event::Ended { why }) => format!("ended: {why}"),
    }
}

impl End {
    fn new(role: Role, tls: bool) -> Self {
        let name = match role {
            Role::Client => "tor-agent-1",
            Role::Server => "ctrl-1",
        };
        let now = Time::ORIGIN;
        let stream = Stream::new(now, StreamOptions::new(role, name, tls));
        Self { stream, now }
    }

    fn drain(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.stream.poll_output()).map(shown).collect()
    }

    fn feed(&mut self, input: Input) -> Vec<String> {
        self.stream.handle(self.now, input);
        self.drain()
    }

    fn bytes(&mut self, bytes: impl Into<Vec<u8>>) -> Vec<String> {
        self.feed(Input::Bytes(bytes.into()))
    }

    /// One byte at a time.
    fn slowly(&mut self, bytes: &str) -> Vec<String> {
        bytes.bytes().flat_map(|byte| self.bytes([byte])).collect()
    }

    fn wake(&mut self) -> (Why, Vec<String>) {
        let deadline = self.stream.poll_timeout().expect("a deadline");
        self.now = deadline.at.max(self.now);
        (deadline.why, self.feed(Input::Timeout))
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// An open one, which has sent all that it had to.
    fn established(role: Role) -> Self {
        let mut end = Self::new(role, false);
        end.drain();
        end.bytes(match role {
            Role::Client => REPLY,
            Role::Server => OPEN,
        });
        assert!(end.stream.is_open());
        end
    }
}

/// The reason of its end, after a check that it closed first.
fn ending(did: &[String]) -> &str {
    let [.., close, ended] = did else {
        panic!("{did:?}");
    };
    let why = close.strip_prefix("close: ").unwrap_or_else(|| panic!("{did:?}"));
    assert_eq!(ended.strip_prefix("ended: "), Some(why));
    why
}

#[test]
fn a_client_opens_in_clear_byte_by_byte() {
    let mut client = End::new(Role::Client, false);
    assert_eq!(client.drain(), [OPEN]);
    assert_eq!(client.slowly(REPLY), ["keepalive", "opened: ctrl-1"]);
    assert_eq!(client.slowly(STANZA), ["received: EndOfRib"]);
}

#[test]
fn only_a_control_node_of_the_same_version_is_one_of_ours() {
    let this = "xmlns:tandem=\"urn:tandem:2\" ";
    for (declared, ours) in [
        (this, true),
        ("xmlns:tandem=\"urn:tandem\" ", false),
        ("xmlns:tandem=\"urn:tandem:3\" ", false),
        ("", false),
    ] {
        let mut client = End::new(Role::Client, false);
        client.drain();
        let reply = REPLY.replace(this, declared);
        client.stream.handle(client.now, Input::Bytes(reply.into()));
        let mut outputs = std::iter::from_fn(|| client.stream.poll_output());
        let opened = outputs.find_map(|output| match output {
            Output::Event(Event::Opened { ours, .. }) => Some(ours),
            _ => None,
        });
        assert_eq!(opened, Some(ours), "{declared}");
    }
}

#[test]
fn a_server_opens_in_clear_byte_by_byte() {
    let mut server = End::new(Role::Server, false);
    assert_eq!(server.drain(), [""; 0]);
    assert_eq!(server.slowly(OPEN), [REPLY, "opened: tor-agent-1"]);
    assert_eq!(server.slowly("\u{200} \n"), [""; 0]);
    assert_eq!(server.slowly(STANZA), ["received: EndOfRib"]);
}

#[test]
fn a_client_begins_anew_once_tls_is_up() {
    let mut client = End::new(Role::Client, true);
    assert_eq!(client.drain(), [OPEN]);
    assert_eq!(client.slowly(REPLY), [""; 0]);
    assert_eq!(client.slowly(FEATURES), [STARTTLS]);
    assert_eq!(client.slowly(PROCEED), ["start TLS"]);
    assert_eq!(client.feed(Input::TlsUp), [OPEN]);
    assert_eq!(client.slowly(REPLY), ["keepalive", "opened: ctrl-1"]);
}

#[test]
fn a_server_begins_anew_once_tls_is_up() {
    let mut server = End::new(Role::Server, true);
    assert_eq!(server.slowly(OPEN), [REPLY, FEATURES]);
    assert_eq!(server.slowly(STARTTLS), [PROCEED, "start TLS"]);
    assert_eq!(server.feed(Input::TlsUp), [""; 0]);
    assert_eq!(server.slowly(OPEN), [REPLY, "opened: tor-agent-1"]);
    assert_eq!(server.slowly(STANZA), ["received: EndOfRib"]);
}

#[test]
fn two_ends_understand_each_other_with_and_without_tls() {
    for tls in [false, true] {
        let mut ends = [End::new(Role::Client, tls), End::new(Role::Server, tls)];
        let mut inputs = [Vec::new(), Vec::new()];
        let mut received = Vec::new();
        for turn in 0..20 {
            let (at, other) = (turn % 2, 1 - turn % 2);
            for input in [None]
                .into_iter()
                .chain(std::mem::take(&mut inputs[at]).into_iter().map(Some))
            {
                let End { stream, now } = &mut ends[at];
                if let Some(input) = input {
                    stream.handle(*now, input);
                }
                while let Some(output) = stream.poll_output() {
                    match output {
                        Output::Send(bytes) => inputs[other].push(Input::Bytes(bytes)),
                        Output::StartTls => inputs[at].push(Input::TlsUp),
                        Output::Event(Event::Opened { .. }) => inputs[at].push(Input::Send(Stanza::EndOfRib)),
                        Output::Event(Event::Received(stanza)) => received.push(stanza),
                        output => panic!("{output:?}"),
                    }
                }
            }
        }
        assert_eq!(received, [Stanza::EndOfRib, Stanza::EndOfRib], "TLS: {tls}");
    }
}

#[test]
fn tls_is_never_opportunistic() {
    let required = "we require TLS, and the peer does not offer it (the peer is incompatible)";
    for offer in ["<stream:features/>", STANZA] {
        let mut client = End::new(Role::Client, true);
        client.drain();
        client.bytes(REPLY);
        assert_eq!(ending(&client.bytes(offer)), required);
    }
    let mut silent = End::new(Role::Client, true);
    silent.drain();
    silent.bytes(REPLY);
    let (why, did) = silent.wake();
    assert_eq!((why, ending(&did)), (Why::NegotiationOverdue, required));

    let mut server = End::new(Role::Server, true);
    server.bytes(OPEN);
    let goes_on = server.bytes(format!("\u{200}{STANZA}"));
    assert_eq!(
        ending(&goes_on),
        "we require TLS, and the peer goes on without (the peer is incompatible)"
    );

    let unwanted = "the peer requires TLS, which is not configured here (the peer is incompatible)";
    assert_eq!(ending(&End::established(Role::Client).bytes(FEATURES)), unwanted);
    assert_eq!(ending(&End::established(Role::Server).bytes(STARTTLS)), unwanted);
}

#[test]
fn nothing_can_be_slipped_in_before_tls() {
    let mut server = End::new(Role::Server, true);
    server.bytes(OPEN);
    let slipped = server.bytes(format!("{STARTTLS}{OPEN}{STANZA}"));
    assert!(ending(&slipped).starts_with("bytes in clear where TLS was to begin"));
    let mut client = End::new(Role::Client, true);
    client.drain();
    let slipped = client.bytes(format!("{REPLY}{FEATURES}{PROCEED}{REPLY}"));
    assert!(ending(&slipped).starts_with("bytes in clear where TLS was to begin"));
    assert!(!slipped.contains(&"start TLS".to_owned()));
}

#[test]
fn a_silent_line_is_held_for_ninety_seconds_and_any_byte_prolongs_it() {
    let mut server = End::established(Role::Server);
    for _ in 0..5 {
        server.pass(HOLD - Duration::from_secs(1));
        server.stream.handle(server.now, Input::Timeout);
        assert_eq!(server.drain(), ["keepalive"]);
        server.bytes(&b"<"[..]);
        server.pass(Duration::ZERO);
        server.bytes(&b"iq></iq>"[..]);
    }
    let from = server.now;
    let (why, did) = loop {
        match server.wake() {
            (Why::KeepaliveDue, did) => assert_eq!(did, ["keepalive"]),
            other => break other,
        }
    };
    assert_eq!((why, server.now), (Why::HoldExpired, from + HOLD));
    assert_eq!(
        did,
        [
            END,
            "close: silent for 90 s (the environment)",
            "ended: silent for 90 s (the environment)"
        ]
    );
    assert_eq!(server.stream.poll_timeout(), None);
}

#[test]
fn a_keepalive_goes_out_when_nothing_else_did() {
    let mut client = End::established(Role::Client);
    client.pass(Duration::from_secs(29));
    assert_eq!(client.feed(Input::Send(Stanza::EndOfRib)).len(), 1);
    let sent = client.now;
    assert_eq!(client.wake(), (Why::KeepaliveDue, vec!["keepalive".to_owned()]));
    assert_eq!(client.now, sent + KEEPALIVE);
    client.bytes(&b" "[..]);
    assert_eq!(client.wake(), (Why::KeepaliveDue, vec!["keepalive".to_owned()]));
    assert_eq!(client.now, sent + KEEPALIVE * 2);
}

#[test]
fn a_peer_that_never_opens_is_dropped() {
    for (role, tls) in [
        (Role::Client, false),
        (Role::Client, true),
        (Role::Server, false),
        (Role::Server, true),
    ] {
        let mut end = End::new(role, tls);
        end.drain();
        end.pass(Duration::from_secs(10));
        end.bytes(&b"<stream:stream "[..]);
        let (why, did) = end.wake();
        assert_eq!((why, end.now), (Why::NegotiationOverdue, Time::ORIGIN + NEGOTIATION));
        assert_eq!(
            ending(&did),
            "the peer took too long, where a stream was to be opened (the environment)"
        );
    }
}

#[test]
fn garbage_ends_the_stream_at_every_stage_and_is_the_peers_fault() {
    let stages: [(Role, bool, &[&str]); 7] = [
        (Role::Client, false, &[]),
        (Role::Client, false, &[REPLY]),
        (Role::Client, true, &[REPLY]),
        (Role::Client, true, &[REPLY, FEATURES]),
        (Role::Server, false, &[]),
        (Role::Server, false, &[OPEN]),
        (Role::Server, true, &[OPEN]),
    ];
    for (role, tls, before) in stages {
        for garbage in [
            "HTTP/1.1 400 Bad Request\r\n",
            "<html>",
            "\u{1}",
            "<!DOCTYPE x>",
            PROCEED,
            OPEN,
            "<presence/>",
        ] {
            let mut end = End::new(role, tls);
            end.drain();
            for bytes in before {
                end.bytes(*bytes);
            }
            let expected = before.is_empty() && garbage == OPEN || before.len() == 2 && garbage == PROCEED;
            let unfinished = garbage == "<html>" && !before.is_empty();
            let did = end.bytes(garbage);
            if !expected && !unfinished {
                assert!(
                    ending(&did).contains("(the peer misbehaved)"),
                    "{before:?} {garbage}: {did:?}"
                );
                assert_eq!(end.bytes(STANZA), [""; 0], "nothing follows the end");
                assert_eq!(end.stream.poll_timeout(), None);
            }
        }
    }
}

#[test]
fn a_malformed_stanza_ends_the_session_after_those_before_it() {
    let mut client = End::established(Role::Client);
    let did = client.bytes(format!("{STANZA}<iq><a></b></iq>{STANZA}"));
    assert_eq!(did[..2], ["received: EndOfRib".to_owned(), END.to_owned()]);
    assert_eq!(
        ending(&did),
        "an end tag of another element, at byte 10, in a stanza of 16 bytes (the peer misbehaved)"
    );
    // Others would see its end where it closes, and we would wait for one that never comes.
    let did = End::established(Role::Client).bytes("<iq><a></iq>");
    assert_eq!(
        ending(&did),
        "a stanza within a stanza, between stanzas (the peer misbehaved)"
    );
}

#[test]
fn a_refused_route_does_not_end_the_session() {
    let mut server = End::established(Role::Server);
    let publish = "<iq to=\"x/bgp-peer\"><pubsub><publish node=\"1/1/10.0.0.1/32\"><item/></publish></pubsub></iq>";
    let did = server.bytes(publish);
    assert_eq!(
        did,
        ["received: Unreadable { what: \"a route of another family, `1/1/10.0.0.1/32`\" }"]
    );
    assert!(server.stream.is_open());
}

#[test]
fn what_never_ends_is_bounded() {
    let mut server = End::established(Role::Server);
    let mut did = server.bytes(&b"<iq a='"[..]);
    let mut fed = 0;
    while did.is_empty() {
        did = server.bytes(vec![b'x'; 1000]);
        fed += 1000;
    }
    assert!(ending(&did).contains("more than 65536 bytes"));
    assert!(fed <= TOKEN_BYTES + 1000);

    let mut server = End::established(Role::Server);
    let mut did = server.bytes(&b"<iq>"[..]);
    let mut fed = 0;
    while did.is_empty() {
        did = server.bytes(b"<b></b>".repeat(1000));
        fed += 7000;
    }
    assert!(ending(&did).contains("more than 1048576 bytes"));
    assert!(fed <= STANZA_BYTES + 7000);
}

#[test]
fn one_step_does_bounded_work_and_the_next_goes_on() {
    let mut client = End::established(Role::Client);
    let stanzas = 100_000;
    let mut received = 0;
    // A step processes all that came together, and a bounded part of the backlog, which so cannot grow without end.
    for chunk in STANZA.repeat(stanzas).as_bytes().chunks(STREAM_BYTES_PER_STEP * 8) {
        let did = client.bytes(chunk);
        assert!(did.len() * STANZA.len() <= chunk.len() + STREAM_BYTES_PER_STEP + STANZA.len());
        received += did.len();
    }
    while let Some(deadline) = client
        .stream
        .poll_timeout()
        .filter(|deadline| deadline.why == Why::MoreWork)
    {
        assert_eq!(deadline.at, client.now);
        received += client.wake().1.len();
    }
    assert_eq!(received, stanzas);
}

#[test]
fn stanzas_that_come_together_are_sent_together_and_counted_until_they_are_gone() {
    let mut client = End::established(Role::Client);
    client.feed(Input::Sent { queued_bytes: 0 });
    for _ in 0..3 {
        client.stream.handle(client.now, Input::Send(Stanza::EndOfRib));
    }
    let queued = client.stream.queued_bytes();
    let [sent] = &client.drain()[..] else {
        panic!("one send");
    };
    assert_eq!((sent.matches("<message").count(), sent.len()), (3, queued));
    assert_eq!(client.stream.queued_bytes(), queued);
    client.feed(Input::Sent { queued_bytes: 7 });
    assert_eq!(client.stream.queued_bytes(), 7);
}

#[test]
fn a_close_sends_what_is_left_and_ends_the_stream() {
    let mut client = End::established(Role::Client);
    client.stream.handle(client.now, Input::Send(Stanza::EndOfRib));
    client.stream.handle(
        client.now,
        Input::Close(CloseWhy::new(CloseReason::PeerClosed, "enough")),
    );
    let did = client.drain();
    assert!(did[0].contains("EndOfRib"));
    assert_eq!(did[1..], [END, "close: enough", "ended: enough"]);
    assert_eq!(client.feed(Input::Send(Stanza::EndOfRib)), [""; 0]);
    assert_eq!(
        client.feed(Input::Close(CloseWhy::new(CloseReason::PeerClosed, "again"))),
        [""; 0]
    );
}

#[test]
fn a_client_receives_that_another_one_has_its_name() {
    for reason in [CloseReason::Replaced, CloseReason::NameTaken] {
        let mut server = End::established(Role::Server);
        let did = server.feed(Input::Close(CloseWhy::new(reason, "why")));
        let sent: Vec<&String> = did.iter().filter(|did| did.contains("stream:error")).collect();
        assert_eq!(sent.len(), 1, "{did:?}");
    }
    let mut client = End::established(Role::Client);
    let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    let did = client.bytes(error);
    assert!(
        ending(&did).contains("another client with the same name is connected"),
        "{did:?}"
    );
    let mut client = End::established(Role::Client);
    let did = client.bytes("<stream:error><system-shutdown/></stream:error>");
    assert!(
        ending(&did).contains("the peer ended the stream: system-shutdown"),
        "{did:?}"
    );
}

#[test]
fn both_ways_to_lose_the_peer_are_reported_once() {
    let mut server = End::established(Role::Server);
    let did = server.bytes(END);
    assert_eq!(ending(&did), "the peer ended the stream");
    assert_eq!(
        server.feed(Input::Closed(CloseWhy::new(CloseReason::PeerClosed, "end of file"))),
        [""; 0]
    );

    let mut server = End::established(Role::Server);
    let gone = CloseWhy::new(CloseReason::ConnectionLost, "reset");
    assert_eq!(server.feed(Input::Closed(gone)), ["ended: reset (the environment)"]);
    assert_eq!(server.bytes(END), [""; 0]);
}

#[test]
fn a_client_without_a_usable_name_is_refused() {
    for (name, why) in [
        ("", "a stream without a name"),
        ("my-bgp-peer", "`my-bgp-peer` is no name for an agent"),
    ] {
        let mut server = End::new(Role::Server, false);
        let did = server.bytes(OPEN.replace("tor-agent-1", name));
        assert!(ending(&did).starts_with(why), "{did:?}");
    }
}
