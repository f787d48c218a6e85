//! Drivers that move bytes, and the `tandem` program.

pub mod listen;
pub mod pki;
pub mod proxy_protocol;
pub mod tls;
