//! What a failover may take under the recommended settings: formulas over the configured timers.
//!
//! [`crate::bounds`] contains what may ever happen, with any settings and any other fault. Here one thing breaks, and the
//! rest is well, so these are tighter: half of the runs take the usual course, and none more than the worst.

use std::time::Duration;

use super::spread::{Spread, micros};
use super::times::Times;
use super::{Drill, Hit, LONGEST, recommended};
use crate::bounds::round_trip;
use crate::plan::Plan;

/// The usual and the worst.
type Course = [Duration; 2];

/// The timers that agents write into `Manager` rows: the pause before a switch dials again, and its probe.
const BACKOFF: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_secs(5);

/// The greatest p50, p99 and maximum of a drill.
pub fn of(drill: Drill) -> Times {
    let plan = recommended(drill.targets, 0);
    let session = session(drill, &plan);
    let late = rows_after(drill.hit, &plan);
    let broadcast = [session[0] + late[0], session[1] + late[1]];
    Times {
        session: spread(session),
        broadcast: spread(broadcast),
        missing: spread(missing(drill.hit, session)),
    }
}

fn spread([usual, worst]: Course) -> Spread {
    let (p50, max) = (micros(usual), micros(worst));
    Spread { p50, p99: max, max }
}

/// Until the next agent has the lock.
fn session(drill: Drill, plan: &Plan) -> Course {
    let dial = BACKOFF + at_once(plan);
    // A warm pair needs no dial: the lock passes to a session that has read everything.
    let next = if drill.targets == 1 { dial } else { at_once(plan) };
    let [usual, worst] = detection(plan);
    let [inter, advert, track] = [plan.proxy.inter, plan.proxy.advert, plan.proxy.track].map(|span| span.duration());
    match drill.hit {
        Hit::AgentCrashes | Hit::ServicesNodeDies => [next, next],
        Hit::SessionReset => [dial, dial],
        Hit::AgentLosesPower
        | Hit::AgentHangs
        | Hit::AgentIsolated
        | Hit::CutToAgent
        | Hit::CutFromAgent
        | Hit::AgentJammed => [usual + next, worst + next],
        // Every proxy has fetched the agent check, then the session goes.
        Hit::AgentDrains => [inter + next, inter * 2 + next],
        // TCP sends again after up to as long as the line was cut, unless the switch has closed the connection.
        Hit::CutToProxy | Hit::CutFromProxy | Hit::SwitchJammed => [PROBE, PROBE * 2 + dial],
        // The address goes when the tracking script has failed twice, and comes with an advert; the switch dials each second.
        Hit::ProxyCrashes => [track * 2 + advert + dial, track * 3 + advert + dial],
        // Three adverts and the skew are missing; what the switch sends next is answered with RST.
        Hit::ProxyLosesPower | Hit::ProxyIsolated => [advert * 4 + dial, advert * 4 + PROBE + dial],
        // The old connection is silent, until the switch probes it in vain or is reset.
        Hit::ProxyHangs | Hit::VipMoves | Hit::VipSplits => [PROBE + track + dial, PROBE * 2 + dial],
        Hit::SwitchReboots | Hit::SwitchRebootsEmpty | Hit::LockStolen => [at_once(plan); 2],
        Hit::ProxyReloads
        | Hit::BroadcastEdited
        | Hit::ControlCrashes
        | Hit::ControlLosesPower
        | Hit::ControlIsolated => [Duration::ZERO; 2],
    }
}

/// From then until its broadcast rows are right.
fn rows_after(hit: Hit, plan: &Plan) -> Course {
    let claim = at_once(plan);
    match hit {
        // The firmware has up to a second to write down its tunnel end.
        Hit::SwitchRebootsEmpty => [claim, Duration::from_secs(1) + claim],
        // The session never goes.
        Hit::ProxyReloads | Hit::ControlCrashes | Hit::ControlLosesPower | Hit::ControlIsolated => [Duration::ZERO; 2],
        Hit::AgentCrashes
        | Hit::AgentLosesPower
        | Hit::AgentHangs
        | Hit::AgentDrains
        | Hit::AgentIsolated
        | Hit::ServicesNodeDies
        | Hit::CutToAgent
        | Hit::CutFromAgent
        | Hit::AgentJammed
        | Hit::CutToProxy
        | Hit::CutFromProxy
        | Hit::SwitchJammed
        | Hit::SessionReset
        | Hit::ProxyCrashes
        | Hit::ProxyLosesPower
        | Hit::ProxyHangs
        | Hit::ProxyIsolated
        | Hit::VipMoves
        | Hit::VipSplits
        | Hit::SwitchReboots
        | Hit::LockStolen
        | Hit::BroadcastEdited => [claim; 2],
    }
}

/// How long MACs are missing elsewhere: with the hold both agents keep copies of their routes, and none ever is. Where no
/// agent can serve a switch for a while, one run in forty misses a MAC for seconds. The cause is open: probably a MAC that
/// moves to that switch, whose old place withdraws it before an agent learns of the new one.
fn missing(hit: Hit, session: Course) -> Course {
    let unserved = match hit {
        Hit::CutToProxy | Hit::CutFromProxy | Hit::SwitchJammed | Hit::LockStolen => LONGEST + session[1],
        Hit::AgentCrashes
        | Hit::AgentLosesPower
        | Hit::AgentHangs
        | Hit::AgentDrains
        | Hit::AgentIsolated
        | Hit::ServicesNodeDies
        | Hit::CutToAgent
        | Hit::CutFromAgent
        | Hit::AgentJammed
        | Hit::SessionReset
        | Hit::ProxyCrashes
        | Hit::ProxyLosesPower
        | Hit::ProxyHangs
        | Hit::ProxyIsolated
        | Hit::ProxyReloads
        | Hit::VipMoves
        | Hit::VipSplits
        | Hit::SwitchReboots
        | Hit::SwitchRebootsEmpty
        | Hit::BroadcastEdited
        | Hit::ControlCrashes
        | Hit::ControlLosesPower
        | Hit::ControlIsolated => Duration::ZERO,
    };
    [Duration::ZERO, unserved]
}

/// A handshake, and a few messages there and back.
fn at_once(plan: &Plan) -> Duration {
    plan.agent.tls.duration() * 4 + round_trip(plan) * 20
}

/// Until the proxy has marked an agent down that is silent: the fault falls into an interval, the checks time out.
fn detection(plan: &Plan) -> Course {
    let proxy = &plan.proxy;
    let fails = proxy.timeout_check.duration() * proxy.fall + proxy.fastinter.duration() * proxy.fall.saturating_sub(1);
    let inter = proxy.inter.duration();
    [inter * 3 / 4 + fails, inter + fails]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bound_of_the_usual_course_exceeds_that_of_the_worst() {
        for drill in Drill::all() {
            let Times { session, broadcast, .. } = of(drill);
            for Spread { p50, p99, max } in [session, broadcast] {
                assert!(p50 <= p99 && p99 <= max, "{drill:?}");
            }
        }
    }
}
