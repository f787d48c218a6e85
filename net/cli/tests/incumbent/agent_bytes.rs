//! The stanzas of a ToR agent of theirs, as it prints them: with new lines, without indentation.

/// The first bytes after the connection is there: its plain name, and the name that all control nodes share. The tag
/// ends in a blank and `>`, because it is printed as an empty element whose `/` is overwritten.
pub(crate) const OPENING: &str = r#"<?xml version="1.0"?>
<stream:stream from="tor-agent-1" to="network-control@contrailsystems.com" version="1.0" xml:lang="en" xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams" >"#;

/// Its configuration: no id, and to the resource `config`.
pub(crate) const SUBSCRIBE_CONFIGURATION: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/config">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<subscribe node="virtual-router:default-global-system-config:tor-agent-1" />
</pubsub>
</iq>
"#;

/// The routes of a network. The options stand inside of the subscription; for a ToR agent the instance id is the number
/// of the network.
pub(crate) const SUBSCRIBE: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/bgp-peer" id="subscribe7">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<subscribe node="default-domain:demo:vn1:vn1">
<options>
<instance-id>101</instance-id>
</options>
</subscribe>
</pubsub>
</iq>
"#;

/// First of two for each route: a MAC behind the switch's tunnel end, of which no IP address is known.
pub(crate) const PUBLISH: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/bgp-peer" id="pubsub_l212">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<publish node="25/242/00:11:22:33:44:55,0.0.0.0/32">
<item>
<entry>
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
<sequence-number>1</sequence-number>
<security-group-list />
<local-preference>100</local-preference>
<med>0</med>
<edge-replication-not-supported>false</edge-replication-not-supported>
<assisted-replication-supported>false</assisted-replication-supported>
<leaf-olist />
<replicator-address></replicator-address>
<etree-leaf>false</etree-leaf>
</entry>
</item>
</publish>
</pubsub>
</iq>
"#;

/// Second of two: into which instance it goes.
pub(crate) const ASSOCIATE: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/bgp-peer" id="collection_l212">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<collection node="default-domain:demo:vn1:vn1">
<associate node="25/242/00:11:22:33:44:55,0.0.0.0/32" />
</collection>
</pubsub>
</iq>
"#;

/// First of two where a route is taken back: the same key, with a next hop, and perhaps without an encapsulation.
pub(crate) const PUBLISH_ONCE_MORE: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/bgp-peer" id="pubsub_l213">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<publish node="25/242/00:11:22:33:44:55,0.0.0.0/32">
<item>
<entry>
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
<tunnel-encapsulation-list />
<tag-list />
</next-hop>
</next-hops>
<olist />
<virtual-network></virtual-network>
<mobility seqno="0" sticky="false" />
<sequence-number>1</sequence-number>
<security-group-list />
<local-preference>100</local-preference>
<med>0</med>
<edge-replication-not-supported>false</edge-replication-not-supported>
<assisted-replication-supported>false</assisted-replication-supported>
<leaf-olist />
<replicator-address></replicator-address>
<etree-leaf>false</etree-leaf>
</entry>
</item>
</publish>
</pubsub>
</iq>
"#;

/// Second of two: out of which instance it goes.
pub(crate) const DISSOCIATE: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/bgp-peer" id="collection_l213">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<collection node="default-domain:demo:vn1:vn1">
<dissociate node="25/242/00:11:22:33:44:55,0.0.0.0/32" />
</collection>
</pubsub>
</iq>
"#;

/// A control node's word on that MAC: what their agent reads, in the order in which their control node writes it.
pub(crate) const ITEM: [(&str, &str); 29] = [
    ("<message from=\"", "network-control@contrailsystems.com"),
    ("to=\"", "tor-agent-1/bgp-peer"),
    ("<event xmlns=\"", "http://jabber.org/protocol/pubsub"),
    ("<items node=\"", "25/242/default-domain:demo:vn1:vn1"),
    ("<item id=\"", "101-00:11:22:33:44:55,0.0.0.0/32"),
    ("<af>", "25"),
    ("<safi>", "242"),
    ("<ethernet-tag>", "101"),
    ("<mac>", "00:11:22:33:44:55"),
    ("<address>", "0.0.0.0/32"),
    ("<af>", "1"),
    ("<address>", "10.10.10.20"),
    ("<mac>", ""),
    ("<label>", "101"),
    ("<l3-label>", "0"),
    ("<tunnel-encapsulation>", "vxlan"),
    ("<virtual-network>", "default-domain:demo:vn1"),
    ("<mobility seqno=\"", "1"),
    ("sticky=\"", "false"),
    ("<sequence-number>", "1"),
    ("<local-preference>", "100"),
    ("<med>", "200"),
    ("<edge-replication-not-supported>", "false"),
    ("<assisted-replication-supported>", "false"),
    ("<replicator-address>", ""),
    ("<etree-leaf>", "false"),
    ("</entry", ">"),
    ("</item", ">"),
    ("</message", ">"),
];

