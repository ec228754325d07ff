//! The smallest WAMP client: RawSocket, JSON, blocking. For tests that need many messages under
//! way, or messages that no proper client would send.

use std::io::{self, BufReader, BufWriter, Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::deadline::SOON;

/// Largest message in both directions (2^24 bytes), and serializer 1, JSON.
const HANDSHAKE: [u8; 4] = [0x7f, 0xf1, 0, 0];

/// The codes of messages that tests look at; spec: "Message Codes and Direction".
pub(crate) mod code {
    pub(crate) const HELLO: u64 = 1;
    pub(crate) const WELCOME: u64 = 2;
    pub(crate) const ABORT: u64 = 3;
    pub(crate) const ERROR: u64 = 8;
    pub(crate) const PUBLISH: u64 = 16;
    pub(crate) const PUBLISHED: u64 = 17;
    pub(crate) const CALL: u64 = 48;
    pub(crate) const RESULT: u64 = 50;
}

/// One connection.
pub(crate) struct Client {
    /// Its ID, when it has joined.
    pub(crate) session: u64,
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
    requests: u64,
}

impl Client {
    /// A RawSocket connection after its handshake, not yet joined to a realm.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        Self::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        let mut client = Self {
            reader: BufReader::new(stream.try_clone()?),
            writer: BufWriter::new(stream),
            session: 0,
            requests: 0,
        };
        client.writer.write_all(&HANDSHAKE)?;
        client.writer.flush()?;
        let mut answer = [0; 4];
        client.reader.read_exact(&mut answer)?;
        match answer {
            [0x7f, limits, 0, 0] if limits & 0x0f == 1 => Ok(client),
            refused => Err(broken(format!("handshake answered with {refused:02x?}"))),
        }
    }

    /// A session in `realm1` as everybody.
    pub(crate) fn join(port: u16) -> io::Result<Self> {
        Self::join_realm(port, "realm1")
    }

    /// A session in a realm.
    pub(crate) fn join_realm(port: u16, realm: &str) -> io::Result<Self> {
        Self::connect(port)?.joined(realm)
    }

    /// The same, with so small a receive buffer that the router notices when nothing is read.
    pub(crate) fn join_narrowly(port: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(16 * 1024)?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        Self::over(socket.into())?.joined("realm1")
    }

    fn joined(mut self, realm: &str) -> io::Result<Self> {
        let client = &mut self;
        client.send(&hello(realm))?;
        client.flush()?;
        let welcome = client.receive()?;
        match welcome[0].as_u64() {
            Some(code::WELCOME) => {
                self.session = welcome[1].as_u64().unwrap_or_default();
                Ok(self)
            }
            _ => Err(broken(format!("HELLO answered with {welcome}"))),
        }
    }

    /// The next request ID of this session.
    pub(crate) fn request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Puts a message into the buffer; [`Client::flush`] sends.
    pub(crate) fn send(&mut self, message: &Value) -> io::Result<()> {
        self.send_frame(0, message.to_string().as_bytes())
    }

    /// Puts bytes into the buffer as one message, whatever they are.
    pub(crate) fn send_text(&mut self, message: &[u8]) -> io::Result<()> {
        self.send_frame(0, message)
    }

    /// Puts bytes into the buffer as they are, without a frame around them.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> io::Result<Value> {
        loop {
            let mut header = [0; 4];
            self.reader.read_exact(&mut header)?;
            let [kind, high, middle, low] = header;
            let length = u32::from_be_bytes([0, high, middle, low]);
            let mut frame = vec![0; length as usize];
            self.reader.read_exact(&mut frame)?;
            match kind {
                0 => return Ok(serde_json::from_slice(&frame)?),
                1 => {
                    self.send_frame(2, &frame)?;
                    self.flush()?;
                }
                _ => {}
            }
        }
    }

    /// The only positional result of a call; what the router refuses is an error.
    pub(crate) fn call(&mut self, uri: &str, args: Value, kwargs: Value) -> io::Result<Value> {
        let request = self.request();
        self.send(&json!([code::CALL, request, {}, uri, args, kwargs]))?;
        self.flush()?;
        let answer = self.receive()?;
        match answer[0].as_u64() {
            Some(code::RESULT) => Ok(answer[3][0].clone()),
            _ => Err(broken(format!("{uri} answered with {answer}"))),
        }
    }

    /// Publishes and waits for the answer: PUBLISHED or ERROR.
    pub(crate) fn publish(&mut self, topic: &str, args: &Value) -> io::Result<Value> {
        let request = self.request();
        let options = json!({"acknowledge": true});
        self.send(&json!([code::PUBLISH, request, options, topic, args]))?;
        self.flush()?;
        self.receive()
    }

    fn send_frame(&mut self, kind: u8, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(|_| broken("a frame over 4 GiB"))?;
        let [_, high, middle, low] = length.to_be_bytes();
        self.writer.write_all(&[kind, high, middle, low])?;
        self.writer.write_all(frame)
    }
}

/// The first message of a client that can do everything.
pub(crate) fn hello(realm: &str) -> Value {
    let roles = json!({"publisher": {}, "subscriber": {}, "caller": {}, "callee": {}});
    json!([code::HELLO, realm, {"roles": roles}])
}

fn broken(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, what.into())
}
