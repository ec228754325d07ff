//! A store that is only read and is not ours, or that others have written to since we did: its
//! publications get their place in an order that stands elsewhere, in a file of ours that has no
//! name, and not one byte of the store changes. Their arguments are read where they are.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use rewamp_wamp::uri::MatchPolicy;
use sha2::{Digest as _, Sha256};

use super::adopt::{Adopted, Adoption, Theirs};
use super::begin::{Begun, Failed, filter_table, open_error, own, plan, trust, with_limits};
use super::lmdb::{Env, LmdbError, Options, Txn, WriteTxn};
use super::pages::{Format, Pages};
use super::rows::SessionRow;
use super::state::{Found, Known, Progress, Who};
use super::state::{
    configure, filters_key, filters_of, read_filters, read_who, who_key, who_of, write_filters,
    write_who,
};
use super::tables::{Slots, Tables};
use crate::error::OpenError;
use crate::event::Sequence;
use crate::filter::{Filter, FilterId};
use crate::store::{Full, Incarnation, StoreConfig};
use crate::subscription::StoreKey;

/// Bytes that the order of a store may take, wherever it stands: the size of a map, not of a file.
const ORDER: u64 = 1 << 38;

/// How often a file that changes meanwhile is looked at without a trace.
const TRIES: u32 = 100;

/// Rows that are copied in one transaction.
const AT_ONCE: usize = 10_000;

/// The rows of a store that nobody but others writes to.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    slots: Slots,
    way: RwLock<Way>,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// How its rows are read.
#[derive(Debug)]
enum Way {
    /// Without a trace, as long as nobody writes.
    Quiet(Pages),
    /// By LMDB, which notes its readers, and so keeps what they see from being used again.
    Beside(Env),
}

type Done<T = ()> = Result<T, LmdbError>;

impl Source {
    /// Opens the file in a folder, of LMDB 1.0 or 0.9.
    pub(super) fn open(path: &Path) -> Done<Self> {
        let file = path.join("data.mdb");
        let pages = Pages::open(&file)?;
        let bytes = std::fs::metadata(&file).map_err(LmdbError::of_io)?.len();
        Ok(Self {
            path: path.to_owned(),
            slots: Slots::read(&mut |visit| pages.each(&[0, 0], visit))?,
            way: RwLock::new(Way::Quiet(pages)),
            bytes,
        })
    }

    /// The same, unless our tables are in it and nobody else has written since we did.
    pub(super) fn of_others(path: &Path) -> Done<Option<Self>> {
        // While somebody writes, as we may do in another process, what is read may be anything.
        for _ in 0..TRIES {
            let source = Self::open(path);
            let is_ours = source.as_ref().map(Self::is_ours);
            match (&source, is_ours) {
                (Ok(quiet), Ok(is_ours)) if quiet.is_unchanged()? => {
                    return match is_ours? {
                        true => Ok(None),
                        false => source.map(Some),
                    };
                }
                _ => {}
            }
        }
        let source = Self::open(path)?;
        source.read_beside()?;
        Ok(match source.is_ours()? {
            true => None,
            false => Some(source),
        })
    }

    /// Whether our tables are in it, and nobody else has written since we did.
    pub(super) fn is_ours(&self) -> Done<bool> {
        let Some(tables) = self.slots.all() else {
            return Ok(false);
        };
        let key = Progress::key(&tables);
        let (progress, last) = match &*self.way.read() {
            Way::Quiet(pages) => (pages.get(&key)?, pages.txn),
            Way::Beside(env) => {
                let txn = env.read()?;
                (txn.get(&key)?.map(<[u8]>::to_vec), txn.id())
            }
        };
        let progress = progress.as_deref().and_then(Progress::of);
        Ok(progress.is_some_and(|progress| progress.txn == last))
    }

    /// What it says of itself in tables of ours, if it does.
    pub(super) fn what_we_said(&self) -> Done<Option<(Found, Vec<Known>)>> {
        let Some(tables) = self.slots.all() else {
            return Ok(None);
        };
        let Some(who) = self.get(&who_key(&tables))? else {
            return Ok(None);
        };
        let filters = self.get(&filters_key(&tables))?;
        Ok(Some((who_of(Some(&who))?, filters_of(filters.as_deref())?)))
    }

    /// Whether there are keys of odd length.
    pub(super) fn has_odd_keys(&self) -> Done<bool> {
        match &*self.way.read() {
            Way::Quiet(pages) => pages.has_odd_keys(),
            Way::Beside(_) => Ok(false),
        }
    }

    /// Whether nobody has written since it was opened, as far as that matters.
    pub(super) fn is_unchanged(&self) -> Done<bool> {
        match &*self.way.read() {
            Way::Quiet(pages) => pages.is_unchanged(),
            Way::Beside(_) => Ok(true),
        }
    }

