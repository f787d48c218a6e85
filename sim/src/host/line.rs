//! A session and what an observer may want to know of its connection.

use tandem_core::session::{Input, Output, Session};
use tandem_core::{Deadline, Machine, Time};

use super::Why;

/// Bytes that a driver reads at once.
pub(super) const READ_BYTES: usize = 64 << 10;

/// A session on its connection.
#[derive(Clone, Debug)]
pub struct Line {
    /// The session's machine.
    pub session: Box<Session>,
    /// When the last byte came; before the first, when the session began.
    pub last_received: Time,
    /// Bytes of plaintext that came.
    pub received_bytes: u64,
    /// Bytes that the network has not taken, as last reported.
    pub queued_bytes: usize,
    /// Something was sent, and the session has not been notified that it was taken.
    sent: bool,
    /// The connection is gone; there is nothing left to close.
    pub(super) lost: bool,
}

impl Line {
    /// A connection that is ready for bytes.
    pub(super) fn new(now: Time, session: Box<Session>) -> Self {
        Self {
            session,
            last_received: now,
            received_bytes: 0,
            queued_bytes: 0,
            sent: false,
            lost: false,
        }
    }

    /// Passes an input to the session. The caller drains the outputs.
    pub(super) fn handle(&mut self, now: Time, input: Input) {
        match &input {
            Input::Bytes(data) => {
                self.last_received = now;
                self.received_bytes += data.len() as u64;
            }
            Input::Sent { queued_bytes } => {
                self.queued_bytes = *queued_bytes;
                self.sent = false;
            }
            Input::Closed(_) | Input::Timeout | Input::Command(_) => {}
        }
        self.session.handle(now, input);
    }

    /// The outputs of the session.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.session.poll_output();
        self.sent |= matches!(output, Some(Output::Send(_)));
        output
    }

    /// Whether the network has taken everything, and the session does not know it yet. A driver notifies after each
    /// write; the world does not report a write that the network takes at once.
    pub(super) fn all_sent(&self) -> bool {
        self.sent && self.queued_bytes == 0
    }

    /// When the session wants to be woken.
    pub(super) fn deadline(&self) -> Option<Deadline<Why>> {
        self.session.poll_timeout().map(|deadline| Deadline {
            at: deadline.at,
            why: Why::Session(deadline.why),
        })
    }
}
