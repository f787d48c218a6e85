//! The stanzas of a control node of theirs, and those that it expects.

/// Its answer to an opening tag: the name of its host, the client's, and an id that is the same everywhere. Nothing of it
/// shows which kind of control node it is.
pub(crate) const OPENING: &str = r#"<?xml version="1.0"?>
<stream:stream from="ctrl-1" to="agent-a" id="++123" version="1.0" xml:lang="en" xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams" >"#;

/// Its configuration graph around the agent's virtual router: nodes first.
pub(crate) const NODES: &str = r#"<iq type="set" from="network-control@contrailsystems.com" to="default-global-system-config:agent-a/config">
	<config>
		<update>
			<node type="virtual-router">
				<name>default-global-system-config:agent-a</name>
				<virtual-router-ip-address>10.84.5.11</virtual-router-ip-address>
				<id-perms>
					<uuid>
						<uuid-mslong>17</uuid-mslong>
						<uuid-lslong>1</uuid-lslong>
					</uuid>
					<enable>true</enable>
				</id-perms>
				<display-name>agent-a</display-name>
			</node>
			<node type="physical-router">
				<name>default-global-system-config:bms-tor1</name>
				<physical-router-management-ip>10.84.22.44</physical-router-management-ip>
				<physical-router-dataplane-ip>10.10.10.20</physical-router-dataplane-ip>
				<physical-router-vendor-name>Juniper</physical-router-vendor-name>
				<id-perms>
					<uuid>
						<uuid-mslong>17</uuid-mslong>
						<uuid-lslong>2</uuid-lslong>
					</uuid>
					<enable>true</enable>
				</id-perms>
				<display-name>bms-tor1</display-name>
			</node>
			<node type="physical-interface">
				<name>default-global-system-config:bms-tor1:ge-0/0/10</name>
				<id-perms>
					<uuid>
						<uuid-mslong>17</uuid-mslong>
						<uuid-lslong>3</uuid-lslong>
					</uuid>
					<enable>true</enable>
				</id-perms>
				<display-name>ge-0/0/10</display-name>
			</node>
			<node type="logical-interface">
				<name>default-global-system-config:bms-tor1:ge-0/0/10:ge-0/0/10.100</name>
				<logical-interface-vlan-tag>100</logical-interface-vlan-tag>
				<logical-interface-type>l2</logical-interface-type>
				<id-perms>
					<uuid>
						<uuid-mslong>17</uuid-mslong>
						<uuid-lslong>4</uuid-lslong>
					</uuid>
					<enable>true</enable>
				</id-perms>
				<display-name>ge-0/0/10.100</display-name>
			</node>
			<node type="virtual-machine-interface">
				<name>default-domain:demo:bms-port-1</name>
				<virtual-machine-interface-mac-addresses>
					<mac-address>02:17:00:00:00:05</mac-address>
				</virtual-machine-interface-mac-addresses>
				<id-perms>
					<uuid>
						<uuid-mslong>17</uuid-mslong>
						<uuid-lslong>5</uuid-lslong>
					</uuid>
					<enable>true</enable>
				</id-perms>
				<display-name>bms-port-1</display-name>
			</node>
			<node type="virtual-network">
				<name>default-domain:demo:vn1</name>
				<virtual-network-properties>
					<forwarding-mode>l2_l3</forwarding-mode>
				</virtual-network-properties>
				<virtual-network-network-id>101</virtual-network-network-id>
				<id-perms>
					<uuid>
						<uuid-mslong>1234</uuid-mslong>
						<uuid-lslong>5678</uuid-lslong>
					</uuid>
					<enable>true</enable>
				</id-perms>
				<display-name>vn1</display-name>
			</node>
			<node type="routing-instance">
				<name>default-domain:demo:vn1:vn1</name>
				<routing-instance-is-default>true</routing-instance-is-default>
				<display-name>vn1</display-name>
			</node>
			<node type="global-system-config">
				<name>default-global-system-config</name>
				<display-name>default-global-system-config</display-name>
			</node>
			<node type="global-vrouter-config">
				<name>default-global-system-config:default-global-vrouter-config</name>
				<vxlan-network-identifier-mode>automatic</vxlan-network-identifier-mode>
				<encapsulation-priorities>
					<encapsulation>MPLSoGRE</encapsulation>
					<encapsulation>VXLAN</encapsulation>
				</encapsulation-priorities>
			</node>
		</update>
	</config>
</iq>
"#;

