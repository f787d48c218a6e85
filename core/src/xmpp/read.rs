//! Reads a stanza.

use crate::evpn::{FAMILY, InstanceName, Key};
use crate::text::short;
use crate::xmpp::OURS;
use crate::xmpp::entry::{self, Trouble, integer, malformed, refused, text};
use crate::xmpp::graph::{Change, Link, Node, NodeId};
use crate::xmpp::stanza::Stanza;
use crate::xmpp::xml::{Cursor, Document, XmlError};

/// Why a stanza cannot be read, so that the session ends. Always the peer's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// It is not even XML.
    #[error("{error}, in a stanza of {bytes} bytes")]
    Xml {
        /// Why not.
        error: XmlError,
        /// Its length, in bytes.
        bytes: usize,
    },
    /// It is XML, but no stanza of Contrail's.
    #[error("{what}, in <{name}{id}>")]
    Malformed {
        /// The fault.
        what: String,
        /// The name of the stanza.
        name: String,
        /// Its id, if it has one, as it stands in the tag.
        id: String,
    },
}

/// Reads one stanza as the framer cut it. A message may carry routes and retracts, and some that are refused: what is in
/// it comes one after the other. An empty one gives nothing.
pub fn read(bytes: &[u8]) -> Result<Vec<Stanza>, ReadError> {
    let document = Document::read(bytes).map_err(|error| ReadError::Xml {
        error,
        bytes: bytes.len(),
    })?;
    let root = document.root();
    let stanzas = match root.name() {
        "iq" => read_iq(root).map(|stanza| vec![stanza]),
        "message" => read_message(root),
        _ => Err(malformed("neither an iq nor a message")),
    };
    stanzas.or_else(|trouble| match trouble {
        Trouble::Refused(what) => Ok(vec![Stanza::Unreadable { what }]),
        Trouble::Malformed(what) => Err(ReadError::Malformed {
            what,
            name: short(root.name()),
            id: root
                .attribute("id")
                .map_or_else(String::new, |id| format!(" id=\"{}\"", short(id))),
        }),
    })
}

/// The subject of a stanza, as its `to` shows: the first of these that is found in it counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Channel {
    Routes,
    Configuration,
}

fn channel(stanza: Cursor<'_>) -> Result<Channel, Trouble> {
    let to = stanza.attribute("to").unwrap_or_default();
    if to.contains("bgp-peer") {
        Ok(Channel::Routes)
    } else if to.contains("config") {
        Ok(Channel::Configuration)
    } else {
        Err(refused(format!(
            "a stanza to `{}`, which is no service of ours",
            short(to)
        )))
    }
}

fn read_iq(iq: Cursor<'_>) -> Result<Stanza, Trouble> {
    let channel = channel(iq)?;
    if channel == Channel::Configuration
        && let Some(config) = iq.child("config")
    {
        return read_changes(config).map(Stanza::Configuration);
    }
    let pubsub = iq
        .child("pubsub")
        .ok_or_else(|| refused("an iq without configuration or pubsub"))?;
    let action = pubsub
        .children()
        .next()
        .ok_or_else(|| malformed("a pubsub without an action"))?;
    match (channel, action.name()) {
        (Channel::Routes, "subscribe") => {
            let options = action.child("options").or_else(|| pubsub.child("options"));
            Ok(Stanza::Subscribe {
                instance: node(action)?.into(),
                instance_id: options.map_or(Ok(0), |options| integer(options, "instance-id"))?,
                no_ribout: options.is_some_and(|options| text(options, "no-ribout") == "true"),
                number: options
                    .and_then(|options| ours(options, SUBSCRIPTION))
                    .map(number)
                    .transpose()?,
            })
        }
        (Channel::Routes, "unsubscribe") => Ok(Stanza::Unsubscribe {
            instance: node(action)?.into(),
        }),
        (Channel::Routes, "publish") => read_publish(action),
        (Channel::Routes, "collection") => read_collection(action),
        (Channel::Configuration, "subscribe") => {
            let node = node(action)?;
            let options = action.child("options");
            let (kind, name) = node
                .split_once(':')
                .ok_or_else(|| malformed("a subscription to nothing"))?;
            Ok(Stanza::SubscribeConfiguration {
                kind: kind.into(),
                name: name.into(),
                compact: options.is_some_and(|it| ours(it, COMPACT).is_some()),
                in_force: options.and_then(|it| ours(it, REVISION)).map(number).transpose()?,
            })
        }
        (Channel::Routes | Channel::Configuration, other) => {
            Err(refused(format!("an action that is not known, `{}`", short(other))))
        }
    }
}

fn read_publish(publish: Cursor<'_>) -> Result<Stanza, Trouble> {
    let mut items = publish.children_named("item");
    let Some(item) = items.next() else {
        return Ok(Stanza::EndOfRib);
    };
    let node = node(publish)?;
    if !node.starts_with(FAMILY) {
        return Err(refused(format!("a route of another family, `{}`", short(node))));
    }
    let (key, path) = entry::read(item)?;
    if items.next().is_some() {
        return Err(refused(format!("more than one route in a publication, after {key}")));
    }
    if path.next_hops.len() != 1 {
        let hops = path.next_hops.len();
        return Err(refused(format!(
            "{hops} next hops in a publication, of the route {key}"
        )));
    }
    Ok(Stanza::Publish {
        node: node.into(),
        route: Box::new((key, path)),
    })
}

fn read_collection(collection: Cursor<'_>) -> Result<Stanza, Trouble> {
    let member = collection
        .children()
        .find(|it| matches!(it.name(), "associate" | "dissociate"));
    let member = member.ok_or_else(|| malformed("a collection that neither associates nor dissociates"))?;
    Ok(Stanza::Collection {
        instance: node(collection)?.into(),
        associate: member.name() == "associate",
        node: node(member)?.into(),
    })
}

