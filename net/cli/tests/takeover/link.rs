//! The owner's node loses its only link: no end is notified, and nothing is closed.

use std::time::SystemTime;

use tandem_lab::agent::RemoteMac;
use tandem_lab::netns;
use tandem_lab::pair::Pair;
use tandem_lab::switch::remote_mac;

use crate::events::logged;
use crate::pair::{
    TSN, audited, audited_by, between, changed, exported, learn, nothing_flaps, proxied, rewritten, sessions, start,
    vtep, wait, with_macs,
};
use crate::watch::Watch;
use crate::writers::writers;

#[test]
fn an_owner_that_is_cut_off_is_replaced_and_what_it_still_writes_never_arrives() {
    netns::enter(
        "link::an_owner_that_is_cut_off_is_replaced_and_what_it_still_writes_never_arrives",
        || {
            let mut options = with_macs(100);
            options.namespaces = true;
            let mut pair = start(&options);
            let owner = audited(&pair, "tor1");
            let other = 1 - owner;
            let watch = Watch::start(&pair.switches[0]);
            let before = pair.switches[0].snapshot()?;

            let cut = SystemTime::now();
            link(&pair, owner).cut()?;
            let mut changed_options = pair.agents[owner].options().clone();
            changed_options.network[0].remote_macs.push(RemoteMac {
                mac: remote_mac(1000),
                vtep: vtep(1000),
            });
            pair.agents[owner].reload(changed_options)?;
            let repointed = watch.until(&pair.scratch, TSN[other]);
            audited_by(&pair, other, "tor1");
            println!(
                "link cut: broadcast after {}, audited after {}",
                between(cut, repointed),
                between(cut, SystemTime::now())
            );
            let switch = &pair.switches[0];
            assert!(rewritten(&switch.snapshot()?.since(&before)).is_empty());
            // It cannot know better: the lock is there for this case.
            let session = sessions(&pair, owner, "tor1")
                .pop()
                .expect("it believes in its session");
            assert_eq!(
                (&session["ownership"], &session["in_flight"]),
                (&"held".into(), &1.into())
            );

            let before = switch.snapshot()?;
            link(&pair, owner).heal()?;
            wait(&pair, "the old owner to see that its session is over", || {
                (!logged(&pair.agents[owner], "Closed").is_empty()).then_some(())
            });
            proxied(&pair, owner, "UP");
            nothing_flaps(&pair);
            assert!(changed(switch, &before).is_empty(), "{:?}", changed(switch, &before));
            assert_eq!(watch.ends(), [TSN[owner], TSN[other]]);
            assert_eq!(writers(&pair, 0), [owner, other]);
            Ok(())
        },
    )
    .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_agent_that_receives_nothing_for_two_intervals_gives_its_session_up() {
    netns::enter(
        "link::an_agent_that_receives_nothing_for_two_intervals_gives_its_session_up",
        || {
            let mut options = with_macs(10);
            options.namespaces = true;
            options.keepalive = "1s".into();
            let pair = start(&options);
            let owner = audited(&pair, "tor1");
            learn(&pair.switches[0], "02:02:00:00:00:01");
            wait(&pair, "the route of a local MAC", || {
                (exported(&pair, owner) == 1).then_some(())
            });
            let cut = SystemTime::now();
            link(&pair, owner).cut()?;
            let closed = wait(&pair, "the session to be closed", || {
                logged(&pair.agents[owner], "Closed").pop()
            });
            println!("link cut, T = 1 s: session given up after {}", between(cut, closed.at));
            wait(&pair, "its routes to be retracted", || {
                logged(&pair.agents[owner], "Retracted").pop()
            });
            assert_eq!(logged(&pair.agents[owner], "Retracted").len(), 1);
            assert_eq!((sessions(&pair, owner, "tor1").len(), exported(&pair, owner)), (0, 0));
            audited_by(&pair, 1 - owner, "tor1");
            assert_eq!(exported(&pair, 1 - owner), 1);
            assert_eq!(writers(&pair, 0), [owner, 1 - owner]);
            Ok(())
        },
    )
    .unwrap_or_else(|error| panic!("{error}"));
}

fn link(pair: &Pair, agent: usize) -> &netns::Link {
    let island = pair.island.as_ref().expect("there are namespaces");
    &island.links[agent]
}
