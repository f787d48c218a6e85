//! Files of the previous version, and files of a later format.

use tandem_core::control::UnknownClients;

use super::*;

/// Every key that the previous version knows, with a value that is no default.
const AGENT: &str = include_str!("../../../tests/previous/agent.toml");
const AGENT_OF_CONTROL_NODES: &str = include_str!("../../../tests/previous/agent-of-control-nodes.toml");
const CONTROL: &str = include_str!("../../../tests/previous/control.toml");

fn any(text: &str) -> Result<Config, Problems> {
    parse_any(
        Path::new("/etc/tandem/any.toml"),
        text.as_bytes(),
        &Folder::of_the_book(),
    )
}

#[test]
fn files_of_the_previous_version_mean_what_they_meant() {
    let Ok(Config::Agent(agent)) = any(AGENT) else {
        panic!("{:?}", any(AGENT));
    };
    let session = &agent.configuration.session;
    assert_eq!((session.agent.as_str(), session.lock.as_str()), ("agent-b", "rack_7"));
    assert_eq!(session.logical_switch_prefix, "Tandem-");
    assert_eq!(session.keepalive, Some(Duration::from_millis(1500)));
    assert!(agent.listen.proxy_protocol && agent.peer.is_some() && agent.probe.is_some());
    let tor2 = &agent.configuration.switches[&"tor2".into()];
    assert!(tor2.sole_manager && matches!(tor2.certificate, Some(CertificateRule::Pinned(_))));
    let macs = agent.configuration.networks.values().map(|it| it.remote_macs.len());
    assert_eq!(macs.collect::<Vec<_>>(), [3]);

    let Ok(Config::Agent(agent)) = any(AGENT_OF_CONTROL_NODES) else {
        panic!("{:?}", any(AGENT_OF_CONTROL_NODES));
    };
    let uplinks = agent.uplinks.expect("control nodes");
    assert_eq!(uplinks.nodes.len(), 2);
    assert_eq!(agent.stale_hold, Some(Duration::from_secs(300)));

    let Ok(Config::Control(control)) = any(CONTROL) else {
        panic!("{:?}", any(CONTROL));
    };
    let inventory = control.inventory;
    assert_eq!((control.name.as_str(), inventory.revision), ("control-2", 7));
    assert_eq!(inventory.access.unknown, UnknownClients::Refuse);
    assert_eq!(inventory.access.listed[0].next_hops.len(), 2);
    let tor1 = &inventory.switches[&"tor1".into()];
    assert_eq!((tor1.agents.len(), tor1.tsns.len()), (2, 2));
    assert_eq!(tor1.switch.ports[&"eth1".into()].len(), 2);
}

#[test]
fn a_file_without_a_format_has_the_first() {
    for text in [AGENT, AGENT_OF_CONTROL_NODES, CONTROL] {
        let with_format = format!("format = 1\n{text}");
        assert_eq!(
            any(&with_format).expect("a configuration"),
            any(text).expect("a configuration")
        );
    }
}

#[test]
fn a_file_of_a_later_format_is_refused_for_its_format_alone() {
    for text in [AGENT, CONTROL] {
        let later = format!("# new\nformat = 2\nnew_key = true\n{text}\n[new_section]\n");
        let problems = any(&later).expect_err("a problem");
        let [problem] = problems.iter().collect::<Vec<_>>()[..] else {
            panic!("{problems}");
        };
        let expected = "the file has format 2, and this program reads format 1";
        assert_eq!(problem.message(), expected);
        assert_eq!(problem.location(), Location { line: 2, column: 10 });
        assert!(problem.advice().starts_with("upgrade Tandem on this host"));
    }
    for bad in ["0", "-1", "\"1\"", "1.0"] {
        let problems = any(&format!("format = {bad}\n{AGENT}")).expect_err("a problem");
        let messages: Vec<&str> = problems.iter().map(Problem::message).collect();
        assert!(
            matches!(messages[..], [it] if it.starts_with("`format`: ")),
            "{messages:?}"
        );
    }
}
