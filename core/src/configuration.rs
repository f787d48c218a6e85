//! The configuration of an agent, from a file or from control nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::PROGRAMMED_ROWS;
use crate::brake::Brake;
use crate::contrail_schema::LOGICAL_SWITCH_PREFIX;
use crate::ids::{LogicalSwitchName, Mac, PortName, SwitchName, Uuid, Vni};
use crate::machine::{Certificate, Fingerprint};

/// Everything that one agent is configured with.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The options of every session.
    pub session: SessionOptions,
    /// The networks, by their UUID.
    pub networks: BTreeMap<Uuid, Network>,
    /// The switches, by `Physical_Switch.name`.
    pub switches: BTreeMap<SwitchName, Switch>,
}

/// The options of a session, the same for every switch.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SessionOptions {
    /// Our own name, for the comments in the switch's log.
    pub agent: String,
    /// The tunnel end of our services node: where a broadcast goes.
    pub tsn: Ipv4Addr,
    /// The OVSDB lock whose holder may write; an `<id>` of RFC 7047.
    pub lock: String,
    /// The text before the UUID of the network in `Logical_Switch.name`.
    pub logical_switch_prefix: String,
    /// T of the keepalive; `None` switches it off.
    pub keepalive: Option<Duration>,
    /// The time that a switch has to remove its own local MACs before a logical switch is deleted over them.
    pub local_macs_grace: Duration,
    /// The bounds above which deletions wait for an operator; `None` deletes everything at once.
    #[serde(default)]
    pub brake: Option<Brake>,
    /// The values for the switch's `Manager` row where no operator has set it; `None` leaves the row alone.
    pub manager: Option<ManagerTimers>,
    /// Routes come from control nodes: no remote MAC is deleted before those of its network are complete.
    pub routed: bool,
    /// Remote MACs up to which a switch is programmed: [`PROGRAMMED_ROWS`], less in tests.
    #[serde(skip, default = "programmed_rows")]
    pub programmed_rows: usize,
    /// The planted bug to have.
    #[cfg(feature = "mutants")]
    #[serde(skip)]
    pub mutant: Option<crate::mutant::Mutant>,
}

fn programmed_rows() -> usize {
    PROGRAMMED_ROWS
}

/// The values for a `Manager` row.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ManagerTimers {
    /// The row to set, by its target; `None` means the only row whose target the switch dials.
    pub target: Option<String>,
    /// `Manager.max_backoff` in milliseconds; 1000 at least.
    pub max_backoff_ms: u32,
    /// `Manager.inactivity_probe` in milliseconds.
    pub inactivity_probe_ms: u32,
}

/// A network: one logical switch on every switch that has a port in it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The name that people use.
    pub name: String,
    /// Its VXLAN network identifier.
    pub vni: Vni,
    /// The MAC addresses that are configured to live elsewhere, and the tunnel end of each.
    pub remote_macs: BTreeMap<Mac, Ipv4Addr>,
}

/// A switch that we may be asked to manage.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    /// Its tunnel end. Routes that point there never go south.
    pub vtep: Option<Ipv4Addr>,
    /// Which certificate it must present; `None` takes every one that the CA signed, and none that is pinned to another
    /// switch alone.
    pub certificate: Option<CertificateRule>,
    /// Which network each port and VLAN belongs to.
    pub ports: BTreeMap<PortName, BTreeMap<VlanId, Uuid>>,
    /// No other manager writes to this switch, so it needs no lock if it has none.
    pub sole_manager: bool,
    /// Rows that one transaction may touch; `None` means our own default.
    pub rows_per_transaction_max: Option<usize>,
}

impl Switch {
    /// The networks that have a port here.
    pub fn networks(&self) -> BTreeSet<Uuid> {
        self.ports.values().flat_map(BTreeMap::values).copied().collect()
    }
}

