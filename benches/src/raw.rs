//! A client that pushes bytes which were rendered beforehand and counts what comes back: as fast as a server can be
//! driven.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use tandem_core::bounds::MESSAGE_BYTES;
use tandem_core::ovsdb::Framer;

/// A connection to a database server.
pub struct Client {
    stream: UnixStream,
    framer: Framer,
}

impl Client {
    /// Connects.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(socket)?,
            framer: Framer::new(MESSAGE_BYTES),
        })
    }

    /// Sends requests, all pipelined, and returns the bytes received when the last of so many answers was there.
    ///
    /// Whether they were applied is for the caller to look up.
    pub fn push(&mut self, requests: &[u8], answers: usize) -> io::Result<usize> {
        let mut writer = self.stream.try_clone()?;
        thread::scope(|scope| {
            let sent = scope.spawn(move || writer.write_all(requests));
            let received = self.receive(answers);
            let sent = sent.join().map_err(|_| io::Error::other("the writer panicked"))?;
            sent.and(received)
        })
    }

    fn receive(&mut self, mut answers: usize) -> io::Result<usize> {
        let mut buffer = vec![0; 64 << 10];
        let mut bytes = 0;
        while answers > 0 {
            let length = self.stream.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes += length;
            self.framer.push(buffer.get(..length).unwrap_or_default());
            while let Some(frame) = self.framer.next_frame().map_err(io::Error::other)? {
                answers -= usize::from(frame.member("method").is_none());
            }
        }
        Ok(bytes)
    }
}
