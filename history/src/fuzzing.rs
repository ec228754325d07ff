//! What must hold for any bytes whatever where stores of others are read: called by the fuzz
//! targets in `fuzz/`, and with a bounded number of inputs by the ordinary tests.

use std::path::Path;

use crate::engine::cfxdb::fuzzing;

/// Bytes in the place of a row of a `cfxdb` store.
pub fn cfxdb_row(input: &[u8]) {
    fuzzing::row(input);
}

/// A `cfxdb` store of which `input` says how it is damaged, made in a folder that nobody else uses.
pub fn cfxdb_file(folder: &Path, input: &[u8]) {
    fuzzing::file(folder, input);
}

#[cfg(test)]
mod tests;
