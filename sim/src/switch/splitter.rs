//! Cuts the incoming bytes into JSON values. For the small messages of tests: a partial message is parsed anew
//! with every piece.

use serde_json::Value;

/// The bytes of a message that is not complete yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Takes bytes in; answers the values that are complete now, and whether what follows them can be JSON.
    pub(super) fn feed(&mut self, data: &[u8]) -> (Vec<Value>, Result<(), serde_json::Error>) {
        self.partial.extend_from_slice(data);
        let mut values = Vec::new();
        let mut stream = serde_json::Deserializer::from_slice(&self.partial).into_iter::<Value>();
        let mut end = Ok(());
        for value in &mut stream {
            match value {
                Ok(value) => values.push(value),
                Err(error) if error.is_eof() => break,
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        let used = stream.byte_offset();
        self.partial.drain(..used);
        (values, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages() {
        let messages = [json!({"id": 1, "params": ["a", {}]}), json!([]), json!({"id": "ü"})];
        let bytes: Vec<u8> = messages
            .iter()
            .flat_map(|message| message.to_string().into_bytes())
            .collect();
        for size in 1..=bytes.len() {
            let mut splitter = Splitter::default();
            let mut values = Vec::new();
            for piece in bytes.chunks(size) {
                let (complete, end) = splitter.feed(piece);
                end.expect("JSON");
                values.extend(complete);
            }
            assert_eq!(values, messages, "pieces of {size} bytes");
        }
    }

    #[test]
    fn garbage_is_told_after_the_messages_before_it() {
        let (values, end) = Splitter::default().feed(b"{}garbage");
        assert_eq!(values, [json!({})]);
        assert!(end.is_err());
    }
}
