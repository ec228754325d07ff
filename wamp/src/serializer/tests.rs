//! Values and payloads through every serializer and between every two of them.

use proptest::prelude::*;

use super::*;
use crate::payload::Payload;
use crate::value::{Dict, Integer};

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        8 => "\\PC{0,40}",
        2 => any::<String>(),
        // Looks like binary data in JSON; sometimes is.
        1 => "\0[a-zA-Z0-9+/]{0,8}={0,2}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        integer().prop_map(Value::Integer),
        float().prop_map(Value::Float),
        text.clone().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Bytes::from(bytes).into()),
    ];
    leaf.prop_recursive(4, 64, 20, move |inner| {
        let entry = (text.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..20).prop_map(Value::List),
            prop::collection::vec(entry, 0..20).prop_map(|entries| {
                let mut dict = Dict::new();
                for (key, value) in entries {
                    dict.insert(key, value);
                }
                Value::Map(dict)
            }),
        ]
    })
}

/// Near the borders of every width as often as anywhere else.
fn integer() -> impl Strategy<Value = Integer> {
    let border = (0..64_u32, -2..=2_i64, any::<bool>()).prop_map(|(width, offset, negative)| {
        let power = 1_u64 << width;
        match negative {
            true => Integer::from((power as i64).wrapping_neg().wrapping_add(offset)),
            false => Integer::from(power.wrapping_add_signed(offset)),
        }
    });
    prop_oneof![
        any::<u64>().prop_map(Integer::from),
        any::<i64>().prop_map(Integer::from),
        border
    ]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        prop::sample::select(vec![0.0, -0.0, 1.0, 1e16, 1e300, f64::INFINITY])
    ]
}

/// What JSON cannot express: numbers that are not finite, text that means binary data.
fn is_beyond_json(value: &Value) -> bool {
    match value {
        Value::Float(number) => !number.is_finite(),
        Value::String(text) => {
            let base64 = text.strip_prefix('\0');
            base64.is_some_and(|base64| base64::Engine::decode(&BASE64, base64).is_ok())
        }
        Value::List(items) => items.iter().any(is_beyond_json),
        Value::Map(dict) => dict.iter().any(|(_, value)| is_beyond_json(value)),
        _ => false,
    }
}

/// Equal down to the bits of floats.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => one.to_bits() == other.to_bits(),
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            let pairs = one.iter().zip(other.iter());
            one.len() == other.len()
                && pairs
                    .into_iter()
                    .all(|(one, other)| one.0 == other.0 && same(one.1, other.1))
        }
        _ => one == other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_written_is_read_again_unchanged(value in value()) {
        for serializer in Serializer::ALL {
            let mut out = BytesMut::from("before");
            let written = append_value(serializer, &value, &mut out);
            let beyond = serializer == Serializer::Json && is_beyond_json(&value);
            prop_assert_eq!(written.is_err(), beyond, "{:?}", written);
            let bytes = out.split_off(6).freeze();
            prop_assert_eq!(&out[..], b"before");
            if beyond {
                prop_assert!(bytes.is_empty());
                continue;
            }
            let read = read_value(serializer, &bytes, &Limits::default()).unwrap();
            prop_assert!(same(&read, &value), "{serializer}: {value:?} became {read:?}");
        }
    }

    #[test]
    fn a_payload_says_the_same_in_every_serializer(
        args in prop::option::of(prop::collection::vec(value(), 0..4)),
        kwargs in prop::option::of(value()),
    ) {
        let kwargs = match kwargs {
            Some(Value::Map(dict)) => Some(dict),
            other => other.map(|value| Dict::from([("value", value)])),
        };
        let beyond = args.iter().flatten().any(is_beyond_json)
            || kwargs.iter().any(|kwargs| is_beyond_json(&Value::Map(kwargs.clone())));
        for from in Serializer::ALL {
            let payload = Payload::from_values(from, args.as_deref(), kwargs.as_ref());
            if from == Serializer::Json && beyond {
                prop_assert!(payload.is_err());
                continue;
            }
            let payload = payload.unwrap();
            for to in Serializer::ALL {
                let other = payload.transcode(to);
                if to == Serializer::Json && beyond {
                    prop_assert!(other.is_err());
                    continue;
                }
                let direct = Payload::from_values(to, args.as_deref(), kwargs.as_ref()).unwrap();
                prop_assert_eq!(&other.unwrap(), &direct, "{} to {}", from, to);
            }
        }
    }
}

