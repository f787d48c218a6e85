//! When to dial a remote, and when to give a dial up.
//!
//! The rules of Open vSwitch (`lib/reconnect.c`), which every switch with its OVSDB server follows. There is no jitter.
//!
//! - After the loss of a good connection, the next dial follows 1 s later. A connection was good if its last byte came
//!   no sooner after its beginning than the previous back-off had lasted. A proxy that accepts and closes is not good.
//! - Otherwise the back-off doubles: 1, 2, 4, 8, 8 ... seconds, or up to `max_backoff`.
//! - A dial fails when it takes longer than the previous back-off, and than 1 s.

use std::time::Duration;

use serde::Serialize;
use tandem_core::Time;

const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// The state of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Waiting to dial.
    Backoff,
    /// Dialling, TLS included.
    Connecting,
    /// There.
    Active,
}

impl State {
    /// The name that the server writes into `Manager.status`; its `IDLE`, a connection that is probed, is not
    /// distinguished.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backoff => "BACKOFF",
            Self::Connecting => "CONNECTING",
            Self::Active => "ACTIVE",
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Dial.
    Connect,
    /// Give the dial up, then call [`disconnected`](Reconnect::disconnected).
    GiveUp,
}

/// The line to one remote.
#[derive(Clone, Debug)]
pub struct Reconnect {
    max_backoff: Duration,
    state: State,
    entered: Time,
    backoff: Duration,
    last_activity: Time,
    last_connected: Option<Time>,
    last_disconnected: Option<Time>,
}

impl Reconnect {
    /// A remote that is to be dialled at once.
    pub fn new(now: Time, max_backoff: Duration) -> Self {
        Self {
            max_backoff: max_backoff.max(MIN_BACKOFF),
            state: State::Backoff,
            entered: now,
            backoff: Duration::ZERO,
            last_activity: now,
            last_connected: None,
            last_disconnected: None,
        }
    }

    /// Changes the longest back-off. A back-off under way is shortened to it.
    pub fn set_max_backoff(&mut self, max_backoff: Duration) {
        self.max_backoff = max_backoff.max(MIN_BACKOFF);
        if self.state == State::Backoff {
            self.backoff = self.backoff.min(self.max_backoff);
        }
    }

    /// The line is there.
    pub fn connected(&mut self, now: Time) {
        self.enter(now, State::Active);
        self.last_connected = Some(now);
    }

    /// A byte came, or the network took some that it had not taken at once.
    pub fn activity(&mut self, now: Time) {
        self.last_activity = now;
    }

    /// The dial failed, or the line is gone. Answers the back-off.
    pub fn disconnected(&mut self, now: Time) -> Duration {
        let was_good = self.is_connected()
            && self
                .last_connected
                .is_some_and(|connected| connected + self.backoff <= self.last_activity);
        if self.is_connected() {
            self.last_disconnected = Some(now);
        }
        self.backoff = if was_good || self.backoff < MIN_BACKOFF {
            MIN_BACKOFF
        } else if self.backoff < self.max_backoff / 2 {
            self.backoff * 2
        } else {
            self.max_backoff
        };
        self.enter(now, State::Backoff);
        self.backoff
    }

