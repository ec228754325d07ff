//! `rewamp init`: a commented configuration in a node directory. What is there stays.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use super::Console;
use crate::config::file::NODE_DIRECTORY;

/// Write a configuration.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Folder that gets the node directory `.crossbar`
    #[arg(long, value_name = "DIR", default_value = ".")]
    appdir: PathBuf,
}

/// Does what the built-in configuration does.
pub(super) const TEMPLATE: &str = include_str!("init/config.yaml");

impl Init {
    pub(super) fn run(&self, console: &mut Console<'_>) -> io::Result<u8> {
        let directory = self.appdir.join(NODE_DIRECTORY);
        let out = &mut *console.out;
        if let Some(there) = ["config.yaml", "config.json"]
            .map(|name| directory.join(name))
            .iter()
            .find(|file| file.exists())
        {
            writeln!(
                out,
                "{} is there already; nothing is changed",
                there.display()
            )?;
            return Ok(0);
        }
        fs::create_dir_all(&directory)?;
        let file = directory.join("config.yaml");
        let mut written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)?;
        written.write_all(TEMPLATE.as_bytes())?;
        written.sync_all()?;
        writeln!(out, "wrote {}", file.display())?;
        writeln!(
            out,
            "start the node with `rewamp start --cbdir {}`",
            directory.display()
        )?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Draft, Sources, builtin, file};

    #[test]
    fn what_init_writes_is_the_built_in_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let init = Init {
            appdir: folder.path().to_owned(),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
        };
        assert_eq!(init.run(&mut console).unwrap(), 0);
        let mut written = file::read(&folder.path().join(".crossbar/config.yaml")).unwrap();
        let path = written
            .pointer_mut("/workers/0/realms/0/store/path")
            .unwrap();
        assert_eq!(
            path, "../rewamp-data/realm1",
            "below the folder, not below .crossbar"
        );
        *path = "rewamp-data/realm1".into();
        assert_eq!(written, builtin::tree());
        let sources = Sources {
            search: file::Search {
                working_folder: folder.path().to_owned(),
                ..file::Search::default()
            },
            ..Sources::default()
        };
        let (config, warnings) = Draft::read(&sources).unwrap().config().unwrap();
        assert_eq!(warnings.iter().count(), 0);
        assert_eq!(
            config.file,
            Some(folder.path().join(".crossbar/config.yaml"))
        );
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".crossbar")).unwrap();
        let file = folder.path().join(".crossbar/config.json");
        fs::write(&file, "mine").unwrap();
        let init = Init {
            appdir: folder.path().to_owned(),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
        };
        assert_eq!(init.run(&mut console).unwrap(), 0);
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert!(!folder.path().join(".crossbar/config.yaml").exists());
    }
}
