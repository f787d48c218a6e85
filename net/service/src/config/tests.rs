mod control;
mod pair;
mod previous;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;
use tandem_core::configuration::CertificateRule;

use super::*;

/// The folder of the book's files, in memory.
#[derive(Default)]
struct Folder(BTreeMap<PathBuf, Vec<u8>>);

impl Folder {
    fn of_the_book() -> Self {
        let macs = block(BOOK, "```text");
        let mut folder = Self::default().with("blue.macs", macs);
        for name in [
            "agent-cert.pem",
            "agent-key.pem",
            "agent-ca.pem",
            "switch-ca.pem",
            "control-ca.pem",
            "control-cert.pem",
            "control-key.pem",
        ] {
            folder = folder.with(name, "PEM");
        }
        folder
    }

    fn with(mut self, name: &str, text: &str) -> Self {
        self.0.insert(Path::new("/etc/tandem").join(name), text.into());
        self
    }
}

impl Files for Folder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

const BOOK: &str = include_str!("../../../../docs/src/configuration.md");

/// The first fenced block that begins with this line.
fn block<'b>(book: &'b str, fence: &str) -> &'b str {
    let start = book.find(fence).expect("the block") + fence.len() + 1;
    &book[start..start + book[start..].find("```").expect("its end")]
}

fn example() -> &'static str {
    block(BOOK, "```toml")
}

fn parsed(text: &str) -> Result<AgentConfig, Problems> {
    parse(
        Path::new("/etc/tandem/agent.toml"),
        text.as_bytes(),
        &Folder::of_the_book(),
    )
}

/// The report on the book's example after a replacement that must find its text.
fn report(replacements: &[(&str, &str)]) -> String {
    let mut text = example().to_owned();
    for (old, new) in replacements {
        assert!(text.contains(old), "{old:?} is in the example");
        text = text.replace(old, new);
    }
    parsed(&text).expect_err("a problem").render(false)
}

#[test]
fn the_example_of_the_book_is_right() {
    let config = parsed(example()).expect("a configuration");
    assert_eq!(config.listen.ovsdb, "0.0.0.0:6640".parse().expect("an address"));
    assert_eq!(config.tls.ca, Path::new("/etc/tandem/switch-ca.pem"));
    assert_eq!(config.configuration.session.keepalive, Some(Duration::from_secs(10)));
    let network = config.configuration.networks.values().next().expect("blue");
    let macs: Vec<String> = network
        .remote_macs
        .iter()
        .map(|(mac, vtep)| format!("{mac} {vtep}"))
        .collect();
    assert_eq!(
        macs,
        [
            "02:00:00:00:00:01 10.0.9.1",
            "02:00:00:00:00:02 10.0.9.1",
            "02:00:00:00:00:03 10.0.9.2"
        ]
    );
    let tor1 = &config.configuration.switches[&"tor1".into()];
    assert_eq!(tor1.certificate, Some(CertificateRule::Named("tor1.example".into())));
    assert_eq!(tor1.networks(), config.configuration.networks.keys().copied().collect());
}

const LEAST: &str = r#"
agent = { name = "a", tsn_ip = "10.0.0.11" }
listen = { ovsdb = "127.0.0.2:6640" }
tls = { certificate = "agent-cert.pem", private_key = "agent-key.pem", ca = "switch-ca.pem" }
"#;

#[test]
fn omitted_keys_have_the_defaults_of_the_book() {
    let config = parsed(LEAST).expect("a configuration");
    assert_snapshot!(format!("{config:#?}"));
}

#[test]
fn listeners_can_be_switched_off() {
    let text = LEAST.replace(
        "listen = { ovsdb = \"127.0.0.2:6640\" }",
        r#"
        listen = { ovsdb = "127.0.0.2:6640", health = "off", agent_check = "off", http = "off" }
        keepalive = { interval = "0s" }
        manager = { set = false }
        "#,
    );
    let config = parsed(&text).expect("a configuration");
    assert_eq!(
        (config.listen.health, config.listen.agent_check, config.listen.http),
        (None, None, None)
    );
    assert_eq!(config.configuration.session.keepalive, None);
    assert_eq!(config.configuration.session.manager, None);
}

