//! The stanzas of control nodes and agents, byte for byte, written and read back.

#[path = "xmpp/golden.rs"]
mod golden;
#[path = "xmpp/incumbent.rs"]
mod incumbent;
#[path = "xmpp/oracle.rs"]
mod oracle;
#[path = "xmpp/round_trip.rs"]
mod round_trip;
#[path = "xmpp/stream.rs"]
mod stream;