/// Then links. A link with properties is a node between two links.
pub(crate) const LINKS: &str = r#"<iq type="set" from="network-control@contrailsystems.com" to="default-global-system-config:agent-a/config">
	<config>
		<update>
			<link>
				<node type="virtual-router">
					<name>default-global-system-config:agent-a</name>
				</node>
				<node type="physical-router">
					<name>default-global-system-config:bms-tor1</name>
				</node>
				<metadata type="physical-router-virtual-router" />
			</link>
			<link>
				<node type="physical-router">
					<name>default-global-system-config:bms-tor1</name>
				</node>
				<node type="physical-interface">
					<name>default-global-system-config:bms-tor1:ge-0/0/10</name>
				</node>
				<metadata type="physical-router-physical-interface" />
			</link>
			<link>
				<node type="logical-interface">
					<name>default-global-system-config:bms-tor1:ge-0/0/10:ge-0/0/10.100</name>
				</node>
				<node type="physical-interface">
					<name>default-global-system-config:bms-tor1:ge-0/0/10</name>
				</node>
				<metadata type="physical-interface-logical-interface" />
			</link>
			<link>
				<node type="logical-interface">
					<name>default-global-system-config:bms-tor1:ge-0/0/10:ge-0/0/10.100</name>
				</node>
				<node type="virtual-machine-interface">
					<name>default-domain:demo:bms-port-1</name>
				</node>
				<metadata type="logical-interface-virtual-machine-interface" />
			</link>
			<link>
				<node type="virtual-machine-interface">
					<name>default-domain:demo:bms-port-1</name>
				</node>
				<node type="virtual-network">
					<name>default-domain:demo:vn1</name>
				</node>
				<metadata type="virtual-machine-interface-virtual-network" />
			</link>
			<link>
				<node type="virtual-network">
					<name>default-domain:demo:vn1</name>
				</node>
				<node type="routing-instance">
					<name>default-domain:demo:vn1:vn1</name>
				</node>
				<metadata type="virtual-network-routing-instance" />
			</link>
			<node type="virtual-machine-interface-routing-instance">
				<name>attr(default-domain:demo:bms-port-1,default-domain:demo:vn1:vn1)</name>
				<value>
					<direction>both</direction>
				</value>
			</node>
			<link>
				<node type="virtual-machine-interface">
					<name>default-domain:demo:bms-port-1</name>
				</node>
				<node type="virtual-machine-interface-routing-instance">
					<name>attr(default-domain:demo:bms-port-1,default-domain:demo:vn1:vn1)</name>
				</node>
				<metadata type="virtual-machine-interface-routing-instance" />
			</link>
		</update>
	</config>
</iq>
"#;

/// A MAC at a vRouter, and one at the switch's own tunnel end: every route goes to every client, also to its publisher.
pub(crate) const ITEMS: &str = r#"<message from="network-control@contrailsystems.com" to="agent-a/bgp-peer">
	<event xmlns="http://jabber.org/protocol/pubsub">
		<items node="25/242/default-domain:demo:vn1:vn1">
			<item id="101-02:aa:00:00:00:01,0.0.0.0/32">
				<entry>
					<nlri>
						<af>25</af>
						<safi>242</safi>
						<ethernet-tag>101</ethernet-tag>
						<mac>02:aa:00:00:00:01</mac>
						<address>0.0.0.0/32</address>
					</nlri>
					<next-hops>
						<next-hop>
							<af>1</af>
							<address>10.84.5.30</address>
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
					<virtual-network>default-domain:demo:vn1</virtual-network>
					<mobility seqno="1" sticky="false" />
					<sequence-number>1</sequence-number>
					<security-group-list>
						<security-group>8000001</security-group>
					</security-group-list>
					<local-preference>100</local-preference>
					<med>200</med>
					<edge-replication-not-supported>false</edge-replication-not-supported>
					<assisted-replication-supported>false</assisted-replication-supported>
					<leaf-olist />
					<replicator-address></replicator-address>
					<etree-leaf>false</etree-leaf>
				</entry>
			</item>
			<item id="101-02:aa:00:00:00:02,0.0.0.0/32">
				<entry>
					<nlri>
						<af>25</af>
						<safi>242</safi>
						<ethernet-tag>101</ethernet-tag>
						<mac>02:aa:00:00:00:02</mac>
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
					<virtual-network>default-domain:demo:vn1</virtual-network>
					<mobility seqno="1" sticky="false" />
					<sequence-number>1</sequence-number>
					<security-group-list />
					<local-preference>100</local-preference>
					<med>200</med>
					<edge-replication-not-supported>false</edge-replication-not-supported>
					<assisted-replication-supported>false</assisted-replication-supported>
					<leaf-olist />
					<replicator-address></replicator-address>
					<etree-leaf>false</etree-leaf>
				</entry>
			</item>
		</items>
	</event>
