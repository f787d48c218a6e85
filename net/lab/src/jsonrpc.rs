//! A blocking OVSDB client: short, and its own, so that a test never asks Tandem about Tandem.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::de::IoRead;
use serde_json::{StreamDeserializer, Value, json};

use super::{Error, Result};

const HUNG: Duration = Duration::from_secs(60);

/// A connection to a database server.
pub struct Client {
    out: Box<dyn Write + Send>,
    messages: StreamDeserializer<'static, IoRead<BufReader<Box<dyn Read + Send>>>, Value>,
    notifications: Vec<Value>,
    last_id: u64,
}

impl Client {
    /// Connects to a unix socket. A server that is silent for a minute counts as hung.
    pub fn connect(socket: &Path) -> Result<Self> {
        let open = || {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(HUNG))?;
            Ok((stream.try_clone()?, stream))
        };
        let (reader, out) = open().map_err(Error::io(format!("connect to {}", socket.display())))?;
        Ok(Self::over(reader, out))
    }

    /// As [`Self::connect`], by TCP.
    pub fn dial(address: SocketAddr) -> Result<Self> {
        let open = || {
            let stream = TcpStream::connect_timeout(&address, HUNG)?;
            stream.set_read_timeout(Some(HUNG))?;
            stream.set_nodelay(true)?;
            Ok((stream.try_clone()?, stream))
        };
        let (reader, out) = open().map_err(Error::io(format!("connect to {address}")))?;
        Ok(Self::over(reader, out))
    }

    fn over(reader: impl Read + Send + 'static, out: impl Write + Send + 'static) -> Self {
        let reader: Box<dyn Read + Send> = Box::new(reader);
        Self {
            out: Box::new(out),
            messages: serde_json::Deserializer::from_reader(BufReader::new(reader)).into_iter(),
            notifications: Vec::new(),
            last_id: 0,
        }
    }

    /// One request (RFC 7047, 4.1) and its result. Fails with the reply's error.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.last_id += 1;
        let id = json!(self.last_id);
        self.send(&json!({ "method": method, "params": params, "id": id }))?;
        loop {
            let mut message = self.receive()?;
            if message["id"] == id && message.get("method").is_none() {
                return match &message["error"] {
                    Value::Null => Ok(message["result"].take()),
                    error => Err(Error::failed(method, error)),
                };
            }
            self.notifications.push(message);
        }
    }

    /// One transaction on `hardware_vtep`: an array of operations, and an array with the result of each.
    ///
    /// Fails with the error of the operation, or of the commit, that failed.
    pub fn transact(&mut self, operations: &Value) -> Result<Value> {
        let mut params = vec![json!("hardware_vtep")];
        params.extend(operations.as_array().into_iter().flatten().cloned());
        let results = self.call("transact", &Value::Array(params))?;
        let failed = results
            .as_array()
            .and_then(|results| results.iter().find(|result| result.get("error").is_some()).cloned());
        match failed {
            None => Ok(results),
            Some(error) => Err(Error::failed("transact", error)),
        }
    }

    /// The next `update`, `locked` or `stolen` that the server sends of itself.
    pub fn notification(&mut self) -> Result<Value> {
        if self.notifications.is_empty() {
            return self.receive();
        }
        Ok(self.notifications.remove(0))
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        self.out
            .write_all(message.to_string().as_bytes())
            .map_err(Error::io("send to the database server"))
    }

    /// The next message that is no echo; echoes are answered.
    fn receive(&mut self) -> Result<Value> {
        loop {
            let message = match self.messages.next() {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(Error::failed("read from the database server", error)),
                None => return Err(Error::failed("read from the database server", "it hung up")),
            };
            if message["method"] != "echo" {
                return Ok(message);
            }
            self.send(&json!({ "id": message["id"], "result": message["params"], "error": null }))?;
        }
    }
}
