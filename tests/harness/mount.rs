//! File systems that are mounted for one node, in a mount namespace of its own: nobody else sees
//! them, and they end with the node.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::node::{Node, Surroundings};

/// A world with a new disk at `$0`, which becomes read-only where its file system fails. Its bytes
/// are beside it.
pub(crate) const NEW_DISK: &str = "truncate -s 64M \"$0.image\" && mkfs.ext4 -q \"$0.image\" && \
    mount -o loop,errors=remount-ro \"$0.image\" \"$0\" && exec \"$@\"";

/// The same disk, once nobody has it any more, mended where it failed.
pub(crate) const MENDED_DISK: &str = "while losetup -j \"$0.image\" | grep -q .; do sleep 0.1; done; \
    e2fsck -p \"$0.image\" > /dev/null; test $? -le 1 && \
    mount -o loop,errors=remount-ro \"$0.image\" \"$0\" && exec \"$@\"";

/// Has ext4 find an error in itself: from now on nothing is written, not even to what is open.
pub(crate) const FAILS: &str = "device=$(findmnt -nro SOURCE \"$0\") && \
    echo 1 > \"/sys/fs/ext4/${device##*/}/trigger_fs_error\"";

/// How this user may mount.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mounts {
    /// In a namespace of mounts, as root.
    AsRoot,
    /// In a namespace of users, in which anybody is root.
    InUserNamespace,
}

impl Mounts {
    /// The way that works here. Where there is none, that is said, and nothing can be tested that
    /// needs it; in CI it is a failure.
    pub(crate) fn allowed() -> Option<Self> {
        let mut tried = Vec::new();
        for way in [Self::AsRoot, Self::InUserNamespace] {
            let probe = tempfile::tempdir().expect("a temporary folder");
            let script = "mount -t tmpfs none \"$0\" && mount -o remount,ro \"$0\" && exec \"$@\"";
            let mut words = way.around(script, probe.path()).wrapper;
            words.push("true".into());
            match Command::new(&words[0]).args(&words[1..]).output() {
                Ok(output) if output.status.success() => return Some(way),
                Ok(output) => tried.push(format!("{way:?}: {}", said(&output))),
                Err(error) => tried.push(format!("{way:?}: {error}")),
            }
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has to allow mounts: {tried:?}"
        );
        println!("no file system can be mounted here, so that only simulated faults are tested:");
        println!("{tried:?}");
        None
    }

    /// The same where files can be mounted as disks of their own, with ext4 on them.
    pub(crate) fn with_disks() -> Option<Self> {
        let way = Self::allowed()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = folder.path().join("disk");
        std::fs::create_dir(&disk).expect("created");
        let mut words = way.around(NEW_DISK, &disk).wrapper;
        words.push("true".into());
        let output = Command::new(&words[0]).args(&words[1..]).output();
        let output = output.expect("it ran before");
        if output.status.success() {
            return Some(way);
        }
        let why = said(&output);
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has to allow disks: {why}"
        );
        println!("no file can be mounted as a disk here, so that none fails for real: {why}");
        None
    }

    /// A world that begins with `script`, in which `$0` is the folder and `exec "$@"` the node.
    pub(crate) fn around(self, script: &str, folder: &Path) -> Surroundings {
        let namespace: &[&str] = match self {
            Self::AsRoot => &["unshare", "-m"],
            Self::InUserNamespace => &["unshare", "-rm"],
        };
        let mut wrapper: Vec<OsString> = namespace.iter().map(OsString::from).collect();
        wrapper.extend(["sh", "-c", script].map(OsString::from));
        wrapper.push(folder.into());
        Surroundings {
            wrapper,
            ..Surroundings::default()
        }
    }

    /// Runs a script in the world of a running node; `$0` is the folder.
    pub(crate) fn change(self, node: &Node, script: &str, folder: &Path) {
        let mut command = Command::new("nsenter");
        command.args(["-t", &node.pid().to_string(), "-m"]);
        if let Self::InUserNamespace = self {
            command.args(["-U", "--preserve-credentials"]);
        }
        let ended = command.args(["sh", "-c", script]).arg(folder).output();
        let ended = ended.expect("`nsenter` comes with `unshare`");
        assert!(ended.status.success(), "{script}: {}", said(&ended));
    }
}

/// A folder as the running node sees it.
pub(crate) fn seen_by(node: &Node, folder: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", node.pid(), folder.display()))
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    format!("{} {}", output.status, text.trim())
}
