//! A switch that was never managed.

use crate::pair::{BLUE, TSN, audited, broadcast, by_uuid, remote, session, start, vtep, with_macs};
use tandem_lab::switch::remote_mac;

#[test]
fn an_empty_switch_gets_everything_that_is_wanted() {
    let pair = start(&with_macs(250));
    let owner = audited(&pair, "tor1");
    let switch = &pair.switches[0];
    assert_eq!(
        broadcast(switch).into_iter().collect::<Vec<_>>(),
        [(BLUE.to_owned(), vec![vec![TSN[owner].to_owned()]])]
    );
    let wanted: Vec<_> = (0..250)
        .map(|n| (BLUE.to_owned(), remote_mac(n), vtep(n).to_string()))
        .collect();
    assert_eq!(remote(switch), wanted);
    let logical_switch = by_uuid(switch, "Logical_Switch").into_values().next().expect("a row");
    assert_eq!(
        (&logical_switch["tunnel_key"], &logical_switch["replication_mode"]),
        (&5001.into(), &"service_node".into())
    );
    let bindings = switch.vtep_ctl(&["list-bindings", "tor1", "eth1"]).expect("vtep-ctl");
    assert_eq!(bindings.trim(), format!("0010 {BLUE}"));
    let macs = switch.vtep_ctl(&["list-remote-macs", BLUE]).expect("vtep-ctl");
    assert!(
        macs.contains(&format!("unknown-dst -> vxlan_over_ipv4/{}", TSN[owner])),
        "{macs}"
    );
    let takeover = &session(&pair, owner, "tor1").expect("a session")["takeover_ms"];
    println!("fresh switch, 250 MACs: {takeover}");
}
