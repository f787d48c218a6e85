//! A MAC on its way from one switch to the other.

use std::time::Instant;

use crate::system::{TOR, forget, installed, learn, remote, start_with};

const MAC: &str = "02:00:00:00:00:07";

#[test]
fn what_one_switch_learned_reaches_the_other_and_goes_and_moves_with_it() {
    // The switch has a second tunnel end, which no `vtep` of the inventory names.
    let pair = start_with(|options| {
        let client = "client = [{ name = \"agent-*\", next_hops = [\"10.0.1.77\"] }]";
        options.control_more = client.parse().expect("TOML");
    });
    let [one, two] = [&pair.switches[0], &pair.switches[1]];
    let began = Instant::now();
    let took = |what: &str| println!("{what}: after {:.0} ms", began.elapsed().as_secs_f64() * 1000.0);

    learn(one, MAC, TOR[0]);
    installed(&pair, 1, MAC, Some(TOR[0]));
    took("learned by tor1, installed in tor2");
    assert!(remote(one).is_empty(), "a switch gets no row of its own MACs");

    learn(one, MAC, "10.0.1.77");
    installed(&pair, 1, MAC, Some("10.0.1.77"));
    took("locator changed");

    forget(one, MAC);
    installed(&pair, 1, MAC, None);
    took("forgotten");

    learn(one, MAC, TOR[0]);
    installed(&pair, 1, MAC, Some(TOR[0]));
    took("learned again");

    learn(two, MAC, TOR[1]);
    installed(&pair, 0, MAC, Some(TOR[1]));
    took("moved to tor2");
    forget(one, MAC);
    installed(&pair, 1, MAC, None);
    took("forgotten by tor1");
    assert_eq!(remote(one).get(MAC).map(String::as_str), Some(TOR[1]));
}
