//! What the operator wants of the switches, and how that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tandem_core::brake::Brake;
use tandem_core::configuration::{CertificateRule, Configuration, Network, SessionOptions, Switch, VlanId};
use tandem_core::control::{Access, Inventory, ListedClient, ServedSwitch};
use tandem_core::ids::PortName;
use tandem_core::{Mac, SwitchName, Uuid, Vni};

use super::{PORTS, PREFIX};
use crate::plan::{Configure, Plan};

/// What is wanted: every network has one VLAN of one port, the same on every switch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Intent {
    seed: u64,
    switches: BTreeMap<SwitchName, Ipv4Addr>,
    /// A switch must have a certificate with its name.
    certificates: bool,
    /// No other program writes to a switch.
    sole_manager: bool,
    rows_per_transaction_max: Option<usize>,
    /// In the order in which they were created.
    networks: BTreeMap<Uuid, Wanted>,
    /// Networks that there have been.
    created: u16,
    /// Remote MACs of a new network.
    remote_macs: usize,
    /// The network that was removed last: it may come back.
    removed: Option<Uuid>,
    /// Networks that the configuration has lost, and that may be back.
    lost: BTreeMap<Uuid, Wanted>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Wanted {
    network: Network,
    port: &'static str,
    vlan: VlanId,
}

/// A client besides agents and vRouters that the inventory lists.
pub const GUEST: &str = "guest";

/// Every vRouter and the guest may open a session, and publish their own address.
fn access() -> Access {
    let listed = ["vrouter-*", GUEST].map(|name| ListedClient {
        name: name.into(),
        certificates: Vec::new(),
        next_hops: Vec::new(),
    });
    Access {
        listed: listed.into(),
        ..Access::default()
    }
}

/// The name of a switch: 1 is `tor1`.
pub fn switch_name(number: usize) -> String {
    format!("tor{number}")
}

/// The tunnel end of a switch, by its name: that of `tor1` is 10.1.0.1.
pub fn vtep_of(switch_name: &str) -> Ipv4Addr {
    let number = switch_name.trim_start_matches(|c: char| !c.is_ascii_digit());
    Ipv4Addr::new(10, 1, 0, number.parse().unwrap_or(0))
}

impl Intent {
    /// What is wanted at the beginning: VNIs from 5001, VLANs of the first port from 101.
    pub fn new(plan: &Plan) -> Self {
        let names = (1..=plan.topology.switches).map(switch_name);
        let mut intent = Self {
            seed: plan.seed,
            switches: names.map(|name| (name.as_str().into(), vtep_of(&name))).collect(),
            certificates: plan.switch.certificates,
            sole_manager: plan.switch.sole_manager,
            rows_per_transaction_max: plan.switch.rows_per_transaction_max,
            networks: BTreeMap::new(),
            created: 0,
            remote_macs: plan.topology.remote_macs,
            removed: None,
            lost: BTreeMap::new(),
        };
        for _ in 0..plan.topology.networks {
            intent.add(None);
        }
        intent
    }

    /// Whether a network is wanted.
    pub fn wants(&self, network: Uuid) -> bool {
        self.networks.contains_key(&network)
    }

    /// The configuration of an agent with this name and this services node.
    pub fn configuration(&self, agent: &str, tsn: Ipv4Addr, plan: &Plan) -> Configuration {
        let usual = SessionOptions::new(agent, tsn);
        let rows = plan.agent.brake_rows;
        let percent = Brake::DEFAULT.percent;
        let session = SessionOptions {
            brake: (rows > 0).then_some(Brake { percent, rows }),
            logical_switch_prefix: PREFIX.into(),
            keepalive: plan.agent.keepalive.unless_zero(),
            manager: usual.manager.clone().filter(|_| plan.agent.manager),
            ..usual
        };
        Configuration {
            session,
            networks: self.networks(),
            switches: self.switches().collect(),
        }
    }

    /// The inventory of the control nodes, with the agents that serve every switch.
    pub fn inventory(&self, revision: u64, agents: &[String]) -> Inventory {
        let served = |switch| ServedSwitch {
            switch,
            agents: agents.iter().map(|agent| agent.as_str().into()).collect(),
            tsns: Vec::new(),
        };
        Inventory {
            revision,
            networks: self.networks(),
            switches: self.switches().map(|(name, switch)| (name, served(switch))).collect(),
            access: access(),
        }
    }

