//! What the layer under a program wrote down: `shim.c` in this folder, compiled and preloaded.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// One operation of a program.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) fd: i32,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    Open {
        path: String,
        created: bool,
        emptied: bool,
    },
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        length: usize,
    },
    SyncBegin {
        number: u64,
    },
    SyncEnd {
        number: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    MakeFolder {
        path: String,
    },
    Close,
    Copy {
        copy: i32,
    },
    Unknown {
        what: String,
    },
    /// What was last written through this descriptor is on disk.
    Settled,
}

const HEADER: usize = 32;

/// The records of a journal; one that was cut short had not been done.
pub(crate) fn read(path: &Path) -> Vec<Record> {
    let bytes = fs::read(path).expect("a journal");
    let (mut records, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some((header, after)) = rest.split_at_checked(HEADER) {
        let word = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
        let length = |at: usize| usize::try_from(word(at)).expect("a length");
        let at = u64::from_le_bytes(header[24..32].try_into().expect("eight"));
        let (first, second, data) = (length(12), length(16), length(20));
        let Some((body, after)) = after.split_at_checked(first + second + data) else {
            break;
        };
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).expect("paths are text");
        let (path, other) = (text(&body[..first]), text(&body[first..first + second]));
        let place = usize::try_from(at).expect("a place");
        let action = match word(0) {
            1 => Action::Open {
                path,
                created: word(8) & 1 != 0,
                emptied: word(8) & 2 != 0,
            },
            2 => Action::Write {
                at: place,
                bytes: body[first + second..].to_vec(),
            },
            3 => Action::Truncate { length: place },
            4 => Action::SyncBegin { number: at },
            5 => Action::SyncEnd { number: at },
            6 => Action::Rename {
                from: path,
                to: other,
            },
            7 | 9 => Action::Remove { path },
            8 => Action::MakeFolder { path },
            10 => Action::Close,
            11 => Action::Copy { copy: word(8) },
            13 => Action::Settled,
            _ => Action::Unknown { what: path },
        };
        records.push(Record {
            fd: word(4),
            action,
        });
        rest = after;
    }
    records
}

/// The files that are there and have been written to since they were last synced, but for two of
/// sled stores: `mark`, which is written after each commit and waits for the next one's sync, and
/// `patterns`, which has no events.
pub(crate) fn unsynced(records: &[Record]) -> Vec<String> {
    let (mut paths, mut begun) = (HashMap::new(), HashMap::new());
    // By path: writes, and how many of them are synced.
    let mut files: HashMap<&str, (usize, usize)> = HashMap::new();
    for Record { fd, action } in records {
        match action {
            Action::Open { path, .. } => {
                paths.insert(*fd, path.as_str());
            }
            Action::Write { .. } | Action::Truncate { .. } => {
                files.entry(paths[fd]).or_default().0 += 1;
            }
            Action::SyncBegin { number } => {
                let path = paths[fd];
                begun.insert(*number, (path, files.entry(path).or_default().0));
            }
            Action::SyncEnd { number } => {
                let (path, writes) = begun[number];
                let synced = &mut files.entry(path).or_default().1;
                *synced = writes.max(*synced);
            }
            Action::Copy { copy } => {
                paths.insert(*copy, paths[fd]);
            }
            _ => {}
        }
    }
    let files = files.iter().filter(|(path, (writes, synced))| {
        let waits = ["/mark", "/patterns"]
            .iter()
            .all(|name| !path.ends_with(name));
        writes != synced && waits && Path::new(path).exists()
    });
    files.map(|(path, _)| (*path).to_owned()).collect()
}

/// The compiled layer.
pub(crate) fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/shim.c");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let (draft, built) = (
            folder.join(format!("disk-{}.tmp", std::process::id())),
            folder.join("disk.so"),
        );
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&draft, &source])
            .arg("-ldl")
            .output()
            .expect("a C compiler is there");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        fs::rename(&draft, &built).expect("built");
        built
    })
}

/// What a program is started with, so that all it does below `root` is written to `journal`.
pub(crate) fn environment(root: &Path, journal: &Path) -> Vec<(String, OsString)> {
    [
        ("LD_PRELOAD", shim().as_os_str()),
        ("DISK_ROOT", root.as_os_str()),
        ("DISK_JOURNAL", journal.as_os_str()),
        ("DISK_NAP", "3000".as_ref()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
