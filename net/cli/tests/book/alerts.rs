//! The rules for Prometheus and the dashboard for Grafana: promtool accepts them, their metrics are served, and the runbook
//! has a section for each alert.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
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
    let expressions = values("expr:");
    assert!(expressions.len() > 10, "{expressions:?}");
    assert_served(&expressions);
}

fn assert_served(expressions: &[String]) {
    let served = super::served();
    for expression in expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<&str> = words
            .filter(|word| word.starts_with("tandem_") || word.starts_with("process_"))
            .collect();
        assert!(!metrics.is_empty() || expression.contains("up{"), "{expression}");
        for metric in metrics {
            let parts = ["_bucket", "_sum", "_count"];
            let histogram = parts.iter().find_map(|part| metric.strip_suffix(part));
            let is_served = served.contains(metric) || histogram.is_some_and(|name| served.contains(name));
            assert!(is_served, "{metric} of {expression}");
        }
    }
}

/// The queries of the dashboard, and the panels that have any.
fn queries() -> (Vec<String>, usize) {
    let text = super::read(&super::root().join("docs/dashboards/tandem.json"));
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    let with_queries = panels.iter().filter(|panel| panel["type"] != "row");
    let targets: Vec<&Vec<Value>> = with_queries.filter_map(|panel| panel["targets"].as_array()).collect();
    let expression = |target: &Value| target["expr"].as_str().expect("a query").to_owned();
    let expressions = targets.iter().flat_map(|targets| targets.iter().map(expression));
    (expressions.collect(), targets.len())
}

#[test]
fn the_metrics_of_the_dashboard_are_served() {
    let (expressions, panels) = queries();
    assert!(
        panels > 20 && expressions.len() > panels,
        "{panels} panels, {expressions:?}"
    );
    assert_served(&expressions);
}

#[test]
fn promtool_accepts_the_queries_of_the_dashboard() {
    // YAML contains JSON.
    let (expressions, _) = queries();
    let numbered = expressions.iter().enumerate();
    let rules: Vec<Value> = numbered
        .map(|(number, expression)| json!({ "record": format!("query:{number}"), "expr": expression }))
        .collect();
    let text = json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queries.yml");
    std::fs::write(&file, text).expect("written");
    let checked = program::run("promtool", ["check", "rules", &file.display().to_string()]);
    eprintln!("{}", checked.expect("queries without a mistake"));
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
