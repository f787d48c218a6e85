//! What control nodes and agents say to each other: XMPP as Contrail and Tungsten Fabric speak it.

pub mod element;
pub mod graph;
pub mod stanza;
