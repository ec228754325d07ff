//! URIs, patterns and the map of them. Run with `cargo fuzz run uris`, see `fuzz/README.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rewamp_wamp::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::uris(input));
