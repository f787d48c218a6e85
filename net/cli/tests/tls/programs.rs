//! Real programs in a scratch folder.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::authority::Identity;

/// A command that runs in `dir` and keeps its files there.
pub(crate) fn command(dir: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdin(Stdio::null());
    for folder in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
        command.env(folder, dir);
    }
    command
}

/// Runs to the end, well or not.
pub(crate) fn output(dir: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = command(dir, program, arguments).output();
    output.unwrap_or_else(|e| panic!("{}: {e}", missing(program)))
}

/// Runs to the end, and well.
pub(crate) fn run(dir: &Path, program: &str, arguments: &[&str]) -> String {
    let output = output(dir, program, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A program that is ended with its handle.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(dir: &Path, program: &str, arguments: &[&str]) -> Self {
        let log = fs::File::create(dir.join(format!("{program}.out"))).expect("a log");
        let mut command = command(dir, program, arguments);
        let command = command.stdout(log.try_clone().expect("a log")).stderr(log);
        Self(command.spawn().unwrap_or_else(|e| panic!("{}: {e}", missing(program))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Both CAs of a real ovs-pki in `pki`, and `agent` and `switch` signed by them, as it names its files.
pub(crate) fn ovs_pki(dir: &Path) {
    // Absolute, for ovs-pki changes its folder on the way.
    let folder = format!("--dir={}", dir.join("pki").display());
    let log = format!("--log={}", dir.join("ovs-pki.log").display());
    let pki = |arguments: &[&str]| {
        run(dir, "ovs-pki", &[&[&folder[..], &log, "--batch"], arguments].concat());
    };
    pki(&["init"]);
    pki(&["req+sign", "agent", "controller"]);
    pki(&["req+sign", "switch", "switch"]);
    let read = |file: &str| fs::read_to_string(dir.join(file)).expect("reads");
    let chain = read("agent-cert.pem") + &read("pki/controllerca/cacert.pem");
    fs::write(dir.join("agent-chain.pem"), chain).expect("writes");
}

/// A CA without any extension, X.509 v1, as ovs-pki made it until Open vSwitch 2.10: `<name>.pem`.
pub(crate) fn v1_authority(dir: &Path, name: &str) {
    request(dir, name);
    let (request, key, pem) = (
        format!("{name}-req.pem"),
        format!("{name}-key.pem"),
        format!("{name}.pem"),
    );
    run(
        dir,
        "openssl",
        &[
            "x509", "-req", "-in", &request, "-signkey", &key, "-days", "30", "-sha512", "-out", &pem,
        ],
    );
}

/// A v1 certificate by a CA of [`v1_authority`]; the digest is an option of openssl.
pub(crate) fn v1_certificate(
    dir: &Path,
    name: &str,
    authority: &str,
    digest: &str,
    serial: &str,
    days: &str,
) -> Identity {
    request(dir, name);
    let (request, ca, key) = (
        format!("{name}-req.pem"),
        format!("{authority}.pem"),
        format!("{authority}-key.pem"),
    );
    let pem = format!("{name}-cert.pem");
    run(
        dir,
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &key,
            "-set_serial",
            serial,
            "-days",
            days,
            digest,
            "-out",
            &pem,
        ],
    );
    let text = run(dir, "openssl", &["x509", "-in", &pem, "-noout", "-text"]);
    assert!(
        text.contains("Version: 1 (0x0)"),
        "this openssl makes no v1 certificates: {text}"
    );
    Identity::read(dir, name)
}

/// A port of loopback that was free a moment ago, for programs that cannot choose one themselves.
pub(crate) fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("an address")
}

fn request(dir: &Path, name: &str) {
    let (key, request, subject) = (
        format!("{name}-key.pem"),
        format!("{name}-req.pem"),
        format!("/O=Open vSwitch/CN={name}"),
    );
    run(
        dir,
        "openssl",
        &[
            "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj", &subject,
        ],
    );
}

fn missing(program: &str) -> String {
    let package = match program {
        "ovs-pki" => "openvswitch-pki",
        "ovsdb-client" | "ovsdb-tool" => "openvswitch-common",
        "ovsdb-server" => "openvswitch-switch",
        other => other,
    };
    format!("{program} does not start; install the Debian package {package}")
}
