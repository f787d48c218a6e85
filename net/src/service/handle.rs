//! How the ports reach the agent's task.

use tandem_core::health::Grade;
use tandem_core::status::AgentStatus;
use tokio::sync::{mpsc, oneshot};

use crate::driver::message::Message;
use crate::health::Pulse;
use crate::http::StatusSource;

/// Asks the agent's task; whoever asks brings the deadline.
#[derive(Debug)]
pub(super) struct Handle(mpsc::Sender<Message>);

impl Handle {
    /// A handle for the ports.
    pub(super) fn new(messages: mpsc::Sender<Message>) -> Self {
        Self(messages)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.0.send(question(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Pulse for Handle {
    async fn grade(&self) -> Option<Grade> {
        self.ask(Message::Pulse).await
    }
}

impl StatusSource for Handle {
    type Status = AgentStatus;

    async fn status(&self) -> Option<AgentStatus> {
        self.ask(Message::Status).await
    }
}
