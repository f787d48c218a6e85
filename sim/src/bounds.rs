//! How soon what must be true is true again: formulas over the configured timers. The book prints them.

use std::time::Duration;

use crate::operator::firmware::HOSTS;
use crate::plan::{Edit, Fault, Kind, Plan, Scheduled, Span, Topology};
use crate::socket::CheckKind;

/// What a kernel takes for the first retries of a SYN that was lost: 1 s + 2 s + 4 s.
const SYN_RETRIES: Duration = Duration::from_secs(7);

/// The longest that an agent waits before it dials again.
const BACKOFF_LAST: Duration = Duration::from_secs(33);

/// The time that an object rests in quarantine, and the longest that a request may wait for its answer: `core::bounds`.
const QUARANTINE: Duration = tandem_core::bounds::QUARANTINE;
const ANSWER: Duration = tandem_core::bounds::REQUEST_ANSWER;

/// The longest time that a switch may wait until it tries again.
pub fn backoff(plan: &Plan) -> Duration {
    let default = Duration::from_secs(8);
    plan.switch.max_backoff.map_or(default, Span::duration).max(default)
}

/// The longest time that a switch may take to notice that a line is dead: two intervals of its probe.
pub fn probe(plan: &Plan) -> Duration {
    let probe = plan
        .switch
        .inactivity_probe
        .map_or(Duration::from_secs(5), Span::duration);
    probe.max(Duration::from_secs(5)) * 2
}

/// The longest time that an agent may take to notice that a line is dead: 2T, or as long as a dump may take.
pub fn keepalive(plan: &Plan) -> Duration {
    let twice = plan.agent.keepalive.duration() * 2;
    twice.max(tandem_core::bounds::DUMP_SILENCE)
}

/// The longest time that a proxy may take to notice that a server is gone.
pub fn detection(plan: &Plan) -> Duration {
    let proxy = &plan.proxy;
    let (inter, timeout) = (
        proxy.inter.duration().max(proxy.fastinter.duration()),
        proxy.timeout_check.duration(),
    );
    (inter + timeout) * proxy.fall.max(1) + inter
}

/// The longest time that the virtual IP may take to move: three adverts and the skew, after two failures of the script.
pub fn vip(plan: &Plan) -> Duration {
    plan.proxy.advert.duration() * 4 + plan.proxy.track.duration() * 3
}

/// The longest time that a healed core may take to converge.
pub fn convergence(plan: &Plan) -> Duration {
    if let Some(bound) = plan.judgement.converge {
        return bound.duration();
    }
    let notice = probe(plan) + keepalive(plan) + detection(plan) + vip(plan);
    // A hung server that only the switch notices may be tried as often as the others before it.
    let tries = if plan.proxy.check == CheckKind::Connect { 4 } else { 2 };
    let dial = backoff(plan) * 2 + SYN_RETRIES + plan.proxy.timeout_connect.duration() * (plan.proxy.retries + 1);
    let configure = plan.agent.configured_after.duration() + QUARANTINE + ANSWER;
    notice + dial * tries + configure + control(plan) + confirmation(plan)
}

/// The longest time after a fault until every session that it ended has ended, and every grade that it lowered has fallen.
pub fn settled(plan: &Plan) -> Duration {
    probe(plan) + keepalive(plan) + detection(plan) + vip(plan) + backoff(plan) + control(plan)
}

/// The longest time that a healed core may take until its agent has a session with its control node, and complete routes: the hold
/// timers of what died unseen, then a dial. Accepting and negotiating have their deadlines, and the back-off ends at 33
/// s. With more control nodes than are dialled at a time, others are tried first. A control node that was just started
/// waits for the end of its graceful restart before it sends end-of-RIB.
pub fn control(plan: &Plan) -> Duration {
    let nodes = plan.topology.control_nodes;
    if nodes == 0 {
        return Duration::ZERO;
    }
    let dial = tandem_core::bounds::DIAL + tandem_core::bounds::NEGOTIATION + BACKOFF_LAST;
    let tries = if nodes > tandem_core::bounds::CONTROL_NODES {
        tandem_core::bounds::DIALS_BEFORE_ANOTHER
    } else {
        1
    };
    hold() + dial * tries + graceful_restart()
}

