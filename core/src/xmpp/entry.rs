//! The EVPN entry: a route on the wire, read and written.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::evpn::{Encapsulations, Key, NextHop, Path, host_address};
use crate::ids::Mac;
use crate::text::short;
use crate::xmpp::markup::{push, text_leaf};
use crate::xmpp::xml::Cursor;

/// Why something cannot be read. Always the peer's fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    /// The protocol is broken, and the session ends.
    Malformed(String),
    /// It cannot be taken, and the session goes on.
    Refused(String),
}

/// Reads what stands in an `<item>`.
pub(super) fn read(item: Cursor<'_>) -> Result<(Key, Path), Trouble> {
    let entry = item
        .child("entry")
        .ok_or_else(|| malformed("an item without an entry"))?;
    let key = read_key(entry)?;
    let path = read_path(entry);
    path.map(|path| (key, path)).map_err(|trouble| match trouble {
        Trouble::Malformed(what) => Trouble::Malformed(format!("{what}, in the route {key}")),
        Trouble::Refused(what) => Trouble::Refused(format!("{what}, in the route {key}")),
    })
}

fn read_key(entry: Cursor<'_>) -> Result<Key, Trouble> {
    let nlri = entry
        .child("nlri")
        .ok_or_else(|| malformed("an entry without its NLRI"))?;
    let family: (u32, u32) = (integer(nlri, "af")?, integer(nlri, "safi")?);
    if family != (25, 242) {
        return Err(refused(format!("a route of the family {}/{}", family.0, family.1)));
    }
    let mac = text(nlri, "mac");
    let mac: Mac = mac.parse().map_err(|error| refused(format!("{error}")))?;
    if mac == Mac([0; 6]) {
        return Err(refused("a route of an IP prefix (type 5)"));
    }
    if !matches!(text(nlri, "group"), "" | "0.0.0.0" | "::") {
        return Err(refused("a route of one multicast group (type 6)"));
    }
    let address = text(nlri, "address");
    Ok(Key {
        ethernet_tag: integer(nlri, "ethernet-tag")?,
        mac,
        address: host_address(address)
            .ok_or_else(|| refused(format!("`{}` is not the address of a host", short(address))))?,
    })
}

fn read_path(entry: Cursor<'_>) -> Result<Path, Trouble> {
    let mobility = entry.child("mobility");
    let seqno = mobility.and_then(|mobility| mobility.attribute("seqno"));
    let seqno: u32 = seqno.map_or(Ok(0), |seqno| number(seqno, "seqno"))?;
    let sequence = integer(entry, "sequence-number")?;
    Ok(Path {
        next_hops: next_hops(entry, "next-hops")?,
        olist: next_hops(entry, "olist")?,
        leaf_olist: next_hops(entry, "leaf-olist")?,
        virtual_network: text(entry, "virtual-network").into(),
        sequence: if seqno == 0 { sequence } else { seqno },
        sticky: mobility.is_some_and(|mobility| mobility.attribute("sticky") == Some("true")),
        security_groups: integers(entry, "security-group-list", "security-group")?,
        local_preference: integer(entry, "local-preference")?,
        med: integer(entry, "med")?,
        edge_replication_not_supported: flag(entry, "edge-replication-not-supported"),
        assisted_replication_supported: flag(entry, "assisted-replication-supported"),
        replicator: match text(entry, "replicator-address") {
            "" => None,
            address => Some(tunnel_end(address)?).filter(|address| !address.is_unspecified()),
        },
        etree_leaf: flag(entry, "etree-leaf"),
    })
}

fn next_hops(entry: Cursor<'_>, name: &str) -> Result<Vec<NextHop>, Trouble> {
    let list = entry.child(name);
    let hops = list.iter().flat_map(|list| list.children_named("next-hop"));
    hops.map(next_hop).collect()
}

fn next_hop(hop: Cursor<'_>) -> Result<NextHop, Trouble> {
    let address = tunnel_end(text(hop, "address"))?;
    if address.is_unspecified() {
        return Err(refused("a next hop that is nowhere"));
    }
    let list = hop.child("tunnel-encapsulation-list");
    let mut encapsulations = Encapsulations::default();
    for encapsulation in list.iter().flat_map(|list| list.children_named("tunnel-encapsulation")) {
        match encapsulation.text().trim_matches(SPACE) {
            "gre" => encapsulations.gre = true,
            "udp" => encapsulations.udp = true,
            "vxlan" => encapsulations.vxlan = true,
            _ => encapsulations.unknown = true,
        }
    }
    Ok(NextHop {
        address,
        label: integer(hop, "label")?,
        encapsulations,
        tags: integers(hop, "tag-list", "tag")?,
    })
}

fn tunnel_end(address: &str) -> Result<Ipv4Addr, Trouble> {
    let parsed = address.parse();
    parsed.map_err(|_| refused(format!("`{}` is not an IPv4 address", short(address))))
}

