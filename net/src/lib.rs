//! Drivers that move bytes, and the `tandem` program.

pub mod cli;
pub mod commands;
pub mod config;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
mod ports;
