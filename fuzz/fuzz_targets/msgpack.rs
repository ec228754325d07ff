//! Messages and values in MessagePack. Run with `cargo fuzz run msgpack`, see `fuzz/README.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rewamp_wamp::fuzzing;
use rewamp_wamp::serializer::Serializer;

fuzz_target!(|input: &[u8]| {
    fuzzing::message(Serializer::MsgPack, input);
    fuzzing::value(Serializer::MsgPack, input);
});
