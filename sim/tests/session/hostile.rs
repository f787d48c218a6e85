//! A broken or hostile switch can end a session, and do nothing else.

use std::time::Duration;

use tandem_core::Machine;
use tandem_core::bounds::ANSWERS_BYTES;
use tandem_core::event::What;
use tandem_core::session::{Command, Input, Output, Session};

use crate::world::{Wanted, World, mac, vtep};

#[test]
fn nothing_is_sent_after_the_end_even_if_more_bytes_follow() {
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

#[test]
fn what_may_not_be_written_any_more_sets_no_deadline_for_a_retry() {
    let configuration = Wanted::new().network(1, 5001).mac(1, mac(1), vtep(1)).0;
    let mut world = World::new();
    world.switch.refuse_next(100, "constraint violation", "as planned");
    let conn = world.manage(&configuration);
    assert!(world.happened(|what| matches!(what, What::TransactionRejected { .. })));
    let mut session = world.sessions.remove(&conn).expect("a session");
    // The answer to `unlock` never comes.
    handle(&world, &mut session, Input::Command(Command::Drain));
    world.now = world.now + Duration::from_secs(1);
    handle(&world, &mut session, Input::Timeout);
    let next = session.poll_timeout().expect("a deadline");
    assert!(next.at > world.now, "{next:?}");
}

#[test]
fn a_switch_that_asks_and_never_reads_the_answers_is_cut_off() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    let mut session = world.sessions.remove(&conn).expect("a session");
    let echo = format!(r#"{{"id":1,"method":"echo","params":["{}"]}}"#, "x".repeat(60_000));
    let mut sent = 0;
    let closed = (0..1000).any(|_| {
        let outputs = handle(&world, &mut session, Input::Bytes(echo.clone().into_bytes()));
        sent += outputs.iter().map(bytes).sum::<usize>();
        outputs.iter().any(|output| matches!(output, Output::Close(_)))
    });
    assert!(closed && sent <= ANSWERS_BYTES, "{sent} bytes");
}

#[test]
fn a_switch_that_asks_and_reads_the_answers_may_go_on() {
    let mut world = World::new();
    let conn = world.manage(&Wanted::new().network(1, 5001).0);
    let mut session = world.sessions.remove(&conn).expect("a session");
    let echo = format!(r#"{{"id":1,"method":"echo","params":["{}"]}}"#, "x".repeat(60_000));
    for _ in 0..100 {
        let outputs = handle(&world, &mut session, Input::Bytes(echo.clone().into_bytes()));
        assert!(matches!(outputs.as_slice(), [Output::Send(_)]), "{outputs:?}");
        handle(&world, &mut session, Input::Sent { queued_bytes: 0 });
    }
}

fn handle(world: &World, session: &mut Session, input: Input) -> Vec<Output> {
    session.handle(world.now, input);
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn bytes(output: &Output) -> usize {
    match output {
        Output::Send(bytes) => bytes.len(),
        Output::Close(_) | Output::Notify(_) | Output::Event(_) => 0,
    }
}
