//! Opening whatever is there: what is sound is served, what is not is set aside and named. Only
//! an error of the disk stops it, and then nothing is moved: the data may be whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::active::SEG_MAGIC;
use super::catalog::{Catalog, Known};
use super::disk::{Disk, parent};
use super::head::{Head, Origin};
use super::keeper::active_path;
use super::mark::{Mark, Marked};
use super::scan::Told;
use super::seal::{bad_path, sealed_path};
use super::sealed::{self, Sealed};
use super::segment::{Hole, Segment};
use crate::engine::fields::{Unsound, VERSION};
use crate::error::OpenError;
use crate::event::{Sequence, Timestamp};
use crate::store::RESERVATION;

/// A store as it was found, ready to go on.
#[derive(Debug)]
pub(super) struct Recovered {
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

/// Opens the store in `folder`, which is there and locked, or begins one.
pub(super) fn recover(disk: &Disk, folder: &Path, realm: &str) -> Result<Recovered, OpenError> {
    if !disk.is_readonly() {
        // Names that a killed process left may not have reached the disk; what follows relies on
        // them.
        disk.sync_folder(folder)?;
    }
    let mut recovery = Recovery::of(disk, folder)?;
    recovery.clean_up()?;
    let (catalog, is_new) = recovery.catalog(realm)?;
    if catalog.origin.realm != realm {
        return Err(OpenError::OtherRealm {
            path: folder.to_owned(),
            found: catalog.origin.realm,
            expected: realm.to_owned(),
        });
    }
    if is_new {
        // Whoever made the folder, its own name has to last as well.
        disk.sync_folder(parent(folder))?;
    }
    let (mark, marked) = Mark::open(disk, folder)?;
    let segments = recovery.segments(&catalog, &mark, marked)?;
    recovery.finish(catalog, is_new, mark, marked, segments)
}

/// What the store in `folder` says of itself, or what its segments know of it.
pub(super) fn known(disk: &Disk, folder: &Path) -> Result<Catalog, OpenError> {
    Recovery::of(disk, folder)?.known()?.ok_or_else(|| {
        let path = folder.to_owned();
        OpenError::NoStore { path }
    })
}

/// What there is of one generation.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Files {
    pub(super) active: bool,
    pub(super) sealed: bool,
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

/// A recovery under way. `revive.rs` has what it does with one segment.
pub(super) struct Recovery<'a> {
    pub(super) disk: &'a Disk,
    pub(super) folder: &'a Path,
    pub(super) generations: BTreeMap<u64, Files>,
    pub(super) set_aside: Vec<PathBuf>,
    pub(super) holes: Vec<(Hole, &'static str)>,
    /// Newest first. Databases without blocks: prepared and never used, or damaged beyond reading.
    pub(super) empty: Vec<PathBuf>,
    /// The catalog was lost, and with it what had been dropped.
    rebuilt: bool,
}

impl<'a> Recovery<'a> {
    fn of(disk: &'a Disk, folder: &'a Path) -> Result<Self, OpenError> {
        Ok(Self {
            disk,
            folder,
            set_aside: Vec::new(),
            holes: Vec::new(),
            empty: Vec::new(),
            rebuilt: false,
            generations: generations(disk, folder)?,
        })
    }
}

impl Recovery<'_> {
    /// Removes what was being removed or written when the last life ended, or where the store is
    /// only read passes it over.
    fn clean_up(&mut self) -> Result<(), OpenError> {
        let readonly = self.disk.is_readonly();
        for name in self.disk.list(self.folder)? {
            let left = name.ends_with(".trash") || name == "store.tmp" || name == "patterns.tmp";
            if left && !readonly {
                self.disk.remove(&self.folder.join(name))?;
            }
        }
        for (generation, files) in &mut self.generations {
            if !files.draft {
                continue;
            }
            let draft = sealed_path(self.folder, *generation).with_extension("tmp");
            let orphan = !files.active && !files.sealed;
            // A damaged file had been set aside, and its successor had not got its name yet.
            let is_successor = orphan && Sealed::open(self.disk, &draft).is_ok();
            if readonly {
                files.draft = is_successor;
                continue;
            }
            if is_successor {
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

    /// The file of a sealed generation, whatever its name is.
    pub(super) fn sealed_file(&self, generation: u64) -> PathBuf {
        let path = sealed_path(self.folder, generation);
        match self.generations.get(&generation) {
            Some(files) if !files.sealed && files.draft => path.with_extension("tmp"),
            _ => path,
        }
    }

    /// The catalog, or what the segments know of it, or a new one.
    fn catalog(&mut self, realm: &str) -> Result<(Catalog, bool), OpenError> {
        if let Some(catalog) = self.known()? {
            return Ok((catalog, false));
        }
        if self.disk.is_readonly() {
            let path = self.folder.to_owned();
            return Err(OpenError::NoStore { path });
        }
        let origin = Origin::draw(realm).map_err(|error| OpenError::Random(error.to_string()))?;
        Ok((Catalog::begin(origin), true))
    }

    /// The catalog, or what the segments know of it.
    fn known(&mut self) -> Result<Option<Catalog>, OpenError> {
        let path = Catalog::path(self.folder);
        match Catalog::read(self.disk, self.folder)? {
            Some(Ok(catalog)) => return Ok(Some(catalog)),
            Some(Err(Unsound::Newer(found))) => {
                return Err(OpenError::NewerVersion {
                    path,
                    found,
                    supported: VERSION,
                });
            }
            Some(Err(Unsound::Damaged)) => {
                self.put_aside(&path)?;
            }
            None => {}
        }
        let heads: Vec<Head> = self.heads()?;
        if let Some(newest) = heads.last() {
            self.rebuilt = true;
            return Ok(Some(rebuild(newest.origin.clone(), &heads)));
        }
        Ok(None)
    }

    /// What the segments begin with, as far as it is sound; oldest first.
    fn heads(&self) -> Result<Vec<Head>, OpenError> {
        let mut heads = Vec::new();
        for (generation, files) in &self.generations {
            if files.sealed || files.draft {
                let file = self.disk.open(&self.sealed_file(*generation))?;
                heads.extend(sealed::read_head(&file).ok());
            } else if files.active {
                let seg = active_path(self.folder, *generation).join("seg");
                let bytes = self.disk.read(&seg)?.unwrap_or_default();
                heads.extend(Head::decode(SEG_MAGIC, &bytes).ok());
            }
        }
        Ok(heads)
    }

    /// All segments in order. Found from the newest on: each begins with what was stored before
    /// it, so whatever an older one has beyond that is left of a commit that failed or was cut
    /// short, and that no life has shown.
    fn segments(
        &mut self,
        catalog: &Catalog,
        mark: &Mark,
        marked: Option<Marked>,
    ) -> Result<Vec<Arc<Segment>>, OpenError> {
        let mut acknowledged = marked.map_or(Sequence::ZERO, |marked| marked.acknowledged);
        let (mut until, mut merged) = (Sequence::MAX, u64::MAX);
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        for (generation, files) in self.generations.clone().into_iter().rev() {
            if generation >= merged {
                // It is part of a newer one, and had not been removed yet.
                self.remove(&sealed_path(self.folder, generation))?;
                self.remove(&active_path(self.folder, generation))?;
                continue;
            }
            let sealed = match files.sealed || files.draft {
                true => self.open_sealed(catalog, generation)?,
                false => None,
            };
            let segment = match sealed {
                Some(sealed) => {
                    // What it was made from had not been removed yet.
                    self.remove(&active_path(self.folder, generation))?;
                    merged = sealed.since();
                    Some(sealed)
                }
                None if files.active => {
                    let told = Told {
                        acknowledged,
                        refused: mark.refused(generation),
                    };
                    self.open_active(catalog, generation, told, until)?
                }
                None => None,
            };
            let Some(segment) = segment else { continue };
            until = until.min(segment.previous());
            acknowledged = until;
            segments.push(Arc::new(segment));
        }
        segments.reverse();
        Ok(segments)
    }

    fn finish(
        mut self,
        mut catalog: Catalog,
        is_new: bool,
        mark: Mark,
        marked: Option<Marked>,
        segments: Vec<Arc<Segment>>,
    ) -> Result<Recovered, OpenError> {
        let last = segments.iter().rev().find_map(|segment| segment.last());
        let (newest, newest_time) = last.unwrap_or_default();
        let known = marked.unwrap_or_default();
        let missing = known.acknowledged > newest
            && !catalog.is_end_dropped(newest, known.acknowledged, segments.is_empty());
        if missing {
            let (from, to) = (newest.next(), known.acknowledged);
            self.holes
                .push((Hole { from, to }, "the end of the history is damaged"));
        }
        self.remove_empty(missing)?;
        if let Some(oldest) = segments.first().filter(|_| self.rebuilt) {
            // Whatever was before the oldest segment counts as dropped, by every filter.
            let floor = oldest.previous();
            catalog
                .filters
                .iter_mut()
                .for_each(|known| known.floor = floor);
        }
        self.note_gaps(&catalog, &segments);
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

    /// Removes databases without blocks. Where events are missing at the end, the newest one may
    /// be what is left of them, and is set aside.
    fn remove_empty(&mut self, missing: bool) -> Result<(), OpenError> {
        let mut empty = std::mem::take(&mut self.empty).into_iter();
        if missing && let Some(newest) = empty.next() {
            self.put_aside(&newest)?;
        }
        for path in empty {
            self.remove(&path)?;
        }
        Ok(())
    }

    /// Removes what is of no use any more; where the store is only read it is merely not used.
    fn remove(&self, path: &Path) -> Result<(), OpenError> {
        if !self.disk.is_readonly() {
            self.disk.remove(path)?;
        }
        Ok(())
    }

    /// Gives something damaged the name that says so; where the store is only read it is named in
    /// the log alone.
    pub(super) fn put_aside(&mut self, path: &Path) -> Result<(), OpenError> {
        if self.disk.is_readonly() {
            log::warn!(path:? = path; "is damaged, and left as it is since the store is readonly");
            return Ok(());
        }
        let bad = bad_path(path);
        self.disk.rename(path, &bad)?;
        self.set_aside.push(bad);
        Ok(())
    }

    /// Notes what is missing before the oldest segment and between segments.
    fn note_gaps(&mut self, catalog: &Catalog, segments: &[Arc<Segment>]) {
        let Some(oldest) = segments.first() else {
            return;
        };
        // What was dropped before it has left its floor with every filter that had it.
        let floors = catalog.filters.iter().map(|known| known.floor);
        let (dropped, previous) = (floors.max().unwrap_or_default(), oldest.previous());
        if previous > dropped && !catalog.is_beginning_dropped(dropped, previous) {
            let hole = Hole {
                from: dropped.next(),
                to: previous,
            };
            self.holes.push((hole, "the oldest events are missing"));
        }
        for (before, after) in segments.iter().zip(segments.iter().skip(1)) {
            let Some((before, _)) = before.last() else {
                continue;
            };
            let (from, to) = (before.next(), after.previous());
            if from <= to && !catalog.is_dropped(from, to) {
                self.holes.push((Hole { from, to }, "a segment is missing"));
            }
        }
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
                eras: Vec::new(),
            });
        }
    }
    catalog
}
