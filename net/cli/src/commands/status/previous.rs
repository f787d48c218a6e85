//! The status that processes of the previous version serve: `tandem status` of this version reads it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::{Args, Exit, Output, run};

const AGENT: &str = include_str!("../../../../service/tests/previous/status-agent.json");
const CONTROL_NODE: &str = include_str!("../../../../service/tests/previous/status-control.json");

/// Prints the status that a process answers once.
fn shown(answer: &'static str, arguments: &[&str]) -> (Exit, String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        let length = answer.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        )
        .expect("sent");
    });
    let subjects = std::iter::once(url.as_str()).chain(arguments.iter().copied());
    let args = Args {
        subjects: subjects.map(str::to_owned).collect(),
        ..Args::default()
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output {
        out: &mut out,
        err: &mut err,
        colour: false,
        is_terminal: false,
    };
    let exit = run(&args, &mut output).expect("written");
    server.join().expect("no panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (exit, text(out), text(err))
}

#[test]
fn the_status_of_an_agent_of_the_previous_version_is_shown() {
    let (exit, out, err) = shown(AGENT, &[]);
    assert_eq!((exit, err.as_str()), (Exit::Good, ""));
    for part in ["agent-a", "10.0.0.11", "tor1", "tor2", "control-1", "agent-b", "synced"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (exit, out, err) = shown(AGENT, &["tor2"]);
    assert_eq!((exit, err.as_str()), (Exit::Good, ""));
    assert!(out.contains("tor2") && !out.contains("tor1"), "{out}");
}

#[test]
fn the_status_of_a_control_node_of_the_previous_version_is_shown() {
    let (exit, out, err) = shown(CONTROL_NODE, &[]);
    assert_eq!((exit, err.as_str()), (Exit::Good, ""));
    for part in ["revision 7", "agent-a", "blue", "tor1", "02:00:00:00:00:07"] {
        assert!(out.contains(part), "{part} in {out}");
    }
}
