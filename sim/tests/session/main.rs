//! The production session against an emulated switch, with every byte, every message and every second in our hands.

mod agents;
mod audit;
mod bindings;
mod book;
mod broadcast;
mod contents;
mod convergence;
mod deletion;
mod export;
mod fleet;
mod hostile;
mod keepalive;
mod locators;
mod names;
mod opening;
mod other_writers;
mod ownership;
mod retries;
mod room;
mod server_models;
mod tunnel_ends;
mod unplaced;
mod vni;
mod wire;
mod world;
