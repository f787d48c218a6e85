//! Whether a server is up: what checks found, counted as HAProxy 2.6 counts it (`src/check.c`).

use std::time::Duration;

use super::Server;
use super::event::{DownWhy, Event};
use crate::plan::{self, Span};
use crate::socket::{Check, CheckKind, Outcome};

/// How checks of one kind went: from 0 (down) to `rise + fall - 1` (up). At `rise` and above it is up.
#[derive(Clone, Copy, Debug)]
struct Counter {
    value: u32,
    rise: u32,
    most: u32,
}

impl Counter {
    /// Up, but the first failure takes it down.
    fn new(rise: u32, fall: u32) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        Self {
            value: rise,
            rise,
            most: rise.saturating_add(fall) - 1,
        }
    }

    fn is_up(self) -> bool {
        self.value >= self.rise
    }

    fn passed(&mut self) {
        self.value = self.value.saturating_add(1);
        if self.is_up() {
            self.value = self.most;
        }
    }

    fn failed(&mut self) {
        self.value = self.value.saturating_sub(1);
        if !self.is_up() {
            self.value = 0;
        }
    }
}

/// What is known of a server.
#[derive(Clone, Debug)]
pub(super) struct Health {
    check: Counter,
    /// `agent-check` knows neither `fall` nor `rise`.
    agent: Counter,
    /// Whether it is up.
    pub(super) up: bool,
    /// Whether the agent has answered `drain`, and not `ready` since.
    pub(super) drained: bool,
    /// Whether an operator has set `maint`, and neither he nor the agent `ready` since.
    pub(super) maint: bool,
    /// Of 100 that are configured: what the agent asked for.
    pub(super) weight: u32,
}

/// What all servers have: `weight 100`.
const WEIGHT: u32 = 100;
/// What HAProxy takes at most.
const WEIGHT_MOST: u32 = 256;

impl Health {
    pub(super) fn new(options: &plan::Proxy) -> Self {
        Self {
            check: Counter::new(options.rise, options.fall),
            agent: Counter::new(1, 1),
            up: true,
            drained: false,
            maint: false,
            weight: WEIGHT,
        }
    }

    /// Whether it gets new connections.
    pub(super) fn is_usable(&self) -> bool {
        self.up && !self.drained && self.weight > 0
    }

    /// An operator sets `maint`: it is down, whatever checks find.
    pub(super) fn maintain(&mut self, server: &Server) -> Vec<Event> {
        self.maint = true;
        self.check.value = 0;
        self.fall(server, DownWhy::Maint)
    }

    /// An operator sets `ready`, which ends a drain too: it is up at once, and the first check that fails takes it down.
    pub(super) fn ready(&mut self, server: &Server) -> Vec<Event> {
        self.drained = false;
        self.leave_maintenance(server)
    }

    fn leave_maintenance(&mut self, server: &Server) -> Vec<Event> {
        if !std::mem::replace(&mut self.maint, false) {
            return Vec::new();
        }
        self.check.value = self.check.rise;
        self.rise(server)
    }

    /// A violation that a check found. Checks pause while an operator has set `maint`.
    pub(super) fn checked(&mut self, server: &Server, outcome: &Outcome) -> Vec<Event> {
        if self.maint {
            return Vec::new();
        }
        let why = match outcome {
            Outcome::Passed => None,
            Outcome::Refused => Some(DownWhy::Refused),
            Outcome::TimedOut => Some(DownWhy::TimedOut),
            Outcome::Wrong | Outcome::AgentCheck(_) => Some(DownWhy::Wrong),
        };
        match why {
            None => {
                self.check.passed();
                self.rise(server)
            }
            Some(why) => {
                self.check.failed();
                if self.check.is_up() {
                    Vec::new()
                } else {
                    self.fall(server, why)
                }
            }
        }
    }

