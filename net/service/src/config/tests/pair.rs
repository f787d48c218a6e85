//! `[failover]`, `[peer]` and `[tsn]`.

use super::*;
use crate::probe::How;

/// An agent with control nodes, and the sections in `more`.
fn led(more: &str) -> Result<AgentConfig, Problems> {
    let control = "control = { nodes = [\"10.0.0.5\"], ca = \"control-ca.pem\" }";
    parsed(&format!("{LEAST}{control}\n{more}"))
}

fn mistakes(more: &str) -> String {
    led(more).expect_err("problems").render(false)
}

#[test]
fn copies_are_held_as_configured_and_not_at_all_with_0s() {
    let hold = |more: &str| {
        let config = led(more).expect("a configuration");
        config.uplink_options(1).expect("control nodes").stale_hold
    };
    assert_eq!(hold(""), None);
    assert_eq!(hold("failover = { stale_hold = \"0s\" }"), None);
    let held = Some(Duration::from_secs(300));
    assert_eq!(hold("failover = { stale_hold = \"300s\" }"), held);
    assert_eq!(hold("failover = { stale_hold = \"5m\" }"), held);
}

#[test]
fn a_hold_without_effect_is_refused_in_place() {
    assert_snapshot!(mistakes("failover = { stale_hold = \"999ms\" }"));
    let problems = parsed(&format!("{LEAST}failover = {{ stale_hold = \"300s\" }}")).expect_err("a problem");
    assert_snapshot!(problems.render(false));
    assert!(parsed(&format!("{LEAST}failover = {{ stale_hold = \"0s\" }}")).is_ok());
}

#[test]
fn a_probe_has_defaults_for_its_times() {
    let probe = |more: &str| led(more).expect("a configuration").probe.expect("a probe");
    let tcp = probe("tsn = { probe = \"tcp\", address = \"10.0.0.11:8086\" }");
    assert_eq!(tcp.how, How::Tcp(([10, 0, 0, 11], 8086).into()));
    let [two, one] = [2, 1].map(Duration::from_secs);
    assert_eq!((tcp.interval, tcp.timeout, tcp.fall, tcp.rise), (two, one, 3, 2));
    let command = ["/bin/ping", "-c", "1", "-W", "1", "10.0.0.11"].map(str::to_owned);
    let written = format!(
        "tsn = {{ probe = \"command\", command = {command:?}, interval = \"1s\", timeout = \"100ms\", fall = 1, rise = 100 }}"
    );
    let probe = probe(&written);
    assert_eq!(probe.how, How::Command(command.into()));
    assert_eq!(
        (probe.timeout, probe.fall, probe.rise),
        (Duration::from_millis(100), 1, 100)
    );
}

#[test]
fn an_invalid_probe_is_refused_in_place() {
    let stories = [
        "probe = \"ping\"\n",
        "address = \"10.0.0.11:8086\"\n",
        "probe = \"tcp\"\naddress = \"0.0.0.0:8086\"\n",
        "probe = \"http\"\nurl = \"https://10.0.0.11/\"\ncommand = [\"/bin/true\"]\n",
        "probe = \"command\"\ncommand = [\"ping\"]\n",
        "probe = \"command\"\ncommand = []\n",
        "probe = \"command\"\ninterval = \"99ms\"\ntimeout = \"61m\"\nfall = 0\nrise = 101\n",
    ];
    let reports = stories.map(|story| mistakes(&format!("[tsn]\n{story}")));
    assert_snapshot!(reports.join("\n"));
}

const PEER: &str = "peer = { listen = \"10.0.0.11:6654\", connect = \"10.0.0.12:6654\", ca = \"agent-ca.pem\" }";

#[test]
fn the_peer_sees_the_certificate_that_switches_see_unless_it_has_one_of_its_own() {
    let tls = |config: &str| {
        parsed(&format!("{LEAST}{config}"))
            .expect("a configuration")
            .peer
            .expect("a peer")
            .tls
    };
    let settings = tls(PEER);
    assert_eq!(settings.certificate, Path::new("/etc/tandem/agent-cert.pem"));
    assert_eq!(settings.private_key, Path::new("/etc/tandem/agent-key.pem"));
    assert_eq!(settings.ca, Path::new("/etc/tandem/agent-ca.pem"));
    let own = "certificate = \"control-cert.pem\", private_key = \"control-key.pem\" }";
    assert_eq!(
        tls(&PEER.replace('}', &format!(", {own}"))).certificate,
        Path::new("/etc/tandem/control-cert.pem")
    );
}

#[test]
fn an_invalid_peer_is_refused_in_place() {
    let stories = [
        "listen = \"10.0.0.11:6654\"\nconnect = \"10.0.0.11:6654\"\nca = \"agent-ca.pem\"\n",
        "listen = \"127.0.0.2:6650\"\nconnect = \"0.0.0.0:6654\"\nca = \"no-such-ca.pem\"\n",
        "listen = \"10.0.0.11\"\nconnect = \"agent-b\"\ncertificate = \"agent-cert.pem\"\n",
    ];
    let reports = stories.map(|story| mistakes(&format!("[peer]\n{story}")));
    assert_snapshot!(reports.join("\n"));
}
