//! WebSockets that go wrong, byte by byte: handshakes that are refused by their HTTP status, and
//! frames that end the connection with their close code (RFC 6455, "Status Codes").

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::json;

use crate::harness::client::{Client, hello};
use crate::harness::deadline::SOON;
use crate::harness::node::{self, Node};

const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const TOO_BIG: u16 = 1009;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

#[test]
fn handshakes_are_refused_by_their_status() {
    let node = open_node();
    for (path, headers, status) in [
        ("/ws", "Sec-WebSocket-Protocol: wamp.2.json\r\n", 101),
        ("/ws", "Sec-WebSocket-Protocol: soap, wamp.2.cbor\r\n", 101),
        ("/ws", "", 400),
        ("/ws", "Sec-WebSocket-Protocol: soap\r\n", 400),
        ("/elsewhere", "Sec-WebSocket-Protocol: wamp.2.json\r\n", 404),
        // With nothing configured, a page of somewhere else may not read the whole history.
        (
            "/ws",
            "Sec-WebSocket-Protocol: wamp.2.json\r\nOrigin: http://localhost:3000\r\n",
            101,
        ),
        (
            "/ws",
            "Sec-WebSocket-Protocol: wamp.2.json\r\nOrigin: http://127.0.0.1\r\n",
            101,
        ),
        (
            "/ws",
            "Sec-WebSocket-Protocol: wamp.2.json\r\nOrigin: https://example.com\r\n",
            403,
        ),
        (
            "/ws",
            "Sec-WebSocket-Protocol: wamp.2.json\r\nOrigin: null\r\n",
            403,
        ),
        (
            "/ws",
            "Sec-WebSocket-Protocol: wamp.2.json\r\nOrigin: http://localhost.evil.com\r\n",
            403,
        ),
    ] {
        let (_, answer) = upgrade(&node, path, headers);
        let line = answer.lines().next().unwrap_or_default();
        assert!(
            line.contains(&format!(" {status} ")),
            "{path} {headers:?} got {line:?}"
        );
    }
    nobody_else_notices(&node);
}

#[test]
fn frames_that_break_the_rules_end_the_connection_with_their_code() {
    let node = open_node();
    let good = hello("realm1").to_string();
    let unmasked = [&[TEXT, 2][..], b"[]"].concat();
    let too_long = [&[TEXT, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat();
    for (what, subprotocol, bytes, expected) in [
        ("no mask", "json", unmasked, PROTOCOL_ERROR),
        ("reserved opcode", "json", frame(0x83, b""), PROTOCOL_ERROR),
        (
            "reserved bit",
            "json",
            frame(0xc1, good.as_bytes()),
            PROTOCOL_ERROR,
        ),
        ("fragmented ping", "json", frame(0x09, b""), PROTOCOL_ERROR),
        ("long ping", "json", frame(0x89, &[0; 126]), PROTOCOL_ERROR),
        (
            "lone continuation",
            "json",
            frame(0x80, b"[]"),
            PROTOCOL_ERROR,
        ),
        ("a tebibyte", "json", too_long, TOO_BIG),
        (
            "binary JSON",
            "json",
            frame(BINARY, good.as_bytes()),
            UNSUPPORTED,
        ),
        ("text CBOR", "cbor", frame(TEXT, b"abc"), UNSUPPORTED),
    ] {
        let mut stream = websocket(&node, subprotocol);
        stream.write_all(&bytes).expect("sent");
        let (_, code) = farewell(&mut stream);
        assert_eq!(code, Some(expected), "{what}");
        nobody_else_notices(&node);
    }
}

#[test]
fn a_good_frame_with_a_bad_message_is_aborted_in_words() {
    let node = open_node();
    for text in [
        &b"[1, \"\xff\xfe\"]"[..],
        b"[1",
        b"{}",
        b"[32, 1, {}, \"com.a\"]",
    ] {
        let mut stream = websocket(&node, "json");
        stream.write_all(&frame(TEXT, text)).expect("sent");
        let (said, code) = farewell(&mut stream);
        assert!(
            said.contains("wamp.error.protocol_violation"),
            "{text:?} got {said:?}"
        );
        assert!(code.is_some(), "{text:?}: no close frame");
        nobody_else_notices(&node);
    }
}

/// A frame with a mask of zeros, which leaves the payload as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0xfe);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn websocket(node: &Node, subprotocol: &str) -> TcpStream {
    let headers = format!("Sec-WebSocket-Protocol: wamp.2.{subprotocol}\r\n");
    let (stream, answer) = upgrade(node, "/ws", &headers);
    assert!(answer.contains(" 101 "), "{answer}");
    stream
}

/// The connection after the request for a WebSocket, and the head of the answer.
fn upgrade(node: &Node, path: &str, headers: &str) -> (TcpStream, String) {
    let mut stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, node.ports.ws)).expect("somebody listens");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
        node.ports.ws
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("an answer") == 1 {
        head.push(byte[0]);
    }
    (stream, String::from_utf8_lossy(&head).into_owned())
}

/// What the node says before it ends the connection, and the code of its close frame.
fn farewell(stream: &mut TcpStream) -> (String, Option<u16>) {
    let mut said = String::new();
    while let Some((opcode, payload)) = next_frame(stream) {
        match (opcode, payload.as_slice()) {
            (0x88, &[high, low, ..]) => return (said, Some(u16::from_be_bytes([high, low]))),
            _ => said.push_str(&String::from_utf8_lossy(&payload)),
        }
    }
    (said, None)
}

fn next_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).ok()?;
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).ok()?;
    Some((head[0], payload))
}

fn nobody_else_notices(node: &Node) {
    let mut client = Client::join(node.ports.raw).expect("a session");
    let count = client.call("wamp.session.count", json!([]), json!({}));
    assert!(count.expect("an answer").is_u64());
}

fn open_node() -> Node {
    Node::start(|ports| {
        let store = json!({"type": "memory", "event-history": [{"uri": "com.kept"}]});
        let realms = json!([node::open_realm(store)]);
        node::config(ports, realms, &node::anonymous())
    })
}
