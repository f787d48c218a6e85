//! Since when a switch has had the same owner, and since when nothing has been in the way of its connections.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::health::Grade;
use tandem_core::{ConnId, Time};

use crate::device;
use crate::link::RETRANSMIT_MAX;
use crate::world::log::{ActorEvent, Entry};
use crate::world::{Way, World};

/// How the ways and the locks of all switches stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Steady {
    /// By switch; few enough to be looked through.
    ways: BTreeMap<String, Vec<(ConnId, WayState)>>,
    /// The owners that are fit and receive changes of the configuration.
    owners: BTreeMap<String, (ConnId, Time)>,
    /// The holders of the locks.
    holders: BTreeMap<String, (ConnId, Time)>,
}

/// The state of a way.
#[derive(Clone, Copy, Debug)]
pub(super) struct WayState {
    /// Since when it is good; ahead of us while what was lost may have to be sent again.
    good: Option<Time>,
    /// When it ceased to be good: the oldest thing that may still have to be sent again was lost then.
    bad: Time,
}

impl Steady {
    /// To be called with every event.
    pub(super) fn on_event(&mut self, entry: &Entry, world: &World) {
        let changes = match &entry.event {
            ActorEvent::World(_) | ActorEvent::Vip(_) => true,
            ActorEvent::Switch(event) => {
                matches!(event, device::Event::LockPassed { .. } | device::Event::Booted { .. })
            }
            ActorEvent::Agent(_) | ActorEvent::Proxy(_) | ActorEvent::Control(_) => false,
            ActorEvent::VRouter(_) | ActorEvent::Thief(_) | ActorEvent::Intruder(_) => false,
        };
        if changes {
            self.update(world);
        }
    }

    /// To be called once in a while.
    pub(super) fn update(&mut self, world: &World) {
        let now = world.now();
        let mut before = std::mem::take(&mut self.ways);
        for switch in world.switches() {
            let ways = world.ways(switch);
            let of_switch = before.remove_entry(switch.name);
            let (name, old) = of_switch.unwrap_or_else(|| (switch.name.to_owned(), Vec::new()));
            let next = |way: &Way<'_>| {
                let is_good = switch.running && way.calm && has_session(way);
                let stand = stand_of(&old, way.switch_conn);
                (way.switch_conn, WayState::next(stand, now, is_good))
            };
            self.ways.insert(name, ways.iter().map(next).collect());
            let is_fit = |way: &Way<'_>| {
                let fit = way.agent.host.is_some_and(|host| host.agent().grade() == Grade::Fit);
                fit && world.receives_changes(way.agent)
            };
            let holder = world.lock_holder(switch);
            let master = ways.into_iter().find(|way| Some(way.switch_conn) == holder);
            let fit = master.filter(is_fit);
            for (since, way) in [(&mut self.holders, master), (&mut self.owners, fit)] {
                let Some(conn) = way.map(|way| way.switch_conn) else {
                    since.remove(switch.name);
                    continue;
                };
                if since.get(switch.name).is_none_or(|(old, _)| *old != conn) {
                    since.insert(switch.name.to_owned(), (conn, now));
                }
            }
        }
    }

    /// How long a switch has had the same fit owner, with nothing between them; zero if it has none.
    pub(super) fn owned_for(&self, switch: &str, now: Time) -> Duration {
        self.since(self.owners.get(switch), switch, now)
    }

    /// How long the same agent has held the lock of a switch over an undisturbed way; zero without such an agent.
    pub(super) fn held_for(&self, switch: &str, now: Time) -> Duration {
        self.since(self.holders.get(switch), switch, now)
    }

    fn since(&self, holder: Option<&(ConnId, Time)>, switch: &str, now: Time) -> Duration {
        holder.map_or(Duration::ZERO, |(conn, since)| {
            now.since(*since).min(self.good_for(switch, *conn, now))
        })
    }

    /// Whether something is in the way of a connection, or was, so that what was lost may have to be sent again.
    pub(super) fn is_disturbed(&self, switch: &str, conn: ConnId, now: Time) -> bool {
        let stand = self.ways.get(switch).and_then(|ways| stand_of(ways, conn));
        stand.is_some_and(|stand| stand.good.is_none_or(|good| good > now))
    }

    /// How long nothing has been in the way of a connection; zero if something is.
    pub(super) fn good_for(&self, switch: &str, conn: ConnId, now: Time) -> Duration {
        let stand = self.ways.get(switch).and_then(|ways| stand_of(ways, conn));
        stand.map_or(Duration::ZERO, |stand| stand.good_for(now))
    }
}

impl WayState {
    /// How long it has been good; zero if it is not.
    pub(super) fn good_for(&self, now: Time) -> Duration {
        self.good.map_or(Duration::ZERO, |good| now.since(good))
    }

    /// The next state, for a way that is good now or is not.
    pub(super) fn next(before: Option<Self>, now: Time, is_good: bool) -> Self {
        match before {
            None => Self {
                good: is_good.then_some(now),
                bad: now,
            },
            // What was lost before waits on, and ever longer, if it is lost once more.
            Some(Self { good: Some(good), bad }) if !is_good => Self {
                good: None,
                bad: if good > now { bad } else { now },
            },
            // TCP sends again after twice the time each time: it takes as long as the trouble did, at most.
            Some(Self { good: None, bad }) if is_good => Self {
                good: Some(now + now.since(bad).min(RETRANSMIT_MAX)),
                bad,
            },
            Some(same) => same,
        }
    }
}

fn stand_of(ways: &[(ConnId, WayState)], conn: ConnId) -> Option<WayState> {
    ways.iter().find(|(it, _)| *it == conn).map(|(_, stand)| *stand)
}

/// Whether the agent has a session on it: TLS is done, and it has not closed.
fn has_session(way: &Way<'_>) -> bool {
    way.agent
        .host
        .is_some_and(|host| host.sessions().contains_key(&way.conn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_good_again_when_tcp_may_have_sent_everything_again() {
        let at = Time::from_micros;
        let new = WayState::next(None, at(1), true);
        assert_eq!(new.good, Some(at(1)));
        let bad = WayState::next(Some(new), at(10), false);
        assert_eq!(bad.good, None);
        let healed = WayState::next(Some(WayState::next(Some(bad), at(12), false)), at(15), true);
        assert_eq!(healed.good, Some(at(20)));
        assert_eq!(WayState::next(Some(healed), at(30), true).good, Some(at(20)));
    }

    #[test]
    fn what_was_lost_twice_waits_since_the_first_time() {
        let at = Time::from_micros;
        let turns = [(10, false), (15, true), (18, false), (19, true)];
        let new = WayState::next(None, at(1), true);
        let lost_twice = turns
            .iter()
            .fold(new, |stand, (when, good)| WayState::next(Some(stand), at(*when), *good));
        assert_eq!(lost_twice.good, Some(at(28)));
        let lost_anew = WayState::next(Some(WayState::next(Some(lost_twice), at(40), false)), at(42), true);
        assert_eq!(lost_anew.good, Some(at(44)));
    }
}
