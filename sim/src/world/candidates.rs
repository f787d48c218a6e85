//! Which agents could own a switch, by what is in the way of a new connection, whatever the agents do about it.

use tandem_core::health::Grade;

use super::build::VIP;
use super::view::{AgentView, SwitchView};
use super::{HostId, State, World};
use crate::plan::{Fault, TlsFault};
use crate::socket::{ACCEPTED, CheckKind};

/// How an agent stands to a switch that dials now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Given the connection, it could own the switch.
    Able,
    /// It does not get the connection, because the checks of the proxy fail; or it would own the switch for a while.
    Harmless,
    /// Handshakes with it fail, and it looks well to the proxy, until it distrusts itself.
    Attracting,
    /// It may get the connection, and no node can notice that it is of no use.
    Doubtful,
}

impl World {
    /// The proxy that a switch dials, if nothing is in the way: it alone is believed to hold the virtual IP, and does.
    pub fn proxy_of(&self, switch: SwitchView<'_>) -> Option<HostId> {
        let proxy = self.links.resolve(switch.host, VIP)?;
        let holds = self.links.holders(VIP).any(|holder| holder == proxy);
        let runs = self.nodes.get(proxy.0).is_some_and(|node| node.state == State::Running);
        let stands = switch.running && runs && holds && self.is_clear_between(switch.host, proxy);
        stands.then_some(proxy)
    }

    /// How every agent stands to a switch that dials this proxy.
    pub fn standings<'a>(
        &'a self,
        switch: SwitchView<'a>,
        proxy: HostId,
    ) -> impl Iterator<Item = (AgentView<'a>, Standing)> {
        self.agents()
            .map(move |agent| (agent, self.standing(switch, proxy, agent)))
    }

    /// Whether a client that is no agent holds the lock of a switch: the switch accepted its connection.
    pub fn is_stolen(&self, switch: SwitchView<'_>) -> bool {
        let holder = self.lock_holder(switch);
        holder.is_some_and(|conn| conn.0 >= ACCEPTED)
    }

    /// Whether a switch can have an owner at all: a lock or its sole manager fences, no other box has its name, and its certificate is good.
    pub fn can_be_owned(&self, switch: SwitchView<'_>) -> bool {
        let ended = self.certificate_of(switch.name) == crate::tls::Shown::Ended;
        let fenced = self.plan.switch.model.fences() && !self.plan.is_unfenced();
        fenced && self.twin_of() != Some(switch.name) && !ended
    }

    fn standing(&self, switch: SwitchView<'_>, proxy: HostId, agent: AgentView<'_>) -> Standing {
        let check = self.plan.proxy.check;
        let state = self.nodes.get(agent.id.0).map(|node| node.state);
        let reached = self.links.passable(proxy, agent.id) && self.links.passable(agent.id, proxy);
        if self.is_out(proxy, agent.tsn) {
            return Standing::Harmless;
        }
        match (state, agent.host) {
            (Some(State::Paused), _) if check == CheckKind::Connect && reached => Standing::Doubtful,
            (Some(State::Running), Some(_)) if reached && !self.is_clear_between(proxy, agent.id) => Standing::Doubtful,
            (Some(State::Running), Some(host)) if reached => match (self.tls_fault(agent.name), host.agent().grade()) {
                (_, Grade::Unfit) => Standing::Harmless,
                (_, Grade::Draining) if !self.plan.proxy.agent_check => Standing::Doubtful,
                (_, Grade::Draining) => Standing::Harmless,
                (Some(_), _) if check == CheckKind::Tls => Standing::Harmless,
                (Some(_), Grade::Isolated) if self.plan.proxy.agent_check => Standing::Harmless,
                (Some(_), Grade::Fit | Grade::Alone | Grade::Isolated) if self.distrusts_itself(agent) => {
                    Standing::Attracting
                }
                (Some(_), Grade::Fit | Grade::Alone | Grade::Isolated) => Standing::Doubtful,
                (None, _) if !host.agent().configuration().switches.contains_key(&switch.name.into()) => {
                    Standing::Doubtful
                }
                (None, Grade::Fit) if self.receives_changes(agent) => Standing::Able,
                (None, Grade::Fit | Grade::Alone | Grade::Isolated) => Standing::Harmless,
            },
            (Some(State::Running | State::Paused | State::Down | State::Dark) | None, _) => Standing::Harmless,
        }
    }

    /// Whether an agent whose handshakes fail leaves switches to its peer after some time: it has a peer that sends
    /// reports, the proxy asks it, and no session of it serves a switch.
    fn distrusts_itself(&self, agent: AgentView<'_>) -> bool {
        let sessions = agent.host.into_iter().flat_map(|host| host.sessions().values());
        let mut others = self.agents().filter(|other| other.name != agent.name);
        self.plan.agent.pair
            && self.plan.proxy.agent_check
            && sessions
                .map(|line| line.session.served())
                .all(|served| served.is_empty())
            && others.all(|other| self.is_clear_between(agent.id, other.id))
    }

    fn is_clear_between(&self, one: HostId, other: HostId) -> bool {
        self.links.is_clear(self.now(), one, other) && self.links.is_clear(self.now(), other, one)
    }

    /// What is wrong with an agent's TLS: of several faults the last.
    pub(super) fn tls_fault(&self, name: &str) -> Option<TlsFault> {
        let faults = self
            .active
            .iter()
            .rev()
            .filter_map(|place| self.plan.faults.get(*place));
        let mut faults = faults.map(|scheduled| &scheduled.fault);
        faults.find_map(|fault| {
            let Fault::Tls { agent, how } = fault else { return None };
            (&**agent == name).then_some(*how)
        })
    }
}
