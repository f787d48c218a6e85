//! Dirty databases: after the audit the database is the desired state, with the fewest writes, and foreign rows were not
//! touched.
#![allow(clippy::needless_pass_by_value, reason = "operations are made on the spot")]
#![allow(clippy::print_stdout, reason = "measured values are for people to read")]

mod certificates;
mod dirt;
mod kinds;
mod random;
mod schemas;
mod stale;
mod wanted;
