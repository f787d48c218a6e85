//! Runs the machines of `tandem_core` on real sockets, clocks and files: the processes behind `tandem agent` and
//! `tandem control`.

mod admission;
pub mod config;
pub mod driver;
pub mod durable;
pub mod event;
mod files;
pub mod health;
pub mod http;
pub mod listen;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod orders;
pub mod own_name;
pub mod peer;
mod ports;
pub mod probe;
pub mod process;
pub mod proxy_protocol;
#[cfg(test)]
mod samples;
pub mod service;
pub mod tls;
pub mod xmpp;
