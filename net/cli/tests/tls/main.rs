//! From an accepted connection to a verified byte stream, against rustls, openssl and Open vSwitch.

mod authority;
mod certificates;
mod dates;
mod door;
mod files;
mod issued;
mod kinds;
mod programs;
mod real;
