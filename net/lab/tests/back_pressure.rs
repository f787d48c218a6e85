//! A session whose agent is behind, on the driver of production and an emulated switch that never stops learning.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::json;
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch as SwitchOptions};
use tandem_core::ids::{Uuid, Vni};
use tandem_core::session::{Command, Notice, Opening, Session};
use tandem_core::status::SessionStatus;
use tandem_core::{ConnId, Generation, Machine, Peer, Time};
use tandem_net::driver::env::{Env, TokioEnv};
use tandem_net::driver::message::{Message, SessionMessage};
use tandem_net::driver::session::{self, NOTICES};
use tandem_net::driver::timings::Timings;
use tandem_sim::switch::{Input, Output, SchemaVersion, Switch};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};

/// Generous: it guards against hanging, nothing else.
const LONG: Duration = Duration::from_secs(60);

/// Notices that the agent's inbox holds.
const INBOX: usize = 1;

/// The bytes that one read may add to the notices beyond their bound.
const ONE_READ: usize = 8;

/// The switch, as a stream: it learns one more MAC whenever everything that it has sent was read.
#[derive(Clone)]
struct Busy(Arc<Mutex<World>>);

struct World {
    switch: Switch,
    unread: VecDeque<u8>,
    learned: usize,
}

const CONN: ConnId = ConnId(1);

impl Busy {
    fn new() -> Self {
        let mut switch = Switch::new(1, SchemaVersion::V1_7_0);
        switch
            .add_physical_switch("tor1", "10.0.1.1", &["eth1"])
            .expect("a new name");
        switch.take_commits();
        switch.handle(Time::ORIGIN, Input::Connected { conn: CONN });
        let mut world = World {
            switch,
            unread: VecDeque::new(),
            learned: 0,
        };
        world.drain();
        Self(Arc::new(Mutex::new(world)))
    }

    fn learned(&self) -> usize {
        self.with(|world| world.learned)
    }

    fn with<T>(&self, of: impl FnOnce(&mut World) -> T) -> T {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl World {
    fn learn(&mut self) {
        let Some((logical_switch, _)) = self.switch.rows("Logical_Switch").next() else {
            return;
        };
        self.learned += 1;
        let bytes = self.learned.to_be_bytes();
        let mac = format!("02:00:00:{:02x}:{:02x}:{:02x}", bytes[5], bytes[6], bytes[7]);
        let locator = match self.learned {
            1 => json!([{"op": "insert", "table": "Physical_Locator", "uuid-name": "l",
                "row": {"encapsulation_type": "vxlan_over_ipv4", "dst_ip": "10.0.1.1"}}]),
            _ => json!([]),
        };
        let mut operations = locator.as_array().cloned().unwrap_or_default();
        let found = self
            .switch
            .rows("Physical_Locator")
            .find(|(_, row)| format!("{row:?}").contains("10.0.1.1"));
        let locator = found.map_or_else(
            || json!(["named-uuid", "l"]),
            |(uuid, _)| json!(["uuid", uuid.to_string()]),
        );
        operations.push(json!({"op": "insert", "table": "Ucast_Macs_Local", "row": {
            "MAC": mac, "logical_switch": ["uuid", logical_switch.to_string()], "locator": locator, "ipaddr": ""}}));
        self.switch.local(Time::ORIGIN, operations.into());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            if let Output::Send { bytes, .. } = output {
                self.unread.extend(bytes);
            }
        }
        self.switch.take_commits();
    }
}

impl AsyncRead for Busy {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|world| {
            if world.unread.is_empty() {
                world.learn();
            }
            while into.remaining() > 0
                && let Some(byte) = world.unread.pop_front()
            {
                into.put_slice(&[byte]);
            }
        });
        match into.filled().is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Busy {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|world| {
            let data = bytes.to_vec();
            world.switch.handle(Time::ORIGIN, Input::Bytes { conn: CONN, data });
            world.drain();
        });
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The agent's end of a running session.
struct Agent {
    switch: Busy,
    messages: mpsc::UnboundedSender<SessionMessage>,
    inbox: mpsc::Receiver<Message>,
    session: tokio::task::JoinHandle<()>,
}

impl Agent {
    fn start() -> Self {
        let (env, switch) = (TokioEnv::begin(), Busy::new());
        let opening = Opening {
            conn: CONN,
            generation: Generation(1),
            peer: Peer {
                address: (Ipv4Addr::LOCALHOST, 1).into(),
                proxied: None,
                certificate: None,
            },
            accepted_at: env.now(),
            configuration: Arc::new(configuration()),
            complete: true,
            fit: true,
        };
        let session = Box::new(Session::new(env.now(), opening));
        let (messages, received) = mpsc::unbounded_channel();
        assert!(messages.send(SessionMessage::Command(Command::Clear)).is_ok());
        let (notices, inbox) = mpsc::channel(INBOX);
        let session = tokio::spawn(session::run(
            env,
            session,
            switch.clone(),
            received,
            notices,
            Timings::default(),
        ));
        Self {
            switch,
            messages,
            inbox,
            session,
        }
    }