#[test]
fn listeners_collide_only_where_the_second_bind_would_fail() {
    let with = |ovsdb: &str, http: &str| {
        let listen = format!("{{ ovsdb = \"{ovsdb}\", http = \"{http}\" }}");
        parsed(&LEAST.replace("{ ovsdb = \"127.0.0.2:6640\" }", &listen)).map_err(|problems| problems.count())
    };
    for (ovsdb, http) in [
        ("127.0.0.1:7000", "127.0.0.1:7000"),
        ("0.0.0.0:7000", "127.0.0.1:7000"),
        ("[::1]:7000", "[::]:7000"),
        ("127.0.0.1:7000", "[::]:7000"),
        ("127.0.0.1:6652", "127.0.0.1:6651"),
    ] {
        assert_eq!(with(ovsdb, http).err(), Some(1), "{ovsdb} {http}");
    }
    for (ovsdb, http) in [
        ("127.0.0.1:7000", "127.0.0.2:7000"),
        ("0.0.0.0:7000", "[::1]:7000"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        assert_eq!(with(ovsdb, http).err(), None, "{ovsdb} {http}");
    }
}

#[test]
fn a_named_pipe_is_refused_without_blocking() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert_eq!(
        Disk.read(&pipe).expect_err("refused").to_string(),
        "it is not a regular file"
    );
    assert!(Disk.readable(&pipe).is_err() && Disk.readable(folder.path()).is_err());
}

/// Every key with a value that is no default, for the tests that go through all of them.
const EVERYTHING: &str = r#"
[agent]
name = "agent-b"
tsn_ip = "10.0.0.12"
lock = "rack_7"
logical_switch_prefix = "Tandem-"
[listen]
ovsdb = "[::1]:7640"
health = "[::1]:7650"
agent_check = "[::1]:7651"
http = "[::1]:7652"
orders = "/run/tandem/other.sock"
proxy_protocol = true
[tls]
certificate = "agent-cert.pem"
private_key = "/etc/tandem/agent-key.pem"
ca = "switch-ca.pem"
crl = "switch-ca.pem"
allow_x509_v1 = true
[keepalive]
interval = "1500ms"
[manager]
set = true
target = "ssl:10.0.0.10:6640"
max_backoff = "2s"
inactivity_probe = "0s"
[audit]
local_macs_grace = "1m"
[brake]
percent = 50
rows = 100
[failover]
stale_hold = "0s"
[peer]
listen = "[::1]:6654"
connect = "[::2]:6654"
ca = "agent-ca.pem"
certificates = ["name:agent-*", "sha256:0000000000000000000000000000000000000000000000000000000000000000"]
certificate = "control-cert.pem"
private_key = "control-key.pem"
[tsn]
probe = "http"
url = "http://10.0.0.12:8085/health"
interval = "5s"
timeout = "500ms"
fall = 5
rise = 1
[log]
format = "json"
level = "debug"
[[network]]
name = "red"
uuid = "6F1C0D0E-0000-4000-8000-000000000002"
vni = 0xff_ffff
remote_macs_file = "blue.macs"
remote_macs = [ { mac = "0A:00:00:00:00:01", vtep = "10.0.9.1" } ]
[[switch]]
name = "tor2"
vtep = "10.0.1.2"
certificate = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
sole_manager = true
max_rows_per_transaction = 50
ports = [ { port = "eth1", vlan = 0, network = "red" }, { port = "eth1", vlan = 4095, network = "red" } ]
"#;

#[test]
fn every_key_reaches_the_configuration() {
    let config = parsed(EVERYTHING).expect("a configuration");
    assert_snapshot!(format!("{config:#?}"));
}

/// The report that each table gives about a key that it does not know.
fn unknown_key_reports() -> Vec<Problem> {
    let tables = [
        "[agent]\n",
        "[listen]\n",
        "[tls]\n",
        "[keepalive]\n",
        "[manager]\n",
        "[audit]\n",
        "[failover]\n",
        "[peer]\n",
        "[tsn]\n",
        "[log]\n",
        "[[network]]\n",
        "[[switch]]\n",
        "{ mac",
        "{ port",
    ];
    tables
        .into_iter()
        .map(|table| {
            let text = match table.strip_prefix("{ ") {
                Some(key) => EVERYTHING.replacen(table, &format!("{{ zzz = 1, {key}"), 1),
                None => EVERYTHING.replacen(table, &format!("{table}zzz = 1\n"), 1),
            };
            let problems = parsed(&text).expect_err("a problem");
            assert_eq!(problems.count(), 1, "{table}: {problems}");
            let problem = problems.iter().next().expect("one").clone();
            assert!(problem.message().contains("unknown key `zzz`"), "{table}: {problem}");
            problem
        })
        .collect()
}

