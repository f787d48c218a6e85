//! Which port and VLAN belongs to which logical switch.

use crate::contents::assert_as_wanted;
use crate::world::{Wanted, World};

#[test]
fn a_network_that_was_made_anew_gets_the_vni_and_the_vlan_of_the_old_one() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().unbound(1, 5001).bind("eth1", 10, 1).0);
    let configuration = Wanted::new().unbound(2, 5001).bind("eth1", 10, 2).0;
    world.configure(conn, &configuration);
    assert_as_wanted(&world, &configuration);
}
