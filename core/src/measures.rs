//! How long steps of sessions took, as histograms. They are shown, and decide nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What is timed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Measure {
    /// A step of a takeover. None of them contains the time that a standby waits for the lock.
    Takeover(Step),
    /// A request to a switch, until its answer is read.
    Answer(Request),
}

/// A step of a takeover.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// From the accepted connection to the end of the TLS handshake.
    Tls,
    /// From there to the name of the switch.
    Identified,
    /// From there to the end of the dump.
    Read,
    /// From the lock to the acknowledgement of every broadcast row.
    Claimed,
    /// From the lock until everything was compared, and what differed was written.
    Audited,
}

impl Step {
    /// Every step, in their usual order.
    pub const ALL: [Self; 5] = [Self::Tls, Self::Identified, Self::Read, Self::Claimed, Self::Audited];

    /// The label of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Identified => "identified",
            Self::Read => "read",
            Self::Claimed => "claimed",
            Self::Audited => "audited",
        }
    }
}

/// A kind of request to a switch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Request {
    /// `get_schema`.
    GetSchema,
    /// `monitor` or `monitor_cond`: a dump.
    Monitor,
    /// `lock`, which a switch answers at once, whether it gives the lock or not.
    Lock,
    /// `unlock`.
    Unlock,
    /// `echo`: a keepalive, or the probe of a doubted connection.
    Echo,
    /// `transact`.
    Transact,
}

impl Request {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::GetSchema,
        Self::Monitor,
        Self::Lock,
        Self::Unlock,
        Self::Echo,
        Self::Transact,
    ];

    /// The name of the method, without its variants.
    pub const fn label(self) -> &'static str {
        match self {
            Self::GetSchema => "get_schema",
            Self::Monitor => "monitor",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Echo => "echo",
            Self::Transact => "transact",
        }
    }
}

/// The upper ends of the buckets, in milliseconds; what took longer is counted beside them.
pub const BUCKETS_MS: [u64; 16] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 180_000,
];

/// Durations, counted by size.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Histogram {
    /// How many were in each bucket: above the end of the one before, and at most its own.
    pub buckets: [u64; BUCKETS_MS.len()],
    /// How many there were, those above the last bucket among them.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let bucket = BUCKETS_MS.partition_point(|end| Duration::from_millis(*end) < took);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum += took;
    }

    fn merge(&mut self, other: &Self) {
        for (count, more) in self.buckets.iter_mut().zip(other.buckets) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}

/// A histogram for each measure that has a value: never more than there are measures, whether they are taken or not.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Measures(BTreeMap<Measure, Histogram>);

/// In one line: it is no part of the state that grows.
impl fmt::Debug for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.iter().map(|(measure, histogram)| (measure, histogram.count));
        write!(f, "Measures({:?})", counts.collect::<Vec<_>>())
    }
}

impl Measures {
    /// It took so long.
    pub fn add(&mut self, measure: Measure, took: Duration) {
        self.0.entry(measure).or_default().add(took);
    }

    /// Adds those of others.
    pub fn merge(&mut self, others: &Self) {
        for (measure, histogram) in &others.0 {
            self.0.entry(*measure).or_default().merge(histogram);
        }
    }

    /// Whether none has a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The histogram of a measure.
    pub fn of(&self, measure: Measure) -> Histogram {
        self.0.get(&measure).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACT: Measure = Measure::Answer(Request::Transact);

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let mut measures = Measures::default();
        for micros in [0, 1000, 1001, 180_000_000, 180_000_001] {
            measures.add(TRANSACT, Duration::from_micros(micros));
        }
        let histogram = measures.of(TRANSACT);
        assert_eq!(
            (histogram.buckets[0], histogram.buckets[1], histogram.buckets[15]),
            (2, 1, 1)
        );
        assert_eq!(histogram.buckets.iter().sum::<u64>() + 1, histogram.count);
        assert_eq!(histogram.sum, Duration::from_micros(360_002_002));
    }

    #[test]
    fn measures_of_several_sessions_add_up() {
        let mut all = Measures::default();
        for took_ms in [3, 7] {
            let mut one = Measures::default();
            one.add(TRANSACT, Duration::from_millis(took_ms));
            all.merge(&one);
        }
        let histogram = all.of(TRANSACT);
        assert_eq!((histogram.count, histogram.sum), (2, Duration::from_millis(10)));
        assert_eq!(all.of(Measure::Answer(Request::Echo)), Histogram::default());
    }
}