    async fn next(&mut self) -> Notice {
        match tokio::time::timeout(LONG, self.inbox.recv()).await {
            Ok(Some(Message::Session { notice, .. })) => notice,
            other => panic!("{other:?}"),
        }
    }

    async fn until_audited(&mut self) {
        while !matches!(self.next().await, Notice::Audited) {}
    }

    async fn status(&self) -> SessionStatus {
        let (answer, answered) = oneshot::channel();
        assert!(self.messages.send(SessionMessage::Status(answer)).is_ok());
        let answered = tokio::time::timeout(LONG, answered).await;
        answered.expect("in time").expect("an answer")
    }
}

fn configuration() -> Configuration {
    let network = Uuid(1);
    let blue = Network {
        name: "blue".into(),
        vni: Vni::new(5001).expect("a VNI"),
        remote_macs: BTreeMap::new(),
    };
    let tor1 = SwitchOptions {
        ports: [("eth1".into(), BTreeMap::from([(10, network)]))].into(),
        ..SwitchOptions::default()
    };
    Configuration {
        session: SessionOptions::new("agent-a", Ipv4Addr::new(10, 0, 0, 11)),
        networks: [(network, blue)].into(),
        switches: [("tor1".into(), tor1)].into(),
    }
}

#[tokio::test]
async fn a_session_reads_nothing_more_while_its_agent_is_behind() {
    let mut agent = Agent::start();
    agent.until_audited().await;

    // The agent receives nothing, and the session still answers questions.
    let before = agent.switch.learned();
    for _ in 0..4 * NOTICES {
        agent.status().await;
        tokio::task::yield_now().await;
    }
    let (stopped, rows) = (agent.switch.learned(), agent.status().await.rows_local);
    assert!(stopped > before, "it read while there was room");
    assert!(stopped - before <= NOTICES + INBOX + ONE_READ, "{before} {stopped}");
    for _ in 0..4 * NOTICES {
        agent.status().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(agent.switch.learned(), stopped, "it reads nothing more");
    assert_eq!(agent.status().await.rows_local, rows);

    // The agent is back: it receives every route, in order, and the session reads on.
    let mut received = Vec::new();
    while received.len() < stopped + NOTICES {
        if let Notice::Exported { route, .. } = agent.next().await {
            received.push(route.mac);
        }
    }
    assert!(received.is_sorted(), "{received:?}");
    assert!(agent.switch.learned() > stopped);
    agent.session.abort();
}

#[tokio::test]
async fn an_agent_that_sends_more_than_it_receives_waits_for_no_session() {
    let mut agent = Agent::start();
    agent.until_audited().await;
    for _ in 0..NOTICES {
        agent.next().await;
        for _ in 0..8 {
            assert!(agent.messages.send(SessionMessage::Command(Command::Fit)).is_ok());
        }
        agent.status().await;
    }
    // Dropping its messages ends the session, and the last notice arrives although the inbox was full.
    let Agent {
        messages,
        inbox,
        session,
        ..
    } = &mut agent;
    let (gone, _) = mpsc::unbounded_channel();
    drop(std::mem::replace(messages, gone));
    let mut last = None;
    while let Some(message) = tokio::time::timeout(LONG, inbox.recv()).await.expect("in time") {
        last = Some(message);
    }
    assert!(
        matches!(
            &last,
            Some(Message::Session {
                notice: Notice::Closed(_),
                ..
            })
        ),
        "{last:?}"
    );
    session.await.expect("it ended");
}
