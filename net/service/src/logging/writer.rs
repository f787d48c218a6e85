//! Writing that never makes a worker wait: lines go into a queue with a bound, and a thread of its own writes them.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that may wait to be written. A quarter is for warnings and errors only.
pub(super) const QUEUE_BYTES: usize = 4 << 20;

/// The interval at which the writer looks for summaries that are due.
const LOOK: Duration = Duration::from_secs(1);

/// The pause when the output takes nothing at the moment.
const FULL: Duration = Duration::from_millis(10);

/// The lines that wait, and those that found no room.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Not reported yet.
    dropped: u64,
    dropped_in_total: u64,
    /// The writer has taken bytes that are not written yet.
    writing: bool,
    closed: bool,
    ended: bool,
}

/// What the writer takes at a time.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Lines behind these bytes that were dropped.
    pub(super) dropped: u64,
    /// Nothing follows.
    pub(super) last: bool,
}

impl Queue {
    /// Adds a line, or drops it; never waits for the output.
    pub(super) fn push(&self, line: &str, is_important: bool) {
        let room = if is_important { QUEUE_BYTES } else { QUEUE_BYTES / 4 * 3 };
        let mut waiting = self.waiting();
        if waiting.bytes.len() + line.len() > room {
            waiting.dropped += 1;
            waiting.dropped_in_total += 1;
        } else {
            waiting.bytes.extend_from_slice(line.as_bytes());
            self.changed.notify_all();
        }
    }

    /// Lines that were dropped since the process began.
    pub(super) fn dropped_in_total(&self) -> u64 {
        self.waiting().dropped_in_total
    }

    /// Takes what waits, at the latest after a while.
    pub(super) fn take(&self, patience: Duration) -> Batch {
        let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && waiting.dropped == 0 && !waiting.closed;
        let waited = self.changed.wait_timeout_while(self.waiting(), patience, idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.writing = !waiting.bytes.is_empty();
        Batch {
            bytes: std::mem::take(&mut waiting.bytes),
            dropped: std::mem::take(&mut waiting.dropped),
            last: waiting.closed,
        }
    }

    /// What was taken is written.
    fn written(&self) {
        self.waiting().writing = false;
        self.changed.notify_all();
    }

    /// The output failed to take a batch behind some of its bytes: these lines are lost, and that has to be reported again.
    fn lose(&self, batch: &Batch, taken: usize) {
        let rest = batch.bytes.get(taken..).unwrap_or_default();
        let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        // The last line is the report of those that were lost before.
        let lost = lines - u64::from(batch.dropped > 0).min(lines);
        let mut waiting = self.waiting();
        waiting.dropped += batch.dropped + lost;
        waiting.dropped_in_total += lost;
    }

    /// Waits before the output is tried again, but not when the process ends.
    fn pause(&self, pause: Duration) {
        let paused = self
            .changed
            .wait_timeout_while(self.waiting(), pause, |waiting| !waiting.closed);
        drop(paused);
    }

    /// Waits until every line so far is written, but not for an output that takes nothing.
    pub(super) fn flush(&self, patience: Duration) {
        let unwritten = |waiting: &mut Waiting| (waiting.writing || !waiting.bytes.is_empty()) && !waiting.ended;
        let flushed = self.changed.wait_timeout_while(self.waiting(), patience, unwritten);
        drop(flushed);
    }

    /// The process ends: waits until everything is written, but not for an output that takes nothing.
    pub(super) fn close(&self, patience: Duration) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        self.changed.notify_all();
        let ended = self
            .changed
            .wait_timeout_while(waiting, patience, |waiting| !waiting.ended);
        drop(ended);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.waiting().ended = true;
        self.changed.notify_all();
    }
}

/// Starts the thread that writes. `complete` adds the lines that are due to a batch.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn start(
    queue: Arc<Queue>,
    mut output: impl Write + Send + 'static,
    complete: impl Fn(&mut Batch) + Send + 'static,
) -> io::Result<()> {
    let write = move || {
        // The output ends within a line.
        let mut is_cut = false;
        loop {
            let mut batch = queue.take(LOOK);
            complete(&mut batch);
            is_cut = is_cut && write_all(&mut output, b"\n") == 0;
            let taken = match is_cut {
                true => 0,
                false => write_all(&mut output, &batch.bytes),
            };
            let failed = taken < batch.bytes.len();
            if failed {
                queue.lose(&batch, taken);
            }
            if let Some(last) = taken.checked_sub(1) {
                is_cut = batch.bytes.get(last) != Some(&b'\n');
            }
            queue.written();
            if batch.last {
                return queue.end();
            }
            if failed {
                queue.pause(LOOK);
            }
        }
    };
    thread::Builder::new().name("log".into()).spawn(write).map(drop)
}

