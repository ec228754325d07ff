//! Opening whatever is there: what is sound is served, what is not is set aside and named. Only
//! an error of the disk stops it, and then nothing is moved: the data may be whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::active::SEG_MAGIC;
use super::catalog::{Catalog, Known};
use super::disk::Disk;
use super::fields::{Unsound, VERSION};
use super::head::{Head, Origin};
use super::keeper::active_path;
use super::mark::{Mark, Marked};
use super::scan::{Scanned, scan};
use super::seal::{bad_path, sealed_path};
use super::sealed::{self, Sealed, Unopened};
use super::segment::{Body, Fault, Hole, Segment};
use crate::error::OpenError;
use crate::event::{Sequence, Timestamp};
use crate::filter::FilterTable;
use crate::store::RESERVATION;

/// A store as it was found, ready to go on.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Held as long as the store is open: nobody else may write there.
    pub(super) lock: File,
    pub(super) catalog: Catalog,
    pub(super) mark: Mark,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) next_generation: u64,
    pub(super) next_sequence: Sequence,
    pub(super) last_time: Timestamp,
    /// The last life did not end cleanly.
    pub(super) recovered: bool,
    pub(super) set_aside: Vec<PathBuf>,
    pub(super) holes: Vec<(Hole, &'static str)>,
}

/// Opens the store in `folder`, or begins one.
pub(super) fn recover(disk: &Disk, folder: &Path, realm: &str) -> Result<Recovered, OpenError> {
    disk.create_folder(folder)?;
    let lock = take_lock(disk, folder)?;
    let mut recovery = Recovery {
        disk,
        folder,
        set_aside: Vec::new(),
        holes: Vec::new(),
        empty: Vec::new(),
        rebuilt: false,
        generations: generations(disk, folder)?,
    };
    recovery.clean_up()?;
    let (catalog, is_new) = recovery.catalog(realm)?;
    if catalog.origin.realm != realm {
        return Err(OpenError::OtherRealm {
            path: folder.to_owned(),
            found: catalog.origin.realm,
            expected: realm.to_owned(),
        });
    }
    let (mark, marked) = Mark::open(disk, folder)?;
    let segments = recovery.segments(&catalog, marked)?;
    recovery.finish(lock, catalog, is_new, mark, marked, segments)
}

fn take_lock(disk: &Disk, folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = disk.open_or_create(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: folder.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(OpenError::Io {
            what: "cannot lock",
            path,
            source,
        }),
    }
}

/// What there is of one generation.
#[derive(Debug, Default, Clone, Copy)]
struct Files {
    active: bool,
    sealed: bool,
    draft: bool,
}

fn generations(disk: &Disk, folder: &Path) -> Result<BTreeMap<u64, Files>, OpenError> {
    let mut generations = BTreeMap::<u64, Files>::new();
    for name in disk.list(folder)? {
        let Some((number, kind)) = name.split_once('.') else {
            continue;
        };
        let Ok(generation) = number.parse() else {
            continue;
        };
        let files = generations.entry(generation).or_default();
        match kind {
            "active" => files.active = true,
            "sealed" => files.sealed = true,
            "tmp" => files.draft = true,
            _ => {}
        }
    }
    Ok(generations)
}

struct Recovery<'a> {
    disk: &'a Disk,
    folder: &'a Path,
    generations: BTreeMap<u64, Files>,
    set_aside: Vec<PathBuf>,
    holes: Vec<(Hole, &'static str)>,
    /// Databases without blocks: prepared and never used, or damaged beyond reading.
    empty: Vec<PathBuf>,
    /// The catalog was lost, and with it what had been dropped.
    rebuilt: bool,
}

