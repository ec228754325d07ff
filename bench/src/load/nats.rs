//! Sets up NATS connections by hand: its protocol is lines of text.

use super::fault::Fault;
use super::target::Target;
use crate::socket::Socket;
use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

/// Stream of the acknowledged mode.
const STREAM: &str = "BENCH";

/// A connection on which NATS has answered a ping.
pub(crate) struct NatsConnection {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl NatsConnection {
    /// Connects without any of the options that cost something.
    pub(crate) fn open(target: &Target) -> Result<Self, Fault> {
        let mut connection = Self {
            stream: target.connect()?,
            inbox: Vec::new(),
        };
        connection.line_beginning("INFO ")?;
        let options = json!({"verbose": false, "pedantic": false, "protocol": 1});
        connection
            .stream
            .write_all(format!("CONNECT {options}\r\n").as_bytes())?;
        connection.settle()?;
        Ok(connection)
    }

    /// Subscribes to a subject, wildcards allowed.
    pub(crate) fn subscribe(&mut self, subject: &str) -> Result<(), Fault> {
        self.stream
            .write_all(format!("SUB {subject} 1\r\n").as_bytes())?;
        self.settle()
    }

    /// Creates the file-backed stream that stores `subjects`, empty.
    pub(crate) fn create_stream(&mut self, subjects: &str) -> Result<(), Fault> {
        let stream = json!({
            "name": STREAM, "subjects": [subjects], "storage": "file", "retention": "limits",
            "discard": "old", "max_bytes": 1u64 << 30, "max_msgs": -1, "num_replicas": 1,
        });
        // Fails where there is no such stream yet.
        self.request(&format!("$JS.API.STREAM.DELETE.{STREAM}"), "")?;
        let answer = self.request(
            &format!("$JS.API.STREAM.CREATE.{STREAM}"),
            &stream.to_string(),
        )?;
        let parsed: Value = serde_json::from_str(&answer).unwrap_or_default();
        if parsed.get("config").is_none() {
            return Err(Fault::Answer {
                asked: "STREAM.CREATE".to_owned(),
                answer,
            });
        }
        Ok(())
    }

    /// Hands the socket over to a driver.
    pub(crate) fn into_socket(self, blocking: bool) -> Result<Socket, Fault> {
        self.stream.set_nonblocking(!blocking)?;
        Ok(Socket::new(self.stream, self.inbox))
    }

    fn request(&mut self, subject: &str, body: &str) -> Result<String, Fault> {
        let inbox = "_INBOX.request";
        let request = format!(
            "SUB {inbox} 9\r\nUNSUB 9 1\r\nPUB {subject} {inbox} {}\r\n{body}\r\n",
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        self.line_beginning("MSG ")?;
        self.line_beginning("{")
    }

    /// A ping after which everything sent before has been taken in.
    fn settle(&mut self) -> Result<(), Fault> {
        self.stream.write_all(b"PING\r\n")?;
        self.line_beginning("PONG").map(drop)
    }

    fn line_beginning(&mut self, wanted: &str) -> Result<String, Fault> {
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.inbox) {
                let line: Vec<u8> = self.inbox.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if line.starts_with(wanted) {
                    return Ok(line);
                }
                if line.starts_with("-ERR") {
                    return Err(Fault::Answer {
                        asked: wanted.to_owned(),
                        answer: line,
                    });
                }
            }
            let mut chunk = [0; 4096];
            let got = self.stream.read(&mut chunk)?;
            if got == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.inbox
                .extend_from_slice(chunk.get(..got).unwrap_or_default());
        }
    }
}