/// As [`Write::write_all`], also to an output that another program has made non-blocking. Answers how many bytes it took:
/// all, or fewer when it fails, as a file does on a full disk.
fn write_all(output: &mut impl Write, bytes: &[u8]) -> usize {
    let mut taken = 0;
    while let Some(rest @ [_, ..]) = bytes.get(taken..) {
        match output.write(rest) {
            Ok(length) if length > 0 => taken += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL),
            Ok(_) | Err(_) => break,
        }
    }
    let _ = output.flush();
    taken
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_flush_waits_for_every_line_and_not_for_an_output_that_takes_nothing() {
        let queue = Arc::new(Queue::default());
        queue.push("a line\n", false);
        queue.flush(Duration::ZERO);
        let (sender, written) = mpsc::channel();
        struct Output(mpsc::Sender<Vec<u8>>);
        impl Write for Output {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).expect("received");
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        start(Arc::clone(&queue), Output(sender), |_| ()).expect("a thread");
        queue.flush(Duration::from_secs(60));
        assert_eq!(written.try_recv(), Ok(b"a line\n".to_vec()));
        queue.close(Duration::from_secs(60));
    }

    /// Takes nothing until it is allowed to.
    struct Stalled {
        allowed: mpsc::Receiver<()>,
        written: mpsc::Sender<String>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.allowed.recv();
            let _ = self.written.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_not_time_and_the_lost_ones_are_reported_in_order() {
        let queue = Arc::new(Queue::default());
        let (allow, allowed) = mpsc::channel();
        let (written, writes) = mpsc::channel();
        let report = |batch: &mut Batch| {
            if batch.dropped > 0 {
                batch.bytes.extend(format!("{} lost\n", batch.dropped).bytes());
            }
        };
        start(Arc::clone(&queue), Stalled { allowed, written }, report).expect("a thread");
        queue.push("first\n", false);
        while !queue.waiting().bytes.is_empty() {
            thread::yield_now();
        }
        let line = format!("{}\n", "x".repeat(1023));
        let fit = QUEUE_BYTES / 4 * 3 / line.len();
        (0..fit + 50).for_each(|_| queue.push(&line, false));
        assert_eq!(queue.dropped_in_total(), 50);
        queue.push("an error\n", true);
        assert_eq!(queue.dropped_in_total(), 50, "a quarter is kept for it");
        drop(allow);
        queue.close(Duration::from_secs(60));
        let text: String = writes.try_iter().collect();
        assert!(text.starts_with("first\nxxx") && text.ends_with("x\nan error\n50 lost\n"));
        assert_eq!(text.lines().count(), 1 + fit + 2);
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_stalls() {
        let queue = Arc::new(Queue::default());
        let (_allow, allowed) = mpsc::channel();
        let (written, _writes) = mpsc::channel();
        start(Arc::clone(&queue), Stalled { allowed, written }, |_| {}).expect("a thread");
        queue.push("a line\n", true);
        queue.close(Duration::from_millis(1));
    }

    /// A file on a disk that has room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Disk {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().expect("unpoisoned").1).into_owned()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (room, file) = &mut *self.0.lock().expect("unpoisoned");
            let length = bytes.len().min(*room);
            if length == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            *room -= length;
            file.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_reported_when_it_has_room() {
        let queue = Arc::new(Queue::default());
        let disk = Disk::default();
        disk.0.lock().expect("unpoisoned").0 = 9;
        let report = |batch: &mut Batch| {
            if batch.dropped > 0 {
                batch.bytes.extend(format!("{} lost\n", batch.dropped).bytes());
            }
        };
        queue.push("first\nsecond\nthird\n", true);
        start(Arc::clone(&queue), disk.clone(), report).expect("a thread");
        let lost = |count| {
            while queue.dropped_in_total() < count {
                thread::yield_now();
            }
        };
        lost(2);
        queue.push("fourth\n", true);
        lost(3);
        assert_eq!(disk.text(), "first\nsec");
        disk.0.lock().expect("unpoisoned").0 = 1000;
        queue.close(Duration::from_secs(60));
        assert_eq!(disk.text(), "first\nsec\n3 lost\n");
        assert_eq!(queue.dropped_in_total(), 3);
    }
}
