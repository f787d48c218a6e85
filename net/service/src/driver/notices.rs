//! The queue from a session's task to the agent's task.

use std::collections::VecDeque;
use std::pin::Pin;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{SendError, TrySendError};

use super::message::Message;

/// Notices in the order in which they happened: those that the agent's inbox has no room for wait here.
pub(super) struct Notices {
    agent: mpsc::Sender<Message>,
    waiting: VecDeque<Message>,
    /// The place of this session among those that wait for room. It is kept while the session does other things.
    room: Option<Room>,
}

type Permit = mpsc::OwnedPermit<Message>;
type Room = Pin<Box<dyn Future<Output = Result<Permit, SendError<()>>> + Send>>;

impl Notices {
    /// For the agent with this inbox.
    pub(super) fn new(agent: mpsc::Sender<Message>) -> Self {
        Self {
            agent,
            waiting: VecDeque::new(),
            room: None,
        }
    }

    /// The number that waits.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends a notice, now or later; never waits.
    pub(super) fn push(&mut self, notice: Message) {
        self.waiting.push_back(notice);
        self.fill();
    }

    /// Waits until the inbox has room, and sends what fits. Never returns while nothing waits. Nothing is lost, and the
    /// place in the queue is kept, when the future is dropped.
    pub(super) async fn send_some(&mut self) {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let agent = &self.agent;
        let room = self.room.get_or_insert_with(|| Box::pin(agent.clone().reserve_owned()));
        let permit = room.await;
        self.room = None;
        match permit {
            Ok(permit) => {
                if let Some(notice) = self.waiting.pop_front() {
                    permit.send(notice);
                }
                self.fill();
            }
            // Without an agent there is no receiver. The session learns of that by its orders.
            Err(_) => self.waiting.clear(),
        }
    }

    /// Waits until everything is sent.
    pub(super) async fn send_all(mut self) {
        while !self.waiting.is_empty() {
            self.send_some().await;
        }
    }

    /// Sends what fits at once.
    fn fill(&mut self) {
        if self.room.is_some() {
            return;
        }
        while let Some(notice) = self.waiting.pop_front() {
            match self.agent.try_send(notice) {
                Ok(()) => {}
                Err(TrySendError::Full(notice)) => return self.waiting.push_front(notice),
                Err(TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn numbered(number: usize) -> Message {
        Message::Tsn {
            alive: number.is_multiple_of(2),
        }
    }

    fn number_is_even(message: Option<&Message>) -> Option<bool> {
        match message {
            Some(Message::Tsn { alive }) => Some(*alive),
            _ => None,
        }
    }

    #[tokio::test]
    async fn notices_wait_for_room_and_keep_their_order() {
        let (agent, mut inbox) = mpsc::channel(2);
        let mut notices = Notices::new(agent);
        (0..5).for_each(|number| notices.push(numbered(number)));
        assert_eq!(notices.waiting(), 3, "two fit");
        let polled = is_ready(notices.send_some()).await;
        assert!(!polled && notices.waiting() == 3, "no room, and nothing is lost");
        let mut received = Vec::new();
        while received.len() < 5 {
            received.push(number_is_even(inbox.recv().await.as_ref()));
            if notices.waiting() > 0 {
                let sent = timeout(std::time::Duration::from_secs(60), notices.send_some()).await;
                sent.expect("there is room");
            }
        }
        assert_eq!(received, [true, false, true, false, true].map(Some));
    }

    #[tokio::test]
    async fn a_new_notice_overtakes_none_that_wait_when_there_is_room() {
        let (agent, mut inbox) = mpsc::channel(1);
        let mut notices = Notices::new(agent);
        (0..2).for_each(|number| notices.push(numbered(number)));
        let first = inbox.recv().await;
        notices.push(numbered(2));
        assert_eq!(notices.waiting(), 1, "the one that waited took the room");
        let second = inbox.recv().await;
        assert_eq!(
            [first, second].map(|it| number_is_even(it.as_ref())),
            [Some(true), Some(false)]
        );
    }

    #[tokio::test]
    async fn a_session_that_waits_keeps_its_place() {
        let (agent, mut inbox) = mpsc::channel(1);
        let mut first = Notices::new(agent.clone());
        (0..2).for_each(|_| first.push(numbered(0)));
        assert!(!is_ready(first.send_some()).await, "it queues");
        let mut second = Notices::new(agent);
        second.push(numbered(1));
        assert!(!is_ready(second.send_some()).await, "behind the first");
        inbox.recv().await;
        assert!(!is_ready(second.send_some()).await, "the room is for the first");
        assert!(is_ready(first.send_some()).await);
        assert_eq!(number_is_even(inbox.recv().await.as_ref()), Some(true));
        assert!(is_ready(second.send_some()).await);
    }

    #[tokio::test]
    async fn without_an_agent_nothing_waits() {
        let (agent, inbox) = mpsc::channel(1);
        let mut notices = Notices::new(agent);
        (0..3).for_each(|number| notices.push(numbered(number)));
        drop(inbox);
        notices.send_all().await;
    }

    /// Polls once, and answers whether the future is ready; drops it.
    async fn is_ready(future: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = future => true,
            () = std::future::ready(()) => false,
        }
    }
}