/// First of two: the route of broadcasts, by the switch's tunnel end, with the services node that is to copy them.
pub(crate) const PUBLISH_BROADCAST: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/bgp-peer" id="pubsub_l214">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<publish node="25/242/ff:ff:ff:ff:ff:ff,10.10.10.20/32">
<item>
<entry>
<nlri>
<af>25</af>
<safi>242</safi>
<ethernet-tag>101</ethernet-tag>
<mac>ff:ff:ff:ff:ff:ff</mac>
<address>10.10.10.20/32</address>
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
<sequence-number>0</sequence-number>
<security-group-list />
<local-preference>100</local-preference>
<med>0</med>
<edge-replication-not-supported>false</edge-replication-not-supported>
<assisted-replication-supported>false</assisted-replication-supported>
<leaf-olist />
<replicator-address>10.84.5.11</replicator-address>
<etree-leaf>false</etree-leaf>
</entry>
</item>
</publish>
</pubsub>
</iq>
"#;

/// Second of two.
pub(crate) const ASSOCIATE_BROADCAST: &str = r#"<iq type="set" from="tor-agent-1" to="network-control@contrailsystems.com/bgp-peer" id="collection_l214">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<collection node="default-domain:demo:vn1:vn1">
<associate node="25/242/ff:ff:ff:ff:ff:ff,10.10.10.20/32" />
</collection>
</pubsub>
</iq>
"#;

/// First of two, of a services node: it copies for others.
pub(crate) const PUBLISH_REPLICATOR: &str = r#"<iq type="set" from="tsn-1" to="network-control@contrailsystems.com/bgp-peer" id="pubsub_l25">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<publish node="25/242/ff:ff:ff:ff:ff:ff,0.0.0.0/32">
<item>
<entry>
<nlri>
<af>25</af>
<safi>242</safi>
<ethernet-tag>101</ethernet-tag>
<mac>ff:ff:ff:ff:ff:ff</mac>
<address>0.0.0.0/32</address>
</nlri>
<next-hops>
<next-hop>
<af>1</af>
<address>10.84.5.11</address>
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
<sequence-number>0</sequence-number>
<security-group-list />
<local-preference>100</local-preference>
<med>0</med>
<edge-replication-not-supported>false</edge-replication-not-supported>
<assisted-replication-supported>true</assisted-replication-supported>
<leaf-olist />
<replicator-address></replicator-address>
<etree-leaf>false</etree-leaf>
</entry>
</item>
</publish>
</pubsub>
</iq>
"#;

/// Second of two.
pub(crate) const ASSOCIATE_REPLICATOR: &str = r#"<iq type="set" from="tsn-1" to="network-control@contrailsystems.com/bgp-peer" id="collection_l25">
<pubsub xmlns="http://jabber.org/protocol/pubsub">
<collection node="default-domain:demo:vn1:vn1">
<associate node="25/242/ff:ff:ff:ff:ff:ff,0.0.0.0/32" />
</collection>
</pubsub>
</iq>
"#;

/// The services node's own route, as it receives it: no next hop, and the switch among those that it copies to.
pub(crate) const LEAF_ITEM: [(&str, &str); 14] = [
    ("<items node=\"", "25/242/default-domain:demo:vn1:vn1"),
    ("<item id=\"", "101-ff:ff:ff:ff:ff:ff,0.0.0.0/32"),
    ("<ethernet-tag>", "101"),
    ("<mac>", "ff:ff:ff:ff:ff:ff"),
    ("<address>", "0.0.0.0/32"),
    ("<next-hops", " />"),
    ("<olist", " />"),
    ("<assisted-replication-supported>", "true"),
    ("<leaf-olist", ">"),
    ("<af>", "1"),
    ("<address>", "10.10.10.20"),
    ("<label>", "101"),
    ("<tunnel-encapsulation>", "vxlan"),
    ("</leaf-olist", ">"),
];
