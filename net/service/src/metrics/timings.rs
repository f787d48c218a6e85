//! Histograms: how long steps of takeovers, and answers of switches, took. They outlive sessions.

use tandem_core::measures::{Measure, Measures, Request, Step};

use super::Metrics;

/// Adds them. Each label has a value from the start, so that a rate sees the first.
pub(super) fn measure(metrics: &mut Metrics, measures: &Measures) {
    let steps = Step::ALL.map(|step| {
        let labels = vec![("step", step.label().to_owned())];
        (labels, measures.of(Measure::Takeover(step)))
    });
    metrics.histograms(
        "takeover_duration_seconds",
        "Time of each step of takeovers, without the time that a standby waits for the lock",
        steps,
    );
    let requests = Request::ALL.map(|request| {
        let labels = vec![("request", request.label().to_owned())];
        (labels, measures.of(Measure::Answer(request)))
    });
    metrics.histograms(
        "answer_duration_seconds",
        "Time from a request to a switch until its answer was read; echo is the keepalive",
        requests,
    );
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tandem_core::status::AgentStatus;

    use super::*;
    use crate::driver::timings::Timings;
    use crate::metrics::{Counters, render};

    #[test]
    fn a_histogram_has_cumulative_buckets_in_seconds_their_sum_and_count() {
        let mut measures = Measures::default();
        for took_ms in [3, 4, 40, 200_000] {
            measures.add(Measure::Answer(Request::Transact), Duration::from_millis(took_ms));
        }
        let timings = Timings::default();
        timings.add(&measures);
        let counters = Counters::default();
        counters.timed(timings);
        let text = render(None::<&AgentStatus>, &counters, SystemTime::UNIX_EPOCH).expect("text");
        let of_transact = text
            .lines()
            .filter(|line| line.contains("{request=\"transact\"") || line.contains("request=\"transact\"}"));
        let values: Vec<&str> = of_transact
            .filter_map(|line| line.strip_prefix("tandem_answer_duration_seconds_"))
            .collect();
        for expected in [
            "sum{request=\"transact\"} 200.047",
            "count{request=\"transact\"} 4",
            "bucket{le=\"0.002\",request=\"transact\"} 0",
            "bucket{le=\"0.005\",request=\"transact\"} 2",
            "bucket{le=\"0.05\",request=\"transact\"} 3",
            "bucket{le=\"180.0\",request=\"transact\"} 3",
            "bucket{le=\"+Inf\",request=\"transact\"} 4",
        ] {
            assert!(values.contains(&expected), "{expected} in {values:#?}");
        }
        assert!(
            text.contains("tandem_takeover_duration_seconds_count{step=\"claimed\"} 0\n"),
            "{text}"
        );
    }
}
