//! Values that were computed before, as the encoder takes them.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tandem_core::measures::{BUCKETS_MS, Histogram};

/// The labels of a value: name and value of each.
pub type Labels = Vec<(&'static str, String)>;

/// The metrics of one scrape.
#[derive(Debug)]
pub struct Metrics(pub(super) Registry);

impl Metrics {
    /// Adds values that may go up and down.
    pub(crate) fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        self.0.register(name, help, Gauges(values.into_iter().collect()));
    }

    /// Adds values that only grow. The encoder appends `_total` to the name.
    pub(crate) fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        self.0.register(name, help, Counts(values.into_iter().collect()));
    }

    /// Adds durations, counted by size.
    pub(super) fn histograms(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, Histogram)>) {
        self.0.register(name, help, Histograms(values.into_iter().collect()));
    }
}

/// The ends of the buckets are in seconds, as Prometheus has them.
impl EncodeMetric for Histograms {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(labels, histogram)| {
            let ends = BUCKETS_MS.iter().map(|end| *end as f64 / 1000.0);
            let mut buckets: Vec<(f64, u64)> = ends.zip(histogram.buckets).collect();
            // The encoder writes the last one as `+Inf`, and adds those before it.
            buckets.push((f64::INFINITY, histogram.count - histogram.buckets.iter().sum::<u64>()));
            let sum = histogram.sum.as_secs_f64();
            encoder
                .encode_family(labels)?
                .encode_histogram::<NoLabelSet>(sum, histogram.count, &buckets, None)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// Values that were computed before, in their order of output.
#[derive(Debug)]
struct Gauges(Vec<(Labels, f64)>);

#[derive(Debug)]
struct Histograms(Vec<(Labels, Histogram)>);

#[derive(Debug)]
struct Counts(Vec<(Labels, u64)>);

impl EncodeMetric for Gauges {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(labels, value)| match labels.as_slice() {
            [] => encoder.encode_gauge(value),
            labels => encoder.encode_family(&labels)?.encode_gauge(value),
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl EncodeMetric for Counts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(labels, value)| match labels.as_slice() {
            [] => encoder.encode_counter::<NoLabelSet, _, u64>(value, None),
            labels => encoder
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(value, None),
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
