//! A segment read anew while the store is open: its index, or sled, does not serve any more, and its
//! blocks tell by themselves what they are. Called by readers and by the keeper.

use std::sync::Arc;

use parking_lot::RwLock;

use super::index::Index as _;
use super::scan::{Told, scan};
use super::segment::{Body, Fault, Hole, Segment, store_error};
use super::shared::Shared;
use crate::error::StoreError;
use crate::filter::FilterTable;

/// Reads a segment anew from its file: its index or its database does not serve any more. The
/// new one takes its place. The segment that grows is left alone: its writer would not know.
pub(super) fn rescan(shared: &Shared, segment: &Arc<Segment>) -> Result<Arc<Segment>, StoreError> {
    if shared
        .keeping
        .lock()
        .active
        .as_ref()
        .is_some_and(|a| Arc::ptr_eq(a, segment))
    {
        return Err(store_error("cannot read", &segment.path, Fault::Damaged));
    }
    let log = if segment.path.is_dir() {
        segment.path.join("db")
    } else {
        segment.path.clone()
    };
    let file = shared.disk.open(&log)?;
    let filters = FilterTable::new(segment.head.filters.clone());
    let (first, until) = segment.ends().unwrap_or_default();
    let told = Told {
        acknowledged: until,
        refused: None,
    };
    let scanned = scan(file, &segment.head.origin, &filters, told, until)
        .map_err(|fault| store_error("cannot read", &log, fault))?;
    let begin = scanned
        .index
        .blocks()
        .first()
        .map_or(until.next(), |block| block.first);
    let end = scanned.index.last().map_or(until, |(last, _)| last);
    let mut holes = scanned.holes;
    holes.push(Hole {
        from: first,
        to: begin.previous(),
    });
    holes.push(Hole {
        from: end.next(),
        to: until,
    });
    holes.retain(|hole| hole.from <= hole.to);
    shared.note_holes(&holes, "blocks of a segment are damaged");
    let replacement = Arc::new(Segment {
        generation: segment.generation,
        path: segment.path.clone(),
        head: segment.head.clone(),
        body: Body::Open {
            index: Box::new(RwLock::new(scanned.index)),
            blocks: scanned.blocks,
        },
        mark: segment.mark,
        damaged: segment.damaged || !holes.is_empty() || segment.sealed().is_some(),
    });
    shared.change_segments(|segments| {
        for kept in segments
            .iter_mut()
            .filter(|kept| Arc::ptr_eq(kept, segment))
        {
            *kept = Arc::clone(&replacement);
        }
    });
    shared.wake_keeper();
    Ok(replacement)
}
