//! A world in one thread, in which the production machines are proved.

#![warn(clippy::expect_used, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one thing"))]

pub mod absence;
pub mod bounds;
pub mod check;
pub mod control;
pub mod device;
pub mod drill;
pub mod failover;
pub mod host;
pub mod intruder;
pub mod kernel;
pub mod link;
pub mod model;
pub mod operator;
pub mod plan;
pub mod proxy;
pub mod run;
pub mod socket;
pub mod switch;
pub mod thief;
pub mod tls;
pub mod vip;
pub mod vrouter;
pub mod world;
