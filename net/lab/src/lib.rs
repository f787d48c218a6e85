//! Real parts, started in scratch folders and cleaned up: for the demo, for tests and for benches alike.
//!
//! Every part is a child process of ours that the kernel kills when we die, writes only into a [`Scratch`] folder
//! that goes with us, and listens on loopback addresses that no other process has ([`Loopback`]) or in network namespaces
//! of its own ([`netns`]). The system's own services are never touched. Set [`TANDEM_LAB_KEEP=1`](scratch::KEEP) to
//! keep the folder with all configurations, databases and logs.
//!
//! ```text
//! Pair         = Pki + Switch (ovsdb-server) --ssl--> Haproxy --tcp--> Agent (tandem agent) x 2 [--tls--> ControlNode (tandem control)]
//! EmbeddedPair = Pki + Device (simulator's)  --ssl--> Proxy   --tcp--> Agent (tandem agent) x 2 [--tls--> ControlNode (tandem control)]
//! ```
//!
//! Everything here blocks. Waiting is polling a condition ([`Scratch::wait_until`]), never sleeping and hoping.

pub mod actor;
pub mod agent;
pub mod contents;
pub mod control;
pub mod embedded;
mod error;
pub mod haproxy;
mod janitor;
pub mod journal;
pub mod jsonrpc;
pub mod netns;
pub mod pair;
pub mod pki;
pub mod port;
pub mod program;
pub mod relay;
pub mod remote;
pub mod schema;
pub mod scratch;
pub mod snapshot;
pub mod stage;
pub mod switch;

pub use agent::{Agent, AgentOptions};
pub use contents::Contents;
pub use control::{ControlNode, ControlOptions};
pub use embedded::EmbeddedPair;
pub use error::{Error, Result};
pub use haproxy::{Haproxy, HaproxyOptions};
pub use pair::{Pair, PairOptions};
pub use pki::Pki;
pub use port::Loopback;
pub use program::{Launch, Program, Signal};
pub use relay::Relay;
pub use remote::Remote;
pub use schema::Schema;
pub use scratch::Scratch;
pub use stage::Stage;
pub use switch::{Switch, SwitchOptions};
