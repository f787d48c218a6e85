//! The names of Contrail's schema, which control nodes write and agents read: kinds of nodes and links, properties, and
//! how the name of one object follows from that of another.
//!
//! A fully qualified name is a path, whose parts are separated by `:`. The objects of the fabric (routers, ports) stand
//! below [`GLOBAL`], those of tenants (networks, their instances and endpoints) below a project.

use std::fmt::Display;

use crate::evpn::InstanceName;
use crate::ids::{PortName, SwitchName, Uuid};

/// The root of the fabric's own objects.
pub const GLOBAL: &str = "default-global-system-config";

/// The project of every network whose name is not fully qualified.
pub const PROJECT: &str = "default-domain:default-project";

/// The default prefix of the name of a network's logical switch; the UUID of the network follows.
pub const LOGICAL_SWITCH_PREFIX: &str = "Contrail-";

/// Kinds of nodes.
pub mod kind {
    /// The root of the fabric.
    pub const GLOBAL_SYSTEM_CONFIG: &str = "global-system-config";
    /// The settings of every agent, such as the source of VNIs.
    pub const GLOBAL_VROUTER_CONFIG: &str = "global-vrouter-config";
    /// An agent, or whatever else subscribes to configuration.
    pub const VIRTUAL_ROUTER: &str = "virtual-router";
    /// A switch.
    pub const PHYSICAL_ROUTER: &str = "physical-router";
    /// A port of a switch.
    pub const PHYSICAL_INTERFACE: &str = "physical-interface";
    /// A VLAN of a port.
    pub const LOGICAL_INTERFACE: &str = "logical-interface";
    /// The endpoint behind a port and VLAN.
    pub const VIRTUAL_MACHINE_INTERFACE: &str = "virtual-machine-interface";
    /// A network.
    pub const VIRTUAL_NETWORK: &str = "virtual-network";
    /// The table of a network.
    pub const ROUTING_INSTANCE: &str = "routing-instance";
}

/// Kinds of links.
pub(crate) mod link {
    /// From the root to an agent.
    pub(crate) const GLOBAL_VIRTUAL_ROUTER: &str = "global-system-config-virtual-router";
    /// From the root to what holds for every agent.
    pub(crate) const GLOBAL_VROUTER_CONFIG: &str = "global-system-config-global-vrouter-config";
    /// From a switch to an agent that serves it.
    pub(crate) const ROUTER_AGENT: &str = "physical-router-virtual-router";
    /// From a switch to one of its ports.
    pub(crate) const ROUTER_PORT: &str = "physical-router-physical-interface";
    /// From a port to one of its VLANs.
    pub(crate) const PORT_VLAN: &str = "physical-interface-logical-interface";
    /// From a VLAN to what is behind it.
    pub(crate) const VLAN_ENDPOINT: &str = "logical-interface-virtual-machine-interface";
    /// From an endpoint to its network.
    pub(crate) const ENDPOINT_NETWORK: &str = "virtual-machine-interface-virtual-network";
    /// From an endpoint to the instance of its network, by way of a node of the same kind.
    pub(crate) const ENDPOINT_INSTANCE: &str = "virtual-machine-interface-routing-instance";
    /// From a network to its instance.
    pub(crate) const NETWORK_INSTANCE: &str = "virtual-network-routing-instance";
}

/// Properties of nodes. What Contrail has no property for stands in properties of our own, whose names begin with
/// `tandem-`; foreign agents ignore them.
pub mod property {
    /// The operator's name for an object.
    pub const DISPLAY_NAME: &str = "display-name";
    /// Permissions, with the UUID of the object inside.
    pub const ID_PERMS: &str = "id-perms";
    /// The tunnel end of a switch.
    pub const DATAPLANE_IP: &str = "physical-router-dataplane-ip";
    /// The VLAN of a logical interface.
    pub const VLAN_TAG: &str = "logical-interface-vlan-tag";
    /// The network's own number.
    pub const NETWORK_ID: &str = "virtual-network-network-id";
    /// The other properties of a network, the VNI among them.
    pub const NETWORK_PROPERTIES: &str = "virtual-network-properties";
    /// Within those, the VNI.
    pub const VNI: &str = "vxlan-network-identifier";
    /// Whether VNIs are `configured`, or the networks' own numbers.
    pub const VNI_MODE: &str = "vxlan-network-identifier-mode";
    /// On the `virtual-router`: the inventory's revision. An agent that receives it has everything of that revision.
    pub const REVISION: &str = "tandem-revision";
    /// On a `physical-router`: the certificate that the switch must present; `pinned` or `named` inside.
    pub const CERTIFICATE: &str = "tandem-certificate";
    /// On a `physical-router`: no other manager writes to the switch.
    pub const SOLE_MANAGER: &str = "tandem-sole-manager";
    /// On a `physical-interface`, to an agent that asked for it: VLANs of the port and their networks, in the form of
    /// `listed_vlan`. It takes the place of the nodes between the port and its networks.
    pub const VLANS: &str = "tandem-vlans";
    /// On a `physical-router`: rows that one transaction may touch.
    pub const ROWS_PER_TRANSACTION: &str = "tandem-rows-per-transaction";
}

