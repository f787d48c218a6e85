//! The production session against an emulated switch, with every byte, every message and every second in our hands.

mod audit;
mod bindings;
mod broadcast;
mod contents;
mod convergence;
mod deletion;
mod export;
mod hostile;
mod keepalive;
mod locators;
mod opening;
mod ownership;
mod retries;
mod vni;
mod world;
