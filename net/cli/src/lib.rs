//! The `tandem` program: its subcommands, the demo, and certificates to start with.

pub mod cli;
pub mod commands;
pub mod demo;
mod memory;
pub mod pki;
