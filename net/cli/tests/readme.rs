//! The quick start of the README works as it is written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tandem_lab::netns::{self, Namespaces};
use tandem_lab::{Launch, Result, Scratch};

/// Generous: it guards against hanging, nothing else.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_quick_start_takes_over_a_switch() -> Result<()> {
    // Its ports are fixed; in a network namespace of its own they are free.
    netns::enter("the_quick_start_takes_over_a_switch", || {
        let (scratch, namespaces) = (Scratch::new()?, Namespaces::new()?);
        let log = scratch.path().join("quick-start.log");
        let shell = Launch::new("bash")?
            .args(["-euxc", &script()])
            .env("TMPDIR", scratch.path())
            .namespace(Some(&namespaces.add("readme")?))
            .start(log)?;
        let status = shell.wait(LONG)?;
        let log = shell.log();
        assert!(status.success(), "{log}");
        for seen in [
            "agent-a.toml is right: agent agent-a, 1 network with 1 remote MAC, 1 switch with 1 port binding",
            "agent-b: fit, 1 switch, 1 connected, 1 owned",
            "services node 10.0.0.12",
            "unknown-dst -> vxlan_over_ipv4/10.0.0.12",
            "0010 Contrail-6f1c0d0e-0000-4000-8000-000000000001",
            "0020 Contrail-6f1c0d0e-0000-4000-8000-000000000001",
        ] {
            assert!(log.lines().any(|line| line.trim() == seen), "{seen} is not in\n{log}");
        }
        Ok(())
    })
}

/// The shell blocks of the README with the program that is there already, and nothing left behind when a line fails.
fn script() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).expect("a README");
    let blocks = readme.split("```sh\n").skip(1);
    let text: String = blocks.filter_map(|block| block.split("```").next()).collect();
    let (build, rest) = text.split_once('\n').expect("lines");
    assert_eq!(build, "cargo build --locked");
    let folder = Path::new(env!("CARGO_BIN_EXE_tandem")).parent().expect("a folder");
    format!(
        "trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\nPATH={}:$PATH\n{rest}",
        folder.display()
    )
}
