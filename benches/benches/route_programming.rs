//! The speed of an agent that programs a switch, beside the highest speed of its database server.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tandem_benches::raw::Client;
use tandem_benches::{Turns, server};
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch};
use tandem_core::session::{Command, Notice, Opening, Session};
use tandem_core::{ConnId, Generation, Mac, Peer, Uuid, Vni};
use tandem_lab::Scratch;
use tandem_lab::switch::remote_mac;
use tandem_net::driver::env::{Env, TokioEnv};
use tandem_net::driver::message::{Message, SessionMessage};
use tandem_net::driver::session;
use tandem_net::driver::timings::Timings;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

const ROWS: u32 = 10_000;

criterion_group!(benches, route_programming);
criterion_main!(benches);

/// In each iteration the raw client and the agent take turns, each on a fresh database.
fn route_programming(criterion: &mut Criterion) {
    let scratch = Scratch::new().expect("a scratch folder");
    let configuration = Arc::new(configuration());
    let turns = Turns::default();
    let mut group = criterion.benchmark_group("route_programming");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.throughput(Throughput::Elements(ROWS.into()));
    group.bench_function("agent", |bencher| {
        bencher.iter_custom(|iterations| {
            let turn = |_| {
                let (ceiling, agent) = (ceiling(&scratch), agent(&scratch, &configuration));
                turns.note(ceiling, agent);
                agent
            };
            (0..iterations).map(turn).sum()
        });
    });
    group.finish();
    println!("{ROWS} rows; the agent from its first byte to the end of its audit");
    println!("{}", turns.report(["raw client", "agent"], ROWS.into(), "rows/s"));
}

/// Transactions that were rendered beforehand, all on the wire at once, to a server without monitors.
fn ceiling(scratch: &Scratch) -> Duration {
    let switch = server::start(scratch, "ceiling").expect("a server");
    let (requests, count) = server::inserts(&switch, ROWS).expect("requests");
    let mut client = Client::connect(&switch.socket()).expect("a connection");
    let began = Instant::now();
    client.push(&requests, count).expect("answers");
    let took = began.elapsed();
    assert_eq!(
        server::count(&switch, "Ucast_Macs_Remote").expect("rows"),
        ROWS as usize
    );
    took
}

/// The session and its driver as in production, on a unix socket, from the first byte to the end of the audit.
fn agent(scratch: &Scratch, configuration: &Arc<Configuration>) -> Duration {
    let switch = server::start(scratch, "agent").expect("a server");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let took = runtime.block_on(async {
        let began = Instant::now();
        let stream = UnixStream::connect(switch.socket()).await.expect("a connection");
        let env = TokioEnv::begin();
        let opening = Opening {
            conn: ConnId(1),
            generation: Generation(1),
            peer: Peer {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
                proxied: None,
                certificate: None,
            },
            accepted_at: env.now(),
            configuration: Arc::clone(configuration),
            complete: true,
            fit: true,
        };
        let session = Box::new(Session::new(env.now(), opening));
        let (orders, receiver) = mpsc::unbounded_channel();
        let cleared = orders.send(SessionMessage::Command(Command::Clear));
        cleared.expect("the session takes it when it runs");
        let (sender, mut messages) = mpsc::channel(1024);
        let run = tokio::spawn(session::run(env, session, stream, receiver, sender, Timings::default()));
        loop {
            match messages.recv().await {
                Some(Message::Session {
                    notice: Notice::Audited,
                    ..
                }) => break,
                Some(_) => {}
                None => panic!("the session ended"),
            }
        }
        let took = began.elapsed();
        run.abort();
        took
    });
    assert_eq!(
        server::count(&switch, "Ucast_Macs_Remote").expect("rows"),
        ROWS as usize
    );
    took
}

fn configuration() -> Configuration {
    let network = Uuid(1);
    let mac = |row: u32| -> Mac { remote_mac(row).parse().expect("a MAC") };
    let blue = Network {
        name: "blue".into(),
        vni: Vni::new(5001).expect("a VNI"),
        remote_macs: (0..ROWS).map(|row| (mac(row), server::vtep(row))).collect(),
    };
    let tor1 = Switch {
        ports: [("eth1".into(), BTreeMap::from([(10, network)]))].into(),
        ..Switch::default()
    };
    Configuration {
        session: SessionOptions::new("bench", Ipv4Addr::new(10, 0, 0, 11)),
        networks: [(network, blue)].into(),
        switches: [("tor1".into(), tor1)].into(),
    }
}
