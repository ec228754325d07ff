//! Rules of the house that a program can check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATES: [&str; 5] = ["src", "actors/src", "history/src", "wamp/src", "bench/src"];

/// Lines of a file before its tests, at most: about 500. Tables are the exception that is named.
const LINES: usize = 520;
const TABLES: [&str; 1] = ["actors/src/metrics/table.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in CRATES {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "only {} files found", files.len());
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.contains("/contract/") || name.ends_with("tests.rs")
}

#[test]
fn every_file_says_what_it_is() {
    let without: Vec<_> = sources()
        .into_iter()
        .filter(|(name, text)| !is_test(name) && !text.starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert!(without.is_empty(), "no `//!` at the head of {without:?}");
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(name, _)| !is_test(name) && !TABLES.contains(&name.as_str()))
        .map(|(name, text)| {
            (
                name,
                text.lines()
                    .take_while(|l| !l.starts_with("#[cfg(test)]"))
                    .count(),
            )
        })
        .filter(|(_, lines)| *lines > LINES)
        .collect();
    assert!(
        long.is_empty(),
        "more than {LINES} lines before their tests: {long:?}"
    );
}

#[test]
fn a_files_name_tells_what_is_in_it() {
    for (name, _) in sources() {
        let stem = Path::new(&name)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let says_nothing = [
            "utils", "util", "helpers", "common", "manager", "types", "mod", "misc",
        ];
        assert!(!says_nothing.contains(&stem.as_str()), "{name}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (name, text) in sources() {
        for word in ["TODO", "FIXME", "todo!(", "unimplemented!("] {
            assert!(!text.contains(word), "{name} has {word}");
        }
    }
}

#[test]
fn only_the_clock_reads_the_system_time() {
    for (name, text) in sources() {
        let reads = text.contains("SystemTime::now()");
        assert!(
            !reads || name == "actors/src/clock.rs" || is_test(&name),
            "{name}"
        );
    }
}

#[test]
fn the_protocol_crate_knows_no_io_and_no_async() {
    for krate in ["tokio", "actix", "mio", "socket2"] {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "-q",
                "--offline",
                "-p",
                "rewamp-wamp",
                "-e",
                "normal",
                "--prefix",
                "none",
            ])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(tree.contains("bytes"), "{tree}");
        assert!(
            !tree
                .lines()
                .any(|line| line.starts_with(&format!("{krate} "))),
            "{krate}"
        );
    }
}

#[test]
fn every_metric_is_documented_by_its_row() {
    for metric in rewamp_actors::metrics::TABLE {
        assert!(metric.help.len() > 10, "{}", metric.name);
        assert!(
            metric
                .name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_'),
            "{}",
            metric.name
        );
    }
}
