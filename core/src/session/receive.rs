//! Bytes become messages, and messages become records: in order, and a bounded amount in one step.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Lock, Notice, Output, Phase, Session, Why};
use crate::bounds::{ANSWERS_BYTES, BACKLOG_BYTES, OPENING_MESSAGE_BYTES, ROWS, WORK_BYTES_PER_STEP};
use crate::event::What;
use crate::machine::{CloseWhy, Fault};
use crate::ovsdb::framer::{Frame, Framer};
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::reply;
use crate::ovsdb::rpc::{self, Message};
use crate::ovsdb::updates::Cursor;
use crate::text::short;
use crate::time::{Deadline, Time};

/// Complete messages that wait for their turn, and the one that is being read row by row.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub(super) framer: Framer,
    backlog: VecDeque<(Frame, Message)>,
    backlog_bytes: usize,
    reading: Option<Reading>,
    /// Something was ignored, and it was said.
    ignored: bool,
}

/// Table updates that are being read.
#[derive(Clone, Debug)]
struct Reading {
    frame: Frame,
    monitor: Monitor,
    cursor: Cursor,
    /// It is the answer to `monitor`: when it ends, the tables are known.
    initial: bool,
}

impl Default for Receiver {
    /// Waits for the first byte.
    fn default() -> Self {
        Self {
            framer: Framer::new(OPENING_MESSAGE_BYTES),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            reading: None,
            ignored: false,
        }
    }
}

impl Receiver {
    /// Whether there is more to do without any new byte.
    pub fn has_work(&self) -> bool {
        self.reading.is_some() || !self.backlog.is_empty()
    }

    /// When to go on with it: at once.
    pub fn deadline(&self, now: Time) -> Option<Deadline<Why>> {
        self.has_work().then_some(Deadline {
            at: now,
            why: Why::MoreWork,
        })
    }
}

impl Session {
    /// Bytes arrived: the line is alive, echoes are answered at once, and the rest waits for its turn.
    pub(super) fn received(&mut self, now: Time, bytes: &[u8]) {
        if !planted!(self, PartialNotLife) {
            self.keepalive.received(now);
        }
        self.receiver.framer.push(bytes);
        loop {
            match self.receiver.framer.next_frame() {
                Ok(Some(frame)) => self.received_frame(now, frame),
                Ok(None) => return,
                Err(error) => return self.misbehaved(now, &error.to_string()),
            }
            if self.is_closing() {
                return;
            }
        }
    }

    fn received_frame(&mut self, now: Time, frame: Frame) {
        if planted!(self, PartialNotLife) {
            self.keepalive.received(now);
        }
        match Message::read(&frame) {
            Err(error) => self.misbehaved(now, &error.to_string()),
            Ok(Message::Request { .. })
                if planted!(self, EchoStarvedByDump)
                    && self.takeover.read.is_some_and(|read| now.since(read).as_secs() < 15) => {}
            Ok(Message::Request { id, method, params }) => {
                let slice = |range: Range<usize>| frame.bytes().get(range).unwrap_or_default();
                let answer = match method.as_str() {
                    "echo" => rpc::echo_reply(slice(id), slice(params)),
                    _ => rpc::unknown_method(slice(id)),
                };
                self.answers_bytes += answer.len();
                if self.answers_bytes > ANSWERS_BYTES {
                    let what = format!("it asks on and does not take the answers: more than {ANSWERS_BYTES} bytes");
                    return self.misbehaved(now, &what);
                }
                self.outputs.push_back(Output::Send(answer));
            }
            Ok(message) => {
                self.receiver.backlog_bytes += held_bytes(&frame);
                self.receiver.backlog.push_back((frame, message));
                if self.receiver.backlog_bytes > BACKLOG_BYTES {
                    self.misbehaved(now, &format!("more than {BACKLOG_BYTES} bytes of messages at once"));
                }
            }
        }
    }

    /// One step of the work that is waiting.
    pub(super) fn work(&mut self, now: Time) {
        let mut budget = WORK_BYTES_PER_STEP;
        while budget > 0 && !self.is_closing() {
            if let Some(reading) = self.receiver.reading.take() {
                self.read_on(now, reading, &mut budget);
            } else if let Some((frame, message)) = self.receiver.backlog.pop_front() {
                self.receiver.backlog_bytes -= held_bytes(&frame);
                budget = budget.saturating_sub(frame.bytes().len().min(WORK_BYTES_PER_STEP / 256) + 64);
                self.dispatch(now, frame, message);
            } else {
                return;
            }
        }
    }

