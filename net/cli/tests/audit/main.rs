//! Whatever stands in a switch's database when the agent comes: afterwards it is exactly what is wanted, with the
//! fewest writes, and what belongs to others was not touched.
#![allow(clippy::needless_pass_by_value, reason = "operations are made on the spot")]
#![allow(clippy::print_stdout, reason = "what was measured is for people to read")]

mod certificates;
mod dirt;
mod kinds;
mod random;
mod schemas;
mod stale;
mod wanted;
