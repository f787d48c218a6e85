//! The fuzz targets. `sim/tests/fuzz_seeds.rs` runs them on the seeds.

pub mod framer;
mod script;
pub mod session;
mod switch;
pub mod xml;
pub mod xmpp;
