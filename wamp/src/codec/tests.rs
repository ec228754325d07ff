//! Messages in every serializer, there and back; what is accepted and what is said otherwise.

mod samples;

use bytes::{Bytes, BytesMut};

use super::{DecodeErrorKind, EventHead, append_published, decode, encode, encode_framed};
use crate::framing::{Framing, Wire};
use crate::id::{PublicationId, RequestId, SubscriptionId};
use crate::message::{EventDetails, Message, MessageType};
use crate::payload::Payload;
use crate::serializer::{Limits, Serializer, append_value, read_value};
use crate::value::Value;

fn json(text: &str) -> Result<Message, Box<super::DecodeError>> {
    decode(
        Serializer::Json,
        &Bytes::copy_from_slice(text.as_bytes()),
        &Limits::default(),
    )
}

/// The same data in another serializer.
fn recoded(text: &str, to: Serializer) -> Bytes {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let value = read_value(Serializer::Json, &bytes, &Limits::default()).unwrap();
    let mut out = BytesMut::new();
    append_value(to, &value, &mut out).unwrap();
    out.freeze()
}

fn check_refused(text: &str, kind: DecodeErrorKind, reason: &str) {
    let error = json(text).unwrap_err();
    assert_eq!(
        (error.kind, error.to_string().as_str()),
        (kind, reason),
        "{text}"
    );
}

#[test]
fn every_message_is_read_from_the_array_of_the_spec_in_every_serializer() {
    for (text, expected) in samples::messages() {
        for serializer in Serializer::ALL {
            let frame = recoded(text, serializer);
            let message = decode(serializer, &frame, &Limits::default());
            let message = message.unwrap_or_else(|error| panic!("{text}: {error}"));
            let expected = samples::in_serializer(&expected, serializer);
            assert_eq!(message, expected, "{text} {serializer}");
        }
    }
}

#[test]
fn every_message_is_written_as_the_array_of_the_spec_in_every_serializer() {
    let mut seen = Vec::new();
    for (text, message) in samples::messages() {
        seen.push(message.message_type());
        for serializer in Serializer::ALL {
            let mut out = BytesMut::from("before");
            encode(serializer, &message, &mut out).unwrap();
            let mut expected = b"before".to_vec();
            expected.extend_from_slice(&recoded(text, serializer));
            assert_eq!(out, expected, "{text} {serializer}");
        }
    }
    for message_type in MessageType::ALL {
        assert!(seen.contains(&message_type), "no sample of {message_type}");
    }
}

#[test]
fn a_message_is_framed_alike_whether_its_head_was_encoded_before_or_not() {
    let (subscription, publication) = (
        SubscriptionId::new(7).unwrap(),
        PublicationId::new(1 << 40).unwrap(),
    );
    let details = EventDetails {
        topic: Some("com.a".into()),
        ..EventDetails::default()
    };
    for wire in Wire::ALL {
        let head = EventHead::new(wire, subscription, &details).unwrap();
        for length in [0, 1, 60, 70, 80, 90, 100, 200, 65_490, 65_520, 70_000] {
            let args = [Value::from("x".repeat(length))];
            let args = (length > 0).then_some(args.as_slice());
            let payload = Payload::from_values(Serializer::MsgPack, args, None).unwrap();
            let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
            let length = head.append(publication, &payload, &mut one).unwrap();
            let message = Message::Event(crate::message::Event {
                subscription,
                publication,
                details: Box::new(details.clone()),
                payload,
            });
            assert_eq!(encode_framed(wire, &message, &mut other), Ok(length));
            assert_eq!(one, other);
            let mut content = BytesMut::new();
            encode(wire.serializer, &message, &mut content).unwrap();
            assert_eq!(content.len(), length);
            assert!(one.ends_with(&content));
            let header = one.len() - length;
            match wire.framing {
                Framing::RawSocket => assert_eq!(header, 4),
                Framing::WebSocket => assert!([2, 4, 10].contains(&header)),
            }
        }
    }
}

#[test]
fn published_is_framed_in_a_few_bytes() {
    let wire = Wire {
        serializer: Serializer::Json,
        framing: Framing::RawSocket,
    };
    let mut out = BytesMut::new();
    let request = RequestId::new(5).unwrap();
    append_published(wire, request, PublicationId::new(6).unwrap(), &mut out);
    assert_eq!(out, b"\0\0\0\x08[17,5,6]".as_slice());
}

#[test]
fn what_cannot_be_expressed_leaves_nothing_behind() {
    let wire = Wire {
        serializer: Serializer::Json,
        framing: Framing::WebSocket,
    };
    let args = [1_u64.into(), Value::List(vec![Value::Float(f64::NAN)])];
    let payload = Payload::from_values(Serializer::Cbor, Some(&args), None).unwrap();
    let head = EventHead::new(wire, SubscriptionId::FIRST, &EventDetails::default()).unwrap();
    let mut out = BytesMut::from("before");
    let error = head
        .append(PublicationId::FIRST, &payload, &mut out)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "EVENT.args[1][0]: a number that is not finite cannot be expressed in json"
    );
    assert_eq!(out, "before");
}

