//! Bounded runs of the fuzz targets.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;

/// How long a test tries inputs, at most.
const WHILE: Duration = Duration::from_secs(2);

/// Tries inputs as long as there is time. `REWAMP_FUZZ_SECONDS` gives it more.
fn each(inputs: &impl Strategy<Value = Vec<u8>>, body: impl Fn(&[u8])) {
    let more = std::env::var("REWAMP_FUZZ_SECONDS").ok();
    let more = more.and_then(|text| text.parse().ok().map(Duration::from_secs));
    let begin = Instant::now();
    let mut runner = TestRunner::default();
    let mut tried = 0;
    while tried < 20 || begin.elapsed() < more.unwrap_or(WHILE) {
        let input = inputs.new_tree(&mut runner).unwrap().current();
        let text = format!("{input:?}");
        let whole = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&input)));
        assert!(whole.is_ok(), "input {text}");
        tried += 1;
    }
    println!("{tried} inputs");
}

#[test]
fn a_damaged_row_is_refused_or_read() {
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    each(&noise, cfxdb_row);
}

#[test]
fn a_damaged_store_is_refused_or_used() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let changes = prop::collection::vec(any::<u8>(), 8..40);
    each(&changes, |input| {
        // What ends the process says nothing more: the input is kept beside.
        std::fs::write(folder.path().join("input"), format!("{input:?}")).unwrap();
        cfxdb_file(folder.path(), input);
    });
}
