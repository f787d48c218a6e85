//! The host's streams to control nodes: dialled by the agent's word, and run beside its sessions.

use std::net::SocketAddr;

use tandem_core::agent::uplinks::{Input as Up, UplinkId};
use tandem_core::bounds::DIAL;
use tandem_core::xmpp::Stanza;
use tandem_core::xmpp::stream::{Event as StreamEvent, Input as Stream, Output as Wanted, Role, StreamOptions};
use tandem_core::{CloseReason, CloseWhy, ConnId, Deadline, Machine, agent, xmpp};

use super::mailbox::{Lane, Letter};
use super::{Host, Why};
use crate::socket::{DialFailure, Output};

impl Host {
    pub(super) fn dial(&mut self, id: UplinkId, to: SocketAddr) {
        let conn = ConnId(id.0);
        if let SocketAddr::V4(to) = to {
            self.uplinks.insert(conn, None);
            self.outputs.push_back(Output::Dial { conn, to });
            let (at, why) = (self.now + DIAL, Why::DialOverdue);
            self.alarms.set(conn, Some(Deadline { at, why }));
        } else {
            self.uplink_over(conn, CloseWhy::new(CloseReason::DialFailed, "there is no IPv6 here"));
        }
    }

    pub(super) fn dialled(&mut self, conn: ConnId) {
        let name = &self.options.configuration.session.agent;
        let options = StreamOptions::new(Role::Client, name, false);
        #[cfg(feature = "mutants")]
        let options = StreamOptions {
            mutant: self.options.configuration.session.mutant,
            ..options
        };
        let stream = xmpp::stream::Stream::new(self.now, options);
        self.uplinks.insert(conn, Some(stream));
        self.carry_out_uplink(conn);
    }

    pub(super) fn dial_failed(&mut self, conn: ConnId, why: DialFailure) {
        let what = match why {
            DialFailure::Refused => "connection refused",
            DialFailure::TimedOut => "timed out",
        };
        self.uplink_over(conn, CloseWhy::new(CloseReason::DialFailed, what));
    }

    pub(super) fn is_dialling(&self, conn: ConnId) -> bool {
        matches!(self.uplinks.get(&conn), Some(None))
    }

    pub(super) fn dial_overdue(&mut self, conn: ConnId) {
        self.outputs.push_back(Output::Close { conn });
        self.dial_failed(conn, DialFailure::TimedOut);
    }

    /// Queues a stanza; the stanzas of one instant go out together.
    pub(super) fn send_stanza(&mut self, id: UplinkId, stanza: Stanza) {
        let conn = ConnId(id.0);
        if let Some(Some(stream)) = self.uplinks.get_mut(&conn) {
            stream.handle(self.now, Stream::Send(stanza));
            self.unflushed.insert(conn);
        }
    }

    pub(super) fn flush_uplinks(&mut self) {
        while let Some(conn) = self.unflushed.pop_first() {
            self.carry_out_uplink(conn);
        }
    }

    pub(super) fn close_uplink(&mut self, id: UplinkId, why: CloseWhy) {
        self.feed_uplink(ConnId(id.0), Stream::Close(why));
    }

    /// The network reports how much of what was sent it has not taken yet.
    pub(super) fn uplink_sent(&mut self, conn: ConnId, queued_bytes: usize) {
        self.feed_uplink(conn, Stream::Sent { queued_bytes });
        let id = UplinkId(conn.0);
        self.post_uplink(conn, Up::Sent { id, queued_bytes });
    }

    /// Passes an input to a stream. Returns whether there is one.
    pub(super) fn feed_uplink(&mut self, conn: ConnId, input: Stream) -> bool {
        if self.unflushed.remove(&conn) {
            self.carry_out_uplink(conn);
        }
        let Some(Some(stream)) = self.uplinks.get_mut(&conn) else {
            return false;
        };
        stream.handle(self.now, input);
        self.carry_out_uplink(conn);
        true
    }

    fn carry_out_uplink(&mut self, conn: ConnId) {
        let id = UplinkId(conn.0);
        while let Some(Some(stream)) = self.uplinks.get_mut(&conn) {
            let Some(output) = stream.poll_output() else { break };
            match output {
                Wanted::Send(bytes) => self.outputs.push_back(Output::Send { conn, bytes }),
                // Streams are in the clear here.
                Wanted::StartTls => {}
                Wanted::Close(_) => self.outputs.push_back(Output::Close { conn }),
                Wanted::Event(StreamEvent::Opened { peer, ours }) => {
                    let name = peer.to_string();
                    let certificate = None;
                    self.post_uplink(
                        conn,
                        Up::Opened {
                            id,
                            name,
                            ours,
                            certificate,
                        },
                    );
                }
                Wanted::Event(StreamEvent::Received(stanza)) => self.post_uplink(conn, Up::Received { id, stanza }),
                Wanted::Event(StreamEvent::Ended { why }) => self.uplink_over(conn, why),
            }
        }
        let deadline = self.uplinks.get(&conn).and_then(|it| it.as_ref()?.poll_timeout());
        let deadline = deadline.map(|Deadline { at, why }| Deadline {
            at,
            why: Why::Uplink(why),
        });
        self.alarms.set(conn, deadline);
    }

    fn uplink_over(&mut self, conn: ConnId, why: CloseWhy) {
        self.uplinks.remove(&conn);
        self.alarms.set(conn, None);
        let id = UplinkId(conn.0);
        self.post_uplink(conn, Up::Closed { id, why });
    }

    fn post_uplink(&mut self, conn: ConnId, input: Up) {
        let letter = Letter::Agent(agent::Input::Uplink(input));
        self.mailbox.post(Lane::Notices(conn), letter);
    }
}
