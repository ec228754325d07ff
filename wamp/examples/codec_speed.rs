//! How long reading and writing one message takes: `cargo run --release --example codec_speed`.
//! The best of several rounds, in nanoseconds; compare rows of one run only.

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rewamp_wamp::codec::{
    EventHead, InvocationHead, Plain, append_published, append_result, decode, encode,
    encode_framed,
};
use rewamp_wamp::framing::{Framing, Wire};
use rewamp_wamp::id::{PublicationId, RegistrationId, RequestId, SubscriptionId};
use rewamp_wamp::message::{EventDetails, Message};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::uri_map::UriMap;

type Failure = Box<dyn std::error::Error>;

const PUBLISH: &str = r#"[16,239714735,{"acknowledge":true},"com.example.sensor.temperature",["sensor-00042",21.375,"celsius",true,17325],{"source":"bench","sequence":239714735,"ok":true}]"#;

fn main() -> Result<(), Failure> {
    let plain = PUBLISH.replace(r#"{"acknowledge":true}"#, "{}");
    let call = plain.replacen("[16,", "[48,", 1);
    let long = format!(
        r#"[48,239714735,{{}},"com.example.add",["{}"]]"#,
        "x".repeat(128)
    );
    for (name, text) in [
        ("PUBLISH acknowledged", PUBLISH),
        ("PUBLISH", &plain),
        ("CALL", &call),
        ("CALL with one text", &long),
    ] {
        serializers(name, text)?;
    }
    json_oracle();
    uris();
    Ok(())
}

fn serializers(name: &str, text: &str) -> Result<(), Failure> {
    let limits = Limits::default();
    let message = decode(
        Serializer::Json,
        &Bytes::copy_from_slice(text.as_bytes()),
        &limits,
    )?;
    for serializer in Serializer::ALL {
        let mut out = BytesMut::new();
        encode(serializer, &message, &mut out)?;
        let frame = out.split().freeze();
        let row = format!("{name} {serializer}, {} bytes", frame.len());
        report(&format!("decode {row}"), || {
            decode(serializer, &frame, &limits).is_ok()
        });
        let place = 0..frame.len() as u32;
        let mut found = Plain::EMPTY;
        report(&format!("find {row}"), || {
            black_box(&mut found).read_into(serializer, &frame, place.clone(), &limits)
        });
        let own = decode(serializer, &frame, &limits)?;
        let wire = Wire {
            serializer,
            framing: Framing::WebSocket,
        };
        report(&format!("encode {row}"), || {
            out.clear();
            encode_framed(wire, &own, &mut out).is_ok()
        });
        match (own, name) {
            (Message::Publish(publish), "PUBLISH") => events(wire, &publish.payload, &mut out)?,
            (Message::Call(call), "CALL with one text") => calls(wire, &call.payload, &mut out)?,
            _ => {}
        }
    }
    Ok(())
}

fn events(wire: Wire, payload: &Payload, out: &mut BytesMut) -> Result<(), Failure> {
    let publication = PublicationId::new(4_429_313_566_123_456).ok_or("no ID")?;
    let subscription = SubscriptionId::new(5_512_315_355_123_456).ok_or("no ID")?;
    let head = EventHead::new(wire, subscription, &EventDetails::default())?;
    let serializer = wire.serializer;
    report(&format!("encode EVENT {serializer} from its head"), || {
        out.clear();
        head.append(publication, payload, out).is_ok()
    });
    report(&format!("encode PUBLISHED {serializer}"), || {
        out.clear();
        append_published(wire, RequestId::FIRST, publication, out) > 0
    });
    for to in Serializer::ALL.into_iter().filter(|to| *to != serializer) {
        let row = format!(
            "transcode {} bytes {serializer} to {to}",
            payload.tail().len()
        );
        report(&row, || payload.transcode(to).is_ok());
    }
    Ok(())
}

fn calls(wire: Wire, payload: &Payload, out: &mut BytesMut) -> Result<(), Failure> {
    let registration = RegistrationId::new(5_512_315_355_123_456).ok_or("no ID")?;
    let request = RequestId::new(1_234_567).ok_or("no ID")?;
    let (serializer, payload) = (wire.serializer, payload.as_slice());
    let head = InvocationHead::new(wire, registration);
    report(&format!("encode INVOCATION {serializer}"), || {
        out.clear();
        head.append(request, payload, out).is_some()
    });
    report(&format!("encode RESULT {serializer}"), || {
        out.clear();
        append_result(wire, request, payload, out).is_some()
    });
    Ok(())
}

/// What is common elsewhere: only parsing, leaving options and arguments unread, and building a
/// tree.
fn json_oracle() {
    report("serde_json ignoring everything", || {
        serde_json::from_str::<serde::de::IgnoredAny>(PUBLISH).is_ok()
    });
    type Raw<'a> = &'a serde_json::value::RawValue;
    report("serde_json into envelope and raw arguments", || {
        serde_json::from_str::<(u64, u64, Raw<'_>, &str, Raw<'_>, Raw<'_>)>(PUBLISH).is_ok()
    });
    report("serde_json into a Value", || {
        serde_json::from_str::<serde_json::Value>(PUBLISH).is_ok()
    });
}

fn uris() {
    let uri = "com.example.sensor.temperature";
    let mut map = UriMap::new();
    for number in 0..10_000 {
        map.insert(
            &format!("com.example.sensor{number}"),
            MatchPolicy::Exact,
            number,
        );
        map.insert(
            &format!("com.example.sensor{number}."),
            MatchPolicy::Prefix,
            number,
        );
        map.insert(
            &format!("com.example..t{number}"),
            MatchPolicy::Wildcard,
            number,
        );
    }
    map.insert(uri, MatchPolicy::Exact, 0);
    map.insert("com.example.", MatchPolicy::Prefix, 0);
    map.insert("com.example..temperature", MatchPolicy::Wildcard, 0);
    report("match against 30,000 patterns", || {
        let mut found = 0;
        map.for_each_match(uri, |_, _, _| found += 1);
        found == 3
    });
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn report(row: &str, mut work: impl FnMut() -> bool) {
    const TIMES: u32 = 20_000;
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let begins = Instant::now();
        for _ in 0..TIMES {
            assert!(black_box(work()), "{row} failed");
        }
        best = best.min(begins.elapsed().as_nanos() as f64 / f64::from(TIMES));
    }
    println!("{best:8.1} ns  {row}");
}
