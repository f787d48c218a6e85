use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;
use tandem_core::control::UnknownClients;

use super::{BOOK, Folder, LEAST, block};
use crate::config::{AgentConfig, Config, ControlConfig, Orders, Problem, Problems, parse, parse_any, parse_control};

const REFERENCE: &str = include_str!("../../../../../docs/src/control-configuration.md");

fn example() -> &'static str {
    block(REFERENCE, "```toml")
}

fn parsed(text: &str) -> Result<ControlConfig, Problems> {
    let path = Path::new("/etc/tandem/control.toml");
    parse_control(path, text.as_bytes(), &Folder::of_the_book())
}

fn agent(text: &str) -> Result<AgentConfig, Problems> {
    let path = Path::new("/etc/tandem/agent.toml");
    parse(path, text.as_bytes(), &Folder::of_the_book())
}

/// What is in `text` after replacements that must find theirs.
fn changed(text: &str, replacements: &[(&str, &str)]) -> String {
    let change = |text: String, (old, new): &(&str, &str)| {
        assert!(text.contains(old), "{old:?} is in the text");
        text.replace(old, new)
    };
    replacements.iter().fold(text.to_owned(), change)
}

fn report(replacements: &[(&str, &str)]) -> String {
    let text = changed(example(), replacements);
    parsed(&text).expect_err("a problem").render(false)
}

/// The least file of an agent that asks control nodes.
fn led(control: &str) -> String {
    format!("{LEAST}\n[control]\n{control}\n")
}

#[test]
fn the_example_of_the_reference_is_valid_and_complete() {
    assert_snapshot!(format!("{:#?}", parsed(example()).expect("a configuration")));
}

#[test]
fn omitted_keys_have_the_defaults_of_the_reference() {
    let config =
        parsed("control = { name = \"c\", tls = false }\ninventory = { revision = 7 }").expect("a configuration");
    assert_eq!(config.listen, "0.0.0.0:5269".parse().expect("an address"));
    assert_eq!(config.http, Some("127.0.0.1:6653".parse().expect("an address")));
    assert_eq!(config.tls, None);
    assert_eq!(config.orders, Orders::Default);
    assert_eq!(config.inventory.revision, 7);
}

#[test]
fn required_keys_of_a_control_node_are_reported_with_an_example() {
    assert_snapshot!(
        parsed("[[switch]]\nname = \"tor1\"\nagents = []\n")
            .expect_err("problems")
            .render(false)
    );
}

#[test]
fn invalid_agents_and_services_nodes_are_refused_in_place() {
    let three = "agents = [\n  \"agent-a\",\n  \"agent a\",\n  \"agent-c\",\n]";
    assert_snapshot!(report(&[
        ("name = \"control-1\"", "name = \"config-1\""),
        ("agents = [\"agent-a\", \"agent-b\"]", three),
        ("tsns = [\"tsn-a\", \"tsn-b\"]", "tsns = \"tsn-a\""),
        (
            "[\"agent-b\", \"agent-a\"]",
            "[\"agent-b\", \"agent-b\"]\ntsns = [\"agent-b\"]"
        ),
        ("revision = 1", "revision = 0"),
    ]));
}

/// The example, with the clients of the reference.
fn with_clients() -> String {
    let section = REFERENCE.split_once("## `[[client]]`").expect("a section").1;
    format!("{}\n{}", example(), block(section, "```toml"))
}

#[test]
fn clients_have_names_certificates_and_tunnel_ends() {
    let access = parsed(&with_clients()).expect("a configuration").inventory.access;
    assert_snapshot!(format!("{access:#?}"));
    let accepting = changed(
        example(),
        &[("[control]\n", "[control]\nunknown_clients = \"accept\"\n")],
    );
    let access = parsed(&accepting).expect("a configuration").inventory.access;
    assert_eq!((access.unknown, access.listed.len()), (UnknownClients::Accept, 0));
}

#[test]
fn invalid_clients_are_refused_in_place() {
    let client = "[[client]]\nname = \"vrouter *\"\ncertificates = [\"agent\", \"name:\"]\nnext_hops = [\"10.0.1.0/16\"]\n\n[inventory]";
    assert_snapshot!(report(&[
        ("[control]\n", "[control]\nunknown_clients = \"maybe\"\n"),
        ("[inventory]", client),
    ]));
    let text = "control = { name = \"c\", tls = false }\ninventory = { revision = 7 }\n[[client]]\nname = \"a\"\ncertificates = [\"name:a\"]";
    assert_snapshot!(parsed(text).expect_err("a problem").render(false));
}

