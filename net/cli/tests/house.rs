//! The rules of the house: which package may depend on which, and what no file may do.

#![allow(clippy::print_stdout, reason = "measured values are for people to read")]

#[path = "house/circles.rs"]
mod circles;
#[path = "house/functions.rs"]
mod functions;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// The arrows: `(package, its permitted dependencies)`, for builds, tests and build scripts alike.
const ARROWS: [(&str, &[&str]); 6] = [
    ("tandem-core", &[]),
    ("tandem-sim", &["tandem-core"]),
    ("tandem-net", &["tandem-core"]),
    ("tandem-lab", &["tandem-core", "tandem-sim", "tandem-net"]),
    ("tandem", &["tandem-core", "tandem-sim", "tandem-net", "tandem-lab"]),
    (
        "tandem-benches",
        &["tandem-core", "tandem-sim", "tandem-net", "tandem-lab"],
    ),
];

/// Runtimes, sockets, TLS, clocks and log backends, which neither core nor sim may reach by any way.
const IO: [&str; 21] = [
    "async-std",
    "axum",
    "chrono",
    "crossbeam-channel",
    "env_logger",
    "futures-executor",
    "hyper",
    "jiff",
    "madsim",
    "mio",
    "nix",
    "openssl",
    "rayon",
    "rcgen",
    "ring",
    "rustls",
    "smol",
    "socket2",
    "time",
    "tokio",
    "tracing-subscriber",
];

/// Core has no random numbers at all; those of sim are seeded.
const ENTROPY: [&str; 6] = ["fastrand", "getrandom", "oorandom", "rand", "rand_chacha", "rand_core"];

/// The feature that plants bugs.
const PLANTED: &str = "mutants";

#[test]
fn every_arrow_points_at_the_core() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(found, ours, "every package of the workspace has its arrows");
    for (name, allowed) in ARROWS {
        for dependency in &package(&metadata, name).dependencies {
            let to = dependency.name.as_str();
            assert!(
                !ours.contains(to) || allowed.contains(&to),
                "{name} must not depend on {to}"
            );
        }
    }
}

#[test]
fn the_program_is_what_a_plain_build_builds() {
    let metadata = metadata();
    let built: Vec<&str> = metadata
        .workspace_default_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(built, ["tandem"]);
    for package in metadata.workspace_packages() {
        assert_eq!(package.edition.as_str(), "2024", "{}", package.name);
        let manifest = read(package.manifest_path.as_std_path());
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} has the lints of the house",
            package.name
        );
    }
}

#[test]
fn core_and_sim_reach_no_io() {
    let metadata = metadata();
    for name in ["tandem-core", "tandem-sim"] {
        let reached = reached(&metadata, &package(&metadata, name).id);
        let io: Vec<_> = IO.iter().filter(|io| reached.contains(**io)).collect();
        assert!(io.is_empty(), "{name} reaches {io:?}");
        assert!(reached.contains("serde"), "the walk finds what is there");
    }
    assert!(
        reached(&metadata, &package(&metadata, "tandem-net").id).contains("tokio"),
        "and how far it goes"
    );
}

/// The service carries neither the simulator, nor the lab, nor dependencies that only they and the command line need.
#[test]
fn the_service_carries_no_lab() {
    let metadata = metadata();
    let reached = reached(&metadata, &package(&metadata, "tandem-net").id);
    for other in ["tandem-sim", "tandem-lab", "tandem", "clap", "rcgen", "tempfile"] {
        assert!(!reached.contains(other), "tandem-net reaches {other}");
    }
}

#[test]
fn core_has_no_randomness_and_that_of_sim_is_seeded() {
    let metadata = metadata();
    let core = reached(&metadata, &package(&metadata, "tandem-core").id);
    let random: Vec<_> = ENTROPY.iter().filter(|entropy| core.contains(**entropy)).collect();
    assert!(random.is_empty(), "tandem-core reaches {random:?}");
    // The features of `rand` that ask the system are default ones.
    for dependency in normal_dependencies(package(&metadata, "tandem-sim")) {
        if ENTROPY.contains(&dependency.name.as_str()) {
            let features = &dependency.features;
            assert!(
                !dependency.uses_default_features && features.iter().all(|feature| feature == "alloc"),
                "{}: {features:?}",
                dependency.name
            );
        }
    }
}

/// Only the command line switches planted bugs on: no default and no dependency does.
#[test]
fn no_plain_build_has_planted_bugs() {
    let metadata = metadata();
    let with: Vec<_> = ["tandem-core", "tandem-sim", "tandem"]
        .into_iter()
        .filter(|name| package(&metadata, name).features.contains_key(PLANTED))
        .collect();
    assert_eq!(with.len(), 3, "the feature is called `{PLANTED}` in {with:?}");
    let nodes = &metadata.resolve.as_ref().expect("a resolved graph").nodes;
    let on = nodes
        .iter()
        .filter(|node| node.features.iter().any(|feature| feature.as_str() == PLANTED));
    let on: Vec<_> = on.map(|node| &node.id).collect();
    assert!(on.is_empty(), "a plain build switches `{PLANTED}` on in {on:?}");
}

