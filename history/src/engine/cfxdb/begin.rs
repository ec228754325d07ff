//! A store is opened or begun: its folder is locked, its file is looked at, and what is in it is
//! brought up to what is configured.

use std::fs::File;
use std::io;
use std::path::Path;

use super::adopt::Adoption;
use super::compact::remove_draft;
use super::folder::{allocate_lock_file, clear, create_folder, lock, set_modes, sync_folder};
use super::foreign::Source;
use super::lmdb::{Env, LmdbError, Options};
use super::readonly::begin_readonly;
use super::shelf::{Plan, Shelf};
use super::sniff::{Sniffed, sniff};
use super::sound::{Fault, look_into};
use super::space::{Fill, Limits, PAGE};
use super::state::{Found, Known, Progress, VERSION, Who};
use super::state::{
    configure, read_filters, read_left, read_who, write_filters, write_left, write_who,
};
use super::tables::Tables;
use super::visits::close_what_a_crash_left;
use crate::error::OpenError;
use crate::event::Sequence;
use crate::filter::{ConfiguredFilter, Filter, FilterTable};
use crate::store::{Full, Incarnation, RESERVATION, StoreConfig};
use crate::subscription::StoreKey;

/// An open store, before it is used.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) lock: Option<File>,
    pub(super) env: Env,
    pub(super) plan: Plan,
    pub(super) filters: FilterTable,
    pub(super) incarnation: Incarnation,
    pub(super) progress: Progress,
    /// The first sequence that the realm may give out.
    pub(super) next: Sequence,
    /// The last life did not end cleanly.
    pub(super) recovered: bool,
    pub(super) readonly: bool,
    /// Where the rows of publications are, if elsewhere.
    pub(super) source: Option<Source>,
}

/// Opens or begins the store in a folder.
pub(super) fn begin(path: &Path, mode: u32, config: &StoreConfig) -> Result<Begun, OpenError> {
    create_folder(path)?;
    let lock = lock(path, mode)?;
    // What was not finished is of no use to anybody.
    let _ = remove_draft(path);
    let is_new = look(path)? == Sniffed::Nothing;
    if is_new {
        clear(path)?;
    } else if has_odd_keys(path) {
        return begin_with_odd_keys(path, config);
    }
    allocate_lock_file(path, mode)?;
    let limits = Limits::of(config.maxsize);
    let file = std::fs::metadata(path.join("data.mdb")).map_or(0, |file| file.len());
    let map = limits.pages * PAGE;
    // To come down from more than is allowed by now takes pages first.
    let larger = map.max(file) / PAGE * PAGE + limits.reserve() * PAGE;
    let first = if file > map { larger } else { map };
    let opened = match open(path, mode, config, first, is_new) {
        // It has not a page left, as others may leave it.
        Err(Failed::Lmdb(LmdbError::MAP_FULL)) => open(path, mode, config, larger, is_new),
        opened => opened,
    };
    opened
        .map(|begun| Begun {
            lock: Some(lock),
            ..begun
        })
        .map_err(|failed| match failed {
            Failed::Lmdb(error) => open_error(path, error),
            Failed::Open(error) => error,
        })
}

fn begin_with_odd_keys(path: &Path, config: &StoreConfig) -> Result<Begun, OpenError> {
    log::warn!(
        realm = config.realm.as_str();
        "the store {} is only read: {ODD_KEYS}", path.display()
    );
    begin_readonly(path, config)
}

const ODD_KEYS: &str = "others have written keys of odd length into it, beside which this version \
                        of LMDB cannot write safely";

/// Whether others have put in keys of odd length since we wrote last, looked at before anything is
/// written. What cannot be told because somebody writes, or because it is damaged, LMDB finds out.
fn has_odd_keys(path: &Path) -> bool {
    (0..3).any(|_| {
        let Ok(source) = Source::open(path) else {
            return false;
        };
        let is_odd =
            matches!(source.is_ours(), Ok(false)) && matches!(source.has_odd_keys(), Ok(true));
        is_odd && matches!(source.is_unchanged(), Ok(true))
    })
}

