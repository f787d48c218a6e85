//! Drivers that move bytes, and the `tandem` program.

pub mod config;
pub mod health;
pub mod logging;
mod ports;
