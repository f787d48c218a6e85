//! Metrics of a control node.

use tandem_core::Uuid;
use tandem_core::control::{ClientStatus, ControlStatus, Refusal};

use super::{CONFIGURATION, Measured, Metrics, closed, configuration};

impl Measured for ControlStatus {
    fn measure(&self, metrics: &mut Metrics) {
        let revision = [(vec![], self.revision as f64)];
        metrics.gauges("inventory_revision", "Revision of the inventory in force", revision);
        let clients = [(vec![], self.clients.len() as f64)];
        metrics.gauges("clients", "Clients with an open stream", clients);
        of_clients(metrics, self);
        of_networks(metrics, self);
        closed(metrics, [("xmpp", &self.closed)]);
        let configured = self.switches.iter();
        let configured = configured.map(|(name, switch)| configuration(name, &switch.fingerprint));
        metrics.gauges(CONFIGURATION.0, CONFIGURATION.1, configured);
        let owners = self.switches.iter().flat_map(|(name, switch)| {
            let count = |(network, owners): (&Uuid, &Vec<_>)| {
                let labels = vec![("switch", name.to_string()), ("network", network.to_string())];
                (labels, owners.len() as f64)
            };
            switch.owners.iter().map(count)
        });
        metrics.gauges(
            "switch_owners",
            "Agents that claim the broadcasts of a switch in a network; there should be one",
            owners,
        );
    }
}

fn of_clients(metrics: &mut Metrics, status: &ControlStatus) {
    type Value = fn(&ClientStatus) -> usize;
    let gauges: [(&str, &str, Value); 3] = [
        ("client_routes", "Routes that a client has published", |it| it.routes),
        (
            "client_subscriptions",
            "Instances to which a client has subscribed",
            |it| it.subscriptions_total,
        ),
        ("client_queued_bytes", "Bytes queued for a client", |it| it.queued_bytes),
    ];
    for (metric, help, value) in gauges {
        let values = status
            .clients
            .iter()
            .map(|(name, client)| (vec![("client", name.to_string())], value(client) as f64));
        metrics.gauges(metric, help, values);
    }
    let refused = status.clients.iter().flat_map(|(name, client)| {
        client.refused.iter().map(|(why, count)| {
            let labels = vec![("client", name.to_string()), ("why", label(*why).to_owned())];
            (labels, *count)
        })
    });
    metrics.counters(
        "client_refusals",
        "Publications of a client that were refused since its stream opened",
        refused,
    );
}

fn of_networks(metrics: &mut Metrics, status: &ControlStatus) {
    let routes = status
        .networks
        .iter()
        .map(|(name, it)| (vec![("instance", name.to_string())], it.routes_total as f64));
    metrics.gauges("instance_routes", "Unicast routes of an instance", routes);
    let subscribers = status
        .networks
        .iter()
        .map(|(name, it)| (vec![("instance", name.to_string())], it.subscribers as f64));
    metrics.gauges(
        "instance_subscribers",
        "Clients that have subscribed to an instance",
        subscribers,
    );
}

fn label(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NextHops => "next_hops",
        Refusal::UnspecifiedNextHop => "unspecified_next_hop",
        Refusal::NoMac => "no_mac",
        Refusal::Routes => "routes",
        Refusal::DeferredRoutes => "deferred_routes",
        Refusal::ForeignNextHop => "foreign_next_hop",
        Refusal::Lists => "lists",
        Refusal::Broadcasts => "broadcasts",
        Refusal::Unpaired => "unpaired",
        Refusal::Unreadable => "unreadable",
        Refusal::Configuration => "configuration",
    }
}
