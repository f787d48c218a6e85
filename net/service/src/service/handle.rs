//! The ports' access to the agent's task.

use std::time::Instant;

use tandem_core::agent::{Answer, Order};
use tandem_core::health::Grade;
use tandem_core::status::AgentStatus;
use tokio::sync::{mpsc, oneshot, watch};

use crate::driver::env::TokioEnv;
use crate::driver::message::Message;
use crate::driver::steps::Steps;
use crate::health::{Looks, Pulse};
use crate::http::StatusSource;
use crate::orders::Obeys;

/// Observes the agent's task, or asks it; the caller sets the deadline.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) grade: watch::Receiver<Grade>,
    pub(super) steps: Steps<TokioEnv>,
    pub(super) looks: Looks,
}

impl Pulse for Handle {
    fn grade(&self) -> Option<Grade> {
        let gone = self.grade.has_changed().is_err();
        let hangs = self.looks.find_hang(Instant::now(), self.steps.longest());
        (!gone && !hangs).then(|| *self.grade.borrow())
    }
}

impl Obeys for Handle {
    async fn obey(&self, order: Order) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(Message::Order(order, answer)).await.ok()?;
        answered.await.ok()
    }
}

impl StatusSource for Handle {
    type Status = AgentStatus;

    async fn status(&self) -> Option<AgentStatus> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(Message::Status(answer)).await.ok()?;
        answered.await.ok()
    }
}
