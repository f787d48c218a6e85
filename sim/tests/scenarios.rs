//! The scenarios are plans that can be run, and their page names every key and word of a plan.

#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tandem_core::event::LogEvent;
use tandem_sim::plan::{Configure, DiskFault, Edit, Intrusion, Judgement, Kind, Plan, Span, TlsFault};
use tandem_sim::run::{Detail, Run};

#[test]
fn every_scenario_can_be_run_and_is_called_as_its_file() {
    for (file, text) in scenarios() {
        let plan = Plan::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        assert_eq!(plan.check(), Ok(()), "{}", file.display());
        assert_eq!(
            Some(plan.name.as_str()),
            file.file_stem().and_then(|stem| stem.to_str())
        );
    }
}

#[test]
fn every_scenario_begins_with_what_happens_and_what_must_happen() {
    for (file, text) in scenarios() {
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.contains(&"#"), "{} has no two paragraphs", file.display());
        assert!(comment.iter().any(|line| line.contains("must")), "{}", file.display());
    }
}

/// By the log: it is easy to write a scenario in which they end at the proxy.
#[test]
fn late_writes_of_an_old_owner_arrive_at_the_switch_and_are_refused() {
    let file = folder().join("half-open-old-owner.toml");
    let text = std::fs::read_to_string(file).expect("a scenario");
    let plan = Plan::parse(&text).expect("a plan");
    let mut refused = 0;
    let report = Run::new(&plan, Detail::Outcome).finish(|entry| {
        refused += usize::from(entry.event.word() == "NotOwner");
    });
    assert!(report.ok(), "{report:?}");
    assert!(refused > 0, "none arrived");
}

/// Least connections would send each switch that dials to the agent that has none.
#[test]
fn an_agent_whose_handshakes_keep_failing_attracts_no_switch_and_returns() {
    let file = folder().join("tls-attracts-switches.toml");
    let plan = Plan::parse(&std::fs::read_to_string(file).expect("a scenario")).expect("a plan");
    let (mut failed, mut grades) = (0, Vec::new());
    let report = Run::new(&plan, Detail::Outcome).finish(|entry| {
        let is_failed = entry.event.word() == "HandshakeFailed";
        failed += usize::from(is_failed);
        if entry.event.word() == "Graded" {
            grades.push(entry.event.to_string());
        }
    });
    assert!(report.ok(), "{report:?}");
    assert!(grades.iter().any(|grade| grade.contains("isolated")), "{grades:?}");
    assert!(grades.last().is_some_and(|grade| grade.contains("fit")), "{grades:?}");
    assert!((3..40).contains(&failed), "{failed} handshakes failed in eight minutes");
}

/// S2 grants the time of a dump, so that it does not show whether the dump goes first.
#[test]
fn a_takeover_of_a_large_database_repoints_broadcast_before_it_reads_the_macs() {
    let file = folder().join("takeover-of-a-large-database.toml");
    let plan = Plan::parse(&std::fs::read_to_string(file).expect("a scenario")).expect("a plan");
    let mut words = Vec::new();
    let report = Run::new(&plan, Detail::Outcome).finish(|entry| {
        let word = entry.event.word();
        if ["Locked", "Claimed", "Read"].contains(&word) {
            words.push((entry.node.clone(), word.to_owned()));
        }
    });
    assert!(report.ok(), "{report:?}");
    assert!(words.len() >= 9, "two takeovers: {words:?}");
    for takeover in words.chunks(3) {
        let [first, second, third] = takeover else {
            panic!("{takeover:?} of {words:?}")
        };
        assert_eq!(
            [&first.1, &second.1, &third.1],
            ["Locked", "Claimed", "Read"],
            "{words:?}"
        );
    }
}

/// What an agent reports of a brake, and when: the words, in order, with their second.
fn brake_words(scenario: &str) -> Vec<(u64, String)> {
    let file = folder().join(scenario);
    let plan = Plan::parse(&std::fs::read_to_string(file).expect("a scenario")).expect("a plan");
    let mut words = Vec::new();
    let report = Run::new(&plan, Detail::Outcome).finish(|entry| {
        let word = entry.event.word();
        if word.starts_with("Deletions") {
            words.push((entry.at.micros() / 1_000_000, word.to_owned()));
        }
    });
    assert!(report.ok(), "{report:?}");
    words
}

#[test]
fn networks_that_a_configuration_lost_are_withheld_and_released_or_confirmed() {
    let words = brake_words("configuration-loses-its-networks.toml");
    let before = |second: u64, word: &str| {
        let all = words.iter().filter(|(at, it)| *at < second && it == word);
        all.count()
    };
    assert_eq!(before(100, "DeletionsConfirmed"), 0, "{words:?}");
    assert!(before(70, "DeletionsWithheld") > 0, "{words:?}");
    assert!(before(100, "DeletionsReleased") > 0, "{words:?}");
    assert!(before(300, "DeletionsConfirmed") > 0, "{words:?}");
}

#[test]
fn routes_that_an_agent_took_with_it_are_withheld_until_the_next_owner_has_them() {
    let words = brake_words("control-nodes-lose-the-routes-of-an-agent.toml");
    let count = |word: &str| words.iter().filter(|(_, it)| it == word).count();
    assert!(count("DeletionsWithheld") > 0, "{words:?}");
    assert!(count("DeletionsReleased") > 0, "{words:?}");
    assert_eq!(count("DeletionsConfirmed"), 0, "{words:?}");
}

