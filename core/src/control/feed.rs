//! The part of its configuration that a client has been sent, and the part that is left.

use std::collections::VecDeque;

use super::graph::{Form, Graph};
use super::inventory::Inventory;
use crate::bounds::OBJECTS_PER_MESSAGE;
use crate::xmpp::graph::Change;

/// The configuration of a client, on its way.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    client: Box<str>,
    form: Form,
    sent: Graph,
    unsent: VecDeque<Change>,
}

impl Feed {
    /// Nothing is sent yet, and nothing to be sent.
    pub(super) fn new(client: &str, form: Form) -> Self {
        Self {
            client: client.into(),
            form,
            sent: Graph::default(),
            unsent: VecDeque::new(),
        }
    }

    /// The client is to receive this inventory.
    pub(super) fn set(&mut self, inventory: &Inventory) {
        self.unsent = self.sent.changes_to(&Graph::of(&self.client, inventory, self.form));
    }

    /// The client is to receive the same inventory with another revision.
    pub(super) fn set_revision(&mut self, inventory: &Inventory) {
        if !self.unsent.is_empty() {
            return self.set(inventory);
        }
        self.unsent = self.sent.revision_changes(&self.client, inventory);
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The changes that fit into the next message.
    pub(super) fn next_message(&mut self) -> Vec<Change> {
        let mut objects = 0;
        let mut changes = Vec::new();
        while let Some(change) = self.unsent.front() {
            objects += match change {
                Change::UpdateNode(_) | Change::DeleteNode(_) => 1,
                Change::UpdateLink(_) | Change::DeleteLink(_) => 2,
            };
            if objects > OBJECTS_PER_MESSAGE {
                break;
            }
            self.sent.apply(change);
            changes.extend(self.unsent.pop_front());
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::inventory::ServedSwitch;

    fn inventory(revision: u64, switches: usize) -> Inventory {
        let served = ServedSwitch {
            agents: vec!["agent-a".into()],
            ..ServedSwitch::default()
        };
        let switches = (0..switches).map(|number| (format!("tor{number}").as_str().into(), served.clone()));
        Inventory {
            revision,
            switches: switches.collect(),
            ..Inventory::default()
        }
    }

    fn drain(feed: &mut Feed) -> Vec<Change> {
        let mut changes = Vec::new();
        while feed.has_unsent() {
            changes.extend(feed.next_message());
        }
        changes
    }

    #[test]
    fn another_revision_of_the_same_inventory_is_one_change() {
        let mut feed = Feed::new("agent-a", Form::Full);
        assert!(!feed.has_unsent());
        feed.set(&inventory(1, 9));
        assert!(drain(&mut feed).len() > OBJECTS_PER_MESSAGE);
        feed.set_revision(&inventory(2, 9));
        assert_eq!(drain(&mut feed).len(), 1);
        feed.set_revision(&inventory(2, 9));
        assert!(!feed.has_unsent(), "it has that");
    }

    #[test]
    fn another_revision_in_the_middle_replaces_what_is_left() {
        let (mut feed, mut straight) = (Feed::new("agent-a", Form::Full), Feed::new("agent-a", Form::Full));
        feed.set(&inventory(1, 9));
        let begun = feed.next_message();
        feed.set_revision(&inventory(2, 9));
        let rest = drain(&mut feed);
        straight.set(&inventory(2, 9));
        let all = drain(&mut straight);
        assert_eq!(feed.sent, straight.sent);
        assert_eq!(rest.last(), all.last(), "the revision comes last");
        assert!(begun.len() + rest.len() <= all.len() + 1);
    }
}
