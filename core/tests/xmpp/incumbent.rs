//! Stanzas of the incumbent, with their white space, as we read them.

use std::net::Ipv4Addr;

use tandem_core::Mac;
use tandem_core::evpn::Key;
use tandem_core::xmpp::graph::{Change, Link, Node, NodeId};
use tandem_core::xmpp::{ReadError, Stanza, read};

/// One route as an agent of the incumbent prints it: with newlines and without indentation.
const ENTRY: &str = r#"<entry>
<nlri>
<af>25</af>
<safi>242</safi>
<ethernet-tag>101</ethernet-tag>
<mac>00:11:22:33:44:55</mac>
<address>0.0.0.0/32</address>
</nlri>
<next-hops>
<next-hop>
<af>1</af>
<address>10.10.10.20</address>
<mac></mac>
<label>101</label>
<l3-label>0</l3-label>
<tunnel-encapsulation-list>
<tunnel-encapsulation>vxlan</tunnel-encapsulation>
</tunnel-encapsulation-list>
<tag-list />
</next-hop>
</next-hops>
<olist />
<virtual-network></virtual-network>
<mobility seqno="0" sticky="false" />
<sequence-number>7</sequence-number>
<security-group-list />
<local-preference>100</local-preference>
<med>0</med>
<edge-replication-not-supported>false</edge-replication-not-supported>
<assisted-replication-supported>false</assisted-replication-supported>
<leaf-olist />
<replicator-address></replicator-address>
<etree-leaf>false</etree-leaf>
</entry>"#;

fn iq(inner: &str) -> String {
    format!(
        "<iq type=\"set\" from=\"tor-agent-1\" to=\"network-control@contrailsystems.com/bgp-peer\" id=\"pubsub_l212\">\n\
         <pubsub xmlns=\"http://jabber.org/protocol/pubsub\">\n{inner}\n</pubsub>\n</iq>"
    )
}

fn publish(entry: &str) -> String {
    let node = "25/242/00:11:22:33:44:55,0.0.0.0/32";
    iq(&format!(
        "<publish node=\"{node}\">\n<item>\n{entry}\n</item>\n</publish>"
    ))
}

fn message(items: &str) -> String {
    format!(
        "<message from=\"network-control@contrailsystems.com\" to=\"vrouter-9/bgp-peer\">\n\
         \t<event xmlns=\"http://jabber.org/protocol/pubsub\">\n{items}\t</event>\n</message>"
    )
}

fn one(text: &str) -> Stanza {
    let stanzas = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let [stanza] = stanzas
        .try_into()
        .unwrap_or_else(|stanzas| panic!("{stanzas:?}: {text}"));
    stanza
}

fn refusal(text: &str) -> String {
    match one(text) {
        Stanza::Unreadable { what } => what,
        other => panic!("{other:?}: {text}"),
    }
}

