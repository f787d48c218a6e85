//! The reports that the two agents of a pair send each other, and what follows from them.
//!
//! They do not decide ownership: the lock in the switch's database does. They let an old owner probe its half-open
//! connection at once, and an isolated agent hand its switches over to one that is fit. Without them everything is still
//! right, only slower.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::What;
use super::roles::{Role, SwitchRole};
use crate::bounds::{ALARM_AFTER, HANDOVER_PAUSE, PEER_FRESH, PEER_REPORTS};
use crate::health::Grade;
use crate::ids::SwitchName;
use crate::status::{Alarm, PeerStatus};
use crate::time::Time;

/// Everything that one agent reports to the other, each time.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// The agent that sends it.
    pub agent: String,
    /// The grade on its health port.
    pub grade: Grade,
    /// It could take a switch: it is fit, and lacks nothing at this moment.
    pub ready: bool,
    /// The configured switches.
    pub switches: BTreeMap<SwitchName, SwitchRole>,
}

/// The agent's knowledge of its peer agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    received: Option<(Time, PeerReport)>,
    sent: Option<(Time, PeerReport)>,
    /// When each switch was handed over.
    handed_over: BTreeMap<SwitchName, Time>,
    alarms: BTreeMap<(SwitchName, Alarm), Raised>,
}

/// Something that is wrong with a switch.
#[derive(Clone, Copy, Debug)]
struct Raised {
    since: Time,
    /// It has lasted, and was reported.
    is_reported: bool,
}

/// One agent's name and its role at a switch.
type Side<'a> = (&'a str, &'a SwitchRole);

impl Pair {
    /// A report arrived. Returns the switches that the peer agent owns now and did not own before.
    pub(super) fn on_report(&mut self, now: Time, report: PeerReport) -> Vec<SwitchName> {
        let before = self.received.take().map(|(_, report)| report);
        let is_new = |name: &SwitchName, role: &SwitchRole| {
            let was = before.as_ref().and_then(|report| report.switches.get(name));
            was.is_none_or(|was| (was.role, was.owned) != (role.role, role.owned))
        };
        let switches = report.switches.iter();
        let claimed = switches.filter(|(name, role)| role.role == Role::Active && is_new(name, role));
        let claimed = claimed.map(|(name, _)| name.clone()).collect();
        self.received = Some((now, report));
        claimed
    }

    /// Compares the two agents' roles. Returns what has been wrong for long enough, and what is right again.
    pub(super) fn compare(&mut self, now: Time, own: &str, ours: &BTreeMap<SwitchName, SwitchRole>) -> Vec<What> {
        let mut events = Vec::new();
        let mut before = std::mem::take(&mut self.alarms);
        let Some((_, report)) = &self.received else {
            return events;
        };
        for (name, ours) in ours {
            let Some(theirs) = report.switches.get(name) else {
                continue;
            };
            let sides = [(own, ours), (report.agent.as_str(), theirs)];
            for alarm in Alarm::ALL {
                let key = (name.clone(), alarm);
                let known = before.remove(&key);
                if is_on(alarm, sides) {
                    let mut raised = known.unwrap_or(Raised {
                        since: now,
                        is_reported: false,
                    });
                    if !raised.is_reported && now.since(raised.since) >= ALARM_AFTER {
                        raised.is_reported = true;
                        events.push(wrong(alarm, name, sides));
                    }
                    self.alarms.insert(key, raised);
                } else if known.is_some_and(|raised| raised.is_reported) {
                    events.extend(right_again(alarm, name, sides));
                }
            }
        }
        events
    }

    /// The faults of a switch that have lasted long enough to be reported.
    pub(super) fn alarms(&self, name: &SwitchName) -> Vec<Alarm> {
        let is_reported = |alarm: &Alarm| {
            let raised = self.alarms.get(&(name.clone(), *alarm));
            raised.is_some_and(|raised| raised.is_reported)
        };
        Alarm::ALL.into_iter().filter(is_reported).collect()
    }

    /// Whether the peer agent reports that it owns a switch.
    pub(super) fn owns(&self, name: &SwitchName) -> bool {
        let report = self.received.as_ref().map(|(_, report)| report);
        let role = report.and_then(|report| report.switches.get(name));
        role.is_some_and(|role| role.role == Role::Active)
    }

