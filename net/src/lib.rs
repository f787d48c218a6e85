//! Drivers that move bytes, and the `tandem` program.

pub mod proxy_protocol;
pub mod tls;
