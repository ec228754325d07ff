//! Bounded runs of the fuzz targets: damaged messages and values, and bytes that mean nothing.

use proptest::prelude::*;

use super::*;

/// Well-formed beginnings to damage: an array as JSON, in every serializer.
const SEEDS: [&str; 9] = [
    r#"[16,7,{},"com.a",["a",1]]"#,
    r#"[48,70000,{},"com.a",[{"a":[1.5,null]}],{"b":"c"}]"#,
    r#"[70,7,{},[1]]"#,
    r#"[16,7,{"acknowledge":true,"exclude":[1],"_x":{"y":[1.5,null]}},"com.a",["a",-3,1e2,{"b":[[]]}],{"c":"\u0000AAE="}]"#,
    r#"[36,5,6,{"topic":"com.a","retained":true},[],{}]"#,
    r#"[1,"realm1",{"roles":{"caller":{"features":{"call_timeout":true}}},"authmethods":["ticket"],"authextra":{}}]"#,
    r#"[48,7,{"timeout":5},"com.a",["\ud83d\ude00\"\\\n\u00e9"],{"":18446744073709551615}]"#,
    r#"[35,0,{"subscription":5,"reason":"gone"}]"#,
    r#"[8,48,7,{},"com.e",[-9223372036854775808,-0.0,4.9e-324]]"#,
];

fn seed(serializer: Serializer) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(SEEDS.to_vec()).prop_map(move |text| {
        let bytes = Bytes::from_static(text.as_bytes());
        let value = read_value(Serializer::Json, &bytes, &Limits::default()).unwrap();
        let mut out = BytesMut::new();
        append_value(serializer, &value, &mut out).unwrap();
        out.to_vec()
    })
}

/// A seed with some bytes replaced, removed or put in; bytes that mean something are likelier.
fn damaged(serializer: Serializer) -> impl Strategy<Value = Vec<u8>> {
    let telling =
        b"[]{}\",:\\u0 -1.e\x00\x90\x91\xc0\xc4\xd4\x80\x9f\xbf\xff\xf7\xfb\xa1\x7f\x5f\xc1";
    let byte = prop_oneof![any::<u8>(), prop::sample::select(telling.to_vec())];
    let change = (any::<prop::sample::Index>(), 0..3_u8, byte);
    (seed(serializer), prop::collection::vec(change, 0..4)).prop_map(|(mut bytes, changes)| {
        for (at, how, byte) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 => bytes.insert(at.min(bytes.len()), byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        bytes
    })
}

fn serializer() -> impl Strategy<Value = Serializer> {
    prop::sample::select(Serializer::ALL.to_vec())
}

fn input() -> impl Strategy<Value = (Serializer, Vec<u8>)> {
    serializer().prop_flat_map(|serializer| {
        let noise = prop::collection::vec(any::<u8>(), 0..32);
        (
            Just(serializer),
            prop_oneof![6 => damaged(serializer), 1 => noise],
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_message_is_refused_or_comes_out_as_it_went_in((serializer, bytes) in input()) {
        message(serializer, &bytes);
    }

    #[test]
    fn any_value_is_refused_or_comes_out_as_it_went_in((serializer, bytes) in input()) {
        value(serializer, &bytes);
    }

    #[test]
    fn any_buffer_is_split_into_the_frames_that_are_in_it(
        bytes in prop::collection::vec(prop_oneof![4 => 0..4_u8, 1 => any::<u8>()], 0..64)
    ) {
        rawsocket(&bytes);
    }

    #[test]
    fn any_handshake_is_refused_or_repeated(second in any::<u8>(), third in 0..2_u8) {
        rawsocket(&[rawsocket::MAGIC, second, third, 0]);
    }

    #[test]
    fn any_uri_is_matched_alike_by_the_map_and_the_matcher(text in "([ab.]{0,6}\n){0,6}") {
        uris(text.as_bytes());
    }

    #[test]
    fn what_serde_json_accepts_is_accepted_and_nothing_else(bytes in damaged(Serializer::Json)) {
        let ours = read_value(Serializer::Json, &Bytes::from(bytes.clone()), &Limits::default());
        match (ours, serde_json::from_slice::<serde_json::Value>(&bytes)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(as_theirs(&ours), as_read(theirs)),
            // A number that is not exactly one of ours: they round it, or call it a fault.
            (Err(TranscodeError::Unrepresentable { .. }), _) => {}
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?} {bytes:?}"),
        }
    }
}

/// As serde_json would have it, with binary data and text told apart.
fn as_theirs(value: &crate::value::Value) -> serde_json::Value {
    use crate::value::Value;
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::Integer(number) => match number.as_u64() {
            Some(number) => number.into(),
            None => number.as_i64().unwrap().into(),
        },
        Value::Float(number) => rounded(*number),
        Value::String(text) => text.to_string().into(),
        Value::Binary(bytes) => format!("binary {bytes:?}").into(),
        Value::List(items) => items.iter().map(as_theirs).collect(),
        Value::Map(dict) => dict
            .iter()
            .map(|(key, value)| (key.to_string(), as_theirs(value)))
            .collect(),
    }
}

/// They may be a unit in the last place off.
fn rounded(number: f64) -> serde_json::Value {
    format!("float {number:.9e}").into()
}

/// With WAMP's convention for binary data.
fn as_read(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => {
            let Some(base64) = text.strip_prefix('\0') else {
                return text.into();
            };
            match base64::Engine::decode(&crate::serializer::BASE64, base64) {
                Ok(bytes) => format!("binary {:?}", Bytes::from(bytes)).into(),
                Err(_) => text.into(),
            }
        }
        serde_json::Value::Number(number) if number.is_f64() => {
            rounded(number.as_f64().unwrap_or_default())
        }
        serde_json::Value::Array(items) => items.into_iter().map(as_read).collect(),
        serde_json::Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (key, as_read(value)))
            .collect(),
        other => other,
    }
}
