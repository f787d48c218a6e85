//! The admission of clients, and what each may publish: by name, certificate and inventory.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ControlNode;
use super::access::NextHops;
use super::best_path::Source;
use super::client::Client;
use super::client_name::ClientName;
use super::clients::Admission;
use super::event::Event;
use super::inventory::Inventory;
use super::publications::Refusal;
use crate::bounds::FOREIGN_NEXT_HOPS;
use crate::close::{CloseReason, CloseWhy};
use crate::evpn::{Key, Path};
use crate::identity;
use crate::ids::ConnId;
use crate::machine::Certificate;
use crate::time::Time;

impl ControlNode {
    pub(super) fn on_opened(
        &mut self,
        now: Time,
        conn: ConnId,
        name: ClientName,
        address: SocketAddr,
        certificate: Option<Certificate>,
    ) {
        let mut client = Client::new(now, name.clone(), address);
        client.certificate = certificate;
        if let Err(why) = identify(&self.inventory, &mut client, self.is_configured)
            && !planted!(self, NameNotChecked)
        {
            return self.refuse_client(conn, name, address, why);
        }
        match self.clients.admission(&name, address, client.certificate.as_ref()) {
            Admission::New => {}
            Admission::Replaces(older) => {
                let what = format!("the same client has connected again, from {address}");
                self.close(older, CloseWhy::new(CloseReason::Replaced, what));
            }
            Admission::Refused(why) => return self.refuse_client(conn, name, address, why),
        }
        self.graceful_restart.on_connected(now, &name);
        self.clients.insert(conn, client);
        self.outputs.event(Event::ClientUp { client: name, address });
    }

    fn refuse_client(&mut self, conn: ConnId, client: ClientName, address: SocketAddr, why: CloseWhy) {
        self.closed.count(why.reason);
        self.outputs.close(conn, why.clone());
        self.outputs.event(Event::ClientRefused { client, address, why });
    }

    /// The inventory may give other tunnel ends to the clients. One that it names no longer is closed, but for an agent,
    /// which has yet to receive that it serves no switch.
    pub(super) fn configure_access(&mut self, is_first: bool) {
        for conn in self.clients.conns() {
            let Some(client) = self.clients.get_mut(conn) else {
                continue;
            };
            let before = client.next_hops.clone();
            let must_be_known = is_first || !client.was_agent;
            match identify(&self.inventory, client, must_be_known) {
                Ok(()) if client.next_hops == before => {}
                Ok(()) => self.compare_publications(conn, &before),
                Err(why) => self.close(conn, why),
            }
        }
    }

    /// A client may publish other tunnel ends than before.
    fn compare_publications(&mut self, conn: ConnId, before: &NextHops) {
        let Some(client) = self.clients.get(conn) else {
            return;
        };
        let source = Source::Client(client.name.clone());
        let (mut given, mut taken) = (Vec::new(), Vec::new());
        let configured = client.subscriptions.iter();
        for (instance, subscription) in configured.filter(|(instance, _)| self.rib.is_configured(instance)) {
            for (key, path) in &subscription.published {
                let is_given = |ends: &NextHops| ends.foreign(key, path).is_none();
                match (is_given(before), is_given(&client.next_hops)) {
                    (false, true) => given.push((instance.clone(), *key, Arc::clone(path))),
                    (true, false) => taken.push((instance.clone(), *key, Arc::clone(path))),
                    (true, true) | (false, false) => {}
                }
            }
        }
        for (instance, key, path) in given {
            self.rib.insert(&instance, key, source.clone(), path, &mut self.outputs);
        }
        for (instance, key, path) in taken {
            self.rib.remove(&instance, key, &source, &path, &mut self.outputs);
            self.refuse_foreign(conn, key, &path);
        }
    }

    /// Refuses a publication if it has a tunnel end that the inventory does not give to its client. It waits until the
    /// inventory does: a client does not repeat itself, and another control node may have sent it a later inventory.
    pub(super) fn refuse_foreign(&mut self, conn: ConnId, key: Key, path: &Path) -> bool {
        if planted!(self, TunnelEndNotChecked) {
            return false;
        }
        let Some(client) = self.clients.get_mut(conn) else {
            return false;
        };
        let Some(end) = client.next_hops.foreign(&key, path) else {
            return false;
        };
        if client.foreign_next_hops.len() < FOREIGN_NEXT_HOPS {
            client.foreign_next_hops.insert(end);
        }
        self.refuse(conn, Refusal::ForeignNextHop, format!("{key} at {end}"));
        true
    }
}

/// Compares a client with the inventory, and sets what it may publish. A client that the inventory does not name is refused
/// if it `must_be_known`; if not, it may publish nothing.
fn identify(inventory: &Inventory, client: &mut Client, must_be_known: bool) -> Result<(), CloseWhy> {
    let grant = inventory.grant(&client.name, client.address.ip());
    if grant.is_none() && must_be_known {
        let certificate = client.certificate.as_ref().map(identity::describe);
        let what = format!(
            "the inventory does not name this client, which has {}: add it to `agents` or `tsns` of a switch, or to a \
             `[[client]]`, or set `unknown_clients = \"accept\"`",
            certificate.as_deref().unwrap_or("no certificate")
        );
        return Err(CloseWhy::new(CloseReason::UnknownClient, what));
    }
    client.was_agent |= inventory.has_agent(&client.name);
    let grant = grant.unwrap_or_default();
    client.next_hops = grant.next_hops;
    let Some(certificate) = &client.certificate else {
        return Ok(());
    };
    identity::check(client.name.as_str(), &grant.certificates, certificate).map_err(|why| {
        let remedy = "issue a certificate with this name, or list others in `certificates` of a `[[client]]`";
        CloseWhy::new(CloseReason::WrongCertificate, format!("{why}; {remedy}"))
    })
}
