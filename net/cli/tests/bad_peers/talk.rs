//! Invalid messages of a peer with a good certificate.

use tandem_core::ovsdb::schema::REQUIRED;

use crate::peer::Rig;

const UUID: &str = "6f1c0d0e-0000-4000-8000-000000000009";

/// (the kind of message, its bytes, the text in the log)
fn cases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let deep = format!(r#"{{"id":1,"result":{}"#, "[".repeat(64));
    let members = format!("{{{}", r#""a":1,"#.repeat(1000));
    let rows = |rows: &str| {
        text(&format!(
            r#"{{"id":1,"result":{{"Physical_Switch":{{{rows}}}}},"error":null}}"#
        ))
    };
    let row = format!(r#""{UUID}":{{"new":{{"name":[1]}}}}"#);
    vec![
        (
            "garbage",
            b"\x00\xffgarbage".to_vec(),
            "byte 0x00 where a JSON object was due: this is not OVSDB",
        ),
        (
            "HTTP",
            text("GET / HTTP/1.1\r\n\r\n"),
            "byte 0x47 where a JSON object was due",
        ),
        ("65 levels", text(&deep), "a message that nests deeper than 64 levels"),
        ("members", text(&members), "a message with more than 32 members"),
        (
            "no JSON-RPC",
            text("{}"),
            "a message that is no JSON-RPC: neither a method nor an id",
        ),
        (
            "an update of nothing",
            text(r#"{"id":null,"method":"update","params":["hello",{}]}"#),
            "an update that names no monitor of ours",
        ),
        (
            "an update that was not asked for",
            text(r#"{"id":null,"method":"update2","params":["remote",{"Ucast_Macs_Remote":{}}]}"#),
            "an update of the remote tables, which were never asked for",
        ),
        (
            "a row without UUID",
            rows(r#""first":{"new":{}}"#),
            "a row is not named by a UUID",
        ),
        (
            "a row of another type",
            rows(&row),
            "row 6f1c0d0e-0000-4000-8000-000000000009 that cannot be read",
        ),
        (
            "a schema of something else",
            text(r#"{"id":0,"result":{"version":"1","tables":{}},"error":null}"#),
            "its schema (version 1) has no column Global.managers (the peer is incompatible)",
        ),
        (
            "no such database",
            text(r#"{"id":0,"result":null,"error":{"error":"unknown database","details":"hardware_vtep"}}"#),
            "it refuses get_schema: unknown database: hardware_vtep (the peer is incompatible)",
        ),
    ]
}

#[test]
fn every_invalid_message_ends_the_session_with_a_line_that_names_it() {
    let rig = Rig::new("1s");
    for (name, message, words) in cases() {
        let mut peer = rig.peer();
        peer.send(&message);
        peer.hung_up();
        println!("{name}: {}", rig.line(&["WARN", "Closed: ", words]));
    }
    rig.assert_undisturbed();
}

#[test]
fn a_name_that_is_not_configured_gets_no_lock_and_one_line_however_it_is_written() {
    let rig = Rig::new("1s");
    let mut peer = rig.peer();
    let name = format!("tor9\\nforged line {}", "x".repeat(1000));
    let row = format!(r#""{UUID}":{{"new":{{"name":"{name}"}}}}"#);
    peer.send(schema());
    peer.send(format!(
        r#"{{"id":1,"result":{{"Physical_Switch":{{{row}}}}},"error":null}}"#
    ));
    let line = rig.line(&[
        "WARN",
        "Unidentified: no switch of this name is configured: tor9\\nforged line",
    ]);
    assert!(line.len() < 500, "{line}");
    assert!(!rig.agent.log().iter().any(|line| line.starts_with("forged")));
    let status = rig.agent.status().expect("a status");
    assert_eq!(status["unidentified"].as_array().map(Vec::len), Some(1));
    println!("{line}");
    rig.assert_undisturbed();
}

/// The answer to `get_schema`, with every column that an agent requires.
pub(crate) fn schema() -> String {
    let tables = REQUIRED.iter().map(|(table, columns)| {
        let columns = columns.iter().map(|column| format!(r#""{column}":{{}}"#));
        let columns = columns.collect::<Vec<_>>().join(",");
        format!(r#""{table}":{{"columns":{{{columns}}}}}"#)
    });
    let tables = tables.collect::<Vec<_>>().join(",");
    format!(r#"{{"id":0,"result":{{"version":"1.0.0","tables":{{{tables}}}}},"error":null}}"#)
}

#[test]
fn answers_to_nothing_are_logged_once_and_ignored() {
    let rig = Rig::new("1s");
    let mut peer = rig.peer();
    peer.send(r#"{"id":77,"result":{},"error":null}"#.repeat(1000));
    // A message that is read after all of them, and ends the session.
    peer.send(r#"{"id":0,"result":{"version":"1","tables":{}},"error":null}"#);
    peer.hung_up();
    rig.line(&["WARN", "Closed: its schema"]);
    let lines = rig
        .agent
        .lines(&["WARN", "Ignored: an answer to a request that was never made"]);
    assert_eq!(lines.len(), 1);
    println!("{}", lines[0]);
    rig.assert_undisturbed();
}