#[test]
fn every_table_refuses_unknown_keys_and_the_book_has_the_known_ones() {
    for problem in unknown_key_reports() {
        for key in problem.advice().split('`').skip(1).step_by(2) {
            let in_the_book = [
                format!("`{key}`"),
                format!("{{ {key},"),
                format!(", {key} }}"),
                format!(", {key},"),
            ];
            assert!(
                in_the_book.iter().any(|form| BOOK.contains(form)),
                "the book has no {key}"
            );
        }
    }
}

#[test]
fn several_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    assert_snapshot!(report(&[
        ("tsn_ip = \"10.0.0.11\"", "tsnip = \"10.0.0.11\""),
        ("interval = \"10s\"", "interval = 10"),
        ("vni = 5001", "vni = 16777216"),
        ("vlan = 10", "vlan = 4096"),
        ("network = \"blue\"", "network = \"bleu\""),
    ]));
}

#[test]
fn syntax_errors_are_shown_in_place() {
    assert_snapshot!(report(&[
        ("name = \"agent-a\"", "name = agent-a"),
        ("vni = 5001", "vni 5001")
    ]));
}

#[test]
fn missing_sections_and_keys_are_reported_with_an_example() {
    assert_snapshot!(
        parsed("[listen]\nproxy_protocol = \"no\"\n[network]\nname = \"x\"\n")
            .expect_err("problems")
            .render(false)
    );
}

#[test]
fn two_networks_cannot_share_a_name_a_uuid_or_a_vni() {
    let twin =
        "[[network]]\nname = \"blue\"\nuuid = \"6F1C0D0E-0000-4000-8000-000000000001\"\nvni = 0x1389\n\n[[switch]]";
    assert_snapshot!(report(&[("[[switch]]", twin)]));
}

#[test]
fn two_switches_cannot_share_a_name_and_two_networks_no_port_and_vlan() {
    let red = "[[network]]\nname = \"red\"\nuuid = \"6f1c0d0e-0000-4000-8000-000000000002\"\nvni = 5002\n\n[[switch]]\nname = \"tor1\"\n\n[[switch]]";
    let ports = "ports = [\n  { port = \"eth1\", vlan = 10, network = \"blue\" },\n  { port = \"eth1\", vlan = 10, network = \"red\" },\n]";
    assert_snapshot!(report(&[
        ("[[switch]]", red),
        ("ports = [ { port = \"eth1\", vlan = 10, network = \"blue\" } ]", ports),
    ]));
}

#[test]
fn addresses_that_no_host_can_have_are_refused() {
    let macs = "[\n  { mac = \"01:00:5e:00:00:01\", vtep = \"10.0.9.1\" },\n  { mac = \"00:00:00:00:00:00\", vtep = \"224.0.0.1\" },\n  { mac = \"02:00:00:00:00:1\", vtep = \"10.0.9\" },\n  { mac = \"02:00:00:00:00:09\", vtep = \"10.0.9.1\" },\n  { mac = \"02:00:00:00:00:09\", vtep = \"10.0.9.2\" },\n]";
    assert_snapshot!(report(&[(
        "[ { mac = \"02:00:00:00:00:01\", vtep = \"10.0.9.1\" } ]",
        macs
    )]));
}

#[test]
fn a_bad_line_of_the_macs_file_is_shown_in_that_file() {
    let folder = Folder::of_the_book().with(
        "blue.macs",
        "# routes\n02:00:00:00:00:02 10.0.9.1\n\n  02:00:00:00:00:03   # no tunnel end\nff:ff:ff:ff:ff:ff 10.0.9.1\n02:00:00:00:00:04 10.0.9.1 x\n02:00:00:00:00:02 10.0.9.1\n02:00:00:00:00:01 10.0.9.1\n",
    );
    let problems = parse(Path::new("/etc/tandem/agent.toml"), example().as_bytes(), &folder).expect_err("problems");
    assert_snapshot!(problems.render(false));
}

