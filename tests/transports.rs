//! Where clients come in, from outside: Unix sockets, fragments and pings, pages that are not
//! there, a client that does not read, and ports that somebody else has.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::client::{Client, code, hello};
use crate::harness::deadline::{SOON, within};
use crate::harness::node::{self, Node, Ports};

pub(crate) const TEXT: u8 = 0x81;
const CONTINUED_TEXT: u8 = 0x01;
const LAST_PART: u8 = 0x80;
const PING: u8 = 0x89;

#[test]
fn a_websocket_message_may_come_in_parts_with_a_ping_between() {
    let node = Node::start(plain);
    let mut stream = websocket(&node);
    let hello = hello("realm1").to_string();
    let (one, two) = hello.as_bytes().split_at(7);
    let sent = [
        frame(CONTINUED_TEXT, one),
        frame(PING, b"there?"),
        frame(0x00, b""),
        frame(LAST_PART, two),
    ];
    // Byte by byte, so that no two parts share a read.
    for byte in sent.concat() {
        stream.write_all(&[byte]).expect("sent");
    }
    assert_eq!(next_frame(&mut stream), (0x8a, b"there?".to_vec()));
    let (first, welcome) = next_frame(&mut stream);
    let welcome: Value = serde_json::from_slice(&welcome).expect("JSON");
    assert_eq!((first, &welcome[0]), (TEXT, &json!(code::WELCOME)));
}

#[test]
fn a_rawsocket_ping_is_answered_with_its_own_payload() {
    let node = Node::start(plain);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.ports.raw)).expect("a listener");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    stream
        .write_all(&[0x7f, 0xf1, 0, 0, 1, 0, 0, 3, b'a', b'b', b'c'])
        .expect("sent");
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, [0x7f, 0xf1, 0, 0, 2, 0, 0, 3, b'a', b'b', b'c']);
}

#[test]
fn every_web_path_says_what_it_is() {
    let node = Node::start(|ports| {
        let mut config = plain(ports);
        config["workers"][0]["transports"][0]["paths"]["files"] =
            json!({"type": "static", "directory": "."});
        config
    });
    for (path, status, says) in [
        ("/ws", 426, "WAMP over WebSocket"),
        ("/files/index.html", 501, "`static`, is not built"),
        ("/elsewhere", 404, "nothing here"),
    ] {
        let (code, body) = node::http_get(node.ports.ws, path).expect("an answer");
        assert_eq!(code, status, "{path}");
        assert!(body.contains(says), "{path} says {body:?}");
    }
}

#[test]
fn a_unix_socket_takes_sessions_also_after_its_last_owner_was_killed() {
    let mut node = Node::start(|ports| {
        let mut config = plain(ports);
        config["workers"][0]["transports"][1]["endpoint"] =
            json!({"type": "unix", "path": "node.sock"});
        config
    });
    let path = node.dir().join("node.sock");
    joins_over(&path);
    node.kill();
    assert!(path.exists(), "a killed process cannot tidy up");
    node.restart();
    joins_over(&path);
    assert!(node.stop().success());
    assert!(!path.exists(), "a stopped node leaves no socket behind");
}

#[test]
fn one_port_takes_rawsockets_websockets_and_http() {
    let node = Node::start(|ports| {
        let mut config = plain(ports);
        let transports = &mut config["workers"][0]["transports"];
        let mut both = transports[0].clone();
        both["type"] = json!("universal");
        both["websocket"] = json!({"ws": both["paths"]["ws"]});
        both["web"] = json!({"paths": {}, "options": {"client_timeout": 1}});
        both["rawsocket"] = json!({"serializers": ["json", "msgpack"]});
        both.as_object_mut().expect("an object").remove("paths");
        let mut over_unix = both.clone();
        over_unix["endpoint"] = json!({"type": "unix", "path": "node.sock"});
        transports[0] = both;
        transports[1] = over_unix;
        config
    });
    websocket(&node);
    let connect = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.ports.ws)).expect("a listener");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        stream
    };
    joins(connect());
    joins_over(&node.dir().join("node.sock"));
    let (code, body) = node::http_get(node.ports.ws, "/elsewhere").expect("an answer");
    assert_eq!((code, body.contains("nothing here")), (404, true), "{body}");

    let mut cbor = connect();
    cbor.write_all(&[0x7f, 0xf3, 0, 0]).expect("sent");
    let mut refusal = [0; 4];
    cbor.read_exact(&mut refusal).expect("a refusal");
    assert_eq!(refusal, [0x7f, 0x10, 0, 0], "CBOR is not configured here");

    let mut silent = connect();
    let end = silent.read(&mut [0]);
    assert!(
        matches!(end, Ok(0)),
        "a client that says nothing is left alone: {end:?}"
    );
}

#[test]
fn a_taken_port_stops_the_start_and_is_named_with_its_key() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ports = Ports {
        ws: port,
        raw: port,
        admin: port,
    };
    let mut config = plain(&ports);
    config["workers"][0]["transports"] = json!([config["workers"][0]["transports"][0]]);
    config["rewamp"] = json!({});
    fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    let ended = Command::new(env!("CARGO_BIN_EXE_rewamp"))
        .args(["start", "--config", "config.json"])
        .current_dir(dir.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert!(
        said.contains("workers[0].transports[0].endpoint.port"),
        "{said}"
    );
}