    fn networks(&self) -> BTreeMap<Uuid, Network> {
        let networks = self.networks.iter();
        networks.map(|(uuid, wanted)| (*uuid, wanted.network.clone())).collect()
    }

    fn switches(&self) -> impl Iterator<Item = (SwitchName, Switch)> {
        let mut ports = BTreeMap::<PortName, BTreeMap<VlanId, Uuid>>::new();
        for (uuid, wanted) in &self.networks {
            ports.entry(wanted.port.into()).or_default().insert(wanted.vlan, *uuid);
        }
        let (certificates, sole_manager) = (self.certificates, self.sole_manager);
        let rows_per_transaction_max = self.rows_per_transaction_max;
        let switch = move |name: &SwitchName, vtep| Switch {
            vtep: Some(vtep),
            certificate: certificates.then(|| CertificateRule::Named(name.to_string())),
            ports: ports.clone(),
            sole_manager,
            rows_per_transaction_max,
        };
        let switches = self.switches.iter();
        switches.map(move |(name, vtep)| (name.clone(), switch(name, *vtep)))
    }

    /// What is known before everything is: half of the networks are missing, and always the same ones.
    pub fn half(&self) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut missing: Vec<_> = self.networks.keys().copied().collect();
        missing.shuffle(&mut random);
        missing.truncate(self.networks.len().div_ceil(2));
        let mut half = self.clone();
        half.networks.retain(|uuid, _| !missing.contains(uuid));
        half
    }

    /// The operator changes a network, a binding or a VNI. One network always remains.
    pub fn change(&mut self, what: Configure, random: &mut ChaCha8Rng) {
        match what {
            Configure::AddNetwork => {
                let returns = random.random_bool(0.5);
                let uuid = self.removed.take_if(|_| returns);
                self.add(uuid);
            }
            Configure::RemoveNetwork => {
                if self.networks.len() > 1 {
                    self.removed = self.networks.pop_last().map(|(uuid, _)| uuid);
                }
            }
            Configure::SwapVnis => {
                let mut networks = self.networks.values_mut();
                if let (Some(first), Some(second)) = (networks.next(), networks.next()) {
                    std::mem::swap(&mut first.network.vni, &mut second.network.vni);
                }
            }
            Configure::LoseNetworks => self.lose_networks(),
            Configure::Rebind => {
                let [first, second, _] = PORTS;
                if let Some(mut last) = self.networks.last_entry() {
                    let last = last.get_mut();
                    last.port = if last.port == first { second } else { first };
                }
            }
        }
    }

    fn lose_networks(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost.is_empty() {
            let second = self.networks.keys().nth(1).copied();
            self.lost = second.map_or_else(BTreeMap::new, |second| self.networks.split_off(&second));
        }
        for (uuid, wanted) in lost {
            let network = &wanted.network;
            let mut others = self.networks.values();
            // Another network may have its numbers meanwhile.
            match others.any(|other| other.network.vni == network.vni || other.vlan == wanted.vlan) {
                true => self.add(Some(uuid)),
                false => drop(self.networks.insert(uuid, wanted)),
            }
        }
    }

    /// A switch gets another tunnel end, and back again the next time. Answers which.
    pub fn move_tunnel_end(&mut self, switch: &str) -> Option<Ipv4Addr> {
        let vtep = self.switches.get_mut(&switch.into())?;
        let [first, second, third, last] = vtep.octets();
        *vtep = Ipv4Addr::new(first, second, 1 - third.min(1), last);
        Some(*vtep)
    }

    /// No remote MAC is wanted any more.
    pub fn withdraw_remote_macs(&mut self) {
        for wanted in self.networks.values_mut() {
            wanted.network.remote_macs.clear();
        }
    }

    /// A remote MAC comes, goes, or moves to another tunnel end.
    pub fn change_remote(&mut self, random: &mut ChaCha8Rng) {
        let Some(wanted) = self.networks.values_mut().choose(random) else {
            return;
        };
        let macs = &mut wanted.network.remote_macs;
        let known = macs.keys().copied().choose(random);
        let unknown = (0..2 * self.remote_macs + 8)
            .map(remote_mac)
            .filter(|mac| !macs.contains_key(mac))
            .choose(random);
        match (random.random_range(0..3), known, unknown) {
            (0, _, Some(comes)) | (_, None, Some(comes)) => {
                macs.insert(comes, remote_vtep(random.random_range(0..REMOTE_VTEPS)));
            }
            (1, Some(goes), _) => drop(macs.remove(&goes)),
            (_, Some(moves), _) => {
                let places: Vec<_> = (0..REMOTE_VTEPS).map(remote_vtep).collect();
                let place = macs.entry(moves).or_insert(Ipv4Addr::UNSPECIFIED);
                let others: Vec<_> = places.into_iter().filter(|other| other != place).collect();
                *place = others.choose(random).copied().unwrap_or(*place);
            }
            (_, None, None) => {}
        }
    }

    /// Adds a network, new or known, with the lowest free VNI and VLAN, which another network may have had.
    fn add(&mut self, uuid: Option<Uuid>) {
        let [port, ..] = PORTS;
        let vnis: BTreeSet<_> = self.networks.values().map(|wanted| wanted.network.vni).collect();
        let vni = (5001..).filter_map(Vni::new).find(|vni| !vnis.contains(vni));
        let vlans: BTreeSet<_> = self.networks.values().map(|wanted| wanted.vlan).collect();
        let vlan = (101..=4094).find(|vlan| !vlans.contains(vlan));
        let (Some(vni), Some(vlan)) = (vni, vlan) else {
            return;
        };
        let uuid = uuid.unwrap_or_else(|| {
            self.created += 1;
            Uuid(FIRST_NETWORK + u128::from(self.created))
        });
        // The same MACs everywhere, at other tunnel ends: a MAC means something only within its network.
        let place = |number: usize| remote_vtep(number + usize::from(vlan));
        let remote_macs = (0..self.remote_macs).map(|number| (remote_mac(number), place(number)));
        let network = Network {
            name: format!("network-{}", uuid.0 - FIRST_NETWORK),
            vni,
            remote_macs: remote_macs.collect(),
        };
        self.networks.insert(uuid, Wanted { network, port, vlan });
    }
}

