//! S8, of routes: no agent deletes a MAC that every control node that it talks to has known for a while.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tandem_core::control::Event as Told;
use tandem_core::event::{Route, What};
use tandem_core::{Mac, Time, Uuid};

use super::late::Late;
use super::{Check, Findings};
use crate::model::network_named;
use crate::switch::{Commit, Row, RowChange, Writer};
use crate::world::log::{Entry, Fate, Happened};
use crate::world::{AgentView, ControlView, Listener, SwitchView, World};
use crate::{control, host};

/// How long news may be on its way: of a route, and of another configuration.
const RECENT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub(super) struct Swept {
    /// Where each MAC was exported last, and when.
    exported: BTreeMap<(Uuid, Mac), (Ipv4Addr, Time)>,
    /// When a control node lost its last path to a MAC: whoever hears of that may forget the MAC until it is told again.
    retracted: BTreeMap<(String, Mac), Time>,
    /// How the ways stand from control nodes to agents: what was lost may come later than what is known now.
    late: Late,
    configured: Time,
}

impl Check for Swept {
    fn name(&self) -> &'static str {
        "S8"
    }

    fn heard(&mut self, entry: &Entry, world: &World, _found: &mut Findings) {
        self.late.heard(entry, world);
        match &entry.what {
            Happened::Agent(host::Event::Session(event)) => {
                if let What::Exported(Route { network, mac, vtep }) = event.what {
                    self.exported.insert((network, mac), (vtep, world.now()));
                }
            }
            Happened::Control(control::Event::Node(Told::Retracted { route, .. })) => {
                let known = (entry.who.to_string(), route.mac);
                self.retracted.insert(known, world.now());
            }
            // Another VNI is another route.
            Happened::World(Fate::Configured { .. }) => self.configured = world.now(),
            Happened::Agent(_) | Happened::Switch(_) | Happened::Proxy(_) | Happened::Control(_) => {}
            Happened::Vip(_) | Happened::Thief(_) | Happened::VRouter(_) | Happened::World(_) => {}
        }
    }

    fn committed(&mut self, switch: &str, commit: &Commit, world: &World, found: &mut Findings) {
        let Writer::Remote(conn) = commit.by else { return };
        if world.plan().topology.control_nodes == 0 || world.now().since(self.configured) <= RECENT {
            return;
        }
        let deleted = |change: &&RowChange| change.table == "Ucast_Macs_Remote" && change.new.is_none();
        for change in commit.changes.iter().filter(deleted) {
            let view = world.switches().find(|view| view.name == switch);
            let writer = view.and_then(|view| world.way(view, conn)).map(|way| way.agent);
            if let (Some(view), Some(writer)) = (view, writer)
                && let Some((network, mac)) = self.is_known(change, view, writer, world)
            {
                let what = format!(
                    "{conn} of {switch} deleted {mac} in {network}, which every control node of {} knows: {}",
                    writer.name,
                    commit.comments.join("; ")
                );
                found.add([switch.to_owned(), format!("{mac} in {network}")], what);
            }
        }
    }
}

impl Swept {
    /// The MAC of a row that was deleted, if it has been exported at another switch for a while and there is nobody among
    /// those who told the writer of routes who has not got it.
    fn is_known(
        &self,
        change: &RowChange,
        switch: SwitchView<'_>,
        writer: AgentView<'_>,
        world: &World,
    ) -> Option<(Uuid, Mac)> {
        let old = change.old.as_deref()?;
        let (text, logical_switch) = (old.text("MAC")?, old.reference("logical_switch")?);
        let (mac, row) = (text.parse().ok()?, switch.switch.row("Logical_Switch", logical_switch)?);
        let network = network_named(row.text("name")?)?;
        let (vtep, since) = *self.exported.get(&(network, mac))?;
        let long_ago = world.now().since(since) > RECENT && vtep != switch.tunnel_ip;
        let exports = |agent: AgentView<'_>, vtep| {
            let host = agent.host.filter(|_| agent.running);
            host.is_some_and(|host| host.agent().exports().vteps(network, mac).any(|it| it == vtep))
        };
        // Of a MAC that is in two places one counts, and that may be this one, by the word of an agent that hangs, too.
        let heard = Listener::Agent(writer).fabric();
        let mut paths = heard.into_iter().flat_map(|fabric| fabric.paths(network, mac));
        let is_here = world.agents().any(|agent| exports(agent, switch.tunnel_ip))
            || paths.any(|path| path.vtep == switch.tunnel_ip);
        let mut nodes = world
            .control_nodes()
            .filter(|node| world.talk(writer, *node))
            .peekable();
        let has_it = |node: ControlView<'_>| {
            let retracted = self.retracted.get(&(node.name.to_owned(), mac));
            let lately = retracted.is_some_and(|at| world.now().since(*at) <= RECENT);
            let is_late = lately || self.late.may_come(world, writer.name, node.name);
            let host = node.host.into_iter();
            host.flat_map(|host| host.node().macs_of(network))
                .any(|known| !is_late && known == mac)
        };
        let is_same = |(_, row): (Uuid, &Row)| {
            let same = row.text("MAC").and_then(|text| text.parse().ok()) == Some(mac);
            same && row.reference("logical_switch") == Some(logical_switch)
        };
        let known = long_ago && world.is_informed(writer) && nodes.peek().is_some() && nodes.all(has_it);
        let folded = || switch.switch.rows("Ucast_Macs_Remote").any(is_same);
        (known && !is_here && world.agents().any(|agent| exports(agent, vtep)) && !folded()).then_some((network, mac))
    }
}