    /// Handles an answer of `agent-check`, in HAProxy's order: first `ready` and `drain`, then the weight, then `up`
    /// and `down`. No answer changes nothing.
    pub(super) fn on_agent_check(&mut self, server: &Server, outcome: &Outcome) -> Vec<Event> {
        let text = match outcome {
            Outcome::AgentCheck(text) => text.to_ascii_lowercase(),
            Outcome::Passed | Outcome::Refused | Outcome::TimedOut | Outcome::Wrong => return Vec::new(),
        };
        let text = text.split('#').next().unwrap_or_default();
        let mut events = Vec::new();
        let (mut drained, mut ready, mut up) = (self.drained, false, None);
        for word in text.split([' ', '\t', ',', '\r', '\n']) {
            match word {
                "ready" => (drained, ready) = (false, true),
                "drain" => (drained, ready) = (true, false),
                "up" => up = Some(true),
                "down" | "stopped" | "fail" => up = Some(false),
                _ => {
                    let percent = word.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
                    self.weight = percent.map_or(self.weight, |percent| percent.min(WEIGHT_MOST));
                }
            }
        }
        if drained != self.drained {
            self.drained = drained;
            let server = server.name.clone();
            events.push(if drained {
                Event::ServerDrain { server }
            } else {
                Event::ServerReady { server }
            });
        }
        if ready {
            events.extend(self.leave_maintenance(server));
        }
        match up {
            Some(true) => {
                self.agent.passed();
                events.extend(self.rise(server));
            }
            Some(false) => {
                self.agent.failed();
                events.extend(self.fall(server, DownWhy::Agent));
            }
            None => {}
        }
        events
    }

    /// The next checks of it; `found` is what the last one found, `first` when the first is due, if it is not the
    /// usual time after the last.
    pub(super) fn check(
        &self,
        server: &Server,
        options: &plan::Proxy,
        found: Option<&Outcome>,
        first: Option<Duration>,
    ) -> Check {
        let every = self.check_interval(options);
        let connect_timeout = connect_timeout(options);
        let unless = if self.check.value == self.check.most {
            Some(Outcome::Passed)
        } else if self.check.value == 0 {
            found.cloned()
        } else {
            None
        };
        // HAProxy counts from the end of one check to the beginning of the next.
        let lasts = if unless == Some(Outcome::TimedOut) {
            connect_timeout
        } else {
            Duration::ZERO
        };
        Check {
            to: server.check_at,
            kind: options.check,
            connect_timeout,
            timeout: answer_timeout(options.check, options),
            first: first.unwrap_or(every),
            every: every + lasts,
            unless,
        }
    }

    /// The next questions to its agent.
    pub(super) fn agent_check(
        &self,
        server: &Server,
        options: &plan::Proxy,
        found: Option<&Outcome>,
        first: Option<Duration>,
    ) -> Option<Check> {
        let every = options.inter.duration();
        server.agent_check_at.map(|to| Check {
            to,
            kind: CheckKind::Agent,
            connect_timeout: connect_timeout(options),
            timeout: answer_timeout(CheckKind::Agent, options),
            first: first.unwrap_or(every),
            every,
            unless: found.cloned(),
        })
    }

    /// How long to the next check.
    pub(super) fn check_interval(&self, options: &plan::Proxy) -> Duration {
        let special = if self.check.value == self.check.most {
            options.inter
        } else if self.check.value == 0 {
            options.downinter
        } else {
            options.fastinter
        };
        or_inter(special, options)
    }

    fn rise(&mut self, server: &Server) -> Vec<Event> {
        let rises = !self.up && !self.maint && self.check.is_up() && self.agent.is_up();
        self.up |= rises;
        let server = server.name.clone();
        rises.then_some(Event::ServerUp { server }).into_iter().collect()
    }

    fn fall(&mut self, server: &Server, why: DownWhy) -> Vec<Event> {
        let falls = std::mem::replace(&mut self.up, false);
        let server = server.name.clone();
        falls.then_some(Event::ServerDown { server, why }).into_iter().collect()
    }
}

/// With `timeout check`, connecting may take the shorter of `timeout connect` and `inter`; without it, a check may
/// take `inter` altogether.
fn connect_timeout(options: &plan::Proxy) -> Duration {
    let inter = options.inter.duration();
    match (
        options.timeout_check.unless_zero(),
        options.timeout_connect.unless_zero(),
    ) {
        (Some(_), Some(connect)) => connect.min(inter),
        (Some(_), None) | (None, _) => inter,
    }
}

fn answer_timeout(kind: CheckKind, options: &plan::Proxy) -> Duration {
    match kind {
        CheckKind::Connect => connect_timeout(options),
        CheckKind::Echo | CheckKind::Tls | CheckKind::Agent => or_inter(options.timeout_check, options),
    }
}

/// What is not set is `inter`.
fn or_inter(span: Span, options: &plan::Proxy) -> Duration {
    span.unless_zero().unwrap_or_else(|| options.inter.duration())
}