fn hexadecimal(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn check_transcode(from: Serializer, bytes: &Bytes, to: Serializer, expected: &str) {
    let payload = Payload::from_raw(from, Some(bytes), None, &Limits::default()).unwrap();
    let answer = match payload.transcode(to) {
        Ok(other) if to == Serializer::Json => String::from_utf8(other.tail().to_vec()).unwrap(),
        Ok(other) => other
            .tail()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        Err(error) => error.to_string(),
    };
    assert_eq!(answer, expected, "{bytes:x?} from {from} to {to}");
}

#[test]
fn what_only_one_format_has_is_transcoded_exactly_or_refused() {
    use Serializer::{Cbor, Json, MsgPack};
    for (from, bytes, to, expected) in [
        // Undefined is null.
        (MsgPack, "91 d40000", Json, "[null]"),
        (Cbor, "81 f7", MsgPack, "91c0"),
        // Floats of any width are doubles, and stay floats.
        (MsgPack, "91 ca3fc00000", Json, "[1.5]"),
        (Cbor, "81 f93c00", Json, "[1.0]"),
        (Cbor, "81 f93c00", MsgPack, "91cb3ff0000000000000"),
        // Indefinite lengths within one another, and strings in chunks.
        (
            Cbor,
            "9f 9f01ff bf 61619f0203ff ff 7f61616162ff 5f4101ff ff",
            MsgPack,
            "94910181a161920203a26162c40101",
        ),
        (Cbor, "9f 82019f02ff ff", Json, "[[1,[2]]]"),
        // Refused.
        (
            MsgPack,
            "92 01 d40500",
            Json,
            "args[1]: a MessagePack extension cannot be expressed in json",
        ),
        (
            MsgPack,
            "91 810101",
            Cbor,
            "args[0]: a key that is not a string cannot be expressed in cbor",
        ),
        (
            Cbor,
            "81 c0 63323031",
            MsgPack,
            "args[0]: a CBOR tag cannot be expressed in msgpack",
        ),
        (
            Cbor,
            "81 3bffffffffffffffff",
            Json,
            "args[0]: an integer of more than 64 bits cannot be expressed in json",
        ),
        (
            Cbor,
            "81 f97e00",
            Json,
            "args[0]: a number that is not finite cannot be expressed in json",
        ),
        (
            Cbor,
            "81 a1616b e0",
            Json,
            "args[0].k: a CBOR simple value cannot be expressed in json",
        ),
        (
            MsgPack,
            "91 a500 59574a6a",
            Json,
            "args[0]: text of NUL and base64, which would be read as binary data, cannot be expressed in json",
        ),
    ] {
        let bytes = hexadecimal(bytes);
        check_transcode(from, &bytes, to, expected);
    }
    let json = |text: &'static str| Bytes::from_static(text.as_bytes());
    check_transcode(
        Json,
        &json("[1e400]"),
        Cbor,
        "args[0]: a number beyond a double cannot be expressed in cbor",
    );
    check_transcode(
        Json,
        &json("[18446744073709551616]"),
        Cbor,
        "args[0]: an integer of more than 64 bits cannot be expressed in cbor",
    );
    check_transcode(
        Json,
        &json("[-0, 1.0, 1]"),
        Cbor,
        "83fb8000000000000000fb3ff000000000000001",
    );
    check_transcode(
        Json,
        &json(r#"["\u0000AAE", "\u0000!"]"#),
        MsgPack,
        "92c4020001a20021",
    );
}

#[test]
fn a_long_list_gets_the_shortest_head_although_json_does_not_tell_its_length() {
    for (items, head) in [(15, "9f"), (16, "dc0010"), (65_536, "dd00010000")] {
        let text = format!("[{}]", vec!["1"; items].join(","));
        let payload = Payload::from_raw(
            Serializer::Json,
            Some(text.as_bytes()),
            None,
            &Limits::default(),
        );
        let other = payload.unwrap().transcode(Serializer::MsgPack).unwrap();
        let mut expected = hexadecimal(head).to_vec();
        expected.extend(vec![1; items]);
        assert_eq!(other.tail(), &expected);
    }
}

#[test]
fn a_length_that_cannot_be_is_refused_before_anything_is_made_of_it() {
    for (serializer, bytes) in [
        (Serializer::MsgPack, "ddffffffff"),
        (Serializer::MsgPack, "df7fffffff 0101"),
        (Serializer::MsgPack, "dbffffffff"),
        (Serializer::Cbor, "9bffffffffffffffff"),
        (Serializer::Cbor, "bb7fffffffffffffff 0101"),
        (Serializer::Cbor, "7bffffffffffffffff"),
    ] {
        let bytes = hexadecimal(bytes);
        let answer = read_value(serializer, &bytes, &Limits::default());
        let cut_short = matches!(
            answer,
            Err(TranscodeError::Malformed {
                what: "the data ends too early",
                ..
            })
        );
        assert!(cut_short, "{bytes:x?} {answer:?}");
        assert!(inspect(serializer, &bytes, &Limits::default()).is_err());
    }
}

#[test]
fn nesting_is_allowed_up_to_the_limit_and_no_further() {
    let limits = Limits::default().with_nesting(5);
    let nested = |open: &str, close: &str, depth| {
        [open.repeat(depth), "01".into(), close.repeat(depth)].concat()
    };
    for depth in 4..=6 {
        for (serializer, bytes) in [
            (
                Serializer::Json,
                Bytes::from(nested("[", "]", depth).replace("01", "1")),
            ),
            (
                Serializer::Json,
                Bytes::from(nested("{\"a\":", "}", depth).replace("01", "1")),
            ),
            (Serializer::MsgPack, hexadecimal(&nested("91", "", depth))),
            (
                Serializer::MsgPack,
                hexadecimal(&nested("81a161", "", depth)),
            ),
            (Serializer::Cbor, hexadecimal(&nested("81", "", depth))),
            (Serializer::Cbor, hexadecimal(&nested("9f", "ff", depth))),
            (
                Serializer::Cbor,
                hexadecimal(&nested("bf6161", "ff", depth)),
            ),
        ] {
            let allowed = depth <= 5;
            assert_eq!(
                inspect(serializer, &bytes, &limits).is_ok(),
                allowed,
                "{bytes:?}"
            );
            let read = read_value(serializer, &bytes, &limits);
            assert_eq!(read.is_ok(), allowed, "{bytes:?}");
            assert!(allowed || matches!(read, Err(TranscodeError::TooDeep { .. })));
        }
    }
}

#[test]
fn tags_nest_as_lists_do() {
    let limits = Limits::default().with_nesting(5);
    for (bytes, allowed) in [
        ("c1c1c1c1c1 01", true),
        ("c1c1c1c1c1c1 01", false),
        ("c1c1c1 81c1c1 01", false),
        ("c1c1 81c1c1 01", true),
    ] {
        let answer = inspect(Serializer::Cbor, &hexadecimal(bytes), &limits);
        assert_eq!(answer.is_ok(), allowed, "{bytes}");
    }
}

#[test]
fn json_that_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "tru",
        "nul",
        "+1",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "[",
        "{",
        "]",
        "[}",
        "{]",
        "1 1",
        "'a'",
        "NaN",
        "[1}",
        "\u{feff}1",
    ] {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        assert!(
            inspect(Serializer::Json, &bytes, &Limits::default()).is_err(),
            "{text}"
        );
        assert!(
            read_value(Serializer::Json, &bytes, &Limits::default()).is_err(),
            "{text}"
        );
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_err(),
            "{text}"
        );
    }
}

