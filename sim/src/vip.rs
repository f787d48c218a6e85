//! The virtual IP: VRRPv3 (RFC 9568) with a tracked script, as keepalived 2.2 runs it with `state BACKUP`.
//!
//! A backup takes the address when it has received no advert of a master for three intervals and its skew: the higher
//! its priority, the shorter. A master that receives a better advert releases the address; one that receives a worse
//! advert sends its own again. When adverts get lost, both hold the address, as in the field. Afterwards the worse one
//! sends one more advert before it releases the address (`vrrp_higher_prio_send_advert`, off by default), so that the
//! better one announces the address to its neighbours again.
//!
//! keepalived 2.2.7, tried in two network namespaces with `advert_int 0.1`, `interval 1`, `fall 2`, `rise 2`: from the
//! death of the tracked process to the other node's address 1.13 s to 1.93 s; back 2.25 s to 2.28 s after it returned.
//! A script that notices the death late adds to that.

use std::collections::VecDeque;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;
use tandem_core::event::LogEvent;
use tandem_core::{Deadline, Machine, Time, log_words};

use crate::socket::{Input, Output};

/// How a node is set.
#[derive(Clone, Debug)]
pub struct Options {
    /// The virtual IP. It also distinguishes several on one segment (the `virtual_router_id`).
    pub address: Ipv4Addr,
    /// The node's own address; of two with the same priority the higher wins.
    pub own: Ipv4Addr,
    /// 1 to 254.
    pub priority: u8,
    /// From one advertisement to the next.
    pub advert: Duration,
    /// Whether to take the address from a living master of lower priority.
    pub preempt: bool,
    /// How often to look whether what the address is for lives; `None` does not look.
    pub track: Option<Duration>,
}

/// A command to a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// The answer to [`Event::VipTrack`]. Two failures in a row are a fault, two successes end it.
    Tracked(bool),
    /// The operator gives it another priority.
    Priority(u8),
    /// Ends in good order: the others need not wait. Nothing happens afterwards.
    Stop,
}

/// An event of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Event {
    /// It holds the address.
    VipMaster,
    /// It waits.
    VipBackup,
    /// What the address is for is dead here.
    VipFault,
    /// A question: does it live? To be answered with [`Command::Tracked`].
    VipTrack,
}

/// What a node is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Not begun, or stopped.
    Off,
    Backup,
    Master,
    Fault,
}

/// Why a node wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It was made a moment ago, and has not begun yet.
    Start,
    AdvertDue,
    /// No advert of a master came.
    MasterDown,
    TrackDue,
}

/// A node that may hold the virtual IP. It begins with its first deadline, which is due at once.
#[derive(Clone, Debug)]
pub struct Vip {
    options: Options,
    state: State,
    started: bool,
    /// As a master: when to advertise. As a backup: when the master is down.
    due_at: Option<Time>,
    track_at: Option<Time>,
    /// Results of the script in a row that contradict the present state.
    against: u32,
    outputs: VecDeque<Output<Event>>,
}

/// Results in a row that change our mind: `fall 2`, `rise 2`.
const RESULTS: u32 = 2;

impl Machine for Vip {
    type Input = Input<Command>;
    type Output = Output<Event>;
    type Why = Why;

    fn handle(&mut self, now: Time, input: Self::Input) {
        debug_assert!(self.outputs.is_empty(), "the outputs were not drained");
        if !std::mem::replace(&mut self.started, true) {
            self.become_backup(now);
            self.track_at = self.options.track.map(|_| now);
        }
        match input {
            Input::Timeout => self.timeout(now),
            Input::Datagram { data, .. } => {
                if let Some(advert) = Advert::decode(&data).filter(|advert| advert.address == self.options.address) {
                    self.on_advert(now, advert);
                }
            }
            Input::Command(Command::Tracked(alive)) => self.tracked(now, alive),
            Input::Command(Command::Priority(priority)) => self.options.priority = priority.max(1),
            Input::Command(Command::Stop) => self.stop(),
            Input::Accepted { .. }
            | Input::Connected { .. }
            | Input::DialFailed { .. }
            | Input::Bytes { .. }
            | Input::Sent { .. }
            | Input::Finished { .. }
            | Input::Lost { .. }
            | Input::Checked { .. } => {}
        }
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline<Why>> {
        let at = |why| move |at| Deadline { at, why };
        let start = (!self.started).then_some(Time::ORIGIN);
        let why = match self.state {
            State::Master => Why::AdvertDue,
            State::Off | State::Backup | State::Fault => Why::MasterDown,
        };
        Deadline::earliest([
            start.map(at(Why::Start)),
            self.due_at.map(at(why)),
            self.track_at.map(at(Why::TrackDue)),
        ])
    }
}

impl Vip {
    /// A node that has not begun yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            state: State::Off,
            started: false,
            due_at: None,
            track_at: None,
            against: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Its kind.
    pub fn state(&self) -> State {
        self.state
    }