#[test]
fn an_error_names_the_element_what_is_wrong_and_what_is_allowed() {
    use DecodeErrorKind::{Malformed, OverLimit, UnknownType, WrongElement, WrongLength};
    for (text, kind, reason) in [
        ("{}", UnknownType, "a message is a list"),
        ("[]", UnknownType, "a message begins with its type"),
        (
            r#"["16"]"#,
            UnknownType,
            "a message begins with its type, a non-negative integer",
        ),
        ("[337,5]", UnknownType, "there is no message of type 337"),
        (
            r#"[32,1,{}]"#,
            WrongLength,
            "SUBSCRIBE has 3 elements, 4 are needed",
        ),
        (
            r#"[16,1,{}]"#,
            WrongLength,
            "PUBLISH has 3 elements, 4 are needed",
        ),
        (
            r#"[35]"#,
            WrongLength,
            "UNSUBSCRIBED has 1 elements, 2 are needed",
        ),
        (
            r#"[32,1,{},"a",[]]"#,
            WrongLength,
            "SUBSCRIBE has more than 4 elements",
        ),
        (
            r#"[16,1,{},"a",[],{},1]"#,
            WrongLength,
            "PUBLISH has more than 6 elements",
        ),
        (
            r#"[16,1,{"acknowledge":"yes"},"a"]"#,
            WrongElement,
            "PUBLISH.Options.acknowledge: expected a bool, found a string",
        ),
        (
            r#"[16,1,{"acknowledge":1},"a"]"#,
            WrongElement,
            "PUBLISH.Options.acknowledge: expected a bool, found 1",
        ),
        (
            r#"[16,1,[],"a"]"#,
            WrongElement,
            "PUBLISH.Options: expected a map, found a list",
        ),
        (
            r#"[16,0,{},"a"]"#,
            WrongElement,
            "PUBLISH.Request: expected an ID from 1 to 2^53, found 0",
        ),
        (
            r#"[16,9007199254740993,{},"a"]"#,
            WrongElement,
            "PUBLISH.Request: expected an ID from 1 to 2^53, found 9007199254740993",
        ),
        (
            r#"[16,1.5,{},"a"]"#,
            WrongElement,
            "PUBLISH.Request: expected a non-negative integer, found 1.5",
        ),
        (
            r#"[16,1,{},null]"#,
            WrongElement,
            "PUBLISH.Topic: expected a string, found null",
        ),
        (
            r#"[16,1,{},"a",{}]"#,
            WrongElement,
            "PUBLISH.Arguments: expected a list, found a map",
        ),
        (
            r#"[16,1,{},"a",5]"#,
            WrongElement,
            "PUBLISH.Arguments: expected a list",
        ),
        (
            r#"[16,1,{},"a",[],[]]"#,
            WrongElement,
            "PUBLISH.ArgumentsKw: expected a map, found a list",
        ),
        (
            r#"[16,1,{"exclude":[1,"2"]},"a"]"#,
            WrongElement,
            "PUBLISH.Options.exclude: expected a list of IDs, found a string",
        ),
        (
            r#"[32,1,{"match":"regex"},"a"]"#,
            WrongElement,
            "SUBSCRIBE.Options.match: expected \"exact\", \"prefix\" or \"wildcard\", found \"regex\"",
        ),
        (
            r#"[48,1,{"timeout":-1},"a"]"#,
            WrongElement,
            "CALL.Options.timeout: expected a non-negative integer, found -1",
        ),
        (
            r#"[16,1,{"_x":{"y":[18446744073709551616]}},"a"]"#,
            WrongElement,
            "PUBLISH.Options._x.y[0]: an integer of more than 64 bits is not allowed",
        ),
        (
            r#"[35,0,{}]"#,
            WrongElement,
            "UNSUBSCRIBED.Details: `subscription` is needed",
        ),
        (
            r#"[16,1,{},"a",[1,]]"#,
            Malformed,
            "PUBLISH.Arguments: malformed data at byte 16: expected a value",
        ),
        (
            r#"[16,1,{},"\ud800"]"#,
            Malformed,
            "PUBLISH.Topic: malformed data at byte 10: a lone surrogate is not a character",
        ),
        (
            r#"[16,1,{},"a"] 1"#,
            Malformed,
            "malformed data at byte 14: something follows the end",
        ),
        (
            r#"[16,1,{},"a""#,
            Malformed,
            "PUBLISH.Arguments: malformed data at byte 12: the data ends too early",
        ),
        (
            "",
            Malformed,
            "malformed data at byte 0: the data ends too early",
        ),
    ] {
        check_refused(text, kind, reason);
    }
    let deep = format!("[16,1,{{}},\"a\",{}{}]", "[".repeat(130), "]".repeat(130));
    check_refused(
        &deep,
        OverLimit,
        "PUBLISH.Arguments: malformed data at byte 141: nested too deeply",
    );
}