/// The fingerprint by which two parties compare their configurations of a switch: everything that is configured of it,
/// and the VNI of each of its networks. Sixteen hexadecimal digits; the same everywhere and in every version.
pub fn fingerprint(switch: &Switch, networks: &BTreeMap<Uuid, Network>) -> String {
    let vni = |uuid: Uuid| Some((uuid, networks.get(&uuid)?.vni));
    let vnis: BTreeMap<Uuid, Vni> = switch.networks().into_iter().filter_map(vni).collect();
    let text = serde_json::to_vec(&(switch, vnis)).unwrap_or_default();
    let hash = fnv1a(&text);
    format!("{:016x}", (hash >> 64) ^ (hash & u128::from(u64::MAX)))
}

/// The hash FNV-1a of 128 bits: small and stable, and no protection against an attacker.
pub(crate) fn fnv1a(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
    bytes.iter().fold(BASIS, step)
}

/// A key of `Physical_Port.vlan_bindings`: 0 (untagged) to 4095.
pub type VlanId = u16;

/// The rule that binds a switch's certificate to its name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateRule {
    /// Exactly this certificate.
    Pinned(Fingerprint),
    /// Any certificate of the CA with this common name or DNS name.
    Named(String),
}

impl Configuration {
    /// The certificates that its switches pin.
    pub fn pins(&self) -> BTreeSet<Fingerprint> {
        let rules = self.switches.values().filter_map(|switch| switch.certificate.as_ref());
        rules.filter_map(CertificateRule::pin).collect()
    }
}

impl CertificateRule {
    /// The certificate, if it is exactly one.
    pub fn pin(&self) -> Option<Fingerprint> {
        match self {
            Self::Pinned(fingerprint) => Some(*fingerprint),
            Self::Named(_) => None,
        }
    }

    /// Whether the peer's certificate keeps the rule.
    pub(crate) fn admits(&self, certificate: Option<&Certificate>) -> bool {
        match (self, certificate) {
            (_, None) => false,
            (Self::Pinned(pin), Some(shown)) => *pin == shown.fingerprint,
            (Self::Named(name), Some(shown)) => !shown.pinned_only && shown.names.contains(name),
        }
    }
}

impl SessionOptions {
    /// The default time that a switch has to remove its own local MACs.
    pub const LOCAL_MACS_GRACE: Duration = Duration::from_secs(15);

    /// The default options of a session.
    pub fn new(agent: impl Into<String>, tsn: Ipv4Addr) -> Self {
        Self {
            agent: agent.into(),
            tsn,
            lock: "tandem".into(),
            logical_switch_prefix: LOGICAL_SWITCH_PREFIX.into(),
            keepalive: Some(Duration::from_secs(10)),
            local_macs_grace: Self::LOCAL_MACS_GRACE,
            brake: None,
            manager: Some(ManagerTimers {
                target: None,
                max_backoff_ms: 1000,
                inactivity_probe_ms: 5000,
            }),
            routed: false,
            programmed_rows: PROGRAMMED_ROWS,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// The name of a network's logical switch.
    pub fn logical_switch(&self, network: Uuid) -> LogicalSwitchName {
        LogicalSwitchName::of_network(&self.logical_switch_prefix, network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_of_what_the_switch_is_to_have() {
        let network = |vni, name: &str| Network {
            name: name.into(),
            vni: Vni::new(vni).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        let mut networks = BTreeMap::from([(Uuid(1), network(101, "blue")), (Uuid(2), network(102, "red"))]);
        let mut switch = Switch {
            vtep: Some(Ipv4Addr::new(192, 0, 2, 1)),
            ports: BTreeMap::from([("eth1".into(), BTreeMap::from([(10, Uuid(1))]))]),
            ..Switch::default()
        };
        let first = fingerprint(&switch, &networks);
        assert_eq!(first, "812d249470fb7c92");
        networks.insert(Uuid(1), network(101, "default-domain:default-project:blue"));
        networks.insert(Uuid(2), network(103, "red"));
        assert_eq!(
            fingerprint(&switch, &networks),
            first,
            "names do not matter, nor other networks"
        );
        networks.insert(Uuid(1), network(104, "blue"));
        assert_ne!(fingerprint(&switch, &networks), first);
        networks.insert(Uuid(1), network(101, "blue"));
        switch.ports.insert("eth2".into(), BTreeMap::new());
        assert_ne!(fingerprint(&switch, &networks), first);
    }
}