    /// The peer agent's last report and when it arrived, unless it is too old to count.
    pub(super) fn fresh(&self, now: Time) -> Option<(Time, &PeerReport)> {
        let (at, report) = self.received.as_ref()?;
        (now.since(*at) < PEER_FRESH).then_some((*at, report))
    }

    /// The status of the peer agent, for operators.
    pub(super) fn status(&self) -> PeerStatus {
        let report = self.received.as_ref().map(|(_, report)| report);
        PeerStatus {
            agent: report.map(|report| report.agent.clone()),
            grade: report.map(|report| report.grade),
        }
    }

    /// Whether the peer agent can take a switch.
    pub(super) fn is_ready(&self, now: Time) -> bool {
        self.fresh(now).is_some_and(|(_, report)| report.ready)
    }

    /// Returns whether a report is to be sent now: something changed, or it is time to send one again.
    pub(super) fn send(&mut self, now: Time, report: &PeerReport) -> bool {
        let changed = self.sent.as_ref().is_none_or(|(_, sent)| sent != report);
        let is_due = changed || self.must_send(now);
        if is_due {
            self.sent = Some((now, report.clone()));
            self.handed_over.retain(|_, at| now.since(*at) < HANDOVER_PAUSE);
        }
        is_due
    }

    /// Whether a report is to be sent though nothing has changed.
    pub(super) fn must_send(&self, now: Time) -> bool {
        self.sent.as_ref().is_none_or(|(at, _)| now.since(*at) >= PEER_REPORTS)
    }

    /// When a report is due, when the last one received is too old to count, or when an alarm has lasted.
    pub(super) fn due(&self) -> Option<Time> {
        let send = self.sent.as_ref().map(|(at, _)| *at + PEER_REPORTS);
        let stale = self.received.as_ref().map(|(at, _)| *at + PEER_FRESH);
        let unreported = self.alarms.values().filter(|raised| !raised.is_reported);
        let alarm = unreported.map(|raised| raised.since + ALARM_AFTER).min();
        [send, stale, alarm].into_iter().flatten().min()
    }

    /// Forgets a report that is too old to count. Returns it.
    pub(super) fn expire(&mut self, now: Time) -> Option<PeerReport> {
        let (_, report) = self.received.take_if(|(at, _)| now.since(*at) >= PEER_FRESH)?;
        Some(report)
    }

    /// Whether a switch may be handed over: once a minute. One that comes back is kept.
    pub(super) fn may_hand_over(&mut self, now: Time, switch: &SwitchName) -> bool {
        let at = self.handed_over.get(switch);
        let lately = at.is_some_and(|at| now.since(*at) < HANDOVER_PAUSE);
        if !lately {
            self.handed_over.insert(switch.clone(), now);
        }
        !lately
    }
}

