//! `cfxdb` stores that are damaged. Run with `cargo fuzz run cfxdb_file`, see `fuzz/README.md`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rewamp_history::fuzzing;

fuzz_target!(|input: &[u8]| {
    let folder = format!("rewamp-fuzz-{}", std::process::id());
    fuzzing::cfxdb_file(&std::env::temp_dir().join(folder), input);
});
