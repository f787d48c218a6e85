//! Drivers that move bytes, and the `tandem` program.

pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod driver;
pub mod health;
pub mod http;
pub mod lab;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod peer;
pub mod pki;
mod ports;
pub mod probe;
pub mod proxy_protocol;
pub mod service;
pub mod tls;
pub mod xmpp;
