//! CPU time and memory of a server and everything it started, from /proc.

use rustix::process::{Pid, getpid};
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for a server to put its memory in order, and how long it does not change then.
const SETTLING: Duration = Duration::from_secs(3);
const STILL: Duration = Duration::from_millis(200);

/// The processes of one server.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    pids: Vec<u32>,
}

impl Meter {
    /// `pid` and its descendants, as they are now.
    pub(crate) fn of(pid: u32) -> Self {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for process in numbered("/proc") {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            if let Some(parent) = parent_in(&stat) {
                children.entry(parent).or_default().push(process);
            }
        }
        let mut pids = vec![pid];
        let mut next = 0;
        while let Some(parent) = pids.get(next) {
            pids.extend(children.remove(parent).unwrap_or_default());
            next += 1;
        }
        Self { pids }
    }

    /// This process alone.
    pub(crate) fn own() -> Self {
        Self {
            pids: vec![Pid::as_raw(Some(getpid())).unsigned_abs()],
        }
    }

    /// CPU time in ns of all threads that are alive; `None` when a process is gone.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        self.pids.iter().map(|pid| process_cpu_ns(*pid)).sum()
    }

    /// Resident memory in KiB; `None` when a process is gone.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        self.memory_kib("VmRSS:")
    }

    /// Resident memory in KiB once it no longer changes, or as it is after a while.
    pub(crate) fn settled_kib(&self) -> Option<u64> {
        let begun = Instant::now();
        let mut resident = self.resident_kib()?;
        loop {
            thread::park_timeout(STILL);
            let now = self.resident_kib()?;
            if now == resident || begun.elapsed() > SETTLING {
                return Some(now);
            }
            resident = now;
        }
    }

    /// The most that was resident since `reset_peak` in KiB; `None` when a process is gone.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        self.memory_kib("VmHWM:")
    }

    /// The peak is counted from now on; `None` where the kernel does not let us.
    pub(crate) fn reset_peak(&self) -> Option<()> {
        self.pids
            .iter()
            .try_for_each(|pid| fs::write(format!("/proc/{pid}/clear_refs"), "5").ok())
    }

    fn memory_kib(&self, field: &str) -> Option<u64> {
        let status = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/status")).ok();
        self.pids
            .iter()
            .map(|pid| memory_in(&status(pid)?, field))
            .sum()
    }
}

fn process_cpu_ns(pid: u32) -> Option<u64> {
    let mut total = 0;
    let mut seen = false;
    for task in numbered(&format!("/proc/{pid}/task")) {
        // A thread that ended in between is missing here as it is in every later reading.
        let path = format!("/proc/{pid}/task/{task}/schedstat");
        if let Some(run) = fs::read_to_string(path)
            .ok()
            .as_deref()
            .and_then(run_time_in)
        {
            total += run;
            seen = true;
        }
    }
    seen.then_some(total)
}

fn numbered(folder: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Time on a CPU in ns: the first field of `schedstat`.
fn run_time_in(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// The parent in `stat`, whose second field may hold spaces and brackets.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A size in `status`.
fn memory_in(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_where_the_kernel_writes_them() {
        assert_eq!(parent_in("12 (a b) c) S 7 12 12 0"), Some(7));
        let status = "Name:\tx\nVmHWM:\t 2000 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(memory_in(status, "VmRSS:"), Some(1234));
        assert_eq!(memory_in(status, "VmHWM:"), Some(2000));
        assert_eq!(run_time_in("423500 79188 2\n"), Some(423_500));
    }

    #[test]
    fn a_peak_is_counted_from_its_reset_on() {
        let own = Meter::own();
        let once = vec![1_u8; 64 << 20];
        assert!(own.peak_kib().unwrap() > 64 << 10, "{}", once.len());
        drop(once);
        own.reset_peak().unwrap();
        assert!(own.peak_kib().unwrap() < 64 << 10);
    }

    #[test]
    fn the_own_process_has_used_time_and_memory() {
        let own = Meter::own();
        let before = own.cpu_ns().unwrap();
        let mut sum = 0u64;
        while own.cpu_ns().unwrap() < before + 1_000_000 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        assert!(own.resident_kib().unwrap() > 100, "{sum}");
        assert_eq!(Meter::of(own.pids[0]).pids[0], own.pids[0]);
    }
}