</message>
"#;

/// The MAC at the vRouter is gone: a retract has only the id.
pub(crate) const RETRACT: &str = r#"<message from="network-control@contrailsystems.com" to="agent-a/bgp-peer">
	<event xmlns="http://jabber.org/protocol/pubsub">
		<items node="25/242/default-domain:demo:vn1:vn1">
			<retract id="101-02:aa:00:00:00:01,0.0.0.0/32" />
		</items>
	</event>
</message>
"#;

/// From releases with end-of-RIB on: after the routes of all subscriptions.
pub(crate) const END_OF_RIB: &str = r#"<message from="network-control@contrailsystems.com" to="agent-a/bgp-peer">
	<event xmlns="http://jabber.org/protocol/pubsub">
		<items node="0/0/EndOfRib"></items>
	</event>
</message>
"#;

/// The first bytes of an agent: its opening tag.
pub(crate) const EXPECTED_OPENING: &str = r#"<?xml version="1.0"?><stream:stream from="agent-a" to="network-control@contrailsystems.com" version="1.0" xml:lang="en" xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams" >"#;

/// Then the subscription to its configuration.
pub(crate) const EXPECTED_CONFIGURATION: &str = r#"<iq type="set" from="agent-a" to="network-control@contrailsystems.com/config"><pubsub xmlns="http://jabber.org/protocol/pubsub"><subscribe node="virtual-router:default-global-system-config:agent-a" /></pubsub></iq>"#;

/// Once it knows of the network, that it wants its routes; the number is that of the network.
pub(crate) const EXPECTED_SUBSCRIPTION: &str = r#"<iq type="set" from="agent-a" to="network-control@contrailsystems.com/bgp-peer" id="subscribe0"><pubsub xmlns="http://jabber.org/protocol/pubsub"><subscribe node="default-domain:demo:vn1:vn1"><options><instance-id>101</instance-id></options></subscribe></pubsub></iq>"#;

/// The publication of a learned MAC, first of two: every field, in the order of the schema. `{N}` counts publications.
pub(crate) const EXPECTED_PUBLISH: &str = r#"<iq type="set" from="agent-a" to="network-control@contrailsystems.com/bgp-peer" id="pubsub_l2{N}"><pubsub xmlns="http://jabber.org/protocol/pubsub"><publish node="25/242/00:11:22:33:44:55,0.0.0.0/32"><item><entry><nlri><af>25</af><safi>242</safi><ethernet-tag>101</ethernet-tag><mac>00:11:22:33:44:55</mac><address>0.0.0.0/32</address></nlri><next-hops><next-hop><af>1</af><address>10.10.10.20</address><mac></mac><label>101</label><l3-label>0</l3-label><tunnel-encapsulation-list><tunnel-encapsulation>vxlan</tunnel-encapsulation></tunnel-encapsulation-list><tag-list /></next-hop></next-hops><olist /><virtual-network></virtual-network><mobility seqno="1" sticky="false" /><sequence-number>1</sequence-number><security-group-list /><local-preference>100</local-preference><med>0</med><edge-replication-not-supported>false</edge-replication-not-supported><assisted-replication-supported>false</assisted-replication-supported><leaf-olist /><replicator-address></replicator-address><etree-leaf>false</etree-leaf></entry></item></publish></pubsub></iq>"#;

/// Second of two.
pub(crate) const EXPECTED_ASSOCIATE: &str = r#"<iq type="set" from="agent-a" to="network-control@contrailsystems.com/bgp-peer" id="collection_l2{N}"><pubsub xmlns="http://jabber.org/protocol/pubsub"><collection node="default-domain:demo:vn1:vn1"><associate node="25/242/00:11:22:33:44:55,0.0.0.0/32" /></collection></pubsub></iq>"#;

/// Second of two where the switch has forgotten it; the first is as before.
pub(crate) const EXPECTED_DISSOCIATE: &str = r#"<iq type="set" from="agent-a" to="network-control@contrailsystems.com/bgp-peer" id="collection_l2{N}"><pubsub xmlns="http://jabber.org/protocol/pubsub"><collection node="default-domain:demo:vn1:vn1"><dissociate node="25/242/00:11:22:33:44:55,0.0.0.0/32" /></collection></pubsub></iq>"#;
