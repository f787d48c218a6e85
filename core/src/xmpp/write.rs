//! Writes a stanza as Contrail's own ends write it, without the white space between the elements.

use crate::bounds::{PACKED_BYTES, PACKED_OBJECTS};
use crate::contrail_schema::virtual_router;
use crate::evpn::{FAMILY, InstanceName};
use crate::xmpp::element::Element;
use crate::xmpp::entry;
use crate::xmpp::graph::{Change, Link, Node, NodeId};
use crate::xmpp::markup::{attribute, escape, named, push, text_leaf};
use crate::xmpp::read::{COMPACT, END, END_OF_RIB, REVISION, SUBSCRIPTION};
use crate::xmpp::stanza::Stanza;
use crate::xmpp::{CONTROL_NODE, OURS, PUBSUB};

/// Writes the stanzas of one end of a stream, with the addresses and counters that they name.
#[derive(Clone, Debug)]
pub struct Writer {
    from: Box<str>,
    /// The address of routes.
    to_routes: Box<str>,
    /// The address of configuration.
    to_configuration: Box<str>,
    subscriptions: u64,
    publications: u64,
}

impl Writer {
    /// For an agent that sends to a control node.
    pub fn of_agent(name: &str) -> Self {
        Self::new(name, &format!("{CONTROL_NODE}/"), &format!("{CONTROL_NODE}/"))
    }

    /// For a control node that sends to an agent.
    pub fn of_control_node(agent: &str) -> Self {
        let global = format!("{}/", virtual_router(agent));
        Self::new(CONTROL_NODE, &format!("{agent}/"), &global)
    }

    fn new(from: &str, routes: &str, configuration: &str) -> Self {
        let escaped = |text: &str| {
            let mut out = String::new();
            escape(&mut out, text);
            out.into_boxed_str()
        };
        Self {
            from: escaped(from),
            to_routes: escaped(&format!("{routes}bgp-peer")),
            to_configuration: escaped(&format!("{configuration}config")),
            subscriptions: 0,
            publications: 0,
        }
    }

    /// Adds a stanza to the end of `out`: several, where one would grow too large.
    pub fn write(&mut self, stanza: &Stanza, out: &mut String) {
        match stanza {
            Stanza::Subscribe {
                instance,
                instance_id,
                no_ribout,
                number,
            } => self.write_subscribe(out, instance, *instance_id, *no_ribout, *number),
            Stanza::Unsubscribe { instance } => {
                self.open_subscription(out, "unsubscribe", instance);
                out.push_str("</unsubscribe></pubsub></iq>");
            }
            Stanza::Publish { node, route } => {
                self.open_iq(out, format_args!("pubsub_l2{}", self.publications));
                named(out, "publish", &[node]);
                out.push_str("<item>");
                entry::write(out, &route.0, &route.1);
                out.push_str("</item></publish></pubsub></iq>");
            }
            Stanza::Collection {
                instance,
                associate,
                node,
            } => self.write_collection(out, instance, *associate, node),
            Stanza::SubscribeConfiguration {
                kind,
                name,
                compact,
                in_force,
            } => self.write_subscribe_configuration(out, (kind, name), *compact, *in_force),
            Stanza::Items { instance, items } => self.write_items(out, instance, items, |out, (key, path)| {
                push(out, format_args!("<item id=\"{key}\">"));
                entry::write(out, key, path);
                out.push_str("</item>");
            }),
            Stanza::Retracts { instance, keys } => self.write_items(out, instance, keys, |out, key| {
                push(out, format_args!("<retract id=\"{key}\" />"));
            }),
            Stanza::InstanceEndOfRib { instance, subscription } => {
                let ends = std::slice::from_ref(subscription);
                self.write_items(out, instance, ends, |out, number| write_number(out, END, *number));
            }
            Stanza::EndOfRib => self.write_end(out, &self.to_routes),
            Stanza::Configuration(changes) => self.write_changes(out, changes),
            Stanza::Unreadable { .. } => {}
        }
    }

    fn write_subscribe(
        &mut self,
        out: &mut String,
        instance: &InstanceName,
        instance_id: u32,
        no_ribout: bool,
        number: Option<u64>,
    ) {
        self.open_subscription(out, "subscribe", instance);
        push(out, format_args!("<options><instance-id>{instance_id}</instance-id>"));
        if no_ribout {
            out.push_str("<no-ribout>true</no-ribout>");
        }
        if let Some(number) = number {
            write_number(out, SUBSCRIPTION, number);
        }
        out.push_str("</options></subscribe></pubsub></iq>");
    }

    fn write_collection(&mut self, out: &mut String, instance: &InstanceName, associate: bool, node: &str) {
        self.open_iq(out, format_args!("collection_l2{}", self.publications));
        self.publications += 1;
        named(out, "collection", &[instance.as_str()]);
        out.push_str(if associate { "<associate" } else { "<dissociate" });
        attribute(out, "node", &[node]);
        out.push_str(" /></collection></pubsub></iq>");
    }