/// What precedes the UUIDs of the networks.
const FIRST_NETWORK: u128 = 0x6f1c_0d0e_0000_4000_8000_0000_0000_0000;

/// Tunnel ends that remote MACs are at: 10.2.0.1 and following.
const REMOTE_VTEPS: usize = 8;

fn remote_vtep(number: usize) -> Ipv4Addr {
    let last = u8::try_from(number % REMOTE_VTEPS).unwrap_or(0);
    Ipv4Addr::new(10, 2, 0, 1 + last)
}

fn remote_mac(number: usize) -> Mac {
    let [.., a, b, c] = number.to_be_bytes();
    Mac([0x02, 0, 0x05, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{plan, random};
    use super::*;
    use crate::plan::Span;

    const TSN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

    fn vnis(intent: &Intent) -> Vec<u32> {
        let networks = intent.networks.values();
        networks.map(|wanted| wanted.network.vni.value()).collect()
    }

    #[test]
    fn every_switch_is_configured_for_every_network_with_its_own_vtep() {
        let mut plan = plan(3);
        plan.topology.switches = 2;
        plan.agent.keepalive = Span::ZERO;
        plan.agent.manager = false;
        let configuration = Intent::new(&plan).configuration("agent-a", TSN, &plan);
        assert_eq!(configuration.session.agent, "agent-a");
        assert_eq!(configuration.session.tsn, TSN);
        assert_eq!(configuration.session.keepalive, None);
        assert_eq!(configuration.session.manager, None);
        let vteps: Vec<_> = configuration
            .switches
            .values()
            .filter_map(|switch| switch.vtep)
            .collect();
        assert_eq!(vteps, [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 2)]);
        for switch in configuration.switches.values() {
            assert_eq!(switch.networks(), configuration.networks.keys().copied().collect());
            let vlans: Vec<_> = switch.ports[&"eth1".into()].keys().copied().collect();
            assert_eq!(vlans, [101, 102, 103]);
        }
        for network in configuration.networks.values() {
            assert_eq!(network.remote_macs.len(), plan.topology.remote_macs);
            let places: BTreeSet<_> = network.remote_macs.values().collect();
            assert_eq!(places.len(), REMOTE_VTEPS);
        }
    }

    #[test]
    fn timers_are_there_when_the_plan_has_them() {
        let plan = plan(1);
        let session = Intent::new(&plan).configuration("agent-a", TSN, &plan).session;
        assert_eq!(session.keepalive, Some(plan.agent.keepalive.duration()));
        assert!(session.manager.is_some());
    }

    #[test]
    fn half_lacks_networks_and_is_always_the_same_half() {
        for networks in 1..6 {
            let plan = plan(networks);
            let intent = Intent::new(&plan);
            let half = intent.half();
            assert_eq!(half.networks.len(), networks / 2);
            assert_eq!(half, Intent::new(&plan).half());
            let whole = intent.configuration("agent-a", TSN, &plan);
            let part = half.configuration("agent-a", TSN, &plan);
            assert!(
                part.networks
                    .iter()
                    .all(|(uuid, network)| whole.networks[uuid] == *network)
            );
        }
    }

    #[test]
    fn each_change_has_its_effect() {
        let mut random = random(1);
        let mut intent = Intent::new(&plan(2));
        intent.change(Configure::SwapVnis, &mut random);
        assert_eq!(vnis(&intent), [5002, 5001]);
        intent.change(Configure::AddNetwork, &mut random);
        assert_eq!(vnis(&intent), [5002, 5001, 5003]);
        intent.change(Configure::Rebind, &mut random);
        let ports = |intent: &Intent| intent.networks.values().map(|wanted| wanted.port).collect::<Vec<_>>();
        assert_eq!(ports(&intent), ["eth1", "eth1", "eth2"]);
        intent.change(Configure::Rebind, &mut random);
        assert_eq!(ports(&intent), ["eth1"; 3]);
        for _ in 0..5 {
            intent.change(Configure::RemoveNetwork, &mut random);
        }
        assert_eq!(vnis(&intent), [5002]);
        intent.change(Configure::SwapVnis, &mut random);
        assert_eq!(vnis(&intent), [5002], "there is nothing to swap with");
    }

    #[test]
    fn lost_networks_are_back_the_next_time() {
        let mut random = random(1);
        let mut intent = Intent::new(&plan(3));
        let before = intent.networks.clone();
        intent.change(Configure::LoseNetworks, &mut random);
        assert_eq!(vnis(&intent), [5001]);
        intent.change(Configure::LoseNetworks, &mut random);
        assert_eq!(intent.networks, before);
        intent.change(Configure::LoseNetworks, &mut random);
        intent.change(Configure::AddNetwork, &mut random);
        intent.change(Configure::LoseNetworks, &mut random);
        let numbers: BTreeSet<u32> = vnis(&intent).into_iter().collect();
        assert_eq!(numbers, [5001, 5002, 5003, 5004].into());
    }

    #[test]
    fn a_network_comes_back_or_another_takes_its_numbers() {
        let mut random = random(1);
        let mut intent = Intent::new(&plan(2));
        let removed = *intent.networks.keys().last().expect("a network");
        let mut returned = BTreeSet::new();
        for _ in 0..20 {
            let mut later = intent.clone();
            later.change(Configure::RemoveNetwork, &mut random);
            later.change(Configure::AddNetwork, &mut random);
            assert_eq!(vnis(&later), [5001, 5002]);
            returned.insert(later.networks.contains_key(&removed));
        }
        assert_eq!(returned.len(), 2, "both happen");
        intent.change(Configure::AddNetwork, &mut random);
        assert_eq!(vnis(&intent), [5001, 5002, 5003]);
    }

    #[test]
    fn one_remote_mac_at_a_time_comes_goes_or_moves() {
        let mut random = random(1);
        let plan = plan(2);
        let mut intent = Intent::new(&plan);
        let routes = |intent: &Intent| -> BTreeMap<_, _> {
            let networks = intent.networks.iter();
            networks
                .flat_map(|(uuid, wanted)| {
                    let macs = wanted.network.remote_macs.iter();
                    macs.map(|(mac, vtep)| ((*uuid, *mac), *vtep))
                })
                .collect()
        };
        let mut seen = BTreeSet::new();
        for _ in 0..500 {
            let before = routes(&intent);
            intent.change_remote(&mut random);
            let after = routes(&intent);
            let is_new = |(key, vtep): &(&(Uuid, Mac), &Ipv4Addr)| before.get(key) != Some(vtep);
            let changed = after.iter().filter(is_new).count();
            let gone = before.keys().filter(|key| !after.contains_key(key)).count();
            assert_eq!(changed + gone, 1);
            seen.insert((changed, after.len() > before.len()));
        }
        assert_eq!(seen.len(), 3, "they come, go and move");
    }
}
