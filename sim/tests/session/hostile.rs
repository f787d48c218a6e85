//! What a broken or hostile switch can do to a session: end it, and nothing else.

use tandem_core::Machine;
use tandem_core::session::{Input, Output, Session};

use crate::world::{Wanted, World};

#[test]
fn nothing_is_said_after_the_end_even_if_the_same_bytes_say_more() {
    let configuration = Wanted::new().network(1, 5001).0;
    let mut world = World::new();
    let conn = world.connect(&configuration);
    // The small tables name no switch, which lets go of the lock, and then comes what ends the session.
    let bytes = br#"{"id":1,"result":{},"error":null}{"id":null,"method":"update","params":["nothing",{}]}"#;
    let mut session = world.sessions.remove(&conn).expect("a session");
    let outputs = handle(&world, &mut session, Input::Bytes(bytes.to_vec()));
    let end = outputs.iter().position(|output| matches!(output, Output::Close(_)));
    assert_eq!(end, Some(outputs.len() - 1), "{outputs:?}");
}

fn handle(world: &World, session: &mut Session, input: Input) -> Vec<Output> {
    session.handle(world.now, input);
    std::iter::from_fn(|| session.poll_output()).collect()
}
