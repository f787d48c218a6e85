//! How the ports reach the agent's task.

use std::sync::Arc;

use tandem_core::health::Grade;
use tandem_core::status::AgentStatus;
use tokio::sync::{mpsc, oneshot};

use crate::driver::agent::Message;
use crate::health::Pulse;
use crate::http::StatusSource;
use crate::tls::Cause;
use crate::{listen, metrics};

/// Asks the agent's task; whoever asks brings the deadline.
#[derive(Debug)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    door: Arc<listen::Counters>,
    counters: Arc<metrics::Counters>,
}

impl Handle {
    /// A handle for the ports.
    pub fn new(
        messages: mpsc::Sender<Message>,
        door: Arc<listen::Counters>,
        counters: Arc<metrics::Counters>,
    ) -> Self {
        Self {
            messages,
            door,
            counters,
        }
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(question(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Pulse for Handle {
    async fn grade(&self) -> Option<Grade> {
        self.ask(Message::Pulse).await
    }
}

impl StatusSource for Handle {
    async fn status(&self) -> Option<AgentStatus> {
        for cause in Cause::ALL {
            self.counters.refused(cause.label(), self.door.refused(*cause));
        }
        self.ask(Message::Status).await
    }
}