fn is_on(alarm: Alarm, sides: [Side<'_>; 2]) -> bool {
    let active = sides.map(|(_, role)| role.role == Role::Active);
    let [(_, ours), (_, theirs)] = sides;
    match alarm {
        Alarm::Ownerless => active == [false, false],
        Alarm::Contested => active == [true, true],
        Alarm::Disagreed => ours.configuration != theirs.configuration,
    }
}

fn wrong(alarm: Alarm, name: &SwitchName, sides: [Side<'_>; 2]) -> What {
    let switch = name.clone();
    let [(own, ours), (peer, theirs)] = sides;
    match alarm {
        Alarm::Ownerless => What::Mastership {
            switch,
            owners: Vec::new(),
        },
        Alarm::Contested => What::Mastership {
            switch,
            owners: vec![own.into(), peer.into()],
        },
        Alarm::Disagreed => What::Disagreed {
            switch,
            ours: ours.configuration.clone(),
            theirs: theirs.configuration.clone(),
        },
    }
}

/// Nothing is right while ownership went from one fault into the other.
fn right_again(alarm: Alarm, name: &SwitchName, sides: [Side<'_>; 2]) -> Option<What> {
    let switch = name.clone();
    if alarm == Alarm::Disagreed {
        return Some(What::Agreed { switch });
    }
    let owners = sides.into_iter().filter(|(_, role)| role.role == Role::Active);
    let owners: Vec<String> = owners.map(|(agent, _)| agent.into()).collect();
    (owners.len() == 1).then_some(What::Mastership { switch, owners })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::LogEvent;

    fn report(role: Role, owned: u64, configuration: &str) -> PeerReport {
        let role = SwitchRole {
            role,
            owned,
            audited: false,
            configuration: configuration.into(),
            ..SwitchRole::default()
        };
        PeerReport {
            agent: "agent-b".into(),
            grade: Grade::Fit,
            ready: true,
            switches: [("tor1".into(), role)].into(),
        }
    }

    #[test]
    fn a_claim_is_returned_once() {
        let mut pair = Pair::default();
        let mut claimed = |role, owned| pair.on_report(Time::ORIGIN, report(role, owned, "x")).len();
        let stories = [
            (Role::Standby, 0, 0),
            (Role::Active, 1, 1),
            (Role::Active, 1, 0),
            (Role::Active, 2, 1),
        ];
        for (role, owned, expected) in stories {
            assert_eq!(claimed(role, owned), expected, "{role:?} {owned}");
        }
    }

    /// The events about a switch, second by second, when the peer agent reports this.
    fn logged(ours: Role, theirs: &[(u64, Role, &str)]) -> Vec<(u64, &'static str)> {
        let ours = report(ours, 1, "x").switches;
        let mut pair = Pair::default();
        let mut logged = Vec::new();
        let (mut role, mut configuration) = (Role::Absent, "x");
        for second in 0..30 {
            if let Some((_, now_role, now_configuration)) = theirs.iter().find(|(at, ..)| *at == second) {
                (role, configuration) = (*now_role, now_configuration);
            }
            let now = Time::ORIGIN + Duration::from_secs(second);
            pair.on_report(now, report(role, 1, configuration));
            let events = pair.compare(now, "agent-a", &ours);
            logged.extend(events.iter().map(|what| (second, what.word())));
        }
        logged
    }

    #[test]
    fn a_switch_without_an_owner_for_longer_than_a_takeover_is_logged_and_again_when_it_has_one() {
        let story = [(0, Role::Absent, "x"), (20, Role::Active, "x")];
        assert_eq!(logged(Role::Standby, &story), [(5, "Mastership"), (20, "Mastership")]);
        let short = [(0, Role::Absent, "x"), (4, Role::Active, "x")];
        assert_eq!(logged(Role::Standby, &short), []);
    }

    #[test]
    fn two_owners_and_two_configurations_are_logged() {
        let story = [
            (0, Role::Active, "x"),
            (10, Role::Active, "y"),
            (20, Role::Standby, "x"),
        ];
        let expected = [(5, "Mastership"), (15, "Disagreed"), (20, "Mastership"), (20, "Agreed")];
        assert_eq!(logged(Role::Active, &story), expected);
    }

    #[test]
    fn nothing_is_compared_with_a_report_that_is_too_old() {
        let ours = report(Role::Standby, 0, "x").switches;
        let mut pair = Pair::default();
        let at = |seconds| Time::ORIGIN + Duration::from_secs(seconds);
        pair.on_report(at(0), report(Role::Absent, 0, "x"));
        assert_eq!(pair.compare(at(0), "agent-a", &ours), []);
        assert_eq!(pair.expire(at(3)).map(|report| report.agent), Some("agent-b".into()));
        assert_eq!(pair.compare(at(10), "agent-a", &ours), []);
        assert_eq!((pair.due(), pair.alarms(&"tor1".into())), (None, Vec::new()));
    }

    #[test]
    fn a_report_counts_for_three_seconds() {
        let mut pair = Pair::default();
        pair.on_report(Time::ORIGIN, report(Role::Absent, 0, "x"));
        let after = |ms| Time::ORIGIN + Duration::from_millis(ms);
        assert!(pair.is_ready(after(2999)) && !pair.is_ready(after(3000)));
        assert!(pair.expire(after(3000)).is_some() && pair.fresh(Time::ORIGIN).is_none());
    }

    #[test]
    fn a_switch_is_handed_over_once_a_minute() {
        let mut pair = Pair::default();
        let mut may = |seconds| pair.may_hand_over(Time::ORIGIN + Duration::from_secs(seconds), &"tor1".into());
        assert_eq!([0, 1, 59, 60, 61].map(&mut may), [true, false, false, true, false]);
    }
}
