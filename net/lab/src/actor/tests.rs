use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::{Deadline, Machine};
use tandem_sim::socket::{CheckKind, DialFailure, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use tandem_net::driver::env::TokioEnv;

/// Executes each command as an output, and reports every other input as an event.
#[derive(Default)]
struct Script(VecDeque<Output<Received>>);

type Received = Input<()>;

impl Machine for Script {
    type Input = Input<Output<Received>>;
    type Output = Output<Received>;
    type Why = ();

    fn handle(&mut self, _: Time, input: Self::Input) {
        self.0.push_back(match input {
            Input::Command(output) => output,
            Input::Accepted { conn, at, from } => Output::Event(Input::Accepted { conn, at, from }),
            Input::Connected { conn } => Output::Event(Input::Connected { conn }),
            Input::DialFailed { conn, why } => Output::Event(Input::DialFailed { conn, why }),
            Input::Bytes { conn, data } => Output::Event(Input::Bytes { conn, data }),
            Input::Sent { conn, queued_bytes } => Output::Event(Input::Sent { conn, queued_bytes }),
            Input::Finished { conn } => Output::Event(Input::Finished { conn }),
            Input::Lost { conn } => Output::Event(Input::Lost { conn }),
            Input::Checked { check, outcome } => Output::Event(Input::Checked { check, outcome }),
            Input::Datagram { from, data } => Output::Event(Input::Datagram { from, data }),
            Input::Timeout => Output::Event(Input::Timeout),
        });
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.0.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<()>> {
        None
    }
}

struct Listener {
    received: mpsc::UnboundedSender<Received>,
    notes: mpsc::UnboundedSender<Note>,
}

impl Audience<Script> for Listener {
    fn happened(&mut self, _: Time, event: Received) {
        let _ = self.received.send(event);
    }

    fn noted(&mut self, _: Time, note: Note) {
        let _ = self.notes.send(note);
    }

    fn dials_tls(&self, _: &Script, _: ConnId) -> bool {
        false
    }

    fn takes_tls(&self, _: &Script, _: SocketAddrV4) -> bool {
        false
    }
}

struct Bench {
    orders: mpsc::Sender<Output<Received>>,
    received: mpsc::UnboundedReceiver<Received>,
    notes: mpsc::UnboundedReceiver<Note>,
}

impl Bench {
    fn new() -> Self {
        let ((received, receiver), (notes, noted)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let (orders, inbox) = mpsc::channel(16);
        let driver = Driver::new(TokioEnv::begin(), Script::default(), Listener { received, notes }, None);
        tokio::spawn(driver.run(inbox));
        Self {
            orders,
            received: receiver,
            notes: noted,
        }
    }

    async fn order(&self, output: Output<Received>) {
        self.orders.send(output).await.expect("a driver");
    }

    /// The next event. The deadline is generous: it only guards against hanging.
    async fn next(&mut self) -> Received {
        let received = tokio::time::timeout(Duration::from_secs(60), self.received.recv()).await;
        received.expect("an event").expect("a driver")
    }

    async fn listen(&mut self) -> SocketAddrV4 {
        let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        self.order(Output::Listen { at }).await;
        match self.notes.recv().await {
            Some(Note::Bound { bound, .. }) => bound,
            other => panic!("an address, not {other:?}"),
        }
    }

    /// A client that dials us, and the number of that connection.
    async fn client(&mut self, at: SocketAddrV4) -> (TcpStream, ConnId) {
        let client = TcpStream::connect(at).await.expect("a connection");
        match self.next().await {
            Input::Accepted { conn, .. } => (client, conn),
            other => panic!("a connection, not {other:?}"),
        }
    }

    async fn check(&mut self, to: SocketAddrV4, kind: CheckKind, unless: Option<Outcome>) -> Outcome {
        let what = Check {
            to,
            kind,
            connect_timeout: Duration::from_secs(60),
            timeout: Duration::from_millis(500),
            first: Duration::ZERO,
            every: Duration::from_millis(10),
            unless,
        };
        self.order(Output::Check { check: 7, what }).await;
        match self.next().await {
            Input::Checked { check: 7, outcome } => outcome,
            other => panic!("an outcome, not {other:?}"),
        }
    }
}

/// A server that sends this to every client, and then waits.
async fn answering(answer: &'static [u8]) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let at = address(&listener);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(answer).await;
            kept.push(stream);
        }
    });
    at
}

fn address(listener: &TcpListener) -> SocketAddrV4 {
    match listener.local_addr() {
        Ok(std::net::SocketAddr::V4(at)) => at,
        other => panic!("IPv4, not {other:?}"),
    }
}

#[tokio::test]
async fn bytes_flow_both_ways_and_each_end_of_a_stream_is_reported() {
    let mut bench = Bench::new();
    let at = bench.listen().await;
    let (mut client, conn) = bench.client(at).await;
    client.write_all(b"ask").await.expect("sent");
    let data = b"ask".to_vec();
    assert_eq!(bench.next().await, Input::Bytes { conn, data });
    let bytes = b"answer".to_vec();
    bench.order(Output::Send { conn, bytes }).await;
    bench.order(Output::Finish { conn }).await;
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.expect("an end");
    assert_eq!(read, b"answer");
    client.write_all(b"more").await.expect("it still reads");
    let data = b"more".to_vec();
    assert_eq!(bench.next().await, Input::Bytes { conn, data });
    client.shutdown().await.expect("an end");
    assert_eq!(bench.next().await, Input::Finished { conn });
    bench.order(Output::Close { conn }).await;
}