/// The longest time that either end of a stream may take to notice that the other is gone, by a clock that is a tenth slow.
fn hold() -> Duration {
    tandem_core::xmpp::stream::HOLD * 11 / 10
}

/// The longest time that a control node may wait for its agents, by a clock that is a tenth slow.
fn graceful_restart() -> Duration {
    tandem_core::bounds::GRACEFUL_RESTART * 11 / 10
}

/// S3: from the end of a session to tables without its routes: the hold timers, the retransmissions of TCP, and the
/// graceful restart of a control node.
pub fn routes(plan: &Plan) -> Duration {
    if plan.topology.control_nodes == 0 {
        return Duration::ZERO;
    }
    hold() + graceful_restart() + round_trip(plan) * 20 + SECOND
}

/// How long a message to a switch and its answer take through a proxy, when nothing is slow.
pub fn round_trip(plan: &Plan) -> Duration {
    let [_, latency] = plan.network.latency;
    latency.duration() * 4
}

/// The longest time that a switch may be deaf while it renders its tables for every client that asks.
pub fn dumps(plan: &Plan) -> Duration {
    let topology = &plan.topology;
    let rows = topology.networks.max(1) * (topology.remote_macs * 3 + usize::from(HOSTS) + 16) + 64;
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    let clients = u32::try_from((topology.agents + 1) * topology.targets).unwrap_or(u32::MAX);
    Duration::from_micros(plan.switch.dump_us_per_row.into()) * rows * clients
}

/// The longest time that a proxy may take to notice that a server is well again: a check that has just failed, and then
/// enough that pass.
pub fn recovery(plan: &Plan) -> Duration {
    let proxy = &plan.proxy;
    let (inter, timeout) = (
        proxy.inter.duration().max(proxy.downinter.duration()),
        proxy.timeout_check.duration(),
    );
    (inter + timeout) * (proxy.rise.max(1) + 1) + inter
}

/// S2: how long a switch may have no owner that some agent could own. The dead line is noticed; then one dial may go
/// where it is of no use, and the next begins after the back-off. `None` if nothing notices a dead line.
pub fn owner(plan: &Plan) -> Option<Duration> {
    if plan.switch.inactivity_probe == Some(Span::ZERO) && !plan.proxy.shutdown_sessions {
        return None;
    }
    let notice = probe(plan).max(detection(plan)).max(recovery(plan));
    Some(notice + backoff(plan) * 2 + plan.agent.tls.duration() * 2 + lock(plan))
}

/// S2: the same, for a switch with which such an agent has a session: the switch notices the dead line of the former
/// owner, and passes the lock on. `None` if it does not. Where the line is dead in one direction, the former owner sends
/// until it notices.
pub fn hand_over(plan: &Plan) -> Option<Duration> {
    let notices = plan.switch.inactivity_probe != Some(Span::ZERO);
    let sends = silence(plan, true).unwrap_or(ANSWER);
    notices.then(|| sends + probe(plan) + lock(plan))
}

/// S2: how long a session may wait for a lock that no client holds; and how long one that has read everything, and gets
/// the lock, may take for its broadcast rows.
pub fn lock(plan: &Plan) -> Duration {
    round_trip(plan) * 20 + dumps(plan) + SECOND
}

/// S2: how much longer, where handshakes fail with an agent that looks well: until it distrusts itself, then once more
/// when it tries again.
pub fn distrust(plan: &Plan) -> Duration {
    let dials = tandem_core::bounds::HANDSHAKE_FAILURES + 1;
    tandem_core::bounds::PEER_FRESH + tandem_core::bounds::HANDSHAKE_FAILURES_FOR + backoff(plan) * 2 * dials
}

