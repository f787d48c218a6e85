//! A world in one thread, in which the production machines are proved.

#![warn(clippy::expect_used, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

pub mod switch;
