//! A store is opened to be read, beside whoever writes to it, or asked who it is.

use std::path::Path;

use super::begin::{Begun, filter_table, look_to_read, open_error, own, plan, trust, with_limits};
use super::foreign::{Source, begin_foreign, identify_foreign};
use super::lmdb::{Env, LmdbError, Options};
use super::sniff::Sniffed;
use super::state::{Found, Known, Progress, VERSION, Who};
use super::state::{configure, read_filters, read_who};
use super::tables::Tables;
use crate::error::OpenError;
use crate::event::Sequence;
use crate::store::StoreConfig;

/// Opens the store in a folder to read it, beside whoever writes to it. No row changes; where it is
/// ours LMDB notes its readers in `lock.mdb`, unless the file system is read-only.
pub(super) fn begin_readonly(path: &Path, config: &StoreConfig) -> Result<Begun, OpenError> {
    let no_store = || OpenError::NoStore {
        path: path.to_owned(),
    };
    if !path.is_dir() || look_to_read(path)? == Sniffed::Nothing {
        return Err(no_store());
    }
    let failed = |error| open_error(path, error);
    if let Some(source) = Source::of_others(path).map_err(failed)? {
        return begin_foreign(path, config, source);
    }
    let options = Options {
        map: 0,
        readonly: true,
        mode: 0,
        sync: true,
    };
    let env = Env::open(path, options).map_err(failed)?;
    trust(&env, path)?;
    let txn = env.read().map_err(failed)?;
    let tables = Tables::find(&txn).map_err(failed)?;
    // Seen a moment ago.
    let tables = tables.ok_or_else(|| failed(LmdbError::DAMAGED))?;
    let who = match read_who(&txn, &tables).map_err(failed)? {
        Found::Nothing => return Err(no_store()),
        found => own(found, path, config)?,
    };
    let mut known = read_filters(&txn, &tables).map_err(failed)?;
    let progress = Progress::read(&txn, &tables).map_err(failed)?;
    drop(txn);
    configure(&mut known, with_limits(config));
    let next = match progress.clean {
        Sequence::ZERO => progress.newest.next().max(progress.reserved),
        clean => clean,
    };
    Ok(Begun {
        lock: None,
        plan: plan(tables, &who.key, &known),
        filters: filter_table(&known, config),
        incarnation: who.incarnation,
        env,
        progress: Progress {
            reserved: next,
            ..progress
        },
        next,
        recovered: false,
        readonly: true,
        source: None,
    })
}

/// What a store in a folder says of itself, and whether it is ours.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) who: Who,
    pub(super) known: Vec<Known>,
    pub(super) is_ours: bool,
}

/// What a store in a folder says of itself: whose it is, and its filters. One that was never ours
/// may hold a realm that it does not name.
pub(super) fn identify(path: &Path, realm: Option<&str>) -> Result<Identity, OpenError> {
    let no_store = || OpenError::NoStore {
        path: path.to_owned(),
    };
    if look_to_read(path)? == Sniffed::Nothing {
        return Err(no_store());
    }
    let failed = |error| open_error(path, error);
    let said = match Source::of_others(path).map_err(failed)? {
        Some(source) => match source.what_we_said().map_err(failed)? {
            None => {
                let (who, known) = identify_foreign(path, &source, realm)?;
                return Ok(Identity {
                    who,
                    known,
                    is_ours: false,
                });
            }
            said => said,
        },
        None => said_beside(path)?,
    };
    match said {
        Some((Found::Store(who), known)) => Ok(Identity {
            who,
            known,
            is_ours: true,
        }),
        Some((Found::Newer(found), _)) => Err(OpenError::NewerVersion {
            path: path.to_owned(),
            found,
            supported: VERSION,
        }),
        Some((Found::Nothing, _)) | None => Err(no_store()),
    }
}

/// What a store says of itself, read beside whoever writes to it.
fn said_beside(path: &Path) -> Result<Option<(Found, Vec<Known>)>, OpenError> {
    let options = Options {
        map: 0,
        readonly: true,
        mode: 0,
        sync: true,
    };
    let failed = |error| open_error(path, error);
    let env = Env::open(path, options).map_err(failed)?;
    trust(&env, path)?;
    let read = || -> Result<_, LmdbError> {
        let txn = env.read()?;
        let Some(tables) = Tables::find(&txn)? else {
            return Ok(None);
        };
        let who = read_who(&txn, &tables)?;
        Ok(Some((who, read_filters(&txn, &tables)?)))
    };
    read().map_err(failed)
}