/// The `virtual-router` of an agent or a services node.
pub fn virtual_router(client: impl Display) -> String {
    format!("{GLOBAL}:{client}")
}

/// The client of a `virtual-router`.
pub fn client(virtual_router: &str) -> Option<&str> {
    let client = virtual_router.strip_prefix(GLOBAL)?.strip_prefix(':')?;
    Some(client).filter(|client| !client.is_empty())
}

/// The `physical-router` of a switch.
pub(crate) fn physical_router(switch: &SwitchName) -> String {
    format!("{GLOBAL}:{switch}")
}

/// The `physical-interface` of a port.
pub(crate) fn physical_interface(physical_router: &str, port: &PortName) -> String {
    format!("{physical_router}:{port}")
}

/// The operator's name for a VLAN of a port.
pub(crate) fn port_vlan(port: &PortName, vlan: impl Display) -> String {
    format!("{port}.{vlan}")
}

/// The `logical-interface` of a VLAN of a port.
pub(crate) fn logical_interface(physical_interface: &str, port_vlan: &str) -> String {
    format!("{physical_interface}:{port_vlan}")
}

/// A VLAN of a port and its network in a list: `10:6f1c0d0e-0000-4000-8000-000000000001`.
pub(crate) fn vlan_entry(vlan: impl Display, network: Uuid) -> String {
    format!("{vlan}:{network}")
}

/// The VLAN and the network of an entry of such a list.
pub(crate) fn listed_vlan(entry: &str) -> Option<(u16, Uuid)> {
    let (vlan, network) = entry.split_once(':')?;
    Some((vlan.parse().ok()?, network.parse().ok()?))
}

/// The operator's name for the endpoint behind a port and VLAN.
pub(crate) fn endpoint(switch: &SwitchName, port_vlan: &str) -> String {
    format!("{switch}:{port_vlan}")
}

/// The `virtual-machine-interface` of an endpoint.
pub(crate) fn virtual_machine_interface(endpoint: &str) -> String {
    format!("{PROJECT}:{endpoint}")
}

/// The node in a link that has a value.
pub(crate) fn link_attribute(one: &str, other: &str) -> String {
    format!("attr({one},{other})")
}

/// The `virtual-network` of a network: `blue` is `default-domain:default-project:blue`.
pub fn virtual_network(name: &str) -> String {
    if name.contains(':') {
        name.into()
    } else {
        format!("{PROJECT}:{name}")
    }
}

/// The operator's name for a `virtual-network`: the name from which [`virtual_network`] makes this one.
pub fn network_name(virtual_network: &str) -> &str {
    let below = virtual_network
        .strip_prefix(PROJECT)
        .and_then(|it| it.strip_prefix(':'));
    below.filter(|name| !name.contains(':')).unwrap_or(virtual_network)
}

/// The routing instance of a `virtual-network`: `default-domain:demo:vn1` has `default-domain:demo:vn1:vn1`.
pub fn instance(virtual_network: &str) -> InstanceName {
    format!("{virtual_network}:{}", last_part(virtual_network)).into()
}

/// The `virtual-network` of a routing instance.
pub fn network_of(instance: &InstanceName) -> &str {
    let name = instance.as_str();
    name.rsplit_once(':').map_or(name, |(network, _)| network)
}

/// The last part of a fully qualified name.
pub(crate) fn last_part(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_a_qualified_name_and_its_instance_repeats_the_last_part() {
        for (name, qualified, of_instance) in [
            (
                "blue",
                "default-domain:default-project:blue",
                "default-domain:default-project:blue:blue",
            ),
            ("d:p:vn1", "d:p:vn1", "d:p:vn1:vn1"),
        ] {
            assert_eq!(virtual_network(name), qualified);
            assert_eq!(network_name(qualified), name);
            assert_eq!(instance(qualified).as_str(), of_instance);
            assert_eq!(network_of(&instance(qualified)), qualified);
        }
    }

    #[test]
    fn a_network_below_another_project_or_deeper_has_no_short_name() {
        for name in ["d:p:blue", "default-domain:default-project:a:b"] {
            assert_eq!(network_name(name), name);
        }
    }

    #[test]
    fn a_client_is_found_by_its_virtual_router() {
        assert_eq!(client(&virtual_router("agent-a")), Some("agent-a"));
        for other in [
            "agent-a",
            "default-global-system-config:",
            "default-global-system-configx:a",
        ] {
            assert_eq!(client(other), None, "{other}");
        }
    }

    #[test]
    fn ports_stand_below_their_switch_and_endpoints_below_the_project() {
        let (switch, port) = (SwitchName::from("tor1"), PortName::from("eth1"));
        let interface = physical_interface(&physical_router(&switch), &port);
        let vlan = port_vlan(&port, 10);
        let names = [
            logical_interface(&interface, &vlan),
            virtual_machine_interface(&endpoint(&switch, &vlan)),
        ];
        let expected = [
            "default-global-system-config:tor1:eth1:eth1.10",
            "default-domain:default-project:tor1:eth1.10",
        ];
        assert_eq!(names, expected);
    }
}