/// S2: from the lock to broadcast rows that are right: the claim, what it waits behind, the retries of one that lost a
/// race, and the pause before the repair of one that is edited again and again.
pub fn broadcast(plan: &Plan) -> Duration {
    let networks = u32::try_from(plan.topology.networks).unwrap_or(u32::MAX);
    let claim = dumps(plan) + RETRIES + transactions(plan, networks);
    round_trip(plan) * 20 + claim + repairs(plan) + confirmation(plan) + room(plan) + SECOND
}

/// The longest time until the operator has confirmed what the brake withholds; an agent that hangs is asked again.
fn confirmation(plan: &Plan) -> Duration {
    match plan.agent.brake_rows {
        0 => Duration::ZERO,
        _ => CONFIRMS + OPERATOR * 2,
    }
}

/// The longest time that a server may have no room, and then the pause before the next probe: it is not longer than that.
fn room(plan: &Plan) -> Duration {
    let full = plan.faults.iter().filter(|it| it.fault.kind() == Kind::Full);
    let lasts = full.filter_map(|it| it.lasts).max().unwrap_or(Span::ZERO);
    let probe = lasts.duration().min(tandem_core::bounds::ROOM_PROBE_LONGEST);
    lasts.duration() + probe + if lasts > Span::ZERO { SECOND } else { Duration::ZERO }
}

/// The longest pause before a repair, if every edit of the plan is one of the same object.
fn repairs(plan: &Plan) -> Duration {
    let edits = plan.faults.iter().filter(|it| it.fault.kind() == Kind::Edit).count();
    let doublings = u32::try_from(edits.saturating_sub(1).min(16)).unwrap_or_default();
    let pause = tandem_core::bounds::REPAIR_FIRST * 2u32.pow(doublings);
    if plan.faults.iter().any(|it| it.fault.kind() == Kind::Undo) {
        tandem_core::bounds::REPAIR_LONGEST
    } else if edits < 2 {
        Duration::ZERO
    } else {
        pause.min(tandem_core::bounds::REPAIR_LONGEST)
    }
}

/// S4: from the lock, or a change, to tables that are right: S2, then all differences, one change after the other; with
/// control nodes, also S3.
pub fn tables(plan: &Plan) -> Duration {
    let rows = u32::try_from(plan.topology.networks * plan.topology.remote_macs).unwrap_or(u32::MAX);
    let grace = tandem_core::configuration::SessionOptions::LOCAL_MACS_GRACE;
    broadcast(plan)
        + grace
        + OPERATOR
        + round_trip(plan) * 20
        + PER_ROW * rows
        + transactions(plan, rows)
        + routes(plan)
}

/// How long so many rows may take where the configuration bounds the rows of a transaction, and each waits for the last.
fn transactions(plan: &Plan, rows: u32) -> Duration {
    let most = plan.switch.rows_per_transaction_max.map(u32::try_from);
    let transactions = most.map_or(0, |most| rows.div_ceil(most.unwrap_or(u32::MAX).max(1)));
    (round_trip(plan) + PER_ROW) * transactions
}

/// The longest time that anything is remembered when nothing happens any more: copies, and then the sequences of their
/// routes, by a clock that is a tenth slow, after everything has converged.
pub fn rest(plan: &Plan) -> Duration {
    let memory = plan.agent.stale_hold.duration() + tandem_core::bounds::SEQUENCE_MEMORY;
    convergence(plan) + memory * 11 / 10
}

/// S6: how long a MAC may be missing at a consumer that the owner of its switch reaches: the whole path of S4, counted
/// while there is an owner and a way.
pub fn missing(plan: &Plan) -> Duration {
    tables(plan)
}

/// S6, with hold: how long a copy may take to reach every reachable consumer. A fault does not add to it; but a control node
/// may know a tunnel end that a switch has moved to later than the agent, and refuses routes to it until then.
pub fn copies(plan: &Plan) -> Duration {
    let end = Edit::MoveTunnelEnd;
    let moves_end = |fault: &Fault| matches!(fault, Fault::Edit { what, .. } if *what == end);
    let late = plan.faults.iter().any(|it| moves_end(&it.fault));
    round_trip(plan) * 20 + SECOND + if late { OPERATOR } else { Duration::ZERO }
}

