//! RawSocket handshakes and frames. Run with `cargo fuzz run rawsocket`, see `fuzz/README.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rewamp_wamp::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::rawsocket(input));
