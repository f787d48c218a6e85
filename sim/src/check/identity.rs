//! S9: a certificate is a name: no control node admits a client under the name of another, no route of an intruder reaches
//! an agent, a vRouter or a switch, and no agent programs a box that has the name of a switch but is another one.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_core::Mac;
use tandem_core::agent::uplinks;
use tandem_core::control::Event as NodeEvent;

use super::{Check, Findings, Scene};
use crate::switch::{Commit, Writer};
use crate::world::log::{ActorEvent, Entry};
use crate::world::{TWIN, World};
use crate::{control, device, host, intruder};

/// Without certificates: how long agents may take to find out which of two switches of one name is the right one.
const SETTLED: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default)]
pub(super) struct Identity;

impl Check for Identity {
    fn name(&self) -> &'static str {
        "S9"
    }

    fn on_event(&mut self, entry: &Entry, Scene { world, ways }: Scene<'_>, found: &mut Findings) {
        match &entry.event {
            ActorEvent::Switch(device::Event::Committed(committed)) if committed.by.is_some() => {
                let Some(switch) = world.twin_of().filter(|_| &*entry.node == TWIN) else {
                    return;
                };
                let is_settled = ways.steady.held_for(switch, world.now()) >= SETTLED;
                if world.plan().switch.certificates || is_settled {
                    let comment = committed.comments.join("; ");
                    found.add([switch], format!("the twin of {switch} was programmed: {comment}"));
                }
            }
            ActorEvent::Control(control::Event::Node(NodeEvent::ClientUp { client, address })) => {
                if let Some(other) = taken_by(world, client.as_str(), *address) {
                    let what = format!("{} admitted {other} under the name {client}", entry.node);
                    found.add([entry.node.to_string(), client.to_string()], what);
                }
            }
            ActorEvent::Agent(host::Event::Uplink(uplinks::What::Imported { mac, vtep, .. }))
            | ActorEvent::VRouter(uplinks::What::Imported { mac, vtep, .. }) => {
                if *vtep == Some(intruder::END) || vtep.is_some() && intruder::is_mac(*mac) {
                    let what = format!("{} imported {mac}, which an intruder published", entry.node);
                    found.add([entry.node.to_string(), mac.to_string()], what);
                }
            }
            ActorEvent::Agent(_) | ActorEvent::Switch(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => {}
            ActorEvent::VRouter(_) | ActorEvent::Vip(_) | ActorEvent::Thief(_) => {}
            ActorEvent::Intruder(_) | ActorEvent::World(_) => {}
        }
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, _scene: Scene<'_>, found: &mut Findings) {
        let Writer::Remote(conn) = commit.by else { return };
        let end = intruder::END.to_string();
        for row in commit.changes.iter().filter_map(|change| change.new.as_deref()) {
            let mac = row.text("MAC").and_then(|mac| mac.parse::<Mac>().ok());
            if row.text("dst_ip") == Some(&end) || mac.is_some_and(intruder::is_mac) {
                let what = format!("{conn} programmed a route of an intruder");
                found.add([switch], what);
            }
        }
    }
}

/// The node that opened a session from an address, if a node of another name has the name that it used.
fn taken_by<'a>(world: &'a World, client: &str, address: SocketAddr) -> Option<&'a str> {
    let SocketAddr::V4(address) = address else { return None };
    let other = world.name_at(*address.ip())?;
    let is_taken = world.plan().topology.role(client).is_some();
    Some(other).filter(|other| is_taken && *other != client)
}