/// Begins a store with a key of its own in a folder that has none; it is left as one that ended
/// cleanly.
pub(super) fn begin_like(
    path: &Path,
    mode: u32,
    config: &StoreConfig,
    key: &StoreKey,
) -> Result<(), OpenError> {
    create_folder(path)?;
    let _lock = lock(path, mode)?;
    if look(path)? != Sniffed::Nothing {
        let path = path.to_owned();
        return Err(OpenError::InUse { path });
    }
    clear(path)?;
    allocate_lock_file(path, mode)?;
    let options = Options {
        map: Limits::of(config.maxsize).pages * PAGE,
        readonly: false,
        mode,
        sync: config.sync,
    };
    let who = Who {
        key: key.clone(),
        ..new_life(config)?
    };
    let begin = || -> Result<(), LmdbError> {
        let env = Env::open(path, options)?;
        let mut txn = env.write()?;
        let tables = Tables::find_or_make(&mut txn)?;
        write_who(&mut txn, &tables, &who)?;
        write_filters(&mut txn, &tables, &[])?;
        let mut progress = Progress {
            clean: Sequence::new(1),
            ..Progress::default()
        };
        progress.write(&mut txn, &tables)?;
        txn.commit()
    };
    begin().map_err(|error| open_error(path, error))?;
    set_modes(path, mode)?;
    sync_folder(path)
}

/// Why a store is not opened.
pub(super) enum Failed {
    Lmdb(LmdbError),
    Open(OpenError),
}