impl Recovery<'_> {
    /// Removes what was being removed or written when the last life ended.
    fn clean_up(&mut self) -> Result<(), OpenError> {
        for name in self.disk.list(self.folder)? {
            if name.ends_with(".trash") || name == "store.tmp" || name == "patterns.tmp" {
                self.disk.remove(&self.folder.join(name))?;
            }
        }
        for (generation, files) in &mut self.generations {
            if !files.draft {
                continue;
            }
            let draft = sealed_path(self.folder, *generation).with_extension("tmp");
            let orphan = !files.active && !files.sealed;
            if orphan && Sealed::open(self.disk, &draft).is_ok() {
                // A damaged file had been set aside, and its successor had not got its name yet.
                self.disk
                    .rename(&draft, &sealed_path(self.folder, *generation))?;
                files.sealed = true;
            } else {
                self.disk.remove(&draft)?;
            }
            files.draft = false;
        }
        Ok(())
    }

    /// The catalog, or what the segments know of it, or a new one.
    fn catalog(&mut self, realm: &str) -> Result<(Catalog, bool), OpenError> {
        let path = Catalog::path(self.folder);
        match Catalog::read(self.disk, self.folder)? {
            Some(Ok(catalog)) => return Ok((catalog, false)),
            Some(Err(Unsound::Newer(found))) => {
                return Err(OpenError::NewerVersion {
                    path,
                    found,
                    supported: VERSION,
                });
            }
            Some(Err(Unsound::Damaged)) => {
                let bad = bad_path(&path);
                self.disk.rename(&path, &bad)?;
                self.set_aside.push(bad);
            }
            None => {}
        }
        let heads: Vec<Head> = self.heads()?;
        if let Some(newest) = heads.last() {
            self.rebuilt = true;
            return Ok((rebuild(newest.origin.clone(), &heads), false));
        }
        let origin = Origin::draw(realm).map_err(|error| OpenError::Random(error.to_string()))?;
        Ok((Catalog::begin(origin), true))
    }

    /// What the segments begin with, as far as it is sound; oldest first.
    fn heads(&self) -> Result<Vec<Head>, OpenError> {
        let mut heads = Vec::new();
        for (generation, files) in &self.generations {
            if files.sealed {
                let file = self.disk.open(&sealed_path(self.folder, *generation))?;
                heads.extend(sealed::read_head(&file).ok());
            } else if files.active {
                let seg = active_path(self.folder, *generation).join("seg");
                let bytes = self.disk.read(&seg)?.unwrap_or_default();
                heads.extend(Head::decode(SEG_MAGIC, &bytes).ok());
            }
        }
        Ok(heads)
    }

    /// All segments in order.
    fn segments(
        &mut self,
        catalog: &Catalog,
        marked: Option<Marked>,
    ) -> Result<Vec<Arc<Segment>>, OpenError> {
        let acknowledged = marked.map_or(Sequence::ZERO, |marked| marked.acknowledged);
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        for (generation, files) in self.generations.clone() {
            let sealed = match files.sealed {
                true => self.open_sealed(catalog, generation)?,
                false => None,
            };
            let segment = match sealed {
                Some(sealed) => {
                    // What it was made from had not been removed yet.
                    let active = active_path(self.folder, generation);
                    self.disk.remove(&active)?;
                    let since = sealed.since();
                    for old in segments.extract_if(.., |old| old.generation >= since) {
                        self.disk.remove(&old.path)?;
                    }
                    sealed
                }
                None if files.active => {
                    match self.open_active(catalog, generation, acknowledged)? {
                        Some(segment) => segment,
                        None => continue,
                    }
                }
                None => continue,
            };
            segments.push(Arc::new(segment));
        }
        Ok(segments)
    }

    fn open_sealed(
        &mut self,
        catalog: &Catalog,
        generation: u64,
    ) -> Result<Option<Segment>, OpenError> {
        let path = sealed_path(self.folder, generation);
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
        let scanned = self.scan(file, &head, &path, Sequence::MAX)?;
        let bad = bad_path(&path);
        self.set_aside.push(bad.clone());
        if scanned.index.last().is_none() {
            self.disk.rename(&path, &bad)?;
            return Ok(None);
        }
        log::warn!(path:? = path; "a damaged segment was read block by block");
        Ok(Some(open_segment(generation, path, head, scanned, true)))
    }

    /// The segment that grew when the last life ended, or one that had not been sealed yet.
    fn open_active(
        &mut self,
        catalog: &Catalog,
        generation: u64,
        acknowledged: Sequence,
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
        let scanned = self.scan(file, &head, &log, acknowledged)?;
        let Some((last, _)) = scanned.index.last() else {
            self.empty.push(path);
            return Ok(None);
        };
        let newest = self
            .generations
            .iter()
            .all(|(other, files)| *other <= generation || !(files.active || files.sealed));
        let damaged = !scanned.holes.is_empty() || (newest && last < acknowledged);
        if damaged {
            self.set_aside.push(bad_path(&path));
        }
        Ok(Some(open_segment(generation, path, head, scanned, damaged)))
    }

    fn scan(
        &mut self,
        file: File,
        head: &Head,
        path: &Path,
        acknowledged: Sequence,
    ) -> Result<Scanned, OpenError> {
        let filters = FilterTable::new(head.filters.clone());
        let scanned = scan(file, &head.origin, &filters, acknowledged, Sequence::MAX);
        let scanned = scanned.map_err(|fault| match fault {
            Fault::Failed(reason, kind) => disk_error(path.to_owned(), reason, kind),
            Fault::Damaged => disk_error(
                path.to_owned(),
                "the file changed while it was read".to_owned(),
                std::io::ErrorKind::InvalidData,
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

    fn finish(
        mut self,
        lock: File,
        mut catalog: Catalog,
        is_new: bool,
        mark: Mark,
        marked: Option<Marked>,
        segments: Vec<Arc<Segment>>,
    ) -> Result<Recovered, OpenError> {
        let last = segments.iter().rev().find_map(|segment| segment.last());
        let (newest, newest_time) = last.unwrap_or_default();
        let known = marked.unwrap_or_default();
        if known.acknowledged > newest {
            let hole = Hole {
                from: newest.next(),
                to: known.acknowledged,
            };
            self.holes.push((hole, "the end of the history is damaged"));
        }
        // Where events are missing at the end, an empty database may be what is left of them.
        while let Some(path) = self.empty.pop() {
            if known.acknowledged > newest && self.empty.is_empty() {
                let bad = bad_path(&path);
                self.disk.rename(&path, &bad)?;
                self.set_aside.push(bad);
            } else {
                self.disk.remove(&path)?;
            }
        }
        if let Some(oldest) = segments.first().filter(|_| self.rebuilt) {
            // Whatever was before the oldest segment counts as dropped, by every filter.
            catalog
                .filters
                .iter_mut()
                .for_each(|known| known.floor = oldest.previous());
        }
        if let Some(oldest) = segments.first() {
            // What was dropped before it has left its floor with every filter that had it.
            let floors = catalog.filters.iter().map(|known| known.floor);
            let dropped = floors.max().unwrap_or_default();
            if oldest.previous() > dropped {
                let hole = Hole {
                    from: dropped.next(),
                    to: oldest.previous(),
                };
                self.holes.push((hole, "the oldest events are missing"));
            }
        }
        for (before, after) in segments.iter().zip(segments.iter().skip(1)) {
            let (Some((before, _)), previous) = (before.last(), after.previous()) else {
                continue;
            };
            if previous > before && !catalog.is_dropped(before.next(), previous) {
                let hole = Hole {
                    from: before.next(),
                    to: previous,
                };
                self.holes.push((hole, "a segment is missing"));
            }
        }
        let after = newest.max(known.acknowledged).next();
        let clean = known.clean > Sequence::ZERO;
        let next_sequence = match marked {
            Some(marked) if clean => after.max(marked.clean),
            Some(marked) => after.max(marked.reserved),
            None if is_new => after,
            // Nobody knows how far sequences were given out.
            None => Sequence::new(after.get() + RESERVATION),
        };
        Ok(Recovered {
            lock,
            catalog,
            mark,
            segments,
            next_generation: self.generations.keys().last().map_or(1, |last| last + 1),
            next_sequence,
            last_time: newest_time.max(known.last_time),
            recovered: !is_new && !clean,
            set_aside: self.set_aside,
            holes: self.holes,
        })
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
    let filters = catalog
        .filters
        .iter()
        .map(|known| crate::filter::ConfiguredFilter {
            id: known.id,
            filter: known.filter.clone(),
        });
    Head {
        origin: catalog.origin.clone(),
        filters: filters.collect(),
    }
}

/// A catalog made of what the segments know, which is everything but what has been dropped.
fn rebuild(origin: Origin, heads: &[Head]) -> Catalog {
    let mut catalog = Catalog::begin(origin);
    for filter in heads.iter().flat_map(|head| &head.filters) {
        if catalog.known(filter.id).is_none() {
            catalog.filters.push(Known {
                id: filter.id,
                filter: filter.filter.clone(),
                floor: Sequence::ZERO,
                configured: false,
            });
        }
    }
    catalog
}

fn disk_error(path: PathBuf, reason: String, kind: std::io::ErrorKind) -> OpenError {
    OpenError::Io {
        what: "cannot read",
        path,
        source: std::io::Error::new(kind, reason),
    }
}
