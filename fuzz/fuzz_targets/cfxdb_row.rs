//! Rows of `cfxdb` stores. Run with `cargo fuzz run cfxdb_row`, see `fuzz/README.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rewamp_history::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::cfxdb_row(input));