/// The program is built with planted bugs where the command line asks for them, and nowhere else.
#[test]
fn a_core_without_the_feature_knows_no_planted_bug() {
    #[allow(unused_imports, reason = "where the core has a module `mutant`, it hides ours")]
    use tandem_core::*;

    let planted = mutant::Mutant::ALL.len();
    assert_eq!(planted > 0, cfg!(feature = "mutants"), "{planted}");
}

#[allow(dead_code, reason = "the core may have its own")]
mod mutant {
    pub(crate) enum Mutant {}

    impl Mutant {
        pub(crate) const ALL: [Self; 0] = [];
    }
}

#[test]
fn no_file_is_longer_than_600_lines() {
    assert!(too_long(&"\n".repeat(601)) && !too_long(&"\n".repeat(600)));
    let files = sources(&["core", "sim", "net", "benches"]);
    assert!(files.len() > 10, "{files:?}");
    let long: Vec<_> = files.iter().filter(|file| too_long(&read(file))).collect();
    assert!(long.is_empty(), "longer than 600 lines: {long:?}");
}

fn too_long(text: &str) -> bool {
    text.lines().count() > 600
}

/// Clippy sees to it as well; this also reads what a `cfg` hides from it.
#[test]
fn core_and_sim_never_name_a_clock() {
    for file in sources(&["core/src", "sim/src"]) {
        let text = read(&file);
        for clock in ["Instant", "SystemTime"] {
            let named = text.lines().find(|line| words(line).any(|word| word == clock));
            assert!(named.is_none(), "{}: {named:?}", file.display());
        }
    }
    assert!(words("use std::time::{Duration, Instant};").any(|word| word == "Instant"));
    assert!(!words("let instantly = true;").any(|word| word == "Instant"));
}

/// The words of a line outside its comments.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn every_ban_bites() {
    let root = root();
    assert_eq!(bans("core"), bans("sim"), "core and sim ban the same");
    for folder in ["core", "sim"] {
        let output = Command::new("clippy-driver")
            .args([
                "--edition",
                "2024",
                "--crate-type",
                "lib",
                "--emit=metadata",
                "--out-dir",
            ])
            .arg(env!("CARGO_TARGET_TMPDIR"))
            .arg(root.join("net/cli/tests/house/banned.rs"))
            .args(lints(folder).iter().map(|lint| format!("-W{lint}")))
            .env("CLIPPY_CONF_DIR", root.join(folder))
            .output()
            .expect("clippy-driver is missing: rustup component add clippy");
        let report = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{report}");
        let reported = bans(folder).into_iter().map(|path| format!("`{path}`"));
        let used = ["used `unwrap()`", "used `expect()`", "wildcard match"].map(String::from);
        let missed: Vec<_> = reported.chain(used).filter(|text| !report.contains(text)).collect();
        assert!(
            missed.is_empty(),
            "clippy does not report {missed:?} in {folder}:\n{report}"
        );
    }
}

/// The paths that a folder's `clippy.toml` bans.
fn bans(folder: &str) -> BTreeSet<String> {
    let file = root().join(folder).join("clippy.toml");
    let table: toml::Table = toml::from_str(&read(&file)).expect("clippy.toml is TOML");
    ["disallowed-types", "disallowed-methods"]
        .into_iter()
        .flat_map(|list| table[list].as_array().expect("a list"))
        .map(|ban| {
            assert!(ban["reason"].as_str().is_some(), "every ban has a reason: {ban}");
            ban["path"].as_str().expect("a path").to_owned()
        })
        .collect()
}

/// The lints that the crate of a folder adds to those of the workspace.
fn lints(folder: &str) -> Vec<String> {
    let text = read(&root().join(folder).join("src/lib.rs"));
    let list = text
        .lines()
        .find_map(|line| line.strip_prefix("#![warn(")?.strip_suffix(")]"));
    list.unwrap_or_default().split(", ").map(Into::into).collect()
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata")
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    metadata
        .packages
        .iter()
        .find(|package| package.name == name)
        .expect(name)
}

fn normal_dependencies(package: &Package) -> impl Iterator<Item = &cargo_metadata::Dependency> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
}

/// The names of all packages that one is built of, without its tests and build scripts.
fn reached(metadata: &Metadata, from: &PackageId) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(id) = next.pop() {
        for dependency in &nodes[id].deps {
            let normal = dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal);
            if normal && seen.insert(&dependency.pkg) {
                next.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

/// Every Rust file below these folders.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut next: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = next.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the house").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                next.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
