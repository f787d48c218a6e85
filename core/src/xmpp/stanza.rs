//! The messages, once both streams are open.

use crate::evpn::{InstanceName, Key, Path};
use crate::xmpp::graph::Change;

/// One message, whichever way it goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stanza {
    /// Agent: it is to receive the routes of this instance, and may publish into it.
    Subscribe {
        /// The routing instance.
        instance: InstanceName,
        /// The number in the route distinguisher: for a ToR agent, that of the network.
        instance_id: u32,
        /// It publishes, and is to receive no routes.
        no_ribout: bool,
        /// Toward a control node of ours, its number among the subscriptions of this stream: they grow. The end of this
        /// subscription has the same number.
        number: Option<u64>,
    },
    /// Agent: the end of its subscription.
    Unsubscribe {
        /// The routing instance.
        instance: InstanceName,
    },
    /// Agent: the first half of a publication or a withdrawal: the route. It counts when its collection follows.
    Publish {
        /// The name of the item in the collection: for our own, [`Key::node`]. Other implementations may write a different one.
        node: Box<str>,
        /// The route, and its path; in a withdrawal only the key counts.
        route: Box<(Key, Path)>,
    },
    /// Agent: the second half: into which instance, whether it is to be there, and the `node` of the first half. If that
    /// is another, or there was none, both are dropped.
    Collection {
        /// The routing instance.
        instance: InstanceName,
        /// The route is to be there; otherwise it is withdrawn.
        associate: bool,
        /// The `node` of the publication.
        node: Box<str>,
    },
    /// Agent: the configuration of this node, and of everything around it.
    SubscribeConfiguration {
        /// The kind of the node, such as `virtual-router`.
        kind: Box<str>,
        /// The fully qualified name of the node.
        name: Box<str>,
        /// Extension of ours, that only a Tandem control node receives: VLANs are properties of their port.
        compact: bool,
        /// Extension of ours: the revision that is in force at the agent. A control node with a lower one is ignored.
        in_force: Option<u64>,
    },
    /// Control node: routes of an instance, of which all that share a path may share a message.
    Items {
        /// The routing instance.
        instance: InstanceName,
        /// Each route and its best path.
        items: Vec<(Key, Path)>,
    },
    /// Control node: routes that are no more.
    Retracts {
        /// The routing instance.
        instance: InstanceName,
        /// The routes.
        keys: Vec<Key>,
    },
    /// Control node of ours: every route that the instance had has been sent in the subscription with this number.
    InstanceEndOfRib {
        /// The routing instance.
        instance: InstanceName,
        /// The `number` of the subscription.
        subscription: u64,
    },
    /// Either: every route that was there when the session began has been sent.
    EndOfRib,
    /// Control node: what changed in the configuration graph.
    Configuration(Vec<Change>),
    /// Either: something that breaks a rule of its own kind, and harms nothing else. Never written.
    Unreadable {
        /// One sentence for an operator.
        what: String,
    },
}
