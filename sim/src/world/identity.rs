//! Who is who: the certificates of the nodes, and intruders that use the names of others.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tandem_core::Mac;
use tandem_core::contrail_schema::{instance, virtual_network};
use tandem_core::evpn::{Key, NextHop, Path};
use tandem_core::machine::Certificate;

use super::build::control_port;
use super::fault::Turn;
use super::process::{NodeInput, Process};
use super::{HostId, Kind, Part, State, World};
use crate::intruder::{self, Lure};
use crate::link::USER_TIMEOUT;
use crate::operator::configuration::{GUEST, vtep_of};
use crate::plan::{Fault, Intrusion, Role};
use crate::tls::{Shown, certificate};

/// The node with the name of a switch, and its tunnel end.
pub const TWIN: &str = "twin";
const TWIN_END: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 1);

/// More than any agent gives a route.
const PREFERENCE: u32 = 1000;

impl World {
    /// The certificate of each node that dials control nodes. That of the intruder names a guest, too.
    pub(super) fn certificates(&self) -> Arc<BTreeMap<Ipv4Addr, Certificate>> {
        let nodes = self.nodes.iter().filter_map(|node| {
            let names = match node.kind {
                Kind::Agent(_) | Kind::VRouter(_) => vec![&*node.name],
                Kind::Intruder => vec![&*node.name, GUEST],
                Kind::Switch(_) | Kind::Proxy(_) | Kind::Control(_) | Kind::Thief | Kind::Twin => return None,
            };
            Some((node.address, certificate(&names)))
        });
        Arc::new(nodes.collect())
    }

    /// The name of the node with an address.
    pub fn name_at(&self, address: Ipv4Addr) -> Option<&str> {
        let node = self.nodes.iter().find(|node| node.address == address);
        node.map(|node| &*node.name)
    }

    /// The certificate of a switch, as long as the faults last that go on.
    pub(super) fn certificate_of(&self, switch: &str) -> Shown {
        let mut faults = self.active.iter().filter_map(|place| self.plan.faults.get(*place));
        let is_its_end = |fault: &Fault| matches!(fault, Fault::Expire { switch: of } if &**of == switch);
        if faults.any(|scheduled| is_its_end(&scheduled.fault)) {
            Shown::Ended
        } else if self.plan.switch.certificates {
            Shown::Named(switch.to_owned())
        } else {
            Shown::Any
        }
    }

    pub(super) fn expire(&mut self, name: &str) {
        let shown = self.certificate_of(name);
        let node = self.node(name).and_then(|switch| self.nodes.get_mut(switch.0));
        if let Some(Process::Switch(device)) = node.and_then(|node| node.program.as_mut()) {
            device.show(shown);
        }
    }

    /// The switch whose name the twin has, in a world with one.
    pub fn twin_of(&self) -> Option<&str> {
        let mut faults = self.plan.faults.iter().map(|scheduled| &scheduled.fault);
        faults.find_map(|fault| {
            let Fault::Twin { switch } = fault else { return None };
            Some(&**switch)
        })
    }

    /// The twin has no power until its fault begins.
    pub(super) fn add_twin(&mut self) {
        if self.twin_of().is_none() {
            return;
        }
        self.add_node(Kind::Twin, TWIN.into(), TWIN_END, USER_TIMEOUT);
        if let Some(node) = self.nodes.last_mut() {
            (node.impairment.power, node.state) = (1, State::Dark);
        }
    }

    pub(super) fn start_twin(&mut self, host: HostId, address: Ipv4Addr, seed: u64) {
        let Some(name) = self.twin_of().map(str::to_owned) else {
            return;
        };
        let shown = match self.plan.switch.certificates {
            true => Shown::Named(TWIN.into()),
            false => Shown::Any,
        };
        let device = self.new_switch(&name, shown, address, seed);
        self.set_program(host, Process::Switch(Box::new(device)));
    }

    pub(super) fn twin(&mut self, turn: Turn) {
        let power = match turn {
            Turn::Begins => Turn::Ends,
            Turn::Ends => Turn::Begins,
        };
        self.impair(TWIN, power, |impairment| &mut impairment.power);
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
