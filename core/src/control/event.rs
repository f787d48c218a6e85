//! Events of a control node.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::client_name::ClientName;
use super::publications::Refusal;
use crate::close::{CloseReason, CloseWhy};
use crate::event::{Level, LogEvent};
use crate::evpn::{InstanceName, Key};
use crate::ids::{SwitchName, Uuid};
use crate::log_words;
use crate::text::{count, short};

/// The event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Event {
    /// A client's stream is open.
    ClientUp {
        /// The name that the client gave.
        client: ClientName,
        /// The address that it dialled from.
        address: SocketAddr,
    },
    /// A client's session is over, and with it everything that it published.
    ClientDown {
        /// The name that the client gave.
        client: ClientName,
        /// The number of routes that it had published.
        routes: usize,
        /// Why the session ended.
        why: CloseWhy,
    },
    /// A stream was closed at once: no session came of it.
    ClientRefused {
        /// The name that the client gave.
        client: ClientName,
        /// The address that it dialled from.
        address: SocketAddr,
        /// Why it was refused.
        why: CloseWhy,
    },
    /// A client subscribed to an instance, which is configured or not.
    Subscribed {
        /// The name that the client gave.
        client: ClientName,
        /// The instance that it subscribed to.
        instance: InstanceName,
        /// The instance is configured.
        known: bool,
    },
    /// A client unsubscribed an instance; what it published there goes.
    Unsubscribed {
        /// The name that the client gave.
        client: ClientName,
        /// The instance that it had subscribed to.
        instance: InstanceName,
    },
    /// A route has another best path, or other broadcast members; every subscriber is to receive it.
    Reflected {
        /// The instance of the route.
        instance: InstanceName,
        /// The key of the route within the instance.
        route: Key,
    },
    /// A route has no path any more; every subscriber is to receive it.
    RouteRemoved {
        /// The instance of the route.
        instance: InstanceName,
        /// The key of the route within the instance.
        route: Key,
    },
    /// A publication waits until its instance is configured.
    Deferred {
        /// The name that the client gave.
        client: ClientName,
        /// The instance that is not configured.
        instance: InstanceName,
        /// The key of the route within the instance.
        route: Key,
    },
    /// Something that a client sent was refused by a bound or a rule.
    RouteRefused {
        /// The name that the client gave.
        client: ClientName,
        /// Which bound or rule.
        refusal: Refusal,
        /// The content, for people; the text comes from the client.
        what: String,
    },
    /// A client has been sent every route of all its instances.
    EndOfRib {
        /// The name that the client gave.
        client: ClientName,
    },
    /// An inventory is in force.
    Configured {
        /// The revision of the inventory.
        revision: u64,
        /// The number of networks.
        networks: usize,
        /// The number of switches.
        switches: usize,
        /// The revision is not that of another inventory that was in force.
        is_raised: bool,
    },
    /// An inventory was older than the one in force.
    InventoryOutdated {
        /// The revision of the inventory that was refused.
        offered: u64,
        /// The revision in force.
        revision: u64,
    },
    /// A client has been sent its configuration.
    ConfigurationSent {
        /// The name that the client gave.
        client: ClientName,
        /// The revision that was sent.
        revision: u64,
        /// Some switch is to be served by it.
        serves_any: bool,
    },
    /// A client has a higher revision in force, and ignores the configuration.
    RevisionIgnored {
        /// The name that the client gave.
        client: ClientName,
        /// The revision of the inventory.
        revision: u64,
        /// The revision in force at the client.
        in_force: u64,
    },
    /// The agents that own a switch in a network: exactly one should.
    SwitchOwner {
        /// `Physical_Switch.name`.
        switch: SwitchName,
        /// The UUID of the network.
        network: Uuid,
        /// The clients that publish the broadcast route of the switch there.
        owners: Vec<ClientName>,
    },
}

impl LogEvent for Event {
    log_words!(
        ClientUp,
        ClientDown,
        ClientRefused,
        Subscribed,
        Unsubscribed,
        Reflected,
        RouteRemoved,
        Deferred,
        RouteRefused,
        EndOfRib,
        Configured,
        InventoryOutdated,
        ConfigurationSent,
        RevisionIgnored,
        SwitchOwner
    );