impl From<LmdbError> for Failed {
    fn from(error: LmdbError) -> Self {
        Self::Lmdb(error)
    }
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// Opens or begins the store in a folder that is locked, with so many bytes of room.
fn open(
    path: &Path,
    mode: u32,
    config: &StoreConfig,
    map: u64,
    is_new: bool,
) -> Result<Begun, Failed> {
    let options = Options {
        map,
        readonly: false,
        mode,
        sync: config.sync,
    };
    let env = Env::open(path, options)?;
    if is_new {
        set_modes(path, mode)?;
        // Or the file's name could be gone after a power cut, with what was acknowledged.
        sync_folder(path)?;
    }
    trust(&env, path)?;
    let last_txn = env.info()?.last_txn;
    let dead = env.clear_dead_readers()?;
    if dead > 0 {
        log::info!(
            realm = config.realm.as_str();
            "{dead} readers of {} had ended without letting go", path.display()
        );
    }
    let (who, tables, known, progress) = who_and_how_far(&env, path, config)?;
    // Whoever else wrote since, as Crossbar does, did so in a transaction of his own.
    let untouched = progress.txn == last_txn;
    // What no filter covered until now may be what one of these is for.
    let is_wider = !is_subset(&config.filters, &known) && read_left(&env, &tables)? > 0;
    let recovered = progress.txn > 0 && progress.clean == Sequence::ZERO;
    let (plan, known, progress) = take_over(&env, tables, &who, known, progress, config)?;
    let mut progress = come_down(&env, &plan, progress, config)?;
    let filters = filter_table(&known, config);
    let next = match progress.clean {
        Sequence::ZERO => progress.newest.next().max(progress.reserved),
        clean => clean.max(progress.newest.next()),
    };
    let mut next = next.max(Sequence::new(1));
    let mut left = None;
    if !untouched || is_wider {
        let adoption = Adoption {
            env: &env,
            plan: &plan,
            filters: &filters,
            config,
            source: None,
        };
        let adopted = adoption.run(progress, next)?;
        left = Some(adopted.left);
        (progress, next) = (adopted.progress, adopted.next);
    }
    if recovered {
        let at_once = Limits::of(config.maxsize).removed_at_once();
        progress = close_what_a_crash_left(&env, &plan, progress, at_once)?;
    }
    let mut shelf = Shelf::begin(&env, &plan, progress)?;
    shelf.progress.reserved = Sequence::new(next.get().saturating_add(RESERVATION));
    shelf.progress.clean = Sequence::ZERO;
    if let Some(left) = left {
        write_left(shelf.rows(), &plan.tables, left)?;
    }
    let progress = shelf.commit()?;
    env.sync()?;
    Ok(Begun {
        lock: None,
        env,
        plan,
        filters,
        incarnation: who.incarnation,
        progress,
        next,
        recovered,
        readonly: false,
        source: None,
    })
}

/// What the file is; an error if it is nothing that can be read.
pub(super) fn look_to_read(path: &Path) -> Result<Sniffed, OpenError> {
    look_for(path, &[Sniffed::Nothing, Sniffed::Current, Sniffed::Older])
}

/// What the file is; an error if it is nothing that can be opened.
pub(super) fn look(path: &Path) -> Result<Sniffed, OpenError> {
    look_for(path, &[Sniffed::Nothing, Sniffed::Current])
}

fn look_for(path: &Path, fit: &[Sniffed]) -> Result<Sniffed, OpenError> {
    let file = path.join("data.mdb");
    let found = sniff(&file).map_err(|source| OpenError::Io {
        what: "cannot read",
        path: file.clone(),
        source,
    })?;
    if fit.contains(&found) {
        return Ok(found);
    }
    let why = match found {
        Sniffed::Nothing | Sniffed::Current => "it holds no other".to_owned(),
        Sniffed::Older => format!(
            "it is in the format of LMDB 0.9, which can only be read (`readonly`); `rewamp history \
             convert --store {} --to cfxdb NEW` makes a store of it that can be written to",
            path.display()
        ),
        Sniffed::Unknown(version) => {
            format!("it is in version {version} of LMDB's format; this program has version 3")
        }
        Sniffed::NotLmdb => "`data.mdb` is not a file of LMDB".to_owned(),
        Sniffed::CutShort => "`data.mdb` is damaged: pages at its end are missing".to_owned(),
    };
    Err(OpenError::Unfit {
        path: path.to_owned(),
        why,
    })
}

/// An error if the pages of an open file are not what LMDB takes them for.
pub(super) fn trust(env: &Env, path: &Path) -> Result<(), OpenError> {
    let file = path.join("data.mdb");
    look_into(env, &file).map_err(|fault| match fault {
        Fault::Lmdb(error) => open_error(path, error),
        Fault::Io(source) => OpenError::Io {
            what: "cannot read",
            path: file,
            source,
        },
        Fault::Damaged(what) => OpenError::Unfit {
            path: path.to_owned(),
            why: format!("`data.mdb` is damaged: {what}"),
        },
    })
}

/// Whose store it is and how far it has come, with its tables made where they are missing.
fn who_and_how_far(
    env: &Env,
    path: &Path,
    config: &StoreConfig,
) -> Result<(Who, Tables, Vec<Known>, Progress), Failed> {
    let mut txn = env.write()?;
    let tables = Tables::find_or_make(&mut txn)?;
    let found = read_who(&txn, &tables)?;
    let is_new = matches!(found, Found::Nothing);
    let who = own(found, path, config)?;
    if !is_new {
        let known = read_filters(&txn, &tables)?;
        let progress = Progress::read(&txn, &tables)?;
        return Ok((who, tables, known, progress));
    }
    write_who(&mut txn, &tables, &who)?;
    write_filters(&mut txn, &tables, &[])?;
    let mut written = Progress::default();
    written.write(&mut txn, &tables)?;
    txn.commit()?;
    // That it was written here is not to be taken for an earlier life.
    Ok((who, tables, Vec::new(), Progress::default()))
}

/// Who a store is, if this program can open it for this realm.
pub(super) fn own(found: Found, path: &Path, config: &StoreConfig) -> Result<Who, OpenError> {
    match found {
        Found::Newer(found) => Err(OpenError::NewerVersion {
            path: path.to_owned(),
            found,
            supported: VERSION,
        }),
        Found::Store(who) if who.realm != config.realm => Err(OpenError::OtherRealm {
            path: path.to_owned(),
            found: who.realm,
            expected: config.realm.clone(),
        }),
        Found::Store(who) => Ok(who),
        Found::Nothing => new_life(config),
    }
}

fn new_life(config: &StoreConfig) -> Result<Who, OpenError> {
    let mut secret = [0; 48];
    getrandom::fill(&mut secret).map_err(|error| OpenError::Random(error.to_string()))?;
    let (incarnation, key) = secret.split_at(16);
    Ok(Who {
        realm: config.realm.clone(),
        incarnation: Incarnation(incarnation.try_into().unwrap_or_default()),
        key: StoreKey::from_bytes(key.try_into().unwrap_or_default()),
    })
}

/// Brings a store up to what is configured: what the last configuration would have dropped by now
/// goes first, then what the new one does not keep.
fn take_over(
    env: &Env,
    tables: Tables,
    who: &Who,
    mut known: Vec<Known>,
    mut progress: Progress,
    config: &StoreConfig,
) -> Result<(Plan, Vec<Known>, Progress), LmdbError> {
    let told = progress.told.max(progress.last_time);
    let most = Limits::of(config.maxsize).removed_at_once();
    let before = plan(tables, &who.key, &known);
    for Known { id, filter, .. } in &known {
        let oldest = filter.oldest_at(told);
        progress = in_parts(env, &before, progress, |shelf| {
            shelf.drop_older(*id, oldest, most)
        })?;
    }
    configure(&mut known, with_limits(config));
    let after = plan(tables, &who.key, &known);
    let mut shelf = Shelf::begin(env, &after, progress)?;
    shelf.progress.told = told;
    write_filters(shelf.rows(), &tables, &known)?;
    progress = shelf.commit()?;
    for Known { id, .. } in known.iter().filter(|known| known.configured) {
        progress = in_parts(env, &after, progress, |shelf| shelf.enforce(*id, most))?;
    }
    Ok((after, known, progress))
}

/// Drops the oldest events of a store that is larger than it may be, until its reserve is whole.
fn come_down(
    env: &Env,
    plan: &Plan,
    mut progress: Progress,
    config: &StoreConfig,
) -> Result<Progress, LmdbError> {
    let limits = Limits::of(config.maxsize);
    if config.full == Full::Refuse || Fill::of(env, limits)?.left >= 0 {
        return Ok(progress);
    }
    log::warn!(
        realm = config.realm.as_str();
        "the store is larger than {} bytes: its oldest events are dropped, and the file becomes \
         smaller by `rewamp history compact`", config.maxsize
    );
    while progress.events > 0 && Fill::of(env, limits)?.missing(limits) > 0 {
        let mut shelf = Shelf::begin(env, plan, progress)?;
        for _ in 0..limits.removed_at_once() {
            shelf.drop_oldest_of_all()?;
        }
        progress = shelf.commit()?;
    }
    Ok(progress)
}

/// Does in as many transactions as it takes what `part` does a part of; it says whether that was
/// all.
pub(super) fn in_parts(
    env: &Env,
    plan: &Plan,
    mut progress: Progress,
    part: impl Fn(&mut Shelf<'_>) -> Result<bool, LmdbError>,
) -> Result<Progress, LmdbError> {
    loop {
        let events = (progress.events, progress.filters.clone());
        let mut shelf = Shelf::begin(env, plan, progress.clone())?;
        let done = part(&mut shelf)?;
        if events == (shelf.progress.events, shelf.progress.filters.clone()) {
            return Ok(progress);
        }
        progress = shelf.commit()?;
        if done {
            return Ok(progress);
        }
    }
}

pub(super) fn plan(tables: Tables, key: &StoreKey, known: &[Known]) -> Plan {
    let subscription = |known: &Known| {
        let Filter {
            uri, match_policy, ..
        } = &known.filter;
        (known.id, key.subscription(uri, *match_policy).get())
    };
    let limits = known.iter().map(|known| {
        let Known { id, filter, .. } = known.clone();
        (id, ConfiguredFilter { id, filter })
    });
    Plan {
        tables,
        key: key.clone(),
        subscriptions: known.iter().map(subscription).collect(),
        limits: limits.collect(),
    }
}

/// Whether all of these filters were configured before.
fn is_subset(filters: &[Filter], known: &[Known]) -> bool {
    let before = |filter: &Filter| {
        let mut known = known.iter().filter(|known| known.configured);
        known.any(|known| known.filter.is_same(filter))
    };
    filters.iter().all(before)
}

/// The configured filters with the limits in force.
pub(super) fn with_limits(config: &StoreConfig) -> Vec<Filter> {
    let filters = config.filters.iter().cloned();
    let filters = filters.map(|filter| filter.or_limit(config.limit));
    filters.collect()
}

pub(super) fn filter_table(known: &[Known], config: &StoreConfig) -> FilterTable {
    // As they stand in the configuration.
    let configured = with_limits(config).into_iter().filter_map(|filter| {
        let own = known.iter().find(|known| known.filter.is_same(&filter));
        own.map(|own| ConfiguredFilter { id: own.id, filter })
    });
    let gone = known.iter().filter(|known| !known.configured);
    let gone = gone.map(|known| ConfiguredFilter {
        id: known.id,
        filter: known.filter.clone(),
    });
    FilterTable::new(configured.collect()).with_gone(gone.collect())
}

/// What went wrong, as it is said of an opening.
pub(super) fn open_error(path: &Path, error: LmdbError) -> OpenError {
    OpenError::Io {
        what: "cannot open",
        path: path.to_owned(),
        source: error.io().unwrap_or_else(|| io::Error::other(error)),
    }
}