#[test]
fn every_kind_of_fault_and_every_edit_occurs_in_a_scenario() {
    let plans: Vec<Plan> = scenarios().iter().flat_map(|(_, text)| Plan::parse(text)).collect();
    let faults: Vec<_> = plans.iter().flat_map(|plan| &plan.faults).collect();
    let kinds: BTreeSet<Kind> = faults.iter().map(|fault| fault.fault.kind()).collect();
    assert_eq!(kinds, BTreeSet::from(Kind::ALL));

    let described: BTreeSet<String> = faults.iter().map(|fault| fault.fault.to_string()).collect();
    let words = Edit::ALL.map(|edit| edit.to_string()).into_iter();
    let words = words.chain(Configure::ALL.map(|what| what.to_string()));
    let words = words.chain(DiskFault::ALL.map(|how| how.to_string()));
    let words = words.chain(Intrusion::ALL.map(|how| how.to_string()));
    for word in words.chain(TlsFault::ALL.map(|how| how.to_string())) {
        assert!(described.iter().any(|fault| fault.ends_with(&word)), "{word}");
    }
}

#[test]
fn the_page_names_every_key_and_every_word() {
    let page = page();
    for word in vocabulary() {
        assert!(
            page.contains(&format!("`{word}`")),
            "`{word}` is not in scenarios/README.md"
        );
    }
}

#[test]
fn the_page_names_every_default() {
    let page = page();
    let default = Plan::parse("name = 'x'\nseed = 1\nduration = '1s'").expect("a plan");
    let rows = |key: &str| {
        page.lines()
            .find(|line| line.contains(&format!("`{key}`")))
            .map(str::to_owned)
    };
    for (section, keys) in sections(&default) {
        for (key, value) in keys {
            let row = rows(&key).unwrap_or_default();
            let value = value.to_string();
            assert!(
                row.contains(value.trim_matches('"')),
                "[{section}] {key} = {value}: {row}"
            );
        }
    }
}

#[test]
fn the_page_leads_to_every_scenario_and_nowhere_else() {
    let page = page();
    let linked: BTreeSet<String> = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| link.ends_with(".toml"))
        .map(str::to_owned)
        .collect();
    let here = plans_in(&folder())
        .into_iter()
        .filter_map(|file| file.file_name()?.to_str().map(str::to_owned));
    assert_eq!(linked, here.collect());
}

#[test]
fn the_example_of_the_page_is_a_plan() {
    let page = page();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let plan = Plan::parse(example.expect("an example")).expect("a plan");
    assert_eq!(plan.check(), Ok(()));
}

/// Every key that a plan can have, and every word that a key can take.
fn vocabulary() -> BTreeSet<String> {
    let mut full = Plan::of_seed(0);
    full.switch.max_backoff = Some(Span::seconds(1));
    full.switch.drops_moved = true;
    full.switch.lockless = true;
    full.switch.sole_manager = true;
    full.switch.other_managers = 1;
    full.switch.rows_per_transaction_max = Some(1);
    full.switch.inactivity_probe = Some(Span::seconds(1));
    full.judgement = Judgement {
        rest: true,
        converge: Some(Span::seconds(1)),
        excuse: vec!["S2".into()],
        must_fail: Some("L".into()),
    };
    let mut words: BTreeSet<String> = ["name", "seed", "duration"].map(str::to_owned).into();
    for (section, keys) in sections(&full) {
        words.insert(format!("[{section}]"));
        words.extend(keys.into_iter().map(|(key, _)| key));
    }
    for fault in (0..200).flat_map(|seed| Plan::of_seed(seed).faults) {
        for (key, value) in table(&fault) {
            words.extend(
                value
                    .as_str()
                    .filter(|_| ["kind", "what", "how"].contains(&key.as_str()))
                    .map(str::to_owned),
            );
            words.insert(key);
        }
    }
    words.extend(Kind::ALL.map(|kind| kind.name().to_owned()));
    words.extend(DiskFault::ALL.map(|how| how.to_string()));
    words.extend(Intrusion::ALL.map(|how| how.to_string().replace(' ', "_")));
    words.extend(["connect", "echo", "tls"].map(str::to_owned));
    words.extend(tandem_sim::plan::check::JUDGED.map(str::to_owned));
    words
}

fn sections(plan: &Plan) -> Vec<(&'static str, toml::Table)> {
    vec![
        ("topology", table(&plan.topology)),
        ("network", table(&plan.network)),
        ("agent", table(&plan.agent)),
        ("proxy", table(&plan.proxy)),
        ("switch", table(&plan.switch)),
        ("workload", table(&plan.workload)),
        ("judgement", table(&plan.judgement)),
    ]
}

fn table<T: serde::Serialize>(values: &T) -> toml::Table {
    toml::Table::try_from(values).expect("a table")
}

fn page() -> String {
    std::fs::read_to_string(folder().join("README.md")).expect("scenarios/README.md")
}

/// Every scenario and every regression, by file.
fn scenarios() -> Vec<(PathBuf, String)> {
    let mut files = plans_in(&folder());
    assert!(files.len() > 30, "{} scenarios", files.len());
    files.extend(plans_in(&folder().join("regressions")));
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).expect("a scenario");
        (file, text)
    };
    files.into_iter().map(read).collect()
}

fn plans_in(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().expect("a folder of scenarios");
    let files = entries.map(|entry| entry.expect("a file").path());
    let mut plans: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    plans.sort();
    plans
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}
