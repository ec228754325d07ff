//! A store is opened to be read, beside whoever writes to it, or asked who it is.

use std::path::Path;

use super::begin::{Begun, filter_table, look, open_error, own, plan, trust, with_limits};
use super::lmdb::{Env, LmdbError, Options};
use super::sniff::Sniffed;
use super::state::{Found, Known, Progress, VERSION, Who};
use super::state::{configure, read_filters, read_who};
use super::tables::Tables;
use crate::error::OpenError;
use crate::event::Sequence;
use crate::store::StoreConfig;

/// Opens the store in a folder to read it, beside whoever writes to it. No row changes; LMDB notes
/// its readers in `lock.mdb`, unless the file system is read-only.
pub(super) fn begin_readonly(path: &Path, config: &StoreConfig) -> Result<Begun, OpenError> {
    let no_store = || OpenError::NoStore {
        path: path.to_owned(),
    };
    if !path.is_dir() || look(path)? == Sniffed::Nothing {
        return Err(no_store());
    }
    let failed = |error| open_error(path, error);
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
    let tables = tables.ok_or_else(|| OpenError::Unfit {
        path: path.to_owned(),
        why: NEVER_TAKEN_OVER.to_owned(),
    })?;
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
    })
}

/// Why a store of Crossbar's cannot be read before it was taken over.
const NEVER_TAKEN_OVER: &str = "it was never opened by this program, which adds tables of its own \
                                to it; open it once without `readonly`";

/// What a store in a folder says of itself: whose it is, and its filters.
pub(super) fn identify(path: &Path) -> Result<(Who, Vec<Known>), OpenError> {
    let no_store = || OpenError::NoStore {
        path: path.to_owned(),
    };
    if look(path)? == Sniffed::Nothing {
        return Err(no_store());
    }
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
    match read().map_err(failed)? {
        Some((Found::Store(who), known)) => Ok((who, known)),
        Some((Found::Newer(found), _)) => Err(OpenError::NewerVersion {
            path: path.to_owned(),
            found,
            supported: VERSION,
        }),
        Some((Found::Nothing, _)) | None => Err(OpenError::Unfit {
            path: path.to_owned(),
            why: NEVER_TAKEN_OVER.to_owned(),
        }),
    }
}