    /// Somebody writes: LMDB is told of those who read.
    fn read_beside(&self) -> Done {
        let mut way = self.way.write();
        if let Way::Quiet(pages) = &*way {
            if pages.format() == Format::V1 {
                return Err(LmdbError::BUSY);
            }
            log::info!(
                "the store {} is written to by others: from now on its readers are noted in \
                 `lock.mdb`",
                self.path.display()
            );
            let env = Env::open(&self.path, READ)?;
            trust(&env, &self.path).map_err(|_| LmdbError::DAMAGED)?;
            *way = Way::Beside(env);
        }
        Ok(())
    }

    /// The row of a publication.
    pub(super) fn publication(&self, id: u64) -> Done<Option<Cow<'static, [u8]>>> {
        let Some(table) = self.slots.publications else {
            return Ok(None);
        };
        let mut key = table.to_be_bytes().to_vec();
        key.extend_from_slice(&id.to_be_bytes());
        self.get(&key).map(|row| row.map(Cow::Owned))
    }

    fn get(&self, key: &[u8]) -> Done<Option<Vec<u8>>> {
        if let Way::Quiet(pages) = &*self.way.read() {
            let row = pages.get(key);
            // Asked behind it: what was read before somebody wrote is what was there.
            if pages.is_unchanged()? {
                return row;
            }
        }
        self.read_beside()?;
        match &*self.way.read() {
            Way::Beside(env) => Ok(env.read()?.get(key)?.map(<[u8]>::to_vec)),
            Way::Quiet(_) => Err(LmdbError::BUSY),
        }
    }

    /// Visits the rows of a table.
    fn each(&self, table: u16, visit: &mut dyn FnMut(&[u8], &[u8]) -> Done) -> Done {
        let begin = Tables::begin(table);
        match &*self.way.read() {
            Way::Quiet(pages) => pages.each(&begin, visit),
            Way::Beside(env) => each_of(&env.read()?, &begin, visit),
        }
    }

    /// Visits the rows of one of cfxdb's tables, if there is one.
    pub(super) fn each_of_theirs(
        &self,
        table: Theirs,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Done {
        let table = match table {
            Theirs::Sessions => self.slots.sessions,
            Theirs::Publications => self.slots.publications,
            // Nothing is to be removed with a publication.
            Theirs::Events => None,
        };
        match table {
            Some(table) => self.each(table, &mut |key, value| {
                visit(key, value);
                Ok(())
            }),
            None => Ok(()),
        }
    }

    /// The realms whose sessions are in it.
    fn realms(&self) -> Done<BTreeSet<String>> {
        let mut realms = BTreeSet::new();
        self.each_of_theirs(Theirs::Sessions, &mut |_, value| {
            let row = SessionRow::read(value);
            realms.extend(row.and_then(|row| row.realm).map(str::to_owned));
        })?;
        Ok(realms)
    }

    /// A number that is another one when somebody has written.
    fn txn(&self) -> Done<u64> {
        match &*self.way.read() {
            Way::Quiet(pages) => Ok(pages.txn),
            Way::Beside(env) => Ok(env.info()?.last_txn),
        }
    }
}

const READ: Options = Options {
    map: 0,
    readonly: true,
    mode: 0,
    sync: true,
};

/// Visits the rows whose keys begin so.
pub(super) fn each_of(
    txn: &Txn<'_>,
    begin: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Done,
) -> Done {
    let mut cursor = txn.cursor()?;
    let mut next = cursor.seek(begin)?;
    while let Some((key, value)) = next.filter(|(key, _)| key.starts_with(begin)) {
        visit(key, value)?;
        next = cursor.next()?;
    }
    Ok(())
}

/// Opens a store of others to read it, or one that others have written to since we did.
pub(super) fn begin_foreign(
    path: &Path,
    config: &StoreConfig,
    source: Source,
) -> Result<Begun, OpenError> {
    let failed = |error| open_error(path, error);
    loop {
        let begun = order(path, config, &source);
        // What was read while somebody wrote may be anything, and so may be what it failed of.
        if !source.is_unchanged().map_err(failed)? {
            source.read_beside().map_err(failed)?;
            continue;
        }
        return match begun {
            Ok(begun) => Ok(Begun {
                source: Some(source),
                ..begun
            }),
            Err(Failed::Open(error)) => Err(error),
            Err(Failed::Lmdb(error)) => Err(failed(error)),
        };
    }
}

/// Gives every publication its place, in a file of ours.
fn order(path: &Path, config: &StoreConfig, source: &Source) -> Result<Begun, Failed> {
    let env = nameless()?;
    let config = StoreConfig {
        maxsize: ORDER,
        full: Full::Refuse,
        ..config.clone()
    };
    let (tables, who, mut known, progress) = take(path, &config, source, &env)?;
    configure(&mut known, with_limits(&config));
    let plan = plan(tables, &who.key, &known);
    let filters = filter_table(&known, &config);
    let adoption = Adoption {
        env: &env,
        plan: &plan,
        filters: &filters,
        config: &config,
        source: Some(source),
    };
    let first = progress.newest.next().max(Sequence::new(1));
    let Adopted {
        mut progress, next, ..
    } = adoption.run(progress, first)?;
    progress.reserved = next;
    Ok(Begun {
        lock: None,
        env,
        plan,
        filters,
        incarnation: who.incarnation,
        progress,
        next,
        recovered: false,
        readonly: true,
        source: None,
    })
}

