//! What control nodes and agents say to each other, byte for byte, and back.

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