fn read_message(message: Cursor<'_>) -> Result<Vec<Stanza>, Trouble> {
    if channel(message)? == Channel::Configuration {
        return Err(refused("a message about configuration"));
    }
    let event = message
        .child("event")
        .ok_or_else(|| refused("a message without an event"))?;
    let Some(items) = event.child("items") else {
        return Ok(vec![Stanza::EndOfRib]);
    };
    match node(items)? {
        END_OF_RIB => Ok(vec![Stanza::EndOfRib]),
        node => match node.strip_prefix(FAMILY) {
            Some(instance) => read_items(items, &instance.into()),
            None => Err(refused(format!("routes of another family, `{}`", short(node)))),
        },
    }
}

fn read_items(list: Cursor<'_>, instance: &InstanceName) -> Result<Vec<Stanza>, Trouble> {
    let mut items = Vec::new();
    let mut keys: Vec<Key> = Vec::new();
    let mut refusals = 0_usize;
    let mut first = None;
    let mut end = None;
    for child in list.children() {
        let outcome = match child.name() {
            "item" => entry::read(child).map(|route| items.push(route)),
            "retract" => match child.attribute("id").unwrap_or_default().parse() {
                Ok(key) => {
                    keys.push(key);
                    Ok(())
                }
                Err(error) => Err(refused(format!("{error}"))),
            },
            END if is_ours(child) => number(child).map(|number| end = Some(number)),
            _ => Ok(()),
        };
        match outcome {
            Ok(()) => {}
            Err(Trouble::Refused(what)) => {
                refusals += 1;
                first.get_or_insert(what);
            }
            Err(malformed) => return Err(malformed),
        }
    }
    let mut stanzas = Vec::new();
    if !items.is_empty() {
        let instance = instance.clone();
        stanzas.push(Stanza::Items { instance, items });
    }
    if !keys.is_empty() {
        let instance = instance.clone();
        stanzas.push(Stanza::Retracts { instance, keys });
    }
    if let Some(subscription) = end {
        let instance = instance.clone();
        stanzas.push(Stanza::InstanceEndOfRib { instance, subscription });
    }
    if let Some(first) = first {
        let what = match refusals {
            1 => format!("{first}, of {instance}"),
            _ => format!("{first}, of {instance}, and {} more in the same message", refusals - 1),
        };
        stanzas.push(Stanza::Unreadable { what });
    }
    Ok(stanzas)
}

fn read_changes(config: Cursor<'_>) -> Result<Vec<Change>, Trouble> {
    let mut changes = Vec::new();
    for block in config.children() {
        let update = match block.name() {
            "update" => true,
            "delete" => false,
            _ => continue,
        };
        for object in block.children() {
            changes.push(match (object.name(), update) {
                ("node", true) => Change::UpdateNode(Node {
                    id: node_id(object)?,
                    properties: object
                        .children()
                        .filter(|it| it.name() != "name")
                        .map(Cursor::to_element)
                        .collect(),
                }),
                ("node", false) => Change::DeleteNode(node_id(object)?),
                ("link", true) => Change::UpdateLink(link(object)?),
                ("link", false) => Change::DeleteLink(link(object)?),
                _ => continue,
            });
        }
    }
    Ok(changes)
}

fn node_id(node: Cursor<'_>) -> Result<NodeId, Trouble> {
    match (node.attribute("type"), text(node, "name")) {
        (None | Some(""), _) => Err(malformed("a node without a type")),
        (Some(kind), "") => Err(malformed(&format!("a node of type `{}` without a name", short(kind)))),
        (Some(kind), name) => Ok(NodeId::new(kind, name)),
    }
}

fn link(link: Cursor<'_>) -> Result<Link, Trouble> {
    let mut ends = link.children_named("node").map(node_id);
    let (Some(left), Some(right), None) = (ends.next(), ends.next(), ends.next()) else {
        return Err(malformed("a link that has not two ends"));
    };
    let kind = link.child("metadata").and_then(|metadata| metadata.attribute("type"));
    Ok(Link {
        kind: kind.ok_or_else(|| malformed("a link without a type"))?.into(),
        ends: [left?, right?],
    })
}

fn node<'d>(action: Cursor<'d>) -> Result<&'d str, Trouble> {
    let node = action.attribute("node");
    node.ok_or_else(|| malformed(&format!("<{}> without a node", short(action.name()))))
}

/// The child of this name that is an extension of ours, in our namespace.
fn ours<'d>(parent: Cursor<'d>, name: &str) -> Option<Cursor<'d>> {
    parent.children_named(name).find(|child| is_ours(*child))
}

fn is_ours(element: Cursor<'_>) -> bool {
    element.attribute("xmlns") == Some(OURS)
}

/// The number of a subscription.
fn number(element: Cursor<'_>) -> Result<u64, Trouble> {
    entry::number(element.text(), element.name())
}

/// The node whose items are the end of all items.
pub(super) const END_OF_RIB: &str = "0/0/EndOfRib";

/// Extension of ours, in the options of a subscription: its number.
pub(super) const SUBSCRIPTION: &str = "subscription";

/// Extension of ours, in the options of a subscription to configuration: VLANs may be properties of their port.
pub(super) const COMPACT: &str = "compact";

/// Extension of ours, there too: the revision in force at the agent.
pub(super) const REVISION: &str = "revision";

/// Extension of ours, among the items of an instance: the number of the subscription in which every route has been sent.
pub(super) const END: &str = "end-of-rib";