/// Takes over what the store knows of itself, if it was ever ours, and begins it if not; its life
/// is another one each time that somebody has written, since places may be others then.
fn take(
    path: &Path,
    config: &StoreConfig,
    source: &Source,
    env: &Env,
) -> Result<(Tables, Who, Vec<Known>, Progress), Failed> {
    let mut txn = env.write()?;
    let tables = Tables::find_or_make(&mut txn)?;
    txn.commit()?;
    if let Some(theirs) = source.slots.all() {
        copy_own(source, &theirs, env, &tables)?;
    }
    let mut txn = env.write()?;
    let (who, known, mut progress) = match read_who(&txn, &tables)? {
        Found::Nothing => (stranger(&config.realm), Vec::new(), Progress::default()),
        found => (
            own(found, path, config)?,
            read_filters(&txn, &tables)?,
            Progress::read(&txn, &tables)?,
        ),
    };
    let who = Who {
        incarnation: life(&who, source.txn()?),
        ..who
    };
    write_who(&mut txn, &tables, &who)?;
    write_filters(&mut txn, &tables, &known)?;
    progress.write(&mut txn, &tables)?;
    txn.commit()?;
    Ok((tables, who, known, progress))
}

/// Copies the rows of our own tables.
fn copy_own(source: &Source, theirs: &Tables, env: &Env, tables: &Tables) -> Done {
    for (from, to) in theirs.own().into_iter().zip(tables.own()) {
        let mut txn = Some(env.write()?);
        let mut rows = 0;
        source.each(from, &mut |key, value| {
            let mut own = to.to_be_bytes().to_vec();
            own.extend_from_slice(key.get(2..).unwrap_or_default());
            if rows == AT_ONCE
                && let Some(full) = txn.take()
            {
                full.commit()?;
                (rows, txn) = (0, Some(env.write()?));
            }
            rows += 1;
            txn.as_mut().map_or(Ok(()), |txn| txn.put(&own, value))
        })?;
        txn.map_or(Ok(()), WriteTxn::commit)?;
    }
    Ok(())
}

/// Who a store is that was never ours: the same every time, though nothing can be noted in it.
pub(super) fn stranger(realm: &str) -> Who {
    let key = Sha256::new_with_prefix(b"rewamp: a store of others\0").chain_update(realm);
    Who {
        realm: realm.to_owned(),
        incarnation: Incarnation([0; 16]),
        key: StoreKey::from_bytes(key.finalize().into()),
    }
}

fn life(who: &Who, txn: u64) -> Incarnation {
    let digest = Sha256::new_with_prefix(who.key.bytes())
        .chain_update(who.incarnation.bytes())
        .chain_update(txn.to_be_bytes())
        .finalize();
    let mut life = [0; 16];
    life.iter_mut()
        .zip(digest)
        .for_each(|(place, byte)| *place = byte);
    Incarnation(life)
}

/// An environment whose files have no name: they are gone with the process.
fn nameless() -> Result<Env, Failed> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|error| OpenError::Random(error.to_string()))?;
    let name = format!("rewamp-{:016x}", u64::from_le_bytes(name));
    let folder = std::env::temp_dir().join(name);
    let failed = |source| OpenError::Io {
        what: "cannot create (a store that is not ours is read with an order beside it, in TMPDIR)",
        path: folder.clone(),
        source,
    };
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(failed)?;
    let options = Options {
        map: ORDER,
        readonly: false,
        mode: 0o600,
        sync: false,
    };
    let env = Env::open(&folder, options).and_then(Env::never_synced);
    let removed = std::fs::remove_dir_all(&folder);
    let env = env?;
    removed.map_err(failed)?;
    Ok(env)
}

/// What a store says of itself that was never ours: the realm of its sessions, and everything.
pub(super) fn identify_foreign(
    path: &Path,
    source: &Source,
    realm: Option<&str>,
) -> Result<(Who, Vec<Known>), OpenError> {
    let failed = |error| open_error(path, error);
    let realm = match realm {
        Some(realm) => realm.to_owned(),
        None => {
            let realms = source.realms().map_err(failed)?;
            let mut all = realms.iter();
            match (all.next(), all.next()) {
                (Some(realm), None) => realm.clone(),
                _ => {
                    let names: Vec<_> = realms.iter().map(|name| format!("`{name}`")).collect();
                    return Err(OpenError::Unfit {
                        path: path.to_owned(),
                        why: format!(
                            "which realm's history it holds is not written in it: there are \
                             sessions of {} realms {}; name one with --realm",
                            names.len(),
                            names.join(", ")
                        ),
                    });
                }
            }
        }
    };
    let who = stranger(&realm);
    let incarnation = life(&who, source.txn().map_err(failed)?);
    let everything = Known {
        id: FilterId::new(0),
        filter: Filter::new("", MatchPolicy::Prefix),
        configured: true,
    };
    Ok((Who { incarnation, ..who }, vec![everything]))
}
