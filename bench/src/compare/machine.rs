//! What of the machine and the programs a reader of results has to know. No names, no paths.

use super::servers::{Programs, Server};
use std::fs;
use std::process::Command;
use std::thread;

/// Cores, processor, memory and kernel in one sentence.
pub(crate) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let kib: u64 = field(&read("/proc/meminfo"), "MemTotal")
        .split_ascii_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel
        .trim()
        .split('-')
        .next()
        .unwrap_or_default()
        .to_owned();
    format!(
        "{cores} cores, {processor}, {} GiB, Linux {kernel}",
        kib >> 20
    )
}

/// The version that a program prints of itself.
pub(crate) fn version(programs: &Programs, server: Server) -> Option<String> {
    let argument = match server {
        Server::Rewamp => "version",
        Server::Nats => "--version",
        Server::Crossbar => return Some(crossbar_version(programs)),
        Server::Floor | Server::Sockets => return None,
    };
    let output = Command::new(programs.find(server).ok()?)
        .arg(argument)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(80).collect())
}

/// Starting Crossbar only for its banner takes seconds: the installed package says it.
fn crossbar_version(programs: &Programs) -> String {
    let lib = programs.venv.join("lib");
    fs::read_dir(lib)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|python| fs::read_dir(python.path().join("site-packages")).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .find_map(|name| {
            Some(
                name.strip_prefix("crossbar-")?
                    .strip_suffix(".dist-info")?
                    .to_owned(),
            )
        })
        .unwrap_or_else(|| "unknown version".to_owned())
}

fn field(text: &str, name: &str) -> String {
    text.lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        assert_eq!(field("a b\t: x y\nc: 1 kB\n", "a b"), "x y");
        assert_eq!(field("a b\t: x y\nc: 1 kB\n", "c"), "1 kB");
        assert_eq!(field("", "c"), "");
    }
}
