//! File systems that are mounted for one node, in a mount namespace of its own: nobody else sees
//! them, and they end with the node.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::node::{Node, Surroundings};

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
