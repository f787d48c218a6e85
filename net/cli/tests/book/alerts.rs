//! The rules for Prometheus: promtool accepts them, their metrics are served, and the runbook has a section for each alert.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tandem_lab::program;

fn rules() -> PathBuf {
    super::root().join("docs/alerts/tandem.rules.yml")
}

/// What follows this key in the lines of the rules.
fn values(key: &str) -> Vec<String> {
    let text = super::read(&rules());
    let values = text
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
    values.map(|value| value.trim().to_owned()).collect()
}

#[test]
fn promtool_accepts_the_rules() {
    let checked = program::run("promtool", ["check", "rules", &rules().display().to_string()]);
    eprintln!("{}", checked.expect("rules without a mistake"));
}

#[test]
fn the_metrics_of_the_rules_are_served() {
    let served = super::served();
    let expressions = values("expr:");
    assert!(expressions.len() > 10, "{expressions:?}");
    for expression in expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<&str> = words
            .filter(|word| word.starts_with("tandem_") || word.starts_with("process_"))
            .collect();
        assert!(!metrics.is_empty() || expression.starts_with("up{"), "{expression}");
        for metric in metrics {
            assert!(served.contains(metric), "{metric} of {expression}");
        }
    }
}

#[test]
fn each_alert_leads_to_its_section_of_the_runbook() {
    let alerts = values("alert:");
    let page = super::read(&super::root().join("docs/src/runbook.md"));
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections, alerts, "in the same order");
    let links: Vec<String> = alerts
        .iter()
        .map(|alert| format!("runbook.html#{}", alert.to_lowercase()))
        .collect();
    assert_eq!(values("runbook:"), links);
    let names: BTreeSet<&String> = alerts.iter().collect();
    assert_eq!(names.len(), alerts.len(), "each name once");
    assert_eq!(values("severity:").len(), alerts.len());
}