#[cfg(test)]
mod tests {
    use tandem_core::event::LogEvent;

    use super::*;

    fn server() -> Server {
        let at = "10.0.0.1:6640".parse().expect("an address");
        Server {
            name: "a".into(),
            at,
            check_at: at,
            agent_check_at: Some(at),
            backup: false,
        }
    }

    fn words(events: &[Event]) -> Vec<&str> {
        events.iter().map(Event::word).collect()
    }

    fn answer(health: &mut Health, text: &str) -> Vec<Event> {
        health.on_agent_check(&server(), &Outcome::AgentCheck(text.into()))
    }

    #[test]
    fn one_failure_downs_a_fresh_server_and_fall_failures_one_that_has_passed() {
        let options = plan::Proxy::default();
        let mut fresh = Health::new(&options);
        assert_eq!(words(&fresh.checked(&server(), &Outcome::Refused)), ["ServerDown"]);

        let mut proven = Health::new(&options);
        assert!(proven.checked(&server(), &Outcome::Passed).is_empty());
        assert!(proven.checked(&server(), &Outcome::TimedOut).is_empty());
        assert!(proven.checked(&server(), &Outcome::Passed).is_empty());
        assert!(proven.checked(&server(), &Outcome::TimedOut).is_empty());
        assert_eq!(words(&proven.checked(&server(), &Outcome::TimedOut)), ["ServerDown"]);
        assert!(proven.checked(&server(), &Outcome::TimedOut).is_empty());
        assert!(proven.checked(&server(), &Outcome::Passed).is_empty());
        assert_eq!(words(&proven.checked(&server(), &Outcome::Passed)), ["ServerUp"]);
    }

    #[test]
    fn intervals_are_fast_in_a_transition_and_slow_when_down() {
        let options = plan::Proxy::default();
        let mut health = Health::new(&options);
        let mut interval = |outcome| {
            health.checked(&server(), &outcome);
            health.check_interval(&options).as_millis()
        };
        let found = [
            Outcome::Passed,
            Outcome::Refused,
            Outcome::Refused,
            Outcome::Passed,
            Outcome::Refused,
            Outcome::Passed,
            Outcome::Passed,
        ];
        assert_eq!(found.map(&mut interval), [200, 100, 500, 100, 500, 100, 200]);
    }

    #[test]
    fn only_ready_undoes_drain_and_only_up_undoes_down() {
        let mut health = Health::new(&plan::Proxy::default());
        assert_eq!(words(&answer(&mut health, "drain")), ["ServerDrain"]);
        assert!(answer(&mut health, "up 100%").is_empty());
        assert!(!health.is_usable());
        assert_eq!(words(&answer(&mut health, "ready up 100%")), ["ServerReady"]);
        assert!(health.is_usable());

        assert_eq!(
            words(&answer(&mut health, "down # not configured, up soon")),
            ["ServerDown"]
        );
        assert!(health.checked(&server(), &Outcome::Passed).is_empty());
        assert!(answer(&mut health, "ready").is_empty());
        assert_eq!(words(&answer(&mut health, "UP")), ["ServerUp"]);
    }

    #[test]
    fn an_unanswered_agent_check_changes_nothing_and_up_revives_no_dead_server() {
        let mut health = Health::new(&plan::Proxy::default());
        for outcome in [Outcome::Refused, Outcome::TimedOut, Outcome::Wrong] {
            assert!(health.on_agent_check(&server(), &outcome).is_empty());
        }
        assert!(health.is_usable());
        health.checked(&server(), &Outcome::Refused);
        assert!(answer(&mut health, "ready up 100%").is_empty());
        assert!(!health.up);
    }

    #[test]
    fn no_percent_is_no_connections_and_is_not_sticky() {
        let mut health = Health::new(&plan::Proxy::default());
        answer(&mut health, "0%");
        assert!(!health.is_usable());
        answer(&mut health, "50%");
        assert!(health.is_usable());
        assert_eq!(health.weight, 50);
    }

    #[test]
    fn connecting_is_bounded_by_the_interval_and_an_answer_by_the_timeout() {
        let options = plan::Proxy::default();
        let check = Health::new(&options).check(&server(), &options, None, None);
        assert_eq!(
            (check.connect_timeout.as_millis(), check.timeout.as_millis()),
            (200, 300)
        );
    }
}
