//! Chooses the server of the next connection: `balance leastconn`, as in HAProxy 2.6 (`src/lb_fwlc.c`).

use super::Server;
use super::event::Event;
use super::health::Health;
use crate::plan;

/// A server, and what this process knows of it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) server: Server,
    pub(super) health: Health,
    /// Sessions that this process gave it.
    pub(super) sessions: u32,
    /// Among equals, the one with the lowest is next.
    queued: u64,
}

/// The servers behind one address.
#[derive(Clone, Debug)]
pub(super) struct Balance {
    members: Vec<Member>,
    next_queued: u64,
}

impl Balance {
    pub(super) fn new(servers: &[Server], options: &plan::Proxy) -> Self {
        let members: Vec<_> = (0..)
            .zip(servers)
            .map(|(queued, server)| Member {
                server: server.clone(),
                health: Health::new(options),
                sessions: 0,
                queued,
            })
            .collect();
        Self {
            next_queued: members.len() as u64,
            members,
        }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    /// The server of the next connection: not `avoid`, if there is another. A backup server gets connections only when
    /// no other server is usable, and then it is always the first of them.
    pub(super) fn pick(&self, avoid: Option<usize>) -> Option<usize> {
        let usable = |backup| {
            self.members
                .iter()
                .enumerate()
                .filter(move |(_, member)| member.server.backup == backup && member.health.is_usable())
        };
        usable(false)
            .min_by_key(|(index, member)| (Some(*index) == avoid, member.load(), member.queued))
            .or_else(|| usable(true).next())
            .map(|(index, _)| index)
    }

    /// How many servers that are no backup get connections.
    pub(super) fn active(&self) -> usize {
        let active = |member: &&Member| !member.server.backup && member.health.is_usable();
        self.members.iter().filter(active).count()
    }

    /// It has a session more.
    pub(super) fn take(&mut self, index: usize) {
        self.change(index, |member| member.sessions = member.sessions.saturating_add(1));
    }

    /// It has a session less.
    pub(super) fn release(&mut self, index: usize) {
        self.change(index, |member| member.sessions = member.sessions.saturating_sub(1));
    }

    /// Something was learned of its health.
    pub(super) fn learn(
        &mut self,
        index: usize,
        lesson: impl FnOnce(&mut Health, &Server) -> Vec<Event>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        self.change(index, |member| events = lesson(&mut member.health, &member.server));
        events
    }

    /// A server whose load changes, or that comes back, is queued behind its equals.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        let before = (member.health.is_usable(), member.load());
        change(member);
        if (member.health.is_usable(), member.load()) != before {
            member.queued = self.next_queued;
            self.next_queued += 1;
        }
    }
}

impl Member {
    /// An idle server weighs nothing, whatever its weight.
    fn load(&self) -> u32 {
        const FULL: u32 = 256;
        match self.sessions {
            0 => 0,
            some => (some.saturating_add(1)).saturating_mul(FULL) / self.health.weight.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Outcome;

    fn balance(names: &[&str]) -> Balance {
        let at = "10.0.0.1:6640".parse().expect("an address");
        let servers: Vec<_> = names
            .iter()
            .map(|name| Server {
                name: (*name).into(),
                at,
                check_at: at,
                agent_check_at: None,
                backup: name.starts_with("backup"),
            })
            .collect();
        Balance::new(&servers, &plan::Proxy::default())
    }

    fn answer(balance: &mut Balance, index: usize, text: &str) {
        balance.learn(index, |health, server| {
            health.on_agent_check(server, &Outcome::AgentCheck(text.into()))
        });
    }

    fn next(balance: &mut Balance) -> usize {
        let index = balance.pick(None).expect("a server");
        balance.take(index);
        index
    }

    #[test]
    fn the_least_loaded_is_next_and_equals_take_turns() {
        let mut balance = balance(&["a", "b"]);
        let picks: Vec<_> = (0..5).map(|_| next(&mut balance)).collect();
        assert_eq!(picks, [0, 1, 0, 1, 0]);
        balance.release(0);
        balance.release(0);
        assert_eq!(next(&mut balance), 0);
    }

    #[test]
    fn one_that_has_just_been_freed_is_queued_behind_its_equals() {
        let mut balance = balance(&["a", "b"]);
        let picks: Vec<_> = (0..4)
            .map(|_| {
                let index = next(&mut balance);
                balance.release(index);
                index
            })
            .collect();
        assert_eq!(picks, [0, 1, 0, 1]);
    }

    #[test]
    fn a_backup_is_used_only_when_no_other_is_there() {
        let mut balance = balance(&["a", "backup-1", "backup-2"]);
        assert_eq!([next(&mut balance), next(&mut balance)], [0, 0]);
        answer(&mut balance, 0, "drain");
        assert_eq!([next(&mut balance), next(&mut balance)], [1, 1]);
        answer(&mut balance, 1, "down");
        assert_eq!(next(&mut balance), 2);
        answer(&mut balance, 2, "down");
        assert_eq!(balance.pick(None), None);
        answer(&mut balance, 0, "ready");
        assert_eq!(next(&mut balance), 0);
    }

    #[test]
    fn an_idle_server_of_one_percent_beats_a_busy_one_of_a_hundred() {
        let mut balance = balance(&["a", "b"]);
        answer(&mut balance, 1, "1%");
        let picks: Vec<_> = (0..5).map(|_| next(&mut balance)).collect();
        assert_eq!(picks, [0, 1, 0, 0, 0]);
    }

    #[test]
    fn the_server_that_failed_is_avoided_if_there_is_another() {
        let mut balance = balance(&["a", "b"]);
        balance.take(1);
        assert_eq!(balance.pick(Some(0)), Some(1));
        answer(&mut balance, 1, "down");
        assert_eq!(balance.pick(Some(0)), Some(0));
    }
}
