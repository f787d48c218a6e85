//! Whatever stands in a switch's database when the agent comes: afterwards it is the desired state, with the fewest
//! writes, and foreign rows were not touched.
#![allow(clippy::needless_pass_by_value, reason = "operations are made on the spot")]
#![allow(clippy::print_stdout, reason = "what was measured is for people to read")]

mod certificates;
mod dirt;
mod kinds;
mod random;
mod schemas;
mod stale;
mod wanted;
