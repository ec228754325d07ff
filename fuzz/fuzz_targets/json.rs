//! Messages and values in JSON. Run with `cargo fuzz run json`, see `fuzz/README.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rewamp_wamp::fuzzing;
use rewamp_wamp::serializer::Serializer;

fuzz_target!(|input: &[u8]| {
    fuzzing::message(Serializer::Json, input);
    fuzzing::value(Serializer::Json, input);
});