/// The text of a child; nothing if it is not there.
pub(super) fn text<'d>(parent: Cursor<'d>, name: &str) -> &'d str {
    parent.child(name).map_or("", |child| child.text().trim_matches(SPACE))
}

/// The number in a child; 0 if it is not there.
pub(super) fn integer<T: FromStr + Default>(parent: Cursor<'_>, name: &str) -> Result<T, Trouble> {
    let child = parent.child(name);
    child.map_or(Ok(T::default()), |child| number(child.text(), name))
}

fn integers(parent: Cursor<'_>, list: &str, name: &str) -> Result<Vec<u32>, Trouble> {
    let list = parent.child(list);
    let children = list.iter().flat_map(|list| list.children_named(name));
    children.map(|child| number(child.text(), name)).collect()
}

pub(super) fn number<T: FromStr>(text: &str, name: &str) -> Result<T, Trouble> {
    let text = text.trim_matches(SPACE);
    text.parse().map_err(|_| match text.parse::<i128>() {
        Ok(_) => refused(format!("{text} is out of range for <{name}>")),
        Err(_) => malformed(&format!("`{}` is not an integer, in <{name}>", short(text))),
    })
}

/// Anything but `true` is not true.
fn flag(parent: Cursor<'_>, name: &str) -> bool {
    text(parent, name) == "true"
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

pub(super) fn malformed(what: &str) -> Trouble {
    Trouble::Malformed(what.into())
}

pub(super) fn refused(what: impl Into<String>) -> Trouble {
    Trouble::Refused(what.into())
}

/// Writes an entry with all its fields, in the order of the schema. Nothing in it needs escaping but the one name.
pub(super) fn write(out: &mut String, key: &Key, path: &Path) {
    out.push_str("<entry><nlri>");
    leaf(out, "af", 25);
    leaf(out, "safi", 242);
    leaf(out, "ethernet-tag", key.ethernet_tag);
    leaf(out, "mac", key.mac);
    let bits = match key.address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    leaf(out, "address", format_args!("{}/{bits}", key.address));
    out.push_str("</nlri>");
    list(out, "next-hops", &path.next_hops, write_next_hop);
    list(out, "olist", &path.olist, write_next_hop);
    text_leaf(out, "virtual-network", &path.virtual_network);
    push(
        out,
        format_args!("<mobility seqno=\"{}\" sticky=\"{}\" />", path.sequence, path.sticky),
    );
    leaf(out, "sequence-number", path.sequence);
    list(out, "security-group-list", &path.security_groups, |out, group| {
        leaf(out, "security-group", group);
    });
    leaf(out, "local-preference", path.local_preference);
    leaf(out, "med", path.med);
    leaf(
        out,
        "edge-replication-not-supported",
        path.edge_replication_not_supported,
    );
    leaf(
        out,
        "assisted-replication-supported",
        path.assisted_replication_supported,
    );
    list(out, "leaf-olist", &path.leaf_olist, write_next_hop);
    match path.replicator {
        Some(replicator) => leaf(out, "replicator-address", replicator),
        None => leaf(out, "replicator-address", ""),
    }
    leaf(out, "etree-leaf", path.etree_leaf);
    out.push_str("</entry>");
}

fn write_next_hop(out: &mut String, hop: &NextHop) {
    out.push_str("<next-hop>");
    leaf(out, "af", 1);
    leaf(out, "address", hop.address);
    leaf(out, "mac", "");
    leaf(out, "label", hop.label);
    leaf(out, "l3-label", 0);
    let Encapsulations {
        gre,
        udp,
        vxlan,
        unknown,
    } = hop.encapsulations;
    let named = [(gre, "gre"), (udp, "udp"), (vxlan, "vxlan"), (unknown, "unknown")];
    let named: Vec<&str> = named.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    list(out, "tunnel-encapsulation-list", &named, |out, name| {
        leaf(out, "tunnel-encapsulation", name);
    });
    list(out, "tag-list", &hop.tags, |out, tag| leaf(out, "tag", tag));
    out.push_str("</next-hop>");
}

/// An empty list is one tag.
fn list<T>(out: &mut String, name: &str, items: &[T], write: impl Fn(&mut String, &T)) {
    if items.is_empty() {
        push(out, format_args!("<{name} />"));
        return;
    }
    tag(out, "<", name);
    items.iter().for_each(|item| write(out, item));
    tag(out, "</", name);
}

/// A leaf whose text needs no escaping.
fn leaf(out: &mut String, name: &str, value: impl Display) {
    tag(out, "<", name);
    push(out, format_args!("{value}"));
    tag(out, "</", name);
}

/// A tag without attributes. There are dozens in each entry, and formatting them takes longer.
fn tag(out: &mut String, open: &str, name: &str) {
    for part in [open, name, ">"] {
        out.push_str(part);
    }
}
