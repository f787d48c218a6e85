//! Drivers that move bytes, and the `tandem` program.

pub mod driver;
pub mod lab;
pub mod listen;
pub mod pki;
pub mod proxy_protocol;
pub mod tls;
