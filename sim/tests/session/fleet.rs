//! One agent and the switches that connect to it, in one thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::agent::{Agent, Input, Output, What};
use tandem_core::configuration::{Configuration, Switch as SwitchConfiguration};
use tandem_core::event::Event;
use tandem_core::health::Grade;
use tandem_core::machine::CloseWhy;
use tandem_core::status::AgentStatus;
use tandem_core::{ConnId, Generation, Machine, Peer, Time};
use tandem_sim::switch::{SchemaVersion, Switch};

use crate::world::{World, network};

/// The agent, and a world for every switch.
pub(crate) struct Fleet {
    pub(crate) agent: Agent,
    pub(crate) worlds: BTreeMap<&'static str, World>,
    pub(crate) now: Time,
    pub(crate) grades: Vec<Grade>,
    pub(crate) refused: Vec<CloseWhy>,
    pub(crate) drained: usize,
    /// The events of the agent about its switches.
    pub(crate) reports: Vec<What>,
    homes: BTreeMap<ConnId, &'static str>,
    connections: u64,
}

impl Fleet {
    /// An agent that was never configured, with generations above 100.
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self {
            agent: Agent::new(Arc::new(configuration.clone()), Generation(100)),
            worlds: BTreeMap::new(),
            now: Time::ORIGIN,
            grades: Vec::new(),
            refused: Vec::new(),
            drained: 0,
            reports: Vec::new(),
            homes: BTreeMap::new(),
            connections: 0,
        }
    }

    /// An agent with a complete configuration.
    pub(crate) fn configured(configuration: &Configuration) -> Self {
        let mut fleet = Self::new(configuration);
        fleet.configure(configuration, true);
        fleet
    }

    /// A switch of this name with the ports `eth1` and `eth2`, and its world.
    pub(crate) fn add_switch(&mut self, name: &'static str) -> &mut World {
        let mut switch = Switch::new(7, SchemaVersion::V1_7_0);
        switch
            .add_physical_switch(name, "10.0.1.1", &["eth1", "eth2"])
            .expect("a switch");
        self.add_world(name, World::of(switch))
    }

    pub(crate) fn add_world(&mut self, name: &'static str, mut world: World) -> &mut World {
        world.now = self.now;
        world.clears = false;
        self.worlds.insert(name, world);
        self.worlds.get_mut(name).expect("just added")
    }

    pub(crate) fn world(&mut self, name: &str) -> &mut World {
        self.worlds.get_mut(name).expect("a switch of this name")
    }

    /// A switch connects, and everything happens that needs no time.
    pub(crate) fn connect(&mut self, name: &'static str) -> ConnId {
        let conn = self.connect_only(name);
        self.run();
        conn
    }

    /// A switch connects, and nothing that it sends arrives yet.
    pub(crate) fn connect_only(&mut self, name: &'static str) -> ConnId {
        self.connections += 1;
        let conn = ConnId(self.connections);
        self.homes.insert(conn, name);
        let peer = Peer {
            address: ([192, 0, 2, 1], 6640).into(),
            proxied: None,
            certificate: None,
        };
        let accepted_at = self.now;
        self.agent_input(Input::Connected {
            conn,
            peer,
            accepted_at,
        });
        conn
    }

    pub(crate) fn configure(&mut self, configuration: &Configuration, complete: bool) {
        let configuration = Arc::new(configuration.clone());
        self.agent_input(Input::Configure {
            configuration,
            complete,
        });
        self.run();
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.agent_input(input);
        self.run();
    }

    pub(crate) fn status(&self) -> AgentStatus {
        let worlds = self.worlds.values();
        let sessions = worlds.flat_map(|world| world.sessions.values());
        self.agent
            .status(sessions.map(|session| session.status(self.now)).collect::<Vec<_>>())
    }

    /// The events of a switch's sessions so far.
    pub(crate) fn events(&self, name: &str) -> &[Event] {
        &self.worlds[name].events
    }

    /// Lets everything happen that needs no time.
    pub(crate) fn run(&mut self) {
        loop {
            let mut notices = Vec::new();
            for world in self.worlds.values_mut() {
                world.run();
                notices.append(&mut world.notices);
            }
            if notices.is_empty() {
                return;
            }
            for (conn, generation, notice) in notices {
                self.agent_input(Input::Session {
                    conn,
                    generation,
                    notice,
                });
            }
        }
    }

    /// Lets time pass, in steps of a tenth of a second.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            let step = Duration::from_millis(100).min(until.since(self.now));
            self.now = self.now + step;
            self.worlds.values_mut().for_each(|world| world.pass(step));
            self.run();
            if self
                .agent
                .poll_timeout()
                .is_some_and(|deadline| deadline.at <= self.now)
            {
                self.handle(Input::Timeout);
            }
        }
    }

    fn agent_input(&mut self, input: Input) {
        self.agent.handle(self.now, input);
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Open { conn, session } => {
                    let home = self.homes[&conn];
                    self.world(home).adopt(conn, *session);
                }
                Output::Refuse { why, .. } => self.refused.push(why),
                Output::Command { conn, command } => {
                    let home = self.homes[&conn];
                    self.world(home).command(conn, command);
                }
                Output::Graded { grade, .. } => self.grades.push(grade),
                Output::Drained => self.drained += 1,
                Output::Ordered { .. } => {}
                Output::Pair(what) => self.reports.push(what),
                Output::SendPeer(_) => panic!("it has no peer"),
                Output::Dial { .. }
                | Output::SendStanza { .. }
                | Output::CloseUplink { .. }
                | Output::Event(_)
                | Output::Remember { .. } => {
                    panic!("it has no control nodes")
                }
            }
        }
    }
}

/// The configuration with one more switch, whose port `eth1` has VLAN `n` in network `n`.
pub(crate) fn and_switch(mut configuration: Configuration, name: &str, n: u32) -> Configuration {
    let mut switch = SwitchConfiguration::default();
    let vlan = u16::try_from(n).expect("a VLAN");
    switch.ports.insert("eth1".into(), [(vlan, network(n))].into());
    configuration.switches.insert(name.into(), switch);
    configuration
}