fn fault(text: &str) -> String {
    read(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn options_are_taken_inside_the_subscription_and_beside_it() {
    let options = "<options><instance-id>5</instance-id></options>";
    let wanted = Stanza::Subscribe {
        instance: "a:b:c:c".into(),
        instance_id: 5,
        no_ribout: false,
        number: None,
    };
    assert_eq!(
        one(&iq(&format!("<subscribe node=\"a:b:c:c\">{options}</subscribe>"))),
        wanted
    );
    assert_eq!(one(&iq(&format!("<subscribe node=\"a:b:c:c\"/>{options}"))), wanted);
    let unsubscribe = iq(&format!("<unsubscribe node=\"a:b:c:c\">{options}</unsubscribe>"));
    let instance = "a:b:c:c".into();
    assert_eq!(one(&unsubscribe), Stanza::Unsubscribe { instance });
}

#[test]
fn a_publication_of_the_incumbent_is_read() {
    let Stanza::Publish { node, route } = one(&publish(ENTRY)) else {
        panic!("a publication");
    };
    let (key, path) = *route;
    assert_eq!(key.to_string(), "101-00:11:22:33:44:55,0.0.0.0/32");
    assert_eq!(*node, *key.node());
    assert_eq!((path.sequence, path.local_preference, path.sticky), (7, 100, false));
    let [hop] = path.next_hops.try_into().expect("one next hop");
    assert_eq!((hop.address, hop.label), (Ipv4Addr::new(10, 10, 10, 20), 101));
    assert!(hop.encapsulations.vxlan && !hop.encapsulations.unknown);
}

#[test]
fn the_fields_of_an_entry_come_in_any_order_and_unknown_ones_are_ignored() {
    let (head, tail) = ENTRY.split_once("<olist />").expect("an olist");
    let nlri = head.strip_prefix("<entry>").expect("an entry");
    let turned = tail.replace("</entry>", &format!("{nlri}<news a=\"1\"><b/></news></entry>"));
    assert_eq!(one(&publish(&format!("<entry>{turned}"))), one(&publish(ENTRY)));
}

#[test]
fn mobility_wins_over_the_older_element_unless_it_is_zero() {
    let sequence = |entry: &str| match one(&publish(entry)) {
        Stanza::Publish { route, .. } => route.1.sequence,
        other => panic!("{other:?}"),
    };
    assert_eq!(sequence(ENTRY), 7);
    assert_eq!(sequence(&ENTRY.replace("seqno=\"0\"", "seqno=\"9\"")), 9);
    assert_eq!(
        sequence(&ENTRY.replace("<mobility seqno=\"0\" sticky=\"false\" />", "")),
        7
    );
}

#[test]
fn an_item_that_breaks_a_rule_is_refused_with_a_reason() {
    for (good, bad, why) in [
        (
            "<address>10.10.10.20</address>",
            "<address>ten</address>",
            "`ten` is not an IPv4 address",
        ),
        (
            "<address>10.10.10.20</address>",
            "<address>0.0.0.0</address>",
            "nowhere",
        ),
        (
            "<address>0.0.0.0/32</address>",
            "<address>0.0.0.0</address>",
            "`0.0.0.0` is not the address of a host",
        ),
        (
            "<address>0.0.0.0/32</address>",
            "<address>10.0.0.0/24</address>",
            "not the address of a host",
        ),
        ("<safi>242</safi>", "<safi>128</safi>", "family 25/128"),
        ("00:11:22:33:44:55", "00:11:22:33:44", "not a MAC"),
        ("00:11:22:33:44:55", "00:00:00:00:00:00", "type 5"),
        ("<safi>242</safi>", "<safi>242</safi><group>224.1.1.1</group>", "type 6"),
        (
            "</next-hops>",
            "<next-hop><address>10.0.0.1</address></next-hop></next-hops>",
            "2 next hops",
        ),
        ("<med>0</med>", "<med>-1</med>", "out of range for <med>"),
        (
            "<replicator-address>",
            "<replicator-address>tsn",
            "`tsn` is not an IPv4 address",
        ),
    ] {
        let entry = ENTRY.replacen(good, bad, 1);
        assert_ne!(entry, ENTRY, "{good}");
        let what = refusal(&publish(&entry));
        assert!(what.contains(why), "{what}");
    }
    let zero = ENTRY.replacen("0.0.0.0/32", "0.0.0.0/0", 1);
    assert_eq!(one(&publish(&zero)), one(&publish(ENTRY)));
}

#[test]
fn one_bad_item_does_not_take_the_good_ones_with_it() {
    let bad = ENTRY.replace("10.10.10.20", "nowhere");
    let items = format!(
        "<items node=\"25/242/a:b:c:c\"><item id=\"1\">{ENTRY}</item><item id=\"2\">{bad}</item><item id=\"3\">{bad}</item>\
         <retract id=\"101-00:11:22:33:44:66,10.1.1.1/32,0.0.0.0,0.0.0.0\" /><retract id=\"x\" /></items>"
    );
    let stanzas = read(message(&items).as_bytes()).expect("stanzas");
    let [
        Stanza::Items { items, .. },
        Stanza::Retracts { keys, .. },
        Stanza::Unreadable { what },
    ] = &stanzas[..]
    else {
        panic!("{stanzas:?}");
    };
    assert_eq!(items.len(), 1);
    let host = Key {
        ethernet_tag: 101,
        mac: Mac([0, 0x11, 0x22, 0x33, 0x44, 0x66]),
        address: Ipv4Addr::new(10, 1, 1, 1).into(),
    };
    assert_eq!(keys, &[host]);
    assert_eq!(
        what,
        "`nowhere` is not an IPv4 address, in the route 101-00:11:22:33:44:55,0.0.0.0/32, of a:b:c:c, and 2 more in the same message"
    );
}

#[test]
fn families_that_are_not_served_are_refused() {
    let unicast = iq("<publish node=\"1/1/10.1.1.1/32\"><item><entry/></item></publish>");
    assert_eq!(refusal(&unicast), "a route of another family, `1/1/10.1.1.1/32`");
    let multicast = message("<items node=\"1/241/a:b:c:c\"><item id=\"x\"><entry/></item></items>");
    assert_eq!(refusal(&multicast), "routes of another family, `1/241/a:b:c:c`");
    let dns = "<iq to=\"network-dns@contrailsystems.com/dns-peer\"><dns/></iq>";
    assert!(refusal(dns).contains("no service of ours"));
}

#[test]
fn every_form_of_the_end_of_rib_is_understood() {
    for end in [
        message("<items node=\"0/0/EndOfRib\"></items>"),
        message("<items node=\"0/0/EndOfRib\" />"),
        message(""),
        iq("<publish node=\"25/242/anything\"></publish>"),
        iq("<publish/>"),
    ] {
        assert_eq!(one(&end), Stanza::EndOfRib, "{end}");
    }
}

#[test]
fn what_breaks_the_protocol_ends_the_session_and_names_the_place() {
    for (text, why) in [
        (
            publish(&ENTRY.replace("<af>25", "<af>x")),
            "`x` is not an integer, in <af>, in <iq id=\"pubsub_l212\">",
        ),
        (
            publish(&ENTRY.replace("<med>0", "<med>")),
            "`` is not an integer, in <med>, in the route 101-",
        ),
        (
            publish(&ENTRY.replace("seqno=\"0\"", "seqno=\"\"")),
            "`` is not an integer, in <seqno>",
        ),
        (publish("<news/>"), "an item without an entry"),
        (iq(""), "a pubsub without an action"),
        (iq("<subscribe/>"), "<subscribe> without a node"),
        (iq("<collection node=\"a\"/>"), "neither associates nor dissociates"),
        ("<presence/>".into(), "neither an iq nor a message"),
        (
            "<iq><a></iq>".into(),
            "an end tag of another element, at byte 11, in a stanza of 12 bytes",
        ),
    ] {
        let found = fault(&text);
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn configuration_is_read_with_blocks_that_alternate() {
    let id = |kind, name: &str| NodeId::new(kind, name);
    let node =
        |kind: &str, name: &str, more: &str| format!("<node type=\"{kind}\">\n<name>{name}</name>\n{more}</node>");
    let link = format!(
        "<link>{}{}<metadata type=\"physical-router-virtual-router\" /></link>",
        node("virtual-router", "r", ""),
        node("physical-router", "s", "")
    );
    let perms = "<id-perms>\n<uuid><uuid-mslong>18446744073709551615</uuid-mslong></uuid>\n</id-perms>\n";
    let text = format!(
        "<iq type=\"set\" from=\"network-control@contrailsystems.com\" to=\"default-global-system-config:t/config\">\n\
         <config><update>{}{link}</update><delete>{}</delete><update>{link}</update></config></iq>",
        node("virtual-router", "r", perms),
        node("logical-interface", "l", ""),
    );
    let Stanza::Configuration(changes) = one(&text) else {
        panic!("configuration");
    };
    let [Change::UpdateNode(Node { id: first, properties }), rest @ ..] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(*first, id("virtual-router", "r"));
    let uuid = properties[0].child("uuid").and_then(|uuid| uuid.text_of("uuid-mslong"));
    assert_eq!((properties.len(), uuid), (1, Some("18446744073709551615")));
    let link = Link {
        kind: "physical-router-virtual-router".into(),
        ends: [id("virtual-router", "r"), id("physical-router", "s")],
    };
    let deleted = Change::DeleteNode(id("logical-interface", "l"));
    assert_eq!(
        rest,
        &[Change::UpdateLink(link.clone()), deleted, Change::UpdateLink(link)]
    );
}

#[test]
fn configuration_without_names_breaks_the_protocol() {
    let config = |inner: &str| format!("<iq to=\"x/config\"><config><update>{inner}</update></config></iq>");
    for (inner, why) in [
        ("<node><name>a</name></node>", "a node without a type"),
        (
            "<node type=\"virtual-network\"/>",
            "a node of type `virtual-network` without a name",
        ),
        ("<link><metadata type=\"a\"/></link>", "a link that has not two ends"),
    ] {
        let error = read(config(inner).as_bytes()).expect_err(inner);
        assert!(
            matches!(error, ReadError::Malformed { .. }) && error.to_string().contains(why),
            "{error}"
        );
    }
}
