//! A switch `tor1` that is managed all the time, and peers made by hand beside it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tandem_lab::agent::{AgentOptions, NetworkSection, PortSection, SwitchSection};
use tandem_lab::pki::Credentials;
use tandem_lab::{Agent, Stage, Switch};

/// An agent may never have had more than this, in KiB. Generous: it may keep 200 MB and more for one peer.
pub(crate) const MEMORY_KIB: u64 = 512 << 10;

pub(crate) struct Rig {
    pub(crate) stage: Stage,
    pub(crate) switch: Switch,
    pub(crate) agent: Agent,
    generation: Value,
}

impl Rig {
    /// With a keepalive of this interval.
    pub(crate) fn new(keepalive: &str) -> Self {
        let stage = Stage::new().expect("a stage");
        let switch = stage.switch("tor1").expect("options");
        let switch = Switch::start(&stage.scratch, "tor1", switch).expect("a switch");
        let binary = Path::new(env!("CARGO_BIN_EXE_tandem"));
        let agent = Agent::start(&stage.scratch, binary, options(&stage, keepalive)).expect("an agent");
        let session = stage.converged(&agent, "tor1").expect("converged");
        Self {
            generation: session["generation"].clone(),
            stage,
            switch,
            agent,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.agent.options().listen.ovsdb
    }

    /// A TCP connection to the TLS port.
    pub(crate) fn dial(&self) -> TcpStream {
        dial(self.address()).expect("connected")
    }

    /// A peer that has shown a good certificate.
    pub(crate) fn peer(&self) -> Peer {
        let credentials = self.stage.pki.issue("bad").expect("a certificate");
        self.peer_as(&credentials).expect("a handshake")
    }

    /// A peer with this certificate, once the handshake is over.
    pub(crate) fn peer_as(&self, credentials: &Credentials) -> io::Result<Peer> {
        Peer::connect(self.address(), credentials, &self.stage.pki.ca())
    }

    /// Waits for a line with all of these words.
    pub(crate) fn line(&self, words: &[&str]) -> String {
        self.lines(words, 1).remove(0)
    }

    pub(crate) fn lines(&self, words: &[&str], count: usize) -> Vec<String> {
        let what = format!("{count} lines with {words:?}");
        let lines = || Some(self.agent.lines(words)).filter(|lines| lines.len() >= count);
        let found = self.stage.wait(&what, lines);
        found.unwrap_or_else(|_| {
            let warnings = self.agent.lines(&["WARN"]).join("\n");
            panic!("waited in vain for {what}; warnings:\n{warnings}")
        })
    }

    /// The switch beside it has the session that it had and is served, and the agent did not take too much memory.
    pub(crate) fn assert_undisturbed(&self) {
        let session = self.agent.session("tor1").expect("a session");
        assert_eq!(
            session["generation"],
            self.generation,
            "{}",
            self.agent.log().join("\n")
        );
        let (now, peak) = self.agent.process.memory_kib().expect("memory");
        println!("memory: {} MiB, at most {} MiB", now >> 10, peak >> 10);
        assert!(peak < MEMORY_KIB, "{peak} KiB");
        let name = "Contrail-6f1c0d0e-0000-4000-8000-000000000001";
        let foreign = ["add-ucast-remote", name, "02:66:00:00:00:01", "10.0.9.9"];
        self.switch.vtep_ctl(&foreign).expect("vtep-ctl");
        let gone = || {
            let rows = self.switch.dump("Ucast_Macs_Remote", &["MAC"]).ok()?;
            rows.is_empty().then_some(())
        };
        self.stage.wait("a foreign row to go", gone).expect("served");
        let session = self.agent.session("tor1").expect("a session");
        assert_eq!(
            session["generation"],
            self.generation,
            "{}",
            self.agent.log().join("\n")
        );
    }
}

fn options(stage: &Stage, keepalive: &str) -> AgentOptions {
    let mut options = stage.agent().expect("options");
    options.keepalive.interval = keepalive.into();
    options.network = vec![NetworkSection {
        name: "blue".into(),
        uuid: "6f1c0d0e-0000-4000-8000-000000000001".into(),
        vni: 5001,
        remote_macs: Vec::new(),
        remote_macs_file: None,
    }];
    let section = |name: &str| SwitchSection {
        name: name.into(),
        vtep: "10.0.1.1".parse().expect("an address"),
        certificate: None,
        ports: vec![PortSection {
            port: "eth1".into(),
            vlan: 10,
            network: "blue".into(),
        }],
    };
    options.switch = vec![section("tor1"), section("bad")];
    options.more = toml::toml! {
        [log]
        level = "debug"
    };
    options
}

pub(crate) fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let patience = Some(Duration::from_secs(60));
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    Ok(stream)
}

/// TLS with this certificate, toward agents with one of this authority.
pub(crate) fn client(credentials: &Credentials, ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(ca).expect("a CA");
    roots.add(root).expect("a root");
    let chain = CertificateDer::pem_file_iter(&credentials.certificate).expect("a file");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&credentials.private_key).expect("a key");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("a certificate and its key");
    Arc::new(config)
}

/// The end of a TLS connection that a switch has.
pub(crate) struct Peer(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Peer {
    fn connect(address: SocketAddr, credentials: &Credentials, ca: &Path) -> io::Result<Self> {
        let name = ServerName::try_from("agent-a").expect("a name");
        let connection = ClientConnection::new(client(credentials, ca), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, dial(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    /// Sends all of it; an agent that has hung up is no failure.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).and_then(|()| self.0.flush());
    }

    /// Reads until the agent hangs up; answers how many bytes came.
    pub(crate) fn hung_up(&mut self) -> usize {
        let mut count = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return count,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("it did not hang up"),
                Err(_) => return count,
            }
        }
    }
}
