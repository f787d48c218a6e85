//! Moves the bytes of one connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tandem_core::ConnId;
use tandem_sim::socket::{DialFailure, Input};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::message::{Message, Note, UNSENT_BYTES_MAX};
use super::stream::{Arrived, Stream, Tls};
use tandem_net::driver::line;

/// The orders of the actor for its connection.
pub(super) enum Order {
    Send(Vec<u8>),
    Read(bool),
    Finish,
    Close,
    Reset,
}

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// The longest time for the last bytes to leave.
const FLUSH: Duration = Duration::from_secs(5);

type Back<C> = mpsc::Sender<Message<C>>;
type Orders = mpsc::UnboundedReceiver<Order>;

/// Runs a connection that a peer dialled.
pub(super) async fn accepted<C>(conn: ConnId, arrived: Arrived, orders: Orders, back: Back<C>) {
    let _place = arrived.place;
    Connection::new(conn, arrived.stream, orders, back).run().await;
}

/// Dials, shakes hands, and runs the connection. `Some(None)`: TLS is wanted, and there are no certificates.
pub(super) async fn dialled<C>(
    conn: ConnId,
    to: SocketAddrV4,
    tls: Option<Option<Arc<Tls>>>,
    mut orders: Orders,
    back: Back<C>,
) {
    let opened = tokio::select! {
        opened = open(to, tls) => opened,
        // The only order before there is a connection is to give it up.
        _ = orders.recv() => return,
    };
    match opened {
        Ok(stream) => {
            let _ = back.send(Message::Input(Input::Connected { conn })).await;
            Connection::new(conn, stream, orders, back).run().await;
        }
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    DialFailure::TimedOut
                }
                _ => DialFailure::Refused,
            };
            if error.kind() != io::ErrorKind::ConnectionRefused {
                let (peer, why) = (to, error.to_string());
                let _ = back.send(Message::Note(Note::ConnectionFailed { peer, why })).await;
            }
            let _ = back.send(Message::Input(Input::DialFailed { conn, why })).await;
        }
    }
}

async fn open(to: SocketAddrV4, tls: Option<Option<Arc<Tls>>>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(stream),
        Some(None) => return Err(io::Error::other("there is no certificate to show")),
        Some(Some(tls)) => Box::new(tls.connector.connect(stream).await?.0),
    })
}

struct Connection<C> {
    conn: ConnId,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    orders: Orders,
    back: Back<C>,
    unsent: VecDeque<u8>,
    /// The stream itself holds bytes that have to leave.
    held: bool,
    /// The number of unsent bytes that the actor knows.
    reported: usize,
    reads: bool,
    finish: bool,
}

/// The next step of a connection.
enum Next {
    On,
    Close,
    Reset,
    /// The network has closed it.
    Lost,
}

impl<C> Connection<C> {
    fn new(conn: ConnId, stream: Box<dyn Stream>, orders: Orders, back: Back<C>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            conn,
            reader,
            writer,
            orders,
            back,
            unsent: VecDeque::new(),
            held: false,
            reported: 0,
            reads: true,
            finish: false,
        }
    }

    async fn run(mut self) {
        let mut read = vec![0; READ_BYTES];
        loop {
            match self.step(&mut read).await {
                Next::On => {}
                Next::Close => return self.close().await,
                Next::Reset => return self.reset(),
                Next::Lost => {
                    let _ = self.back.send(Message::Input(Input::Lost { conn: self.conn })).await;
                    return;
                }
            }
        }
    }

    /// Commands come first, then sending; the actor learns of the queue only when the stream takes no more.
    async fn step(&mut self, read: &mut [u8]) -> Next {
        let conn = self.conn;
        let sends = self.held || !self.unsent.is_empty();
        if self.finish && !sends {
            self.finish = false;
            return match self.writer.shutdown().await {
                Ok(()) => Next::On,
                Err(_) => Next::Lost,
            };
        }
        tokio::select! {
            biased;
            order = self.orders.recv() => self.obey(order).await,
            sent = line::send(&mut self.writer, &self.unsent), if sends => match sent {
                Ok(length) => {
                    self.held = !self.unsent.is_empty();
                    self.unsent.drain(..length);
                    Next::On
                }
                Err(_) => Next::Lost,
            },
            () = std::future::ready(()), if self.unsent.len() != self.reported => {
                self.reported = self.unsent.len();
                self.notify(Input::Sent { conn, queued_bytes: self.reported }).await
            }
            got = self.reader.read(read), if self.reads => match got {
                Ok(0) => self.end().await,
                Ok(length) => {
                    let data = read.get(..length).unwrap_or_default().to_vec();
                    self.notify(Input::Bytes { conn, data }).await
                }
                // TLS that ends without a close notification.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.end().await,
                Err(_) => Next::Lost,
            },
        }
    }

    async fn obey(&mut self, order: Option<Order>) -> Next {
        match order {
            Some(Order::Send(bytes)) => {
                self.unsent.extend(bytes);
                if self.unsent.len() > UNSENT_BYTES_MAX {
                    let note = Note::Overflowed { conn: self.conn };
                    let _ = self.back.send(Message::Note(note)).await;
                    let _ = self.back.send(Message::Input(Input::Lost { conn: self.conn })).await;
                    return Next::Reset;
                }
            }
            Some(Order::Read(on)) => self.reads = on,
            Some(Order::Finish) => self.finish = true,
            Some(Order::Close) | None => return Next::Close,
            Some(Order::Reset) => return Next::Reset,
        }
        Next::On
    }

    async fn end(&mut self) -> Next {
        self.reads = false;
        self.notify(Input::Finished { conn: self.conn }).await
    }

    async fn notify(&mut self, input: Input<C>) -> Next {
        match self.back.send(Message::Input(input)).await {
            Ok(()) => Next::On,
            Err(_) => Next::Close,
        }
    }

    async fn close(mut self) {
        let leave = async {
            self.writer.write_all(self.unsent.make_contiguous()).await?;
            self.writer.shutdown().await
        };
        let _ = tokio::time::timeout(FLUSH, leave).await;
    }

    fn reset(self) {
        let stream = self.reader.unsplit(self.writer);
        let _ = SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
    }
}
