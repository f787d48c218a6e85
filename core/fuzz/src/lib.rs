//! What the fuzz targets do with their input. `sim/tests/fuzz_seeds.rs` does the same with the seeds.

pub mod framer;
mod script;
pub mod session;
mod switch;
pub mod xml;
pub mod xmpp;