    fn level(&self) -> Level {
        match self {
            Self::Reflected { .. } | Self::RouteRemoved { .. } | Self::Deferred { .. } => Level::Debug,
            Self::ClientDown { why, .. } | Self::ClientRefused { why, .. } => Level::of_close(why),
            Self::RouteRefused { .. } | Self::InventoryOutdated { .. } | Self::RevisionIgnored { .. } => Level::Warn,
            Self::ConfigurationSent { serves_any: false, .. } | Self::Configured { is_raised: false, .. } => {
                Level::Warn
            }
            Self::SwitchOwner { owners, .. } if owners.len() != 1 => Level::Warn,
            Self::ClientUp { .. } | Self::Subscribed { .. } | Self::Unsubscribed { .. } => Level::Info,
            Self::EndOfRib { .. } | Self::Configured { .. } => Level::Info,
            Self::ConfigurationSent { .. } | Self::SwitchOwner { .. } => Level::Info,
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        if let Self::ClientDown { why, .. } | Self::ClientRefused { why, .. } = self {
            Some(why.reason)
        } else {
            None
        }
    }
}

impl fmt::Display for Event {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientUp { client, address } => write!(f, "{} from {address}", name(client)),
            Self::ClientDown { client, routes, why } => {
                write!(f, "{}, {}: {why}", name(client), count(*routes, "route", "routes"))
            }
            Self::ClientRefused { client, address, why } => write!(f, "{} from {address}: {why}", name(client)),
            Self::Subscribed {
                client,
                instance,
                known: true,
            } => write!(f, "{} to {}", name(client), short(instance.as_str())),
            Self::Subscribed { client, instance, .. } => write!(
                f,
                "{} to {}, which is not configured yet",
                name(client),
                short(instance.as_str())
            ),
            Self::Unsubscribed { client, instance } => {
                write!(f, "{} from {}", name(client), short(instance.as_str()))
            }
            Self::Reflected { instance, route } | Self::RouteRemoved { instance, route } => {
                write!(f, "{route} in {}", short(instance.as_str()))
            }
            Self::Deferred {
                client,
                instance,
                route,
            } => write!(f, "{route} of {} in {}", name(client), short(instance.as_str())),
            Self::RouteRefused { client, refusal, what } => write!(f, "{}: {what}: {refusal}", name(client)),
            Self::EndOfRib { client } => write!(f, "{}: every route has been sent", name(client)),
            Self::Configured {
                revision,
                networks,
                switches,
                is_raised,
            } => configured(f, *revision, (*networks, *switches), *is_raised),
            Self::InventoryOutdated { offered, revision } => {
                write!(
                    f,
                    "ignoring revision {offered}, lower than {revision}, which stays in force"
                )
            }
            Self::ConfigurationSent {
                client,
                revision,
                serves_any,
            } => {
                let but = if *serves_any { "" } else { ", which serves no switch" };
                write!(f, "revision {revision} to {}{but}", name(client))
            }
            Self::RevisionIgnored {
                client,
                revision,
                in_force,
            } => write!(
                f,
                "revision {revision} is ignored by {}: revision {in_force} is in force there",
                name(client)
            ),
            Self::SwitchOwner {
                switch,
                network,
                owners,
            } => switch_owner(f, switch, *network, owners),
        }
    }
}

fn configured(
    f: &mut fmt::Formatter<'_>,
    revision: u64,
    (networks, switches): (usize, usize),
    is_raised: bool,
) -> fmt::Result {
    let networks = count(networks, "network", "networks");
    let switches = count(switches, "switch", "switches");
    let but = match is_raised {
        true => "",
        false => "; the inventory changed without a higher revision",
    };
    write!(f, "revision {revision}: {networks}, {switches}{but}")
}

fn switch_owner(f: &mut fmt::Formatter<'_>, switch: &SwitchName, network: Uuid, owners: &[ClientName]) -> fmt::Result {
    let owners: Vec<String> = owners.iter().map(name).collect();
    match owners.as_slice() {
        [] => write!(f, "no agent owns {switch} in {network}"),
        [owner] => write!(f, "{owner} owns {switch} in {network}"),
        several => write!(f, "several agents own {switch} in {network}: {}", several.join(", ")),
    }
}

fn name(client: &ClientName) -> String {
    short(client.as_str())
}
