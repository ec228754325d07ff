//! A life of a store begins: what was found is brought up to what is configured, and the first
//! sequences are reserved. Part of opening a store; see `recover.rs`.

use std::path::Path;
use std::sync::Arc;

use super::catalog::{Catalog, Known};
use super::disk::Disk;
use super::floors;
use super::mark::Marked;
use super::recover::Recovered;
use super::segment::Segment;
use super::shared::Sizes;
use crate::error::OpenError;
use crate::event::Sequence;
use crate::filter::{ConfiguredFilter, Filter};
use crate::store::{MIN_SLED_MAXSIZE, Opened, RESERVATION, StoreConfig};

/// How large things are in a store of that configuration.
pub(super) fn sizes(config: &StoreConfig) -> Result<Sizes, OpenError> {
    let maxsize = config.maxsize;
    if maxsize < MIN_SLED_MAXSIZE {
        let least = MIN_SLED_MAXSIZE;
        return Err(OpenError::TooSmall { maxsize, least });
    }
    Ok(Sizes::of(maxsize))
}

/// Brings the catalog up to what is configured and what was found missing.
pub(super) fn take_over(
    found: &mut Recovered,
    disk: &Disk,
    path: &Path,
    config: &StoreConfig,
) -> Result<Vec<ConfiguredFilter>, OpenError> {
    found.catalog.told = found.catalog.told.max(found.last_time);
    let before = found.catalog.clone();
    raise_floors(&mut found.catalog, &found.segments);
    let filters = found.catalog.configure(with_limits(config), newest(found));
    note_holes(found);
    let is_new = found.catalog != before || !Catalog::path(path).exists();
    if is_new && !disk.is_readonly() {
        found.catalog.write(disk, path)?;
    }
    Ok(filters)
}

/// The newest event that there is.
fn newest(found: &Recovered) -> Sequence {
    let last = found
        .segments
        .iter()
        .rev()
        .find_map(|segment| segment.last());
    last.map_or(Sequence::ZERO, |(newest, _)| newest)
}

/// The configured filters with the limits in force.
pub(super) fn with_limits(config: &StoreConfig) -> Vec<Filter> {
    let filters = config.filters.iter().cloned();
    filters
        .map(|filter| filter.or_limit(config.limit))
        .collect()
}

/// Says what was found missing, once.
pub(super) fn note_holes(found: &mut Recovered) {
    for (hole, why) in &found.holes {
        if found.catalog.note_lost(hole.from, hole.to, why) {
            log::error!(
                realm = found.catalog.origin.realm.as_str(), from = hole.from.get(),
                to = hole.to.get(); "events may be missing from the history: {why}"
            );
        }
    }
}

/// Reserves the first sequences, and marks the store as in use.
pub(super) fn reserve_first(found: &mut Recovered) -> Result<Sequence, OpenError> {
    let marked = found.mark.now();
    let end = Sequence::new(found.next_sequence.get().saturating_add(RESERVATION));
    let reserved = end.max(marked.reserved);
    let (last_time, clean) = (found.last_time, Sequence::ZERO);
    found.mark.set(Marked {
        reserved,
        last_time,
        clean,
        ..marked
    })?;
    Ok(reserved)
}

pub(super) fn opened(
    found: &mut Recovered,
    reserved: Sequence,
    disk: &Disk,
    path: &Path,
) -> Opened {
    let events = found
        .segments
        .iter()
        .map(|segment| u64::from(segment.events()));
    Opened {
        incarnation: found.catalog.origin.incarnation,
        next_sequence: found.next_sequence,
        reserved,
        last_time: found.last_time,
        events: events.sum(),
        bytes: disk.size(path),
        readonly: disk.is_readonly(),
        recovered: found.recovered,
        lost: found.catalog.lost.clone(),
        set_aside: std::mem::take(&mut found.set_aside),
        path: Some(path.to_owned()),
    }
}

/// What the bounds of the last life dropped stays dropped, whatever the bounds are now.
fn raise_floors(catalog: &mut Catalog, segments: &[Arc<Segment>]) {
    for known in catalog.filters.clone() {
        let Known { id, ref filter, .. } = known;
        let limit = floors::limit_floor_of(segments, &known);
        let age = floors::age_floor(segments, id, filter.oldest_at(catalog.told));
        // A block that cannot be read costs a bound its memory, nothing else.
        for floor in [limit, age].into_iter().flatten().flatten() {
            catalog.raise_floor(id, floor);
        }
    }
}
