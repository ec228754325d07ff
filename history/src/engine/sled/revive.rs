//! One segment, from whatever is left of its files. Part of opening a store; see `recover.rs`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use super::active::SEG_MAGIC;
use super::catalog::Catalog;
use super::head::Head;
use super::keeper::active_path;
use super::recover::Recovery;
use super::scan::{Scanned, Told, scan};
use super::seal::bad_path;
use super::sealed::{self, Sealed, Unopened};
use super::segment::{Body, Fault, Segment};
use crate::engine::fields::{Unsound, VERSION};
use crate::error::OpenError;
use crate::event::Sequence;
use crate::filter::{ConfiguredFilter, FilterTable};

impl Recovery<'_> {
    /// A sealed file, or what can be read of it. `None` if that is nothing.
    pub(super) fn open_sealed(
        &mut self,
        catalog: &Catalog,
        generation: u64,
    ) -> Result<Option<Segment>, OpenError> {
        let path = self.sealed_file(generation);
        let mark = catalog.origin.block_mark();
        match Sealed::open(self.disk, &path) {
            Ok((sealed, head)) if head.origin == catalog.origin => {
                let body = Body::Sealed(Box::new(sealed));
                Ok(Some(Segment {
                    generation,
                    path,
                    head,
                    body,
                    mark,
                    damaged: false,
                }))
            }
            Ok(_) | Err(Unopened::Unsound(Unsound::Damaged) | Unopened::Failed(Fault::Damaged)) => {
                self.salvage(catalog, generation, path)
            }
            Err(Unopened::Unsound(Unsound::Newer(found))) => Err(OpenError::NewerVersion {
                path,
                found,
                supported: VERSION,
            }),
            Err(Unopened::Failed(Fault::Failed(reason, kind))) => {
                Err(disk_error(path, reason, kind))
            }
        }
    }

    /// What can still be read of a sealed file whose head or summary cannot.
    fn salvage(
        &mut self,
        catalog: &Catalog,
        generation: u64,
        path: PathBuf,
    ) -> Result<Option<Segment>, OpenError> {
        let file = self.disk.open(&path)?;
        let head = sealed::read_head(&file)
            .ok()
            .filter(|head| head.origin == catalog.origin);
        let head = head.unwrap_or_else(|| head_of(catalog));
        let told = Told::all_is_stored();
        let scanned = self.scan(file, &head, &path, told, Sequence::MAX)?;
        if scanned.index.last().is_none() {
            self.put_aside(&path)?;
            return Ok(None);
        }
        self.will_put_aside(&path);
        log::warn!(path:? = path; "a damaged segment was read block by block");
        Ok(Some(open_segment(generation, path, head, scanned, true)))
    }

    /// The segment that grew when the last life ended, or one that had not been sealed yet; of the
    /// latter what it has `until` the next one begins.
    pub(super) fn open_active(
        &mut self,
        catalog: &Catalog,
        generation: u64,
        told: Told,
        until: Sequence,
    ) -> Result<Option<Segment>, OpenError> {
        let path = active_path(self.folder, generation);
        let seg = self.disk.read(&path.join("seg"))?.unwrap_or_default();
        let head = match Head::decode(SEG_MAGIC, &seg) {
            Ok(head) if head.origin == catalog.origin => head,
            Err(Unsound::Newer(found)) => {
                return Err(OpenError::NewerVersion {
                    path,
                    found,
                    supported: VERSION,
                });
            }
            _ => head_of(catalog),
        };
        let log = path.join("db");
        if !log.exists() {
            self.empty.push(path);
            return Ok(None);
        }
        let file = self.disk.open(&log)?;
        if !self.disk.is_readonly() {
            // What is shown from now on has to stay, also if nobody had waited for it yet.
            self.disk.sync(&log, &file)?;
        }
        let scanned = self.scan(file, &head, &log, told, until)?;
        let Some((last, _)) = scanned.index.last() else {
            self.empty.push(path);
            return Ok(None);
        };
        let newest = self
            .generations
            .iter()
            .all(|(other, files)| *other <= generation || !(files.active || files.sealed));
        let damaged = !scanned.holes.is_empty() || (newest && last < told.acknowledged);
        if damaged {
            self.will_put_aside(&path);
        }
        Ok(Some(open_segment(generation, path, head, scanned, damaged)))
    }

    /// When what is left of it has been sealed; where the store is only read, never.
    fn will_put_aside(&mut self, path: &Path) {
        if !self.disk.is_readonly() {
            self.set_aside.push(bad_path(path));
        }
    }

    fn scan(
        &mut self,
        file: File,
        head: &Head,
        path: &Path,
        told: Told,
        until: Sequence,
    ) -> Result<Scanned, OpenError> {
        let filters = FilterTable::new(head.filters.clone());
        let scanned = scan(file, &head.origin, &filters, told, until);
        let scanned = scanned.map_err(|fault| match fault {
            Fault::Failed(reason, kind) => disk_error(path.to_owned(), reason, kind),
            Fault::Damaged => disk_error(
                path.to_owned(),
                "the file changed while it was read".to_owned(),
                io::ErrorKind::InvalidData,
            ),
        })?;
        self.holes.extend(
            scanned
                .holes
                .iter()
                .map(|hole| (*hole, "blocks of a segment are damaged")),
        );
        Ok(scanned)
    }
}

fn open_segment(
    generation: u64,
    path: PathBuf,
    head: Head,
    scanned: Scanned,
    damaged: bool,
) -> Segment {
    let mark = head.origin.block_mark();
    let body = Body::Open {
        index: Box::new(RwLock::new(scanned.index)),
        blocks: scanned.blocks,
    };
    Segment {
        generation,
        path,
        head,
        body,
        mark,
        damaged,
    }
}

/// For a segment whose own head is damaged: all filters that the store knows.
fn head_of(catalog: &Catalog) -> Head {
    let filters = catalog.filters.iter().map(|known| ConfiguredFilter {
        id: known.id,
        filter: known.filter.clone(),
    });
    Head {
        origin: catalog.origin.clone(),
        filters: filters.collect(),
    }
}

fn disk_error(path: PathBuf, reason: String, kind: io::ErrorKind) -> OpenError {
    OpenError::Io {
        what: "cannot read",
        path,
        source: io::Error::new(kind, reason),
    }
}