#[test]
fn a_client_that_stops_reading_is_cut_and_leaves_no_socket() {
    for over in ["raw", "ws"] {
        let node = Node::start(|ports| {
            let mut config = plain(ports);
            config["workers"][0]["realms"][0]["rewamp"] = json!({"outbox_bytes": 1_000_000});
            config
        });
        let mut deaf = deaf_subscriber(&node, over);
        let ports = (
            deaf.peer_addr().expect("an address").port(),
            deaf.local_addr().expect("an address").port(),
        );
        let socket = kernel_socket(ports).expect("the kernel knows both ends");
        assert!(has_open(&node, &socket));
        let mut publisher = Client::join(node.ports.raw).expect("a session");
        let text = "x".repeat(100_000);
        // Far more than outbox and kernel buffers hold; every publication is acknowledged, so the
        // deaf one holds nobody up.
        for _ in 0..200 {
            let request = publisher.request();
            let options = json!({"acknowledge": true});
            publisher
                .send(&json!([
                    code::PUBLISH,
                    request,
                    options,
                    "com.flood",
                    [text]
                ]))
                .expect("sent");
            publisher.flush().expect("sent");
            let answer = publisher.receive().expect("an answer");
            assert_eq!(answer[0], json!(code::PUBLISHED), "{answer}");
        }
        drop(publisher);
        within(SOON, "the cut client's socket is gone", || {
            (!has_open(&node, &socket) && kernel_socket(ports).is_none()).then_some(())
        });
        let mut rest = Vec::new();
        assert!(
            deaf.read_to_end(&mut rest).is_err(),
            "over {over}: cut, not closed"
        );
        let (_, metrics) = node.admin("/metrics").expect("metrics");
        assert!(
            metrics.contains("rewamp_cut_slow_consumers_total{realm=\"realm1\"} 1"),
            "{metrics}"
        );
    }
}

/// A session that subscribes to what comes and never reads it.
fn deaf_subscriber(node: &Node, over: &str) -> TcpStream {
    let subscribe = json!([32, 1, {}, "com.flood"]).to_string();
    let hello = hello("realm1").to_string();
    let mut stream = if over == "ws" {
        let mut stream = websocket(node);
        stream
            .write_all(&frame(TEXT, hello.as_bytes()))
            .expect("sent");
        stream
            .write_all(&frame(TEXT, subscribe.as_bytes()))
            .expect("sent");
        stream
    } else {
        let mut stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, node.ports.raw)).expect("a listener");
        stream.write_all(&[0x7f, 0xf1, 0, 0]).expect("sent");
        stream.read_exact(&mut [0; 4]).expect("an answer");
        for message in [&hello, &subscribe] {
            let length = u32::try_from(message.len()).expect("a short message");
            stream.write_all(&length.to_be_bytes()).expect("sent");
            stream.write_all(message.as_bytes()).expect("sent");
        }
        stream
    };
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    // WELCOME and SUBSCRIBED: from here on it is deaf.
    for _ in 0..2 {
        if over == "ws" {
            next_frame(&mut stream);
        } else {
            let mut header = [0; 4];
            stream.read_exact(&mut header).expect("a header");
            let mut message = vec![0; u32::from_be_bytes(header) as usize];
            stream.read_exact(&mut message).expect("a message");
        }
    }
    stream
}

/// Whether the node still has a descriptor of this socket.
fn has_open(node: &Node, socket: &str) -> bool {
    fs::read_dir(format!("/proc/{}/fd", node.pid()))
        .expect("the node runs")
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target.to_string_lossy() == format!("socket:[{socket}]"))
}

/// The number of the socket with these ports, its own and its peer's, as long as the kernel knows
/// it, in whatever state.
fn kernel_socket((own, peer): (u16, u16)) -> Option<String> {
    let (own, peer) = (format!(":{own:04X}"), format!(":{peer:04X}"));
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields[1].ends_with(&own) && fields[2].ends_with(&peer);
        is_it.then(|| fields[9].to_owned())
    })
}

fn joins_over(path: &Path) {
    let stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    joins(stream);
}

fn joins(mut stream: impl Read + Write) {
    let hello = hello("realm1").to_string();
    let length = u32::try_from(hello.len()).expect("a short message");
    let sent = [
        &[0x7f, 0xf1, 0, 0][..],
        &length.to_be_bytes(),
        hello.as_bytes(),
    ]
    .concat();
    stream.write_all(&sent).expect("sent");
    let mut heads = [0; 8];
    stream
        .read_exact(&mut heads)
        .expect("a handshake and a header");
    let mut welcome = vec![0; u32::from_be_bytes([0, heads[5], heads[6], heads[7]]) as usize];
    stream.read_exact(&mut welcome).expect("a message");
    let welcome: Value = serde_json::from_slice(&welcome).expect("JSON");
    assert_eq!(welcome[0], json!(code::WELCOME));
}

pub(crate) fn websocket(node: &Node) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.ports.ws)).expect("a listener");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// A frame with a mask of zeros, which leaves the payload as it is.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u64;
    let long = length.to_be_bytes();
    let (short, long) = match length {
        0..126 => (long[7], &long[..0]),
        126..0x1_0000 => (126, &long[6..]),
        _ => (127, &long[..]),
    };
    [&[first, 0x80 | short], long, &[0; 4], payload].concat()
}

pub(crate) fn next_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).expect("its length");
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).expect("its payload");
    (head[0], payload)
}

fn plain(ports: &Ports) -> Value {
    let store = json!({"type": "memory", "event-history": [{"uri": "com.kept"}]});
    node::config(ports, json!([node::open_realm(store)]), &node::anonymous())
}
