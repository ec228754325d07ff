//! What can be said of a store without opening it, when a node starts: two small files tell, if
//! it was at rest and nothing was configured otherwise since. Part of opening a store on demand.

use std::sync::Arc;
use std::time::Duration;

use super::begin::{opened, reserve_first, take_over, with_limits};
use super::catalog::Catalog;
use super::head::Origin;
use super::mark::{Mark, Marked, Rest};
use super::recover::{Recovered, recover};
use super::{Site, Sled};
use crate::error::OpenError;
use crate::event::Sequence;
use crate::filter::FilterTable;
use crate::retention;
use crate::store::{EventStore as _, Opened, StoreConfig, Usage};

/// A store as it was found.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) origin: Origin,
    pub(super) filters: Arc<FilterTable>,
    pub(super) opened: Opened,
    pub(super) tell_time_every: Option<Duration>,
    /// What it holds, if it is at rest.
    pub(super) rest: Rest,
    /// It is open.
    pub(super) engine: Option<Box<Sled>>,
}

impl Known {
    pub(super) fn usage(&self) -> Usage {
        if let Some(engine) = &self.engine {
            return engine.usage();
        }
        let configured = self.filters.configured().iter();
        let filters = configured.map(|configured| {
            let counted = self.rest.filters.iter();
            let events = counted
                .filter(|(filter, _)| *filter == configured.id)
                .map(|(_, events)| *events)
                .sum();
            let limit = configured.filter.limit.unwrap_or(u64::MAX);
            (configured.id, limit.min(events))
        });
        Usage {
            events: self.rest.events,
            bytes: self.rest.bytes,
            segments: self.rest.segments,
            filters: filters.collect(),
        }
    }
}

/// Finds out about a store, or begins one. It is open afterwards if `open` says so or if there is
/// something in it that is not sealed.
pub(super) fn find_out(site: &Site, config: &StoreConfig, open: bool) -> Result<Known, OpenError> {
    if !open && let Some(known) = glance(site, config)? {
        return Ok(known);
    }
    let mut found = recover(&site.disk, &site.path, &config.realm)?;
    let filters = take_over(&mut found, &site.disk, &site.path, config)?;
    let filters = Arc::new(FilterTable::new(filters).with_gone(found.catalog.gone()));
    let sealed = found
        .segments
        .iter()
        .all(|segment| segment.sealed().is_some());
    if sealed && !open {
        return put_to_rest(site, found, filters);
    }
    let origin = found.catalog.origin.clone();
    let reserved = reserve_first(&mut found)?;
    let engine = Sled::run(site, found, &filters, reserved, false)?;
    Ok(Known {
        origin,
        filters,
        opened: engine.opened().clone(),
        tell_time_every: engine.tell_time_every(),
        rest: Rest::default(),
        engine: Some(Box::new(engine)),
    })
}

/// What the catalog and the mark say, if that is all there is to know.
fn glance(site: &Site, config: &StoreConfig) -> Result<Option<Known>, OpenError> {
    // Whatever is not as it should be is found again, and named, by `recover`.
    let Some(Ok(catalog)) = Catalog::read(&site.disk, &site.path)? else {
        return Ok(None);
    };
    let mut configured = catalog.clone();
    let filters = configured.configure(with_limits(config), Sequence::ZERO);
    if configured != catalog || catalog.origin.realm != config.realm {
        return Ok(None);
    }
    let gone = configured.gone();
    let Some((marked, rest)) = Mark::at_rest(&site.disk, &site.path)? else {
        return Ok(None);
    };
    let clean = marked.clean > Sequence::ZERO;
    let after = marked.acknowledged.next();
    let next = after.max(if clean { marked.clean } else { marked.reserved });
    let opened = Opened {
        incarnation: catalog.origin.incarnation,
        next_sequence: next,
        // None before the mark says that the store is in use.
        reserved: next,
        last_time: marked.last_time,
        events: rest.events,
        bytes: rest.bytes,
        readonly: false,
        recovered: !clean,
        lost: catalog.lost,
        set_aside: Vec::new(),
        path: Some(site.path.clone()),
    };
    Ok(Some(Known {
        tell_time_every: tell_time_every(&configured),
        origin: catalog.origin,
        filters: Arc::new(FilterTable::new(filters).with_gone(gone)),
        opened,
        rest,
        engine: None,
    }))
}

fn tell_time_every(catalog: &Catalog) -> Option<Duration> {
    retention::tell_time_every(catalog.filters.iter().map(|known| &known.filter))
}

/// Leaves a store, of which everything is sealed, as it would be left by going to rest.
fn put_to_rest(
    site: &Site,
    mut found: Recovered,
    filters: Arc<FilterTable>,
) -> Result<Known, OpenError> {
    let next = found.next_sequence;
    let opened = opened(&mut found, next, &site.disk, &site.path);
    let rest = Rest::of(&found.catalog, &found.segments, opened.bytes);
    let marked = found.mark.now();
    let marked = Marked {
        clean: next,
        reserved: marked.reserved.max(next),
        last_time: found.last_time,
        ..marked
    };
    found.mark.rest(marked, &rest)?;
    Ok(Known {
        tell_time_every: tell_time_every(&found.catalog),
        origin: found.catalog.origin,
        filters,
        opened,
        rest,
        engine: None,
    })
}