    /// What the operator gave it last.
    pub fn priority(&self) -> u8 {
        self.options.priority
    }

    fn timeout(&mut self, now: Time) {
        if let (Some(at), Some(every)) = (self.track_at, self.options.track)
            && at <= now
        {
            self.track_at = Some(now + every);
            self.outputs.push_back(Output::Event(Event::VipTrack));
        }
        if self.due_at.is_some_and(|at| at <= now) {
            match self.state {
                State::Master => self.advertise(now),
                State::Backup => self.become_master(now),
                State::Off | State::Fault => self.due_at = None,
            }
        }
    }

    fn on_advert(&mut self, now: Time, advert: Advert) {
        let ours = self.options.priority;
        match self.state {
            State::Off | State::Fault => {}
            State::Backup if advert.priority == 0 => self.due_at = Some(now + self.skew()),
            State::Backup if advert.priority >= ours || !self.options.preempt => {
                self.due_at = Some(now + self.master_down());
            }
            // A worse one: this node takes over when that one goes silent for the usual time.
            State::Backup => {}
            State::Master if (advert.priority, advert.own) > (ours, self.options.own) => {
                // So that the other announces itself again: neighbours may have entries for this node.
                self.send(ours);
                self.release();
                self.become_backup(now);
            }
            // A worse one, or one that leaves: its announcement may have reached the neighbours.
            State::Master => {
                self.advertise(now);
                self.hold();
            }
        }
    }

    fn tracked(&mut self, now: Time, alive: bool) {
        let thought = match self.state {
            State::Off => return,
            State::Backup | State::Master => true,
            State::Fault => false,
        };
        self.against = if alive == thought { 0 } else { self.against + 1 };
        if self.against < RESULTS {
            return;
        }
        self.against = 0;
        if alive {
            self.become_backup(now);
        } else {
            self.resign();
            self.enter(State::Fault, Event::VipFault);
        }
    }

    fn stop(&mut self) {
        self.resign();
        self.state = State::Off;
        self.track_at = None;
    }

    fn become_backup(&mut self, now: Time) {
        self.enter(State::Backup, Event::VipBackup);
        self.due_at = Some(now + self.master_down());
    }

    fn become_master(&mut self, now: Time) {
        self.enter(State::Master, Event::VipMaster);
        self.advertise(now);
        self.hold();
    }

    fn enter(&mut self, state: State, event: Event) {
        self.state = state;
        self.outputs.push_back(Output::Event(event));
    }

    fn advertise(&mut self, now: Time) {
        self.send(self.options.priority);
        self.due_at = Some(now + self.options.advert);
    }

    /// Notifies the backups that they need not wait.
    fn resign(&mut self) {
        if self.state == State::Master {
            self.send(0);
            self.release();
        }
        self.due_at = None;
    }

    fn send(&mut self, priority: u8) {
        let advert = Advert {
            address: self.options.address,
            own: self.options.own,
            priority,
        };
        let data = advert.encode();
        self.outputs.push_back(Output::Multicast { data });
    }

    fn hold(&mut self) {
        let address = self.options.address;
        self.outputs.push_back(Output::Hold { address });
    }

    fn release(&mut self) {
        let address = self.options.address;
        self.outputs.push_back(Output::Release { address });
    }

    fn master_down(&self) -> Duration {
        self.options.advert * 3 + self.skew()
    }

    fn skew(&self) -> Duration {
        self.options.advert * (256 - u32::from(self.options.priority)) / 256
    }
}

/// The advert of a master, in nine bytes: the virtual IP, its own address, its priority (0: it leaves).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Advert {
    address: Ipv4Addr,
    own: Ipv4Addr,
    priority: u8,
}

impl Advert {
    fn encode(self) -> Vec<u8> {
        let mut data = [self.address.octets(), self.own.octets()].concat();
        data.push(self.priority);
        data
    }

    fn decode(data: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h, priority] = data else {
            return None;
        };
        Some(Self {
            address: Ipv4Addr::new(a, b, c, d),
            own: Ipv4Addr::new(e, f, g, h),
            priority,
        })
    }
}

impl LogEvent for Event {
    log_words!(VipMaster, VipBackup, VipFault, VipTrack);
}

impl fmt::Display for Event {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VipMaster => "holds the virtual IP",
            Self::VipBackup => "waits for the virtual IP",
            Self::VipFault => "cannot hold the virtual IP",
            Self::VipTrack => "looks whether its proxy lives",
        })
    }
}

#[cfg(test)]
mod tests;