#[test]
fn a_request_that_could_be_read_can_be_answered() {
    let error = json(r#"[48,77,{"timeout":"soon"},"com.a"]"#).unwrap_err();
    assert_eq!(error.message_type, Some(MessageType::Call));
    assert_eq!(error.request, RequestId::new(77));
    let error = json(r#"[48,"77",{},"com.a"]"#).unwrap_err();
    assert_eq!(
        (error.message_type, error.request),
        (Some(MessageType::Call), None)
    );
}

fn check_published(frame: &[u8], serializer: Serializer, expected: &str) {
    let frame = Bytes::copy_from_slice(frame);
    let message = decode(serializer, &frame, &Limits::default());
    let message = message.unwrap_or_else(|error| panic!("{frame:?}: {error}"));
    let mut out = BytesMut::new();
    encode(Serializer::Json, &message, &mut out).unwrap();
    assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
}

#[test]
fn what_widespread_clients_really_send_is_accepted() {
    let plain = r#"[16,7,{},"a"]"#;
    // Null for arguments; options that say nothing.
    check_published(
        br#"[16,7,{"retain":null,"exclude":null},"a",null,null]"#,
        Serializer::Json,
        plain,
    );
    check_published(br#"[16,7,{},"a",null]"#, Serializer::Json, plain);
    check_published(
        br#" [ 16 , 7.0e0 , { "exclude" : [ ] } , "a" ] "#,
        Serializer::Json,
        plain,
    );
    check_published(
        br#"[16,7,{},"a",null,{"b":1}]"#,
        Serializer::Json,
        r#"[16,7,{},"a",[],{"b":1}]"#,
    );
    // Wampy over CBOR: every number a float, `undefined` for what is not given.
    check_published(
        b"\x86\xfb\x40\x30\0\0\0\0\0\0\xf9\x47\0\xa1\x66retain\xf7\x61a\xf7\xf7",
        Serializer::Cbor,
        plain,
    );
    // Wampy over MessagePack: extension type 0.
    check_published(
        b"\x96\x10\x07\x81\xa6retain\xd4\0\0\xa1a\xc0\xd4\0\0",
        Serializer::MsgPack,
        plain,
    );
    // Longer forms than needed, and indefinite lengths.
    check_published(
        b"\xdd\0\0\0\x05\xcd\0\x10\xcf\0\0\0\0\0\0\0\x07\xdf\0\0\0\0\xdb\0\0\0\x01a\xdc\0\x01\x05",
        Serializer::MsgPack,
        r#"[16,7,{},"a",[5]]"#,
    );
    check_published(
        b"\x9f\x18\x10\x07\xbf\xff\x7f\x61a\x60\xff\x9f\x05\x9f\xff\xff\xbf\x61k\xf6\xff\xff",
        Serializer::Cbor,
        r#"[16,7,{},"a",[5,[]],{"k":null}]"#,
    );
}

#[test]
fn of_a_key_that_comes_twice_the_last_counts() {
    check_published(
        br#"[16,7,{"acknowledge":true,"acknowledge":false,"\u0061cknowledge":true},"a"]"#,
        Serializer::Json,
        r#"[16,7,{"acknowledge":true},"a"]"#,
    );
}

#[test]
fn the_payload_is_the_bytes_that_came_in() {
    let frame = Bytes::from_static(br#"[16,7,{},"a",[ 1.50, "\u0041" ] , {"b" : 1e2}]"#);
    let Message::Publish(publish) = decode(Serializer::Json, &frame, &Limits::default()).unwrap()
    else {
        panic!("not a PUBLISH")
    };
    assert_eq!(
        publish.payload.args(),
        Some(br#"[ 1.50, "\u0041" ]"#.as_slice())
    );
    assert_eq!(publish.payload.kwargs(), Some(br#"{"b" : 1e2}"#.as_slice()));
    assert!(
        frame
            .as_ptr_range()
            .contains(&publish.payload.tail().as_ptr()),
        "no copy was made"
    );
    assert!(
        !frame
            .as_ptr_range()
            .contains(&publish.payload.detach().tail().as_ptr())
    );
}

#[test]
fn more_values_than_allowed_are_refused_in_options_and_not_in_arguments() {
    let values = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    let limits = Limits::default().with_values(10);
    for (text, expected) in [
        (format!(r#"[16,1,{{"_x":{}}},"a"]"#, values(9)), None),
        (
            format!(r#"[16,1,{{"_x":{}}},"a"]"#, values(10)),
            Some("PUBLISH.Options._x[9]: more than 10 values"),
        ),
        (
            format!(r#"[16,1,{{"exclude":{}}},"a"]"#, values(11)),
            Some("PUBLISH.Options.exclude: more than 10 values"),
        ),
        (format!(r#"[16,1,{{}},"a",{}]"#, values(100)), None),
    ] {
        let frame = Bytes::from(text.clone());
        let error = decode(Serializer::Json, &frame, &limits).err();
        assert_eq!(
            error.map(|error| error.to_string()).as_deref(),
            expected,
            "{text}"
        );
    }
}