#[test]
fn ambiguous_names_and_tunnel_ends_are_refused() {
    let twin = "[[network]]\nname = \"default-domain:default-project:blue\"\nuuid = \"6f1c0d0e-0000-4000-8000-000000000002\"\nvni = 5002\n\n[[switch]]\nname = \"tor1\"";
    assert_snapshot!(report(&[
        ("[[switch]]\nname = \"tor1\"", twin),
        ("vtep = \"10.0.1.2\"", "vtep = \"10.0.1.1\""),
        ("vlan = 20, network = \"blue\"", "vlan = 20, network = \"bleu\""),
        ("http = \"127.0.0.1:6653\"", "http = \"127.0.0.1:5269\""),
    ]));
}

#[test]
fn an_agent_is_no_services_node_of_another_switch() {
    assert_snapshot!(report(&[(
        "[\"agent-b\", \"agent-a\"]",
        "[\"agent-b\", \"tsn-a\"]\ntsns = [\"agent-a\"]"
    ),]));
}

#[test]
fn a_name_that_agents_would_change_is_refused() {
    assert_snapshot!(report(&[("\"blue\"", "\" blue \"")]));
}

#[test]
fn keys_of_tls_are_required_with_tls_and_refused_without() {
    assert_snapshot!(report(&[("name = \"control-1\"", "name = \"control-1\"\ntls = false")]));
    let without = changed(example(), &[("[tls]", "[log]\n[tls]")]).replace("ca = \"agent-ca.pem\"\n", "");
    assert_eq!(parsed(&without).expect_err("a problem").count(), 1);
}

#[test]
fn the_kind_of_a_file_is_recognised() {
    let path = Path::new("/etc/tandem/x.toml");
    let any = |text: &str| parse_any(path, text.as_bytes(), &Folder::of_the_book());
    assert!(matches!(any(example()), Ok(Config::Control(_))));
    assert!(matches!(any(LEAST), Ok(Config::Agent(_))));
    assert!(matches!(
        any(&led("nodes = [\"10.0.0.5\"]\ntls = false")),
        Ok(Config::Agent(_))
    ));
    let both = [
        agent(example()).expect_err("a problem"),
        parsed(LEAST).expect_err("a problem"),
    ];
    assert_snapshot!(both.map(|problems| problems.render(false)).join("\n\n"));
}

#[test]
fn an_agent_with_control_nodes_needs_neither_networks_nor_switches() {
    let config = agent(&led(
        "nodes = [\"10.0.0.5:6000\", \"10.0.0.6\", \"2001:db8::1\"]\nca = \"control-ca.pem\"",
    ));
    let config = config.expect("a configuration");
    let options = config.uplink_options(42).expect("control nodes");
    let nodes: Vec<String> = options.nodes.iter().map(ToString::to_string).collect();
    assert_eq!(nodes, ["10.0.0.5:6000", "10.0.0.6:5269", "[2001:db8::1]:5269"]);
    assert_eq!((options.seed, options.session.routed), (42, true));
    let tls = config.uplink_tls().expect("TLS");
    assert_eq!(
        (&tls.certificate, &tls.private_key),
        (&config.tls.certificate, &config.tls.private_key)
    );
    assert_eq!(tls.ca, Path::new("/etc/tandem/control-ca.pem"));

    let clear = agent(&led("nodes = [\"10.0.0.5\"]\ntls = false")).expect("a configuration");
    assert_eq!(clear.uplink_tls(), None);
    let alone = agent(LEAST).expect("a configuration");
    assert!(alone.uplink_options(42).is_none() && !alone.configuration.session.routed);
}

#[test]
fn an_agent_has_its_networks_from_one_source() {
    let text = changed(
        block(BOOK, "```toml"),
        &[(
            "[keepalive]",
            "[control]\nnodes = [\"10.0.0.5\"]\ntls = false\n\n[keepalive]",
        )],
    );
    assert_snapshot!(agent(&text).expect_err("problems").render(false));
}

