//! Every client whose stream is open, by connection and by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::client::{Client, Subscription};
use super::client_name::ClientName;
use crate::bounds::CLIENTS;
use crate::close::{CloseReason, CloseWhy};
use crate::evpn::InstanceName;
use crate::identity::describe;
use crate::ids::ConnId;
use crate::machine::Certificate;

/// The clients. No two have one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    by_conn: BTreeMap<ConnId, Client>,
    by_name: BTreeMap<ClientName, ConnId>,
}

/// The admission of a stream that has opened.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    New,
    /// The same client is here already: its older connection is given up.
    Replaces(ConnId),
    Refused(CloseWhy),
}

impl Clients {
    /// Whether a client of this name may come in.
    ///
    /// The address distinguishes an agent that came back before its old connection was found dead from a second agent
    /// that was given the same name by mistake. The older connection of the former is given up at once: an agent that restarts
    /// need not wait until a hold timer ends. The latter is refused: a mistake disturbs no agent that works.
    ///
    /// A session with another certificate is refused, too: a second certificate of a name ends no live session.
    pub(super) fn admission(
        &self,
        name: &ClientName,
        address: SocketAddr,
        certificate: Option<&Certificate>,
    ) -> Admission {
        let older = self.by_name.get(name).copied();
        let pin = |certificate: &Certificate| certificate.fingerprint;
        match older.and_then(|conn| Some((conn, self.by_conn.get(&conn)?))) {
            Some((_, older)) if older.certificate.as_ref().map(pin) != certificate.map(pin) => {
                let with = older.certificate.as_ref().map(describe);
                let detail = format!(
                    "a client of this name is connected already, from {}, with {}",
                    older.address,
                    with.unwrap_or_else(|| "no certificate".into())
                );
                Admission::Refused(CloseWhy::new(CloseReason::NameTaken, detail))
            }
            Some((_, older)) if older.address.ip() != address.ip() => {
                let detail = format!("a client of this name is connected already, from {}", older.address);
                Admission::Refused(CloseWhy::new(CloseReason::NameTaken, detail))
            }
            Some((conn, _)) => Admission::Replaces(conn),
            None if self.by_conn.len() >= CLIENTS => {
                let detail = format!("{CLIENTS} clients are connected already");
                Admission::Refused(CloseWhy::new(CloseReason::TooMany, detail))
            }
            None => Admission::New,
        }
    }

    pub(super) fn insert(&mut self, conn: ConnId, client: Client) {
        self.by_name.insert(client.name.clone(), conn);
        self.by_conn.insert(conn, client);
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Client> {
        let client = self.by_conn.remove(&conn)?;
        self.by_name.remove(&client.name);
        Some(client)
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Client> {
        self.by_conn.get(&conn)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.by_conn.get_mut(&conn)
    }

    /// A client, and its part in an instance.
    pub(super) fn subscriber(&self, conn: ConnId, instance: &InstanceName) -> Option<(&Client, &Subscription)> {
        let client = self.by_conn.get(&conn)?;
        Some((client, client.subscriptions.get(instance)?))
    }

    pub(super) fn has(&self, name: &ClientName) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn conns(&self) -> Vec<ConnId> {
        self.by_conn.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Client)> {
        self.by_conn.iter().map(|(conn, client)| (*conn, client))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::machine::Fingerprint;
    use crate::time::Time;

    fn address(last: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), port).into()
    }

    fn with(count: u64) -> Clients {
        let mut clients = Clients::default();
        for number in 1..=count {
            let name = format!("agent-{number}");
            clients.insert(ConnId(number), Client::new(Time::ORIGIN, name.into(), address(1, 1)));
        }
        clients
    }

    #[test]
    fn a_client_that_comes_back_from_its_address_replaces_its_older_connection() {
        let clients = with(1);
        let name = ClientName::from("agent-1");
        assert_eq!(
            clients.admission(&name, address(1, 2), None),
            Admission::Replaces(ConnId(1))
        );
        let Admission::Refused(why) = clients.admission(&name, address(2, 1), None) else {
            panic!("a namesake elsewhere is refused");
        };
        assert_eq!(why.reason, CloseReason::NameTaken);
    }

    #[test]
    fn a_session_with_another_certificate_does_not_replace_a_live_one() {
        let shown = |byte| Certificate {
            fingerprint: Fingerprint([byte; 32]),
            names: Vec::new(),
            identities: vec!["agent-1".into()],
            not_after_unix_s: 0,
            pinned_only: false,
        };
        let mut clients = Clients::default();
        let mut client = Client::new(Time::ORIGIN, "agent-1".into(), address(1, 1));
        client.certificate = Some(shown(1));
        clients.insert(ConnId(1), client);
        let name = ClientName::from("agent-1");
        let admission = |certificate: Option<&Certificate>| clients.admission(&name, address(1, 2), certificate);
        assert_eq!(admission(Some(&shown(1))), Admission::Replaces(ConnId(1)));
        for other in [Some(&shown(2)), None] {
            let Admission::Refused(why) = admission(other) else {
                panic!("the older session stays");
            };
            assert_eq!(why.reason, CloseReason::NameTaken);
            assert!(
                why.detail.contains("with the certificate of agent-1 (sha256:0101"),
                "{why}"
            );
        }
    }

    #[test]
    fn one_client_too_many_is_refused_and_one_that_comes_back_is_not() {
        let clients = with(CLIENTS as u64);
        let Admission::Refused(why) = clients.admission(&"agent-0".into(), address(1, 1), None) else {
            panic!("one more than there may be");
        };
        assert_eq!(why.reason, CloseReason::TooMany);
        let again = clients.admission(&"agent-1".into(), address(1, 2), None);
        assert_eq!(again, Admission::Replaces(ConnId(1)));
    }

    #[test]
    fn a_client_that_is_gone_leaves_its_name_free() {
        let mut clients = with(2);
        clients.remove(ConnId(1)).expect("a client");
        assert!(clients.remove(ConnId(1)).is_none());
        assert!(!clients.has(&"agent-1".into()) && clients.has(&"agent-2".into()));
        assert_eq!(
            clients.admission(&"agent-1".into(), address(9, 1), None),
            Admission::New
        );
        assert_eq!(clients.conns(), [ConnId(2)]);
    }
}
