//! What control nodes and agents say to each other, byte for byte, and back.

#[path = "xmpp/golden.rs"]
mod golden;
#[path = "xmpp/incumbent.rs"]
mod incumbent;
