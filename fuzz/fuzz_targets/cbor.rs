//! Messages and values in CBOR. Run with `cargo fuzz run cbor`, see `fuzz/README.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rewamp_wamp::fuzzing;
use rewamp_wamp::serializer::Serializer;

fuzz_target!(|input: &[u8]| {
    fuzzing::message(Serializer::Cbor, input);
    fuzzing::value(Serializer::Cbor, input);
});