    fn write_subscribe_configuration(
        &self,
        out: &mut String,
        (kind, name): (&str, &str),
        compact: bool,
        in_force: Option<u64>,
    ) {
        let Self {
            from,
            to_configuration: to,
            ..
        } = self;
        push(
            out,
            format_args!("<iq type=\"set\" from=\"{from}\" to=\"{to}\"><pubsub xmlns=\"{PUBSUB}\"><subscribe"),
        );
        attribute(out, "node", &[kind, ":", name]);
        if compact || in_force.is_some() {
            out.push_str("><options>");
            if compact {
                push(out, format_args!("<{COMPACT} xmlns=\"{OURS}\" />"));
            }
            if let Some(revision) = in_force {
                write_number(out, REVISION, revision);
            }
            out.push_str("</options></subscribe>");
        } else {
            out.push_str(" />");
        }
        out.push_str("</pubsub></iq>");
    }

    fn open_iq(&self, out: &mut String, id: std::fmt::Arguments<'_>) {
        let Self {
            from, to_routes: to, ..
        } = self;
        push(
            out,
            format_args!("<iq type=\"set\" from=\"{from}\" to=\"{to}\" id=\"{id}\"><pubsub xmlns=\"{PUBSUB}\">"),
        );
    }

    fn open_subscription(&mut self, out: &mut String, action: &str, instance: &InstanceName) {
        self.open_iq(out, format_args!("subscribe{}", self.subscriptions));
        self.subscriptions += 1;
        named(out, action, &[instance.as_str()]);
    }

    fn open_message(&self, out: &mut String, to: &str) {
        let from = &self.from;
        push(
            out,
            format_args!("<message from=\"{from}\" to=\"{to}\"><event xmlns=\"{PUBSUB}\">"),
        );
    }

    fn write_items<T>(&self, out: &mut String, instance: &InstanceName, items: &[T], write: impl Fn(&mut String, &T)) {
        let mut items = items.iter().peekable();
        while items.peek().is_some() {
            let start = out.len();
            self.open_message(out, &self.to_routes);
            named(out, "items", &[FAMILY, instance.as_str()]);
            while let Some(item) = items.next_if(|_| out.len() - start < PACKED_BYTES) {
                write(out, item);
            }
            out.push_str("</items></event></message>");
        }
    }

    fn write_end(&self, out: &mut String, to: &str) {
        self.open_message(out, to);
        named(out, "items", &[END_OF_RIB]);
        out.push_str("</items></event></message>");
    }

    fn write_changes(&self, out: &mut String, changes: &[Change]) {
        let mut changes = changes.iter().peekable();
        while changes.peek().is_some() {
            let Self {
                from,
                to_configuration: to,
                ..
            } = self;
            push(
                out,
                format_args!("<iq type=\"set\" from=\"{from}\" to=\"{to}\"><config>"),
            );
            let start = out.len();
            let mut objects = 0;
            let mut block = None;
            while let Some(change) = changes.next_if(|_| objects < PACKED_OBJECTS && out.len() - start < PACKED_BYTES) {
                let wanted = match change {
                    Change::UpdateNode(_) | Change::UpdateLink(_) => "update",
                    Change::DeleteNode(_) | Change::DeleteLink(_) => "delete",
                };
                if block != Some(wanted) {
                    end_block(out, block);
                    push(out, format_args!("<{wanted}>"));
                    block = Some(wanted);
                }
                objects += write_change(out, change);
            }
            end_block(out, block);
            out.push_str("</config></iq>");
        }
    }
}

/// An extension of ours: foreign ends never receive one.
fn write_number(out: &mut String, name: &str, number: u64) {
    push(out, format_args!("<{name} xmlns=\"{OURS}\">{number}</{name}>"));
}

fn end_block(out: &mut String, block: Option<&str>) {
    if let Some(name) = block {
        push(out, format_args!("</{name}>"));
    }
}

/// The number of objects that it counts as.
fn write_change(out: &mut String, change: &Change) -> usize {
    match change {
        Change::UpdateNode(Node { id, properties }) => write_node(out, id, properties),
        Change::DeleteNode(id) => write_node(out, id, &[]),
        Change::UpdateLink(Link { kind, ends }) | Change::DeleteLink(Link { kind, ends }) => {
            out.push_str("<link>");
            let objects = ends.iter().map(|end| write_node(out, end, &[])).sum();
            out.push_str("<metadata");
            attribute(out, "type", &[kind]);
            out.push_str(" /></link>");
            objects
        }
    }
}

fn write_node(out: &mut String, id: &NodeId, properties: &[Element]) -> usize {
    out.push_str("<node");
    attribute(out, "type", &[&id.kind]);
    out.push('>');
    text_leaf(out, "name", &id.name);
    properties.iter().for_each(|property| write_element(out, property));
    out.push_str("</node>");
    1
}

fn write_element(out: &mut String, element: &Element) {
    let name = &element.name;
    push(out, format_args!("<{name}"));
    for (name, value) in &element.attributes {
        attribute(out, name, &[value]);
    }
    out.push('>');
    if element.children.is_empty() {
        escape(out, &element.text);
    }
    element.children.iter().for_each(|child| write_element(out, child));
    push(out, format_args!("</{name}>"));
}
