//! The outputs of a control node, in order.

use std::collections::VecDeque;

use super::event::Event;
use crate::close::CloseWhy;
use crate::ids::ConnId;
use crate::xmpp::Stanza;

/// An output of a control node.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this to a client.
    Send {
        /// The connection of the client.
        conn: ConnId,
        /// The stanza to send.
        stanza: Stanza,
    },
    /// Close a client's stream: for the control node it is over already.
    Close {
        /// The connection of the client.
        conn: ConnId,
        /// The reason to report.
        why: CloseWhy,
    },
    /// Something happened.
    Event(Event),
}

/// Outputs that the driver has not taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs(VecDeque<Output>);

impl Outputs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }

    pub(super) fn send(&mut self, conn: ConnId, stanzas: Vec<Stanza>) {
        let sent = stanzas.into_iter().map(|stanza| Output::Send { conn, stanza });
        self.0.extend(sent);
    }

    pub(super) fn close(&mut self, conn: ConnId, why: CloseWhy) {
        self.0.push_back(Output::Close { conn, why });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.0.push_back(Output::Event(event));
    }
}
