//! The bytes before the first WAMP frame, for both framings and both sides.
//! Spec: "RawSocket Transport", "Handshake"; RFC 6455, section 4.

use super::{Format, Framing, Wire};
use base64::Engine as _;
use sha1::Digest as _;

/// First byte of a RawSocket handshake.
pub(crate) const RAW_HANDSHAKE: u8 = 0x7f;

/// Any 16 bytes would do: the server's answer to this key is checked, nothing more hangs on it.
const KEY: &str = "cmV3YW1wLWJlbmNoLTAwMQ==";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client sends first and how the answer is judged.
pub(crate) struct ClientHandshake {
    /// Bytes to send.
    pub(crate) request: Vec<u8>,
    wire: Wire,
}

/// The opening of a connection to `host` (with port) and `path` (WebSocket only).
pub(crate) fn client_handshake(wire: Wire, host: &str, path: &str) -> ClientHandshake {
    let request = match wire.framing {
        // f: up to 2^24 bytes a message.
        Framing::Raw => vec![RAW_HANDSHAKE, 0xf0 | raw_serializer(wire.format), 0, 0],
        Framing::Ws => format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            subprotocol(wire.format)
        )
        .into_bytes(),
    };
    ClientHandshake { request, wire }
}

impl ClientHandshake {
    /// Judges what the server sent so far: the length of its answer, `None` while incomplete, or
    /// what is wrong with it.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Result<Option<usize>, String> {
        match self.wire.framing {
            Framing::Raw => match *bytes {
                [first, second, _, _, ..] => {
                    let accepted =
                        first == RAW_HANDSHAKE && second & 0x0f == raw_serializer(self.wire.format);
                    let refusal = || format!("handshake refused: {first:02x} {second:02x}");
                    if accepted {
                        Ok(Some(4))
                    } else {
                        Err(refusal())
                    }
                }
                _ => Ok(None),
            },
            Framing::Ws => {
                let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                    return Ok(None);
                };
                let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
                let switched = head.starts_with("HTTP/1.1 101");
                let accepted = header(&head, "sec-websocket-accept") == Some(&accept_key(KEY));
                let spoken = header(&head, "sec-websocket-protocol");
                if switched && accepted && spoken == Some(subprotocol(self.wire.format)) {
                    return Ok(Some(end + 4));
                }
                Err(format!(
                    "upgrade refused: {}",
                    head.lines().next().unwrap_or_default()
                ))
            }
        }
    }
}

/// A server's answer to a RawSocket handshake, and the format asked for.
pub(crate) fn accept_raw(request: [u8; 4]) -> Option<(Format, [u8; 4])> {
    let format = match request {
        [RAW_HANDSHAKE, limit_and_serializer, 0, 0] => match limit_and_serializer & 0x0f {
            1 => Format::Json,
            2 => Format::Msgpack,
            _ => return None,
        },
        _ => return None,
    };
    Some((format, [RAW_HANDSHAKE, 0xf0 | raw_serializer(format), 0, 0]))
}

/// A server's answer to the head of an upgrade request, and the format it chose.
pub(crate) fn accept_websocket(head: &str) -> Option<(Format, String)> {
    let offered = header(head, "sec-websocket-protocol")?;
    let format = [Format::Json, Format::Msgpack].into_iter().find(|format| {
        offered
            .split(',')
            .any(|one| one.trim() == subprotocol(*format))
    })?;
    let accept = accept_key(header(head, "sec-websocket-key")?);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        subprotocol(format)
    );
    Some((format, answer))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then_some(value.trim())
    })
}

fn accept_key(key: &str) -> String {
    let digest = sha1::Sha1::new()
        .chain_update(key)
        .chain_update(GUID)
        .finalize();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

fn subprotocol(format: Format) -> &'static str {
    match format {
        Format::Json => "wamp.2.json",
        Format::Msgpack => "wamp.2.msgpack",
    }
}

fn raw_serializer(format: Format) -> u8 {
    match format {
        Format::Json => 1,
        Format::Msgpack => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn client_and_server_agree_on_every_wire() {
        for framing in [Framing::Raw, Framing::Ws] {
            for format in [Format::Json, Format::Msgpack] {
                let handshake = client_handshake(Wire { framing, format }, "localhost:1", "/ws");
                let (chosen, answer) = match framing {
                    Framing::Raw => {
                        let request = *handshake.request.first_chunk().unwrap();
                        let (chosen, answer) = accept_raw(request).unwrap();
                        (chosen, answer.to_vec())
                    }
                    Framing::Ws => {
                        let head = String::from_utf8(handshake.request.clone()).unwrap();
                        let (chosen, answer) = accept_websocket(&head).unwrap();
                        (chosen, answer.into_bytes())
                    }
                };
                assert_eq!(chosen, format);
                assert_eq!(handshake.answer(&answer), Ok(Some(answer.len())));
                assert_eq!(handshake.answer(&answer[..3]), Ok(None));
            }
        }
    }

    #[test]
    fn a_refusal_is_an_error() {
        let wire = Wire {
            framing: Framing::Raw,
            format: Format::Json,
        };
        let raw = client_handshake(wire, "h", "/");
        assert!(raw.answer(&[0x7f, 0x10, 0, 0]).is_err());
        let wire = Wire {
            framing: Framing::Ws,
            format: Format::Json,
        };
        let ws = client_handshake(wire, "h", "/");
        assert!(ws.answer(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