#[test]
fn invalid_control_nodes_are_refused_in_place() {
    let nodes = "nodes = [\n  \"control-1:5269\",\n  \"0.0.0.0\",\n  \"10.0.0.5:0\",\n  5269,\n  \"10.0.0.5\",\n  \"10.0.0.5:5269\",\n]";
    let text = led(nodes).replace("name = \"a\"", "name = \"rack 7\"");
    assert_snapshot!(agent(&text).expect_err("problems").render(false));
    let many: Vec<String> = (1..=17).map(|n| format!("\"10.0.0.{n}\"")).collect();
    for (control, expected) in [
        ("nodes = []\ntls = false".to_owned(), "`nodes` is empty"),
        ("tls = false".to_owned(), "`nodes` is missing in [control]"),
        (
            format!("tls = false\nnodes = [{}]", many.join(",")),
            "`nodes` has 17 entries; at most 16 are allowed",
        ),
        (
            "nodes = [\"10.0.0.5\"]\ntls = false\nca = \"control-ca.pem\"".to_owned(),
            "`ca` has no effect with `tls = false`",
        ),
        (
            "nodes = [\"10.0.0.5\"]\nca = \"none.pem\"".to_owned(),
            "cannot read /etc/tandem/none.pem: entity not found",
        ),
    ] {
        let problems = agent(&led(&control)).expect_err("a problem");
        let messages: Vec<&str> = problems.iter().map(Problem::message).collect();
        assert_eq!(messages, [expected]);
    }
}

#[test]
fn a_reload_of_a_control_node_applies_everything_but_settings_that_need_a_restart() {
    let old = parsed(example()).expect("a configuration");
    let text = changed(
        example(),
        &[
            ("name = \"control-1\"", "name = \"control-2\""),
            ("0.0.0.0:5269", "127.0.0.1:5269"),
            ("127.0.0.1:6653", "off"),
            ("revision = 1", "revision = 2"),
            ("[tls]", "[log]\nlevel = \"debug\"\n[tls]"),
            ("agent-ca.pem", "control-ca.pem"),
        ],
    );
    let new = parsed(&text).expect("a configuration");
    let mut running = old.clone();
    assert_eq!(running.reload(old.clone()), [""; 0]);
    let waiting = running.reload(new.clone());
    assert_eq!(
        waiting,
        ["[control] name", "[control] listen", "[control] http", "[log]"]
    );
    let right = ControlConfig {
        tls: new.tls.clone(),
        inventory: new.inventory,
        ..old.clone()
    };
    assert_eq!(running, right);
    let clear = ControlConfig { tls: None, ..old };
    assert_eq!(running.reload(clear)[..1], ["[control] tls"]);
    assert_eq!(running.tls, new.tls);
}

#[test]
fn a_reload_of_an_agent_changes_neither_the_source_of_the_configuration_nor_what_was_merged_into_it() {
    let alone = agent(LEAST).expect("a configuration");
    let switch = agent(&format!("{LEAST}\n[[switch]]\nname = \"tor1\"")).expect("a configuration");
    let control = "nodes = [\"10.0.0.5\"]\ntls = false";
    let led_old = agent(&led(control)).expect("a configuration");
    let led_new = agent(&led(&format!("{control}\n[keepalive]\ninterval = \"2s\""))).expect("a configuration");
    for (old, new, waiting) in [
        (&alone, &led_old, ["[control]"]),
        (&led_old, &switch, ["[control]"]),
        (&led_old, &led_new, ["[keepalive]"]),
    ] {
        let mut running = old.clone();
        assert_eq!(running.reload(new.clone()), waiting);
        assert_eq!(&running, old);
    }
}

#[test]
fn every_table_refuses_unknown_keys_and_the_reference_has_the_known_ones() {
    let agents = led("nodes = [\"10.0.0.5\"]\ntls = false");
    let problem = |problems: Problems| {
        assert_eq!(problems.count(), 1, "{problems}");
        problems.iter().next().expect("one").clone()
    };
    let mut problems = vec![(
        BOOK,
        problem(agent(&format!("{agents}zzz = 1")).expect_err("a problem")),
    )];
    for table in [
        "[control]\n",
        "[tls]\n",
        "[inventory]\n",
        "[[switch]]\nname = \"tor1\"\n",
        "[[client]]\nname = \"vrouter-*\"\n",
    ] {
        let text = changed(&with_clients(), &[(table, &format!("{table}zzz = 1\n"))]);
        problems.push((REFERENCE, problem(parsed(&text).expect_err("a problem"))));
    }
    for (book, problem) in problems {
        assert!(problem.message().contains("unknown key `zzz`"), "{problem:?}");
        for key in problem.advice().split('`').skip(1).step_by(2) {
            let forms = [format!("`{key}`"), format!("{key} = ")];
            let of_agents = BOOK.contains(&forms[0]) && problem.message().ends_with("`switch`");
            assert!(
                of_agents || forms.iter().any(|form| book.contains(form)),
                "the book has no {key}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_damage_to_a_file_panics(at in 0..example().len(), len in 0..8_usize, put: Vec<u8>) {
        let mut bytes = example().as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, put);
        if let Err(problems) = parse_any(Path::new("x.toml"), &bytes, &Folder::of_the_book()) {
            prop_assert!(!problems.is_empty());
        }
    }
}