#[test]
fn invalid_values_are_reported_with_the_expected_form() {
    assert_snapshot!(report(&[
        (
            "tsn_ip = \"10.0.0.11\"",
            "tsn_ip = \"0.0.0.0\"\nlock = \"tandem-1\"\nlogical_switch_prefix = \"7\""
        ),
        (
            "interval = \"10s\"",
            "interval = \"500ms\"\n[manager]\nset = false\nmax_backoff = \"8s\"\n[audit]\nlocal_macs_grace = \"2 days\"\n[log]\nlevel = \"chatty\"\nformat = \"xml\""
        ),
        ("health = \"0.0.0.0:6650\"", "health = \"127.0.0.1:6640\""),
        ("http = \"127.0.0.1:6652\"", "http = \"localhost\""),
        ("ca = \"switch-ca.pem\"", "ca = \"no-such-ca.pem\""),
        (
            "certificate = \"name:tor1.example\"",
            "certificate = \"sha256:12\"\nmax_rows_per_transaction = 0"
        ),
    ]));
}

#[test]
fn a_file_full_of_mistakes_gives_a_bounded_report() {
    let macs = "nonsense\n".repeat(100_000);
    let folder = Folder::of_the_book().with("blue.macs", &macs);
    let problems = parse(Path::new("/etc/tandem/agent.toml"), example().as_bytes(), &folder).expect_err("problems");
    assert_eq!(problems.count(), 100_000);
    assert!(problems.iter().count() < 100);
    assert!(
        problems
            .render(false)
            .ends_with("... and 99950 more.\n100000 problems.")
    );
}

#[test]
fn a_network_that_was_renamed_hides_no_other_mistake() {
    let port = |n| format!("{{ port = \"eth{n}\", vlan = 10, network = \"red\" }}");
    let ports: Vec<String> = (0..60).map(port).collect();
    let rest = "\n[[switch]]\nname = \"tor9\"\ncertificate = \"nam:tor9\"\n";
    let text = format!(
        "{}[[switch]]\nname = \"tor8\"\nports = [{}]\n{rest}",
        example(),
        ports.join(", ")
    );
    let report = parsed(&text).expect_err("problems").render(false);
    assert!(
        report.contains("\n... and 55 more: no network has the name `red`\n"),
        "{report}"
    );
    assert!(
        report.contains("`certificate`") && report.ends_with("\n61 problems."),
        "{report}"
    );
    let widest = report.lines().map(|line| line.chars().count()).max();
    assert!(widest < Some(1000), "a line of {widest:?} characters is no picture");
}

#[test]
fn a_far_conflict_is_named_by_its_line() {
    let lines: String = (0..2000)
        .map(|n| format!("02:00:00:01:{:02x}:{:02x} 10.0.9.1\n", n / 256, n % 256))
        .collect();
    let again = lines.lines().nth(1200).expect("a line");
    let folder = Folder::of_the_book().with("blue.macs", &format!("{lines}{again}\n"));
    let problems = parse(Path::new("/etc/tandem/agent.toml"), example().as_bytes(), &folder).expect_err("problems");
    assert_snapshot!(problems.render(false));
}

#[test]
fn a_location_counts_characters_from_one() {
    let problems = parsed("# ümläut\nä = 1").expect_err("problems");
    let last = problems.iter().last().expect("a problem");
    assert_eq!(last.location(), Location { line: 2, column: 1 }, "{last:?}");
    let problems = parse(Path::new("x"), b"a = 1\nb = \"\xff\"", &Folder::default()).expect_err("problems");
    assert_eq!(
        problems.iter().next().expect("one").location(),
        Location { line: 2, column: 6 }
    );
}

