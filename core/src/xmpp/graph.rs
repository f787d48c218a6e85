//! The configuration graph as it is sent: nodes with properties, and links between them.

use crate::xmpp::element::Element;

/// One change of the graph.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// The node has these properties and no others.
    UpdateNode(Node),
    /// The node is gone.
    DeleteNode(NodeId),
    /// The link is there.
    UpdateLink(Link),
    /// The link is gone.
    DeleteLink(Link),
}

/// The name of a node: names are unique within a kind.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId {
    /// Such as `virtual-network`.
    pub kind: Box<str>,
    /// Fully qualified, such as `default-domain:demo:vn1`.
    pub name: Box<str>,
}

impl NodeId {
    /// The node of this kind and fully qualified name.
    pub fn new(kind: &str, name: impl Into<Box<str>>) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
        }
    }
}

/// A node with all its properties.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Which node.
    pub id: NodeId,
    /// One element each, in the order in which they arrived.
    pub properties: Vec<Element>,
}

/// A link between two nodes. It has no direction: both orders of its ends are the same link.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Link {
    /// Such as `virtual-network-routing-instance`.
    pub kind: Box<str>,
    /// The nodes that it joins.
    pub ends: [NodeId; 2],
}

impl Node {
    /// Whether it has a property of this name.
    pub fn has(&self, property: &str) -> bool {
        self.properties.iter().any(|it| &*it.name == property)
    }
}
