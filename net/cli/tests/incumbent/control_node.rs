//! A control node of theirs with our agent, and a real switch.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tandem_lab::{Agent, Contents, Stage, Switch};

use crate::control_node_bytes::{
    END_OF_RIB, EXPECTED_ASSOCIATE, EXPECTED_CONFIGURATION, EXPECTED_DISSOCIATE, EXPECTED_OPENING, EXPECTED_PUBLISH,
    EXPECTED_SUBSCRIPTION, ITEMS, LINKS, NODES, OPENING, RETRACT,
};
use crate::line::{Line, values};

/// The logical switch of their network: its UUID comes in two halves, 1234 and 5678.
const LOGICAL_SWITCH: &str = "Contrail-00000000-0000-04d2-0000-00000000162e";
const SWITCH: &str = "bms-tor1";
const VTEP: &str = "10.10.10.20";
const LEARNED: &str = "00:11:22:33:44:55";
/// At a vRouter.
const REMOTE: [&str; 2] = ["02:aa:00:00:00:01", "10.84.5.30"];
/// The silence of an agent after which their control node sends end-of-RIB.
const IDLE: Duration = Duration::from_secs(6);

#[test]
fn an_agent_of_ours_works_with_a_control_node_without_end_of_rib() {
    let rig = Rig::start();
    rig.configure();
    rig.line().send(ITEMS);
    rig.work();
}

#[test]
fn an_agent_of_ours_works_with_a_control_node_that_sends_end_of_rib() {
    let rig = Rig::start();
    rig.configure();
    rig.line().send(ITEMS);
    rig.wait("an idle agent", || (rig.line().idle() >= IDLE).then_some(()));
    rig.line().send(END_OF_RIB);
    rig.work();
}

/// The switch, our agent, and the control node's end of the stream.
struct Rig {
    line: RefCell<Line>,
    switch: Switch,
    agent: Agent,
    stage: Stage,
}

impl Rig {
    /// Both streams are open.
    fn start() -> Self {
        let stage = Stage::new().expect("a stage");
        let address = SocketAddr::from((stage.loopback.address(21), 0));
        let listener = TcpListener::bind(address).expect("a port");
        listener.set_nonblocking(true).expect("a port");
        let address = listener.local_addr().expect("its address").to_string();

        let mut options = stage.agent().expect("options");
        let control = toml::Table::from_iter([
            ("nodes".into(), toml::Value::from(vec![address])),
            ("tls".into(), false.into()),
        ]);
        options.more = toml::toml! { log = { level = "debug" } };
        options.more.insert("control".into(), control.into());
        let binary = Path::new(env!("CARGO_BIN_EXE_tandem"));
        let agent = Agent::start(&stage.scratch, binary, options).expect("an agent");

        let mut options = stage.switch(SWITCH).expect("options");
        options.physical_switches[0].tunnel_ip = VTEP.into();
        options.physical_switches[0].ports = vec!["ge-0/0/10".into()];
        let switch = Switch::start(&stage.scratch, SWITCH, options).expect("a switch");

        let stream = stage.wait("a dial", || listener.accept().ok()).expect("an agent").0;
        let mut line = Line::new(stream);
        let opening = stage.wait("its opening", || line.opening()).expect("a stream");
        assert_eq!(opening, EXPECTED_OPENING);
        line.send(OPENING);
        Self {
            line: line.into(),
            switch,
            agent,
            stage,
        }
    }

    fn line(&self) -> std::cell::RefMut<'_, Line> {
        self.line.borrow_mut()
    }

    /// Sends the agent the configuration that it requested, without an end.
    fn configure(&self) {
        assert_eq!(self.receive("iq"), EXPECTED_CONFIGURATION);
        assert!(self.line().keepalives_received > 0, "an agent sends a keepalive first");
        self.line().send(NODES);
        self.line().send(LINKS);
        assert_eq!(self.receive("iq"), EXPECTED_SUBSCRIPTION);
    }

    /// The agent programs the routes that it received, and publishes what its switch learns.
    fn work(&self) {
        let [mac, vtep] = REMOTE;
        let row = (LOGICAL_SWITCH.into(), mac.into(), vtep.into());
        // Only this one: the other MAC is at the switch's own tunnel end.
        let programmed = self.contents("a remote MAC", |contents| contents.remote == [row.clone()]);
        assert_eq!(programmed.logical_switches, [(LOGICAL_SWITCH.into(), Some(101))].into());
        let bound = (SWITCH.into(), "ge-0/0/10".into(), 100);
        assert_eq!(programmed.bindings, [(bound, LOGICAL_SWITCH.into())].into());

        self.vtep_ctl(&["add-ucast-local", LOGICAL_SWITCH, LEARNED, VTEP]);
        self.expect_publication(EXPECTED_ASSOCIATE);
        self.vtep_ctl(&["del-ucast-local", LOGICAL_SWITCH, LEARNED]);
        self.expect_publication(EXPECTED_DISSOCIATE);

        self.line().send(RETRACT);
        self.contents("no remote MAC", |contents| {
            let gone = contents.remote.is_empty();
            assert!(
                !gone || self.is_complete(),
                "the row went before the network was complete"
            );
            gone
        });
    }

    /// Of the MAC that the switch learned, and nothing in between.
    fn expect_publication(&self, collection: &str) {
        let published = self.receive(LEARNED);
        let number = values(&published, [" id=\"pubsub_l2"]).remove(0);
        assert_eq!(published, EXPECTED_PUBLISH.replace("{N}", &number));
        assert_eq!(self.receive("iq"), collection.replace("{N}", &number));
    }

    /// Whether the network is complete for the agent.
    fn is_complete(&self) -> bool {
        let status = self.wait("a status", || self.agent.status().ok());
        status["control_nodes"][0]["instances_complete"] == 1
    }

    fn vtep_ctl(&self, args: &[&str]) {
        self.switch.vtep_ctl(args).expect("vtep-ctl");
    }

    /// The next stanza with this in it.
    fn receive(&self, what: &str) -> String {
        self.wait(what, || {
            let mut line = self.line();
            line.stanza().filter(|stanza| stanza.contains(what))
        })
    }

    /// The contents of the switch, once they are right. The control node goes on sending keepalives.
    fn contents(&self, what: &str, is_right: impl Fn(&Contents) -> bool) -> Contents {
        self.wait(what, || {
            self.line().live();
            let contents = Contents::of(&self.switch.snapshot().ok()?);
            is_right(&contents).then_some(contents)
        })
    }

    fn wait<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        let found = self.stage.wait(what, condition);
        found.unwrap_or_else(|error| panic!("{error}"))
    }
}
