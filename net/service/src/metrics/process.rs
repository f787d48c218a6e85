//! Metrics of this process, under the names that Prometheus has for those of every program.

use std::fs;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use super::Metrics;

/// Ticks of a second in `/proc/self/stat`; the same on every Linux that programs see.
const USER_HZ: f64 = 100.0;

/// The text of the metrics of this process, without an end: others may follow. What the system does not provide is left out.
///
/// # Errors
/// None in practice: writing to a string cannot fail.
pub fn process() -> Result<String, std::fmt::Error> {
    let mut metrics = Metrics(Registry::default());
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program comes before, and may contain anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let cpu = ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / USER_HZ);
    // The encoder knows counters of whole numbers only, by this name all the same.
    let cpu = cpu.map(|seconds| (vec![], seconds as u64));
    metrics.counters(
        "process_cpu_seconds",
        "Processor time of this process, in whole seconds",
        cpu,
    );
    let boot = line("/proc/stat", "btime ").and_then(|text| text.parse::<f64>().ok());
    let start = boot.zip(ticks(22)).map(|(boot, start)| boot + start / USER_HZ);
    let memory = line("/proc/self/status", "VmRSS:").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(|folder| folder.count() as f64);
    let limit = line("/proc/self/limits", "Max open files");
    let limit = limit.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let gauges = [
        (
            "process_start_time_seconds",
            "When this process started, in seconds since 1970",
            start,
        ),
        (
            "process_resident_memory_bytes",
            "Memory of this process",
            memory.map(|kib| kib * 1024.0),
        ),
        ("process_open_fds", "Open file descriptors of this process", descriptors),
        (
            "process_max_fds",
            "The most file descriptors that this process may have open",
            limit,
        ),
    ];
    for (name, help, value) in gauges {
        metrics.gauges(name, help, value.map(|value| (vec![], value)));
    }
    let mut text = String::new();
    encode_registry(&mut text, &metrics.0)?;
    Ok(text)
}

/// What follows these words in the first line of a file that begins with them.
fn line(file: &str, words: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(words))?;
    Some(rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_process_has_memory_descriptors_and_a_start() {
        let text = process().expect("text");
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).expect(name)
        };
        assert!(value("process_resident_memory_bytes ") > 1e6, "{text}");
        assert!(value("process_open_fds ") >= 3.0 && value("process_open_fds ") <= value("process_max_fds "));
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock")
            .as_secs_f64();
        let age = now - value("process_start_time_seconds ");
        assert!((-5.0..86_400.0).contains(&age), "{age}");
        assert!(!text.contains("# EOF"));
    }
}
