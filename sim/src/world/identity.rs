//! Who is who: the certificates of the nodes, and intruders that use the names of others.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::Mac;
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::evpn::{Key, NextHop, Path};
use tandem_core::machine::{Certificate, Fingerprint};

use super::build::control_port;
use super::fault::Turn;
use super::process::NodeInput;
use super::{Kind, Part, World};
use crate::intruder::{self, Lure};
use crate::operator::configuration::{GUEST, vtep_of};
use crate::plan::{Intrusion, Role};

/// More than any agent gives a route.
const PREFERENCE: u32 = 1000;

impl World {
    /// The certificate of each node that dials control nodes. That of the intruder names a guest, too.
    pub(super) fn certificates(&self) -> Arc<BTreeMap<Ipv4Addr, Certificate>> {
        let nodes = self.nodes.iter().zip(1..).filter_map(|(node, number)| {
            let names = match node.kind {
                Kind::Agent(_) | Kind::VRouter(_) => vec![&*node.name],
                Kind::Intruder => vec![&*node.name, GUEST],
                Kind::Switch(_) | Kind::Proxy(_) | Kind::Control(_) | Kind::Thief => return None,
            };
            Some((node.address, certificate(&names, number)))
        });
        Arc::new(nodes.collect())
    }

    /// The name of the node with an address.
    pub fn name_at(&self, address: Ipv4Addr) -> Option<&str> {
        let node = self.nodes.iter().find(|node| node.address == address);
        node.map(|node| &*node.name)
    }

    pub(super) fn intrude(&mut self, control: &str, how: Intrusion, turn: Turn) {
        let (Some(control), Some(intruder)) = (self.node(control), self.node("intruder")) else {
            return;
        };
        let Some(Kind::Control(number)) = self.nodes.get(control.0).map(|node| node.kind) else {
            return;
        };
        let to = control_port(number);
        let topology = &self.plan.topology;
        let names = match how {
            Intrusion::TakenName => [topology.names(Role::Agent), topology.names(Role::VRouter)].concat(),
            Intrusion::UnknownName => vec![self.name_of(intruder)],
            Intrusion::ForeignTunnelEnd => vec![GUEST.into()],
        };
        let command = match turn {
            Turn::Begins => intruder::Command::Intrude {
                to,
                names,
                lures: self.lures(),
            },
            Turn::Ends => intruder::Command::Leave { to },
        };
        self.deliver(intruder, Part::Program, NodeInput::Intruder(command));
    }

    /// In every network: a MAC at the intruder's tunnel end, one at that of a switch, and a MAC of others.
    fn lures(&self) -> Arc<[Lure]> {
        let first = vtep_of(&Role::Switch.node(0));
        let networks = &self.wanted(0).networks;
        let lures = networks.values().flat_map(|network| {
            let taken = network.remote_macs.keys().next().copied();
            let places = [
                (intruder::mac(1), intruder::END),
                (intruder::mac(2), first),
                (taken.unwrap_or(intruder::mac(3)), intruder::END),
            ];
            places.map(|(mac, end): (Mac, Ipv4Addr)| Lure {
                instance: instance(&virtual_network(&network.name)),
                key: Key::of_mac(network.vni, mac),
                path: Path {
                    next_hops: vec![NextHop::vxlan(end, network.vni)],
                    local_preference: PREFERENCE,
                    ..Path::default()
                },
            })
        });
        lures.collect()
    }
}

fn certificate(names: &[&str], number: u8) -> Certificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Certificate {
        fingerprint: Fingerprint([number; 32]),
        identities: names.clone(),
        names,
        not_after_unix_s: i64::MAX,
        pinned_only: false,
    }
}