/// From a move to paths that lead to the new place, at every node that its owner reaches.
pub fn moves(plan: &Plan) -> Duration {
    copies(plan)
}

/// From a move to remote rows that lead to the new place, on every switch whose owner is reached: the paths, then S2.
pub fn moved_rows(plan: &Plan) -> Duration {
    moves(plan) + broadcast(plan)
}

/// What [`ATTEMPTS`](tandem_core::bounds::ATTEMPTS) attempts may wait for each other.
const RETRIES: Duration = Duration::from_millis(3_100);
const SECOND: Duration = Duration::from_secs(1);
/// The time that an operator takes to confirm what an agent withholds.
pub const CONFIRMS: Duration = Duration::from_secs(20);
/// What the operator takes from the first agent to the last.
const OPERATOR: Duration = Duration::from_secs(2);
/// The slowest that rows are written, on a switch that answers at once.
const PER_ROW: Duration = Duration::from_millis(1);

/// The longest time that an agent may wait for a byte: 2T, or as long as a dump may take before everything was read.
/// `None` if its keepalive is off.
pub fn silence(plan: &Plan, everything_read: bool) -> Option<Duration> {
    let twice = plan.agent.keepalive.unless_zero()? * 2;
    Some(if everything_read {
        twice
    } else {
        twice.max(tandem_core::bounds::DUMP_SILENCE)
    })
}

/// S7: connections between all hosts. A line is two; each dies slowly, and another is tried meanwhile.
pub fn connections(plan: &Plan) -> usize {
    let Topology {
        switches,
        agents,
        proxies,
        control_nodes,
        vrouters,
        targets,
        ..
    } = plan.topology;
    let uplinks = (agents + vrouters) * control_nodes * 2 * generations(plan);
    uplinks + switches * targets * (agents + proxies) * 2 * generations(plan) + switches + 8
}

/// S7: what may be planned: bytes on their way, mostly.
pub fn planned(plan: &Plan) -> usize {
    2000 + connections(plan) * 50
}

/// S7: health checks: of each proxy, each server of each port, by echo and by its own word, old processes included.
pub fn checks(plan: &Plan) -> usize {
    let Topology {
        agents,
        proxies,
        targets,
        ..
    } = plan.topology;
    proxies * agents * targets * 2 * generations(plan)
}

/// S7: sessions of one agent: lines that died unnoticed are there as long as the keepalive takes.
pub fn sessions(plan: &Plan) -> usize {
    plan.topology.switches * plan.topology.targets * generations(plan)
}

/// How often a switch may dial before the first of its dead connections is noticed: once a second, as long as the
/// longest fault lets them pile up at a hung agent, and a keepalive longer.
fn generations(plan: &Plan) -> usize {
    let lasting = |scheduled: &Scheduled| scheduled.lasts.unwrap_or(plan.duration).duration();
    let longest = plan.faults.iter().map(lasting).max().unwrap_or_default() + keepalive(plan);
    usize::try_from(longest.as_secs()).unwrap_or(usize::MAX)
}

/// S7: steps within one instant, after which nothing moves any more.
pub const STEPS_AT_ONCE: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_prints_the_bounds_of_the_defaults() {
        let plan = Plan::parse("name = 'default'\nseed = 1\nduration = '1m'").expect("a plan");
        let seconds = |bound: Duration| format!("{:.1} s", bound.as_secs_f64());
        let (owner, lock, broadcast) = (owner(&plan).expect("a bound"), lock(&plan), broadcast(&plan));
        let [lock, owner, broadcast] = [lock, owner, broadcast].map(seconds);
        let [tables, convergence] = [tables(&plan), convergence(&plan)].map(seconds);
        let right = format!(
            "a round trip is {} ms, *lock* {lock}, *owner* {owner}, *broadcast* {broadcast}, *tables* {tables}, *convergence* \
             {convergence}.",
            round_trip(&plan).as_secs_f64() * 1000.0
        );
        let book: Vec<&str> = include_str!("../../docs/src/checks.md").split_whitespace().collect();
        assert!(book.join(" ").contains(&right), "{right}");
    }
}