#[test]
fn a_binary_file_is_one_problem_and_no_control_character_reaches_the_terminal() {
    for bytes in [
        &b"a = 1\nb = \"\xff\x1b[2J\"\n\x1b]0;x"[..],
        b"a = 1\nb = \"\x1b[2J\"",
        b"a = 1\nb = \"\xc2\x9b2J\"",
    ] {
        let problems = parse(Path::new("x"), bytes, &Folder::default()).expect_err("a problem");
        assert_eq!(problems.count(), 1);
        let report = problems.render(false);
        assert!(report.contains("[x:2:6]"), "{report}");
        assert!(report.chars().all(|c| c == '\n' || !c.is_control()), "{report:?}");
    }
}

#[test]
fn a_very_long_line_is_not_printed() {
    let text = format!("a = [{}", "[".repeat(1_000_000));
    let report = parsed(&text).expect_err("a problem").render(false);
    assert!(
        report.len() < 100_000 && report.contains("/etc/tandem/agent.toml:1:"),
        "{} bytes",
        report.len()
    );
}

#[test]
fn a_reload_applies_everything_but_settings_that_need_a_restart() {
    let old = parsed(LEAST).expect("least");
    let new = parsed(EVERYTHING).expect("everything");
    let mut running = old.clone();
    assert_eq!(running.reload(old.clone()), [""; 0]);
    assert_eq!(running, old);

    let waiting = running.reload(new.clone());
    assert_eq!(
        waiting,
        [
            "[agent] name",
            "[agent] tsn_ip",
            "[agent] lock",
            "[agent] logical_switch_prefix",
            "[listen]",
            "[log]",
            "[peer]",
            "[tsn]"
        ]
    );
    assert_eq!((&running.listen, &running.log), (&old.listen, &old.log));
    assert_eq!(running.tls, new.tls);
    assert_eq!(running.configuration.networks, new.configuration.networks);
    assert_eq!(running.configuration.switches, new.configuration.switches);
    let (session, old, new) = (
        running.configuration.session,
        old.configuration.session,
        new.configuration.session,
    );
    assert_eq!((session.tsn, &session.lock), (old.tsn, &old.lock));
    assert_eq!((session.keepalive, session.manager), (new.keepalive, new.manager));
}

#[test]
fn every_prefix_of_a_file_is_a_configuration_or_a_report() {
    let folder = Folder::of_the_book();
    let mut right = 0;
    for cut in 0..=EVERYTHING.len() {
        match parse(
            Path::new("/etc/tandem/agent.toml"),
            &EVERYTHING.as_bytes()[..cut],
            &folder,
        ) {
            Ok(_) => right += 1,
            Err(problems) => assert!(problems.render(false).contains("agent.toml:"), "{cut}"),
        }
    }
    assert!(right > 1, "the sections at the end may be left out");
}

proptest! {
    #[test]
    fn no_damage_to_a_file_panics(at in 0..EVERYTHING.len(), len in 0..8_usize, put: Vec<u8>) {
        let mut bytes = EVERYTHING.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, put);
        if let Err(problems) = parse(Path::new("/etc/tandem/agent.toml"), &bytes, &Folder::of_the_book()) {
            prop_assert!(!problems.is_empty());
            prop_assert!(!problems.render(true).is_empty());
        }
    }

    #[test]
    fn no_text_of_a_macs_file_panics(bytes: Vec<u8>) {
        let mut problems = Problems::default();
        macs::read(Path::new("blue.macs"), &bytes, &mut BTreeMap::new(), &mut problems);
        problems.render(false);
    }

    #[test]
    fn a_damaged_line_of_a_macs_file_is_a_problem_or_another_route(
        at in any::<prop::sample::Index>(), len in 0..8_usize, put: Vec<u8>,
    ) {
        let macs = block(BOOK, "```text").as_bytes();
        let (head, tail) = macs.split_at(at.index(macs.len()));
        let damaged = [head, &put, tail.get(len..).unwrap_or_default()].concat();
        let (mut routes, mut problems) = (BTreeMap::new(), Problems::default());
        macs::read(Path::new("blue.macs"), &damaged, &mut routes, &mut problems);
        let lines = damaged.split(|byte| *byte == b'\n').count();
        prop_assert!(routes.len() + problems.count() <= lines, "{routes:?} {problems}");
        for problem in problems.iter() {
            prop_assert!(problem.location().line <= lines, "{problem:?}");
        }
    }
}
