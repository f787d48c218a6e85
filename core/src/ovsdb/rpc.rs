//! JSON-RPC 1.0 as RFC 7047 section 4 uses it: what a message is, and how we write ours.

use std::ops::Range;

use serde_json::value::RawValue;

use super::framer::Frame;

/// The kind of a message. Ranges point into the frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// The peer wants an answer that carries this id, which is JSON text.
    Request {
        /// As it stands in the message.
        id: Range<usize>,
        /// The method of the request.
        method: String,
        /// JSON text; an empty range if there are none.
        params: Range<usize>,
    },
    /// The peer sends a notification.
    Notification {
        /// The method of the notification.
        method: String,
        /// JSON text; an empty range if there are none.
        params: Range<usize>,
    },
    /// An answer to a request of ours.
    Reply {
        /// The number that we gave; `None` if it is none of ours.
        id: Option<u64>,
        /// JSON text: the result, or the error that the server has instead.
        outcome: Result<Range<usize>, Range<usize>>,
    },
}

/// The message is a JSON object but no JSON-RPC. The peer's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a message that is no JSON-RPC: {0}")]
pub struct RpcError(&'static str);

impl Message {
    /// Says what a frame is.
    ///
    /// `ovsdb-server` leaves `result` out of an error, and both sides leave `id` out or null in a notification.
    pub fn read(frame: &Frame) -> Result<Self, RpcError> {
        let id = frame.member_range("id").filter(|range| !is_null(frame, range));
        let Some(method) = frame.member("method") else {
            return Self::read_reply(frame, id);
        };
        let method = serde_json::from_slice(method).map_err(|_| RpcError("the method is no string"))?;
        let params = frame.member_range("params");
        let Some(id) = id else {
            let params = params.unwrap_or_default();
            return Ok(Self::Notification { method, params });
        };
        // They are sent back as they came.
        if ![Some(&id), params.as_ref()]
            .into_iter()
            .flatten()
            .all(|range| is_json(frame, range))
        {
            return Err(RpcError("an id or parameters that are no JSON"));
        }
        let params = params.unwrap_or_default();
        Ok(Self::Request { id, method, params })
    }

    fn read_reply(frame: &Frame, id: Option<Range<usize>>) -> Result<Self, RpcError> {
        let id = id.ok_or(RpcError("neither a method nor an id"))?;
        let id = frame.bytes().get(id).and_then(|id| serde_json::from_slice(id).ok());
        let error = frame.member_range("error").filter(|range| !is_null(frame, range));
        let outcome = match (error, frame.member_range("result")) {
            (Some(error), _) => Err(error),
            (None, Some(result)) => Ok(result),
            (None, None) => return Err(RpcError("a reply with neither result nor error")),
        };
        Ok(Self::Reply { id, outcome })
    }
}

fn is_null(frame: &Frame, range: &Range<usize>) -> bool {
    let value = frame.bytes().get(range.clone()).unwrap_or_default();
    value.trim_ascii() == b"null"
}

fn is_json(frame: &Frame, range: &Range<usize>) -> bool {
    let value = frame.bytes().get(range.clone()).unwrap_or_default();
    serde_json::from_slice::<&RawValue>(value).is_ok()
}

/// Writes a request; `params` is JSON text.
pub(crate) fn request(id: u64, method: &str, params: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(params.len() + method.len() + 48);
    bytes.extend_from_slice(b"{\"id\":");
    bytes.extend_from_slice(id.to_string().as_bytes());
    bytes.extend_from_slice(b",\"method\":\"");
    bytes.extend_from_slice(method.as_bytes());
    bytes.extend_from_slice(b"\",\"params\":");
    bytes.extend_from_slice(params);
    bytes.push(b'}');
    bytes
}

/// The keepalive of RFC 7047 section 4.1.11, with the id that Open vSwitch uses, too.
pub(crate) const ECHO: &[u8] = br#"{"id":"echo","method":"echo","params":[]}"#;

/// The id in it, as JSON text.
pub(crate) const ECHO_ID: &[u8] = br#""echo""#;

/// Answers an echo: the same parameters come back. `id` and `params` are JSON text.
pub fn echo_reply(id: &[u8], params: &[u8]) -> Vec<u8> {
    let params = if params.is_empty() { b"[]" } else { params };
    [br#"{"id":"#, id, br#","result":"#, params, br#","error":null}"#].concat()
}

/// Refuses a request that a manager does not serve.
pub(crate) fn unknown_method(id: &[u8]) -> Vec<u8> {
    [br#"{"id":"#, id, br#","result":null,"error":"unknown method"}"#].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::framer::Framer;

    fn read(text: &str) -> Result<Message, RpcError> {
        let mut framer = Framer::new(1000);
        framer.push(text.as_bytes());
        Message::read(&framer.next_frame().expect("a frame").expect("a whole frame"))
    }

    #[test]
    fn replies_are_read_in_every_shape_that_the_server_sends() {
        let outcome = |text| match read(text) {
            Ok(Message::Reply { id, outcome }) => (id, outcome.is_ok()),
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome(r#"{"error":null,"id":5,"result":[]}"#), (Some(5), true));
        assert_eq!(outcome(r#"{"id":5,"error":"unknown method"}"#), (Some(5), false));
        assert_eq!(
            outcome(r#"{"id":5,"error":{"error":"x"},"result":null}"#),
            (Some(5), false)
        );
        assert_eq!(outcome(r#"{"id":"echo","result":[],"error":null}"#), (None, true));
    }

    #[test]
    fn a_null_id_makes_a_notification() {
        for text in [
            r#"{"id":null,"method":"locked","params":["t"]}"#,
            r#"{"method":"locked","params":["t"]}"#,
        ] {
            assert!(matches!(read(text), Ok(Message::Notification { method, .. }) if method == "locked"));
        }
    }

    #[test]
    fn a_request_whose_id_or_parameters_are_no_json_is_refused() {
        for text in [
            r#"{"id": ,"method":"echo","params":[]}"#,
            r#"{"id":x,"method":"echo","params":[]}"#,
            r#"{"id":1,"method":"echo","params":[,]}"#,
            r#"{"id":1,"method":"echo","params":}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let mut framer = Framer::new(1000);
        framer.push(b"{\"id\":\"\xff\",\"method\":\"echo\"}");
        let frame = framer.next_frame().expect("a frame").expect("a whole frame");
        assert!(Message::read(&frame).is_err(), "an id that is no text");
        assert!(read(r#"{"id":[1,{"a":null}],"method":"echo"}"#).is_ok());
    }

    #[test]
    fn an_object_that_is_no_rpc_is_refused() {
        for text in ["{}", r#"{"id":1}"#, r#"{"method":1}"#, r#"{"result":1}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