    fn dispatch(&mut self, now: Time, frame: Frame, message: Message) {
        let slice = |range: Range<usize>| frame.bytes().get(range).unwrap_or_default();
        match message {
            Message::Request { .. } => {}
            Message::Reply { id, outcome } => {
                let Some(asked) = id.and_then(|id| self.requests.answered(id)) else {
                    if frame.member("id").map(<[u8]>::trim_ascii) != Some(rpc::ECHO_ID) {
                        self.ignore("an answer to a request that was never made");
                    }
                    return;
                };
                match outcome {
                    Ok(result) => self.answered(now, asked, frame, result),
                    Err(error) => self.refused(now, asked, &reply::refused(slice(error))),
                }
            }
            Message::Notification { method, params } => match method.as_str() {
                "update" | "update2" => match update_params(slice(params.clone())) {
                    Some((monitor, _)) if !self.requests.monitors(monitor) => {
                        let what = format!("an update of the {} tables, which were never asked for", monitor.id());
                        self.misbehaved(now, &what);
                    }
                    Some(_)
                        if planted!(self, WaiterDoesNotReadOn)
                            && (self.lock, self.phase) == (Lock::Queued, Phase::Synced) => {}
                    Some((monitor, updates)) => {
                        let range = params.start + updates.start..params.start + updates.end;
                        self.read_updates(frame, monitor, range, false);
                    }
                    None => self.misbehaved(now, "an update that names no monitor of ours"),
                },
                "locked" | "stolen" => {
                    let ours = [self.lock_name.as_str()];
                    if serde_json::from_slice(slice(params)).is_ok_and(|names: Vec<String>| names == ours) {
                        self.lock_changed(now, method == "locked");
                    }
                }
                _ => {}
            },
        }
    }

    /// Begins to read table updates; [`work`](Self::work) goes on with it.
    pub(super) fn read_updates(&mut self, frame: Frame, monitor: Monitor, range: Range<usize>, initial: bool) {
        self.receiver.reading = Some(Reading {
            frame,
            monitor,
            cursor: Cursor::new(range),
            initial,
        });
    }

    fn read_on(&mut self, now: Time, mut reading: Reading, budget: &mut usize) {
        let mut touched = Vec::new();
        let before = reading.cursor.remaining_bytes();
        let done = loop {
            if before - reading.cursor.remaining_bytes() >= *budget {
                break Ok(false);
            }
            let text = reading.frame.bytes();
            match reading.cursor.next_row(text) {
                Ok(None) => break Ok(true),
                Err(error) => break Err(error.to_string()),
                Ok(Some(row)) => {
                    let slice = |range: Range<usize>| text.get(range).unwrap_or_default();
                    let recorded = self.replica.record(
                        reading.monitor,
                        slice(row.table),
                        row.uuid,
                        slice(row.change),
                        &mut touched,
                    );
                    if let Err(error) = recorded {
                        break Err(format!("row {} that cannot be read: {error}", row.uuid));
                    }
                    if self.replica.rows() > ROWS {
                        break Err(format!("more than {ROWS} rows"));
                    }
                }
            }
        };
        *budget = budget.saturating_sub(before - reading.cursor.remaining_bytes() + 1);
        self.touched(touched);
        match done {
            Err(error) => self.misbehaved(now, &error),
            Ok(false) => self.receiver.reading = Some(reading),
            Ok(true) if reading.initial => self.table_read(now, reading.monitor),
            Ok(true) => {}
        }
    }

    /// The peer says what means nothing to us: said once, for it may go on saying it.
    fn ignore(&mut self, what: &str) {
        if !std::mem::replace(&mut self.receiver.ignored, true) {
            self.event(What::Ignored { what: what.into() });
        }
    }

    /// The peer broke the protocol: there is nothing more to say to it.
    pub(super) fn misbehaved(&mut self, now: Time, what: &str) {
        self.close(now, CloseWhy::fault(Fault::PeerMisbehaved, short(what)));
    }

    /// Notifies the agent.
    pub(super) fn notify(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notify(notice));
    }

    /// Reports something for logs, checks and metrics.
    pub(super) fn event(&mut self, what: What) {
        self.outputs.push_back(Output::Event(crate::event::Event {
            conn: self.conn,
            generation: self.generation,
            what,
        }));
    }
}

/// What a message takes while it waits: a small one is mostly ours.
fn held_bytes(frame: &Frame) -> usize {
    frame.bytes().len() + size_of::<(Frame, Message)>()
}

/// The monitor that an update belongs to, and where its rows stand in the parameters.
fn update_params(params: &[u8]) -> Option<(Monitor, Range<usize>)> {
    let comma = params.iter().position(|byte| *byte == b',')?;
    let end = params.iter().rposition(|byte| *byte == b']')?;
    let open = params.iter().position(|byte| *byte == b'[')?;
    let monitor = Monitor::of_id(params.get(open + 1..comma)?)?;
    (comma + 1 < end).then_some((monitor, comma + 1..end))
}