    /// What is to be done now, if anything. After a `Connect` it is connecting.
    pub fn run(&mut self, now: Time) -> Option<Action> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        match self.state {
            State::Backoff => {
                self.enter(now, State::Connecting);
                Some(Action::Connect)
            }
            State::Connecting => Some(Action::GiveUp),
            State::Active => None,
        }
    }

    /// When there will be something to do.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Backoff => Some(self.entered + self.backoff),
            State::Connecting => Some(self.entered + self.backoff.max(MIN_BACKOFF)),
            State::Active => None,
        }
    }

    /// The state of the connection.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the line is there.
    pub fn is_connected(&self) -> bool {
        self.state == State::Active
    }

    /// When the line was there for the first moment, the last time that it was.
    pub fn last_connected(&self) -> Option<Time> {
        self.last_connected
    }

    /// When a line that had been there was lost, the last time.
    pub fn last_disconnected(&self) -> Option<Time> {
        self.last_disconnected
    }

    fn enter(&mut self, now: Time, state: State) {
        self.state = state;
        self.entered = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(8);

    fn at(seconds: u32) -> Time {
        Time::ORIGIN + SECOND * seconds
    }

    /// Dials `times` times at once when it may, each time failing; answers the seconds between the dials.
    fn back_offs(reconnect: &mut Reconnect, times: usize, fail: impl Fn(&mut Reconnect, Time)) -> Vec<u64> {
        let mut waited = Vec::new();
        for _ in 0..times {
            let now = reconnect.deadline().expect("a dial");
            assert_eq!(reconnect.run(now), Some(Action::Connect));
            fail(reconnect, now);
            waited.push(reconnect.disconnected(now).as_secs());
        }
        waited
    }

    #[test]
    fn failed_dials_double_the_back_off_up_to_eight_seconds() {
        let mut reconnect = Reconnect::new(at(0), MAX);
        assert_eq!(back_offs(&mut reconnect, 6, |_, _| {}), [1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn the_first_dial_comes_at_once() {
        let mut reconnect = Reconnect::new(at(7), MAX);
        assert_eq!(reconnect.run(at(7)), Some(Action::Connect));
        assert_eq!(reconnect.state(), State::Connecting);
    }

    #[test]
    fn a_peer_that_accepts_and_closes_does_not_reset_the_back_off() {
        let mut reconnect = Reconnect::new(at(3), MAX);
        let accept = Reconnect::connected;
        assert_eq!(back_offs(&mut reconnect, 6, accept), [1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn a_line_is_good_whose_last_byte_came_after_the_back_off() {
        let mut reconnect = Reconnect::new(at(0), MAX);
        back_offs(&mut reconnect, 3, |_, _| {});
        let now = reconnect.deadline().expect("a dial");
        reconnect.run(now);
        reconnect.connected(now);
        reconnect.activity(now + 4 * SECOND - Duration::from_micros(1));
        let mut short = reconnect.clone();
        assert_eq!(short.disconnected(now + 60 * SECOND), 8 * SECOND);
        reconnect.activity(now + 4 * SECOND);
        assert_eq!(reconnect.disconnected(now + 4 * SECOND), SECOND);
    }

    #[test]
    fn a_maximum_of_one_second_pins_every_retry_and_takes_effect_at_once() {
        let mut reconnect = Reconnect::new(at(0), MAX);
        back_offs(&mut reconnect, 4, |_, _| {});
        let waiting_since = reconnect.deadline().expect("a dial") - 8 * SECOND;
        reconnect.set_max_backoff(SECOND);
        assert_eq!(reconnect.deadline(), Some(waiting_since + SECOND));
        assert_eq!(back_offs(&mut reconnect, 3, |_, _| {}), [1, 1, 1]);
    }

    #[test]
    fn a_maximum_that_is_no_power_of_two_is_reached() {
        let mut reconnect = Reconnect::new(at(0), 5 * SECOND);
        assert_eq!(back_offs(&mut reconnect, 5, |_, _| {}), [1, 2, 4, 5, 5]);
    }

    #[test]
    fn a_dial_may_take_as_long_as_the_back_off_and_at_least_a_second() {
        let mut reconnect = Reconnect::new(at(0), MAX);
        let mut spent = Vec::new();
        for _ in 0..4 {
            let began = reconnect.deadline().expect("a dial");
            reconnect.run(began);
            let given_up = reconnect.deadline().expect("an end");
            assert_eq!(reconnect.run(given_up), Some(Action::GiveUp));
            reconnect.disconnected(given_up);
            spent.push(given_up.since(began).as_secs());
        }
        assert_eq!(spent, [1, 1, 2, 4]);
    }
}
