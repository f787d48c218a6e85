//! Never built: everything that core and sim ban, once each, for clippy to find.

use std::thread::{scope, sleep, spawn};
use std::time::{Duration, Instant, SystemTime};

pub struct Types(
    pub std::collections::HashMap<u8, u8>,
    pub std::collections::HashSet<u8>,
    pub std::hash::RandomState,
    pub Instant,
    pub SystemTime,
    pub std::net::TcpListener,
    pub std::net::TcpStream,
    pub std::net::UdpSocket,
    pub std::os::unix::net::UnixStream,
    pub std::fs::File,
    pub std::process::Command,
);

pub fn methods() {
    let _ = Instant::now();
    let _ = SystemTime::now();
    sleep(Duration::ZERO);
    let _ = spawn(|| ());
    scope(|_| ());
    let _ = std::env::var("");
    let _ = std::env::var_os("");
    let _ = std::env::vars();
    let _ = std::env::args();
    let _ = std::fs::read("");
    let _ = std::fs::read_to_string("");
    let _ = std::fs::write("", "");
    let _ = std::process::id();
    std::process::exit(0);
}

pub fn lints(held: Option<Ownership>) -> u8 {
    match held.unwrap() {
        Ownership::Held => u8::try_from(7).expect("small"),
        _ => 0,
    }
}

pub enum Ownership {
    Held,
    Waiting,
    Lost,
}
