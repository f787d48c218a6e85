//! Others write to the database while the agent manages it: it comes back to what is wanted, and the log says what
//! happened.

mod hands;
mod lock;
mod race;
mod rig;