#[tokio::test]
async fn what_is_not_taken_is_reported_until_it_is() {
    const BYTES: usize = 32 << 20;
    let mut bench = Bench::new();
    let at = bench.listen().await;
    let (mut client, conn) = bench.client(at).await;
    let bytes = vec![b' '; BYTES];
    bench.order(Output::Send { conn, bytes }).await;
    let first = bench.next().await;
    assert!(
        matches!(first, Input::Sent { queued_bytes, .. } if (1..BYTES).contains(&queued_bytes)),
        "{first:?}"
    );
    let mut read = vec![0; BYTES];
    client.read_exact(&mut read).await.expect("all of it");
    loop {
        match bench.next().await {
            Input::Sent { queued_bytes: 0, .. } => break,
            Input::Sent { .. } => {}
            other => panic!("what is left, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_not_to_be_read_is_not_read() {
    let mut bench = Bench::new();
    let at = bench.listen().await;
    let (mut client, conn) = bench.client(at).await;
    bench.order(Output::Read { conn, on: false }).await;
    let bytes = b".".to_vec();
    bench.order(Output::Send { conn, bytes }).await;
    // It has come so far, and so it does not read any more.
    client.read_exact(&mut [0]).await.expect("a byte");
    client.write_all(b"unread").await.expect("sent");
    let (mut other, other_conn) = bench.client(at).await;
    other.write_all(b"read").await.expect("sent");
    let data = b"read".to_vec();
    assert_eq!(bench.next().await, Input::Bytes { conn: other_conn, data });
    bench.order(Output::Read { conn, on: true }).await;
    let data = b"unread".to_vec();
    assert_eq!(bench.next().await, Input::Bytes { conn, data });
}

#[tokio::test]
async fn a_reset_is_felt_at_once_and_in_both_directions() {
    let mut bench = Bench::new();
    let at = bench.listen().await;
    let (mut client, conn) = bench.client(at).await;
    bench.order(Output::Reset { conn }).await;
    let error = client.read(&mut [0]).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let (client, conn) = bench.client(at).await;
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .expect("an option");
    drop(client);
    assert_eq!(bench.next().await, Input::Lost { conn });
}

#[tokio::test]
async fn a_dial_succeeds_or_fails_with_a_reason() {
    let mut bench = Bench::new();
    let (conn, to) = (ConnId(1), answering(b"hello").await);
    bench.order(Output::Dial { conn, to }).await;
    assert_eq!(bench.next().await, Input::Connected { conn });
    let data = b"hello".to_vec();
    assert_eq!(bench.next().await, Input::Bytes { conn, data });

    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let to = address(&closed);
    drop(closed);
    let conn = ConnId(2);
    bench.order(Output::Dial { conn, to }).await;
    let why = DialFailure::Refused;
    assert_eq!(bench.next().await, Input::DialFailed { conn, why });
}

#[tokio::test]
async fn a_closed_listener_refuses() {
    let mut bench = Bench::new();
    let bound = bench.listen().await;
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    bench.order(Output::Unlisten { at }).await;
    assert_eq!(
        bench.check(bound, CheckKind::Connect, Some(Outcome::Passed)).await,
        Outcome::Refused
    );
}

#[tokio::test]
async fn a_check_reports_its_outcome() {
    const RECORD: &[u8] = &[22, 3, 3, 0, 1, 0];
    const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
    const ECHOED: &[u8] = br#"{"id":"h","result":[],"error":null}"#;
    let agent_check = |text: &str| Outcome::AgentCheck(text.to_owned());
    let mut bench = Bench::new();
    let table: [(CheckKind, &'static [u8], Outcome); 9] = [
        (CheckKind::Connect, b"", Outcome::Passed),
        (CheckKind::Echo, ECHOED, Outcome::Passed),
        (CheckKind::Echo, b"", Outcome::TimedOut),
        (CheckKind::Tls, RECORD, Outcome::Passed),
        (CheckKind::Tls, ALERT, Outcome::Wrong),
        (CheckKind::Tls, b"", Outcome::TimedOut),
        (CheckKind::Agent, b"ready up 100%\n", agent_check("ready up 100%")),
        (CheckKind::Agent, b"drain\r\n", agent_check("drain")),
        (CheckKind::Agent, b"\n", Outcome::Wrong),
    ];
    for (kind, answer, outcome) in table {
        let to = answering(answer).await;
        assert_eq!(bench.check(to, kind, None).await, outcome, "{kind:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_check_reports_no_outcome_twice() {
    let mut bench = Bench::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let to = address(&listener);
    let leaving = tokio::spawn(async move {
        for _ in 0..3 {
            let _ = listener.accept().await;
        }
    });
    assert_eq!(
        bench.check(to, CheckKind::Connect, Some(Outcome::Passed)).await,
        Outcome::Refused
    );
    assert!(leaving.is_finished());
}
