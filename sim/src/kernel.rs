//! The heart of a world: what is to happen, by time, and by the order of planning where the time is the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tandem_core::Time;

/// What is to happen, the next first. Nothing ticks: time jumps from one to the next.
#[derive(Clone, Debug)]
pub struct Schedule<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    at: Time,
    sequence: u64,
    what: T,
}

impl<T> Schedule<T> {
    /// Plans something.
    pub fn plan(&mut self, at: Time, what: T) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.heap.push(Reverse(Entry { at, sequence, what }));
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// The next thing; of several at one time, the one that was planned first.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }

    /// How much is planned.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is planned.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

/// What a random stream is for. One more draw in one of them disturbs no other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// Which faults a seed expands to.
    Faults = 1,
    /// How long everything takes.
    Latency = 2,
    /// The order of concurrent events, and where a stream is cut.
    Scheduling = 3,
    /// What the switches and their users do.
    Application = 4,
}

/// The random numbers of a seed for one purpose.
pub fn stream(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream as u64);
    random
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn things_happen_by_time_and_then_in_the_order_of_planning() {
        let mut schedule = Schedule::default();
        for (at, what) in [(5, "c"), (1, "a"), (5, "d"), (2, "b")] {
            schedule.plan(Time::from_micros(at), what);
        }
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop()).map(|(_, what)| what).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_draw_in_one_stream_disturbs_no_other() {
        let draw = |purpose| stream(7, purpose).next_u64();
        let mut latency = stream(7, Stream::Latency);
        let first = latency.next_u64();
        let _ = stream(7, Stream::Faults).next_u64();
        assert_eq!(draw(Stream::Latency), first);
        assert_ne!(draw(Stream::Faults), first);
        assert_ne!(latency.next_u64(), first);
    }
}