#[test]
fn cbor_and_message_pack_that_are_malformed_are_refused() {
    use Serializer::{Cbor, MsgPack};
    for (serializer, bytes) in [
        (MsgPack, ""),
        (MsgPack, "c1"),
        (MsgPack, "a1ff"),
        (MsgPack, "a2c328"),
        (MsgPack, "cb00"),
        (MsgPack, "0101"),
        (Cbor, ""),
        (Cbor, "ff"),
        (Cbor, "1c"),
        (Cbor, "1f"),
        (Cbor, "df"),
        (Cbor, "61ff"),
        (Cbor, "7f4101ff"),
        (Cbor, "7f7f6161ffff"),
        (Cbor, "bf6161ff"),
        (Cbor, "81ff"),
        (Cbor, "f81f"),
        (Cbor, "9f01"),
        (Cbor, "c0"),
        (Cbor, "c0ff"),
        (Cbor, "0101"),
    ] {
        let bytes = hexadecimal(bytes);
        assert!(
            inspect(serializer, &bytes, &Limits::default()).is_err(),
            "{serializer} {bytes:x?}"
        );
        assert!(
            read_value(serializer, &bytes, &Limits::default()).is_err(),
            "{serializer} {bytes:x?}"
        );
    }
}

#[test]
fn a_tree_takes_as_much_memory_as_the_limit_reckons_with() {
    assert!(size_of::<Value>() <= 40);
}

#[test]
fn ascii_is_told_at_every_length_and_place() {
    for length in 0..100 {
        let mut bytes = vec![0x7f; length];
        assert!(super::is_ascii(&bytes), "{length}");
        for place in 0..length {
            bytes[place] = 0x80;
            assert!(!super::is_ascii(&bytes), "{length} {place}");
            bytes[place] = 0;
        }
    }
}
