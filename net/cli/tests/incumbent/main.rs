//! The other side as Contrail and Tungsten Fabric speak it: an agent of theirs at our control node, and a control node of
//! theirs with our agent. Their end is a script here; its bytes stand in `agent_bytes.rs` and
//! `control_node_bytes.rs`, written by hand from what theirs send, and none of it comes from our own writer.

mod agent;
mod agent_bytes;
mod control_node;
mod control_node_bytes;
mod line;
