//! Drivers that move bytes, and the `tandem` program.

pub mod config;
