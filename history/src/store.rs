//! [`EventStore`]: what every engine does, and [`open`], which makes one. The realm's History
//! actor is the one who calls.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use rewamp_wamp::id::{SessionId, SubscriptionId};
use rewamp_wamp::uri::MatchPolicy;

use crate::engine::cfxdb::Cfxdb;
use crate::engine::memory::Memory;
use crate::engine::sled::Sled;
use crate::error::{AppendError, OpenError, Position, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, Filter, FilterId, StoredTopic};
use crate::query::{PageEnd, Purge, Query, Scope, Viewer};
use crate::visit::Visit;

/// How many sequences are reserved at once, at least: what a crash makes the realm skip.
///
/// 2^20: at a million publications a second the disk is asked once a second, long before the
/// reserved ones run out; and 2^53 sequences last for eight thousand million crashes.
pub const RESERVATION: u64 = 1 << 20;

/// The event history of one realm.
///
/// [`append`](Self::append) is called by one thread at a time, everything else by any number
/// of threads at any time.
pub trait EventStore: Send + Sync + fmt::Debug {
    /// What the store found when it was opened.
    fn opened(&self) -> &Opened;

    /// The configured filters in configured order, with the limits in force.
    fn filters(&self) -> &[ConfiguredFilter];

    /// The filters that cover `topic`; `None` if its publications are not stored.
    fn topic(&self, topic: &str) -> Option<Arc<StoredTopic>>;

    /// The filter whose history the subscription `(uri, match_policy)` has: its own, else the
    /// first configured one that covers every topic it can match.
    fn covering(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId>;

    /// The filter whose history can be read for the subscription: as [`covering`](Self::covering),
    /// else one that is not configured any more and covered it: what it kept stays readable until
    /// its bounds, or the store's, take it.
    fn readable(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId>;

    /// The ID of a subscription, the same for the life of the store.
    fn subscription_id(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId;

    /// The subscription with that ID: a filter, a topic of the history, or a pattern that was
    /// [remembered](Self::remember_pattern).
    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)>;

    /// The same for what was [remembered](Self::remember_pattern), as far as it can be told without
    /// waiting for the disk: `None` may mean that only the disk knows.
    fn find_remembered(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.find_subscription(id)
    }

    /// Keeps a covered subscription findable by its ID; durable with the next append. The 4,096
    /// most recent are kept. Cheap: waits for no disk.
    fn remember_pattern(&self, uri: &str, match_policy: MatchPolicy);

    /// Allows the realm to give out sequences below `end`, also over a crash. Returns the new
    /// end, at least as far as asked. Waits for the disk: ask for [`RESERVATION`] more when half
    /// of the last one is used. [`Opened::reserved`] is where the first one ends.
    fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError>;

    /// Stores events in one atomic transaction (or, above
    /// [`commit_bytes`](Self::commit_bytes), in as few as it takes); when it returns they are
    /// durable, if the store is, and every new [`read`](Self::read) shows them. Sequences and
    /// times must increase, over all calls. Appending nothing writes no event and says whether
    /// events could be taken now: after a failure it finds out whether the disk works again.
    fn append(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError>;

    /// The most bytes ([`Event::footprint`]) that one transaction takes. `u64::MAX`: any number.
    fn commit_bytes(&self) -> u64;

    /// Shows the events that `query` asks for, one by one in its direction, to `visit`, until
    /// that breaks: the event at which it does counts as not shown.
    ///
    /// `pending` are events that were accepted and perhaps not yet appended, in ascending order
    /// over all slices, taken *before* this call: those that the store has got meanwhile
    /// are not shown twice. No event is shown that the viewer may not see.
    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<PageEnd, QueryError>;

    /// As [`at`](Self::at) and then [`read`](Self::read), for an event loop: waits for nothing, and
    /// looks at a few hundred events at most. For the newest events, without any other condition,
    /// while they are in memory. `None` says no more than that it has to be asked the other way:
    /// then what was visited does not count.
    fn read_at_once(
        &self,
        _query: &Query,
        _pending: &[&[Arc<Event>]],
        _now: Timestamp,
        _visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Option<PageEnd> {
        None
    }

    /// The oldest and the newest event of a history that the viewer can see; `pending` as for
    /// [`read`](Self::read).
    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError>;

    /// What is in a history: its ends as the viewer can see them, and how much there is, whoever
    /// may see it. `pending` as for [`read`](Self::read). Costs about as much as there are
    /// topics, for a filter's own history next to nothing.
    fn info(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Info, StoreError>;

    /// The newest event of a history before that sequence, whoever may see it;
    /// [`Sequence::MAX`] asks for the newest of all. `None` if there is none, or none any more.
    /// `pending` as for [`read`](Self::read).
    fn previous(
        &self,
        scope: &Scope,
        before: Sequence,
        pending: &[&[Arc<Event>]],
    ) -> Result<Option<Sequence>, StoreError>;

    /// Tells the store what time it is: it has no clock of its own. From then on no answer shows
    /// what is older than a filter's `max_age`. To be told before a turn of questions and every
    /// [`tell_time_every`](Self::tell_time_every), so that space is given back where nothing is
    /// asked and nothing comes in. Off the event loop: in memory it drops at once what is too old,
    /// and a store at rest is opened where something is. A time before the last one told changes
    /// nothing.
    fn at(&self, now: Timestamp);

    /// How often [`at`](Self::at) wants to be called: a tenth of the shortest `max_age`, at least
    /// 1 s and at most a minute; `None` where no filter has one. What has become too old leaves
    /// the disk within that time, as soon as all that lies in one segment with it has too.
    fn tell_time_every(&self) -> Option<Duration>;

    /// Bytes ([`Event::footprint`]) that may still be accepted, what is pending included: whoever
    /// keeps to it is never refused by [`append`](Self::append) for want of space. `u64::MAX`
    /// where the oldest events make room ([`Full::DropOldest`]). Cheap: waits for nothing.
    fn room(&self) -> u64;

    /// Purges events of a history, for every filter that holds them, and says how many: when it
    /// returns no answer shows them any more, also after a crash, and they are not on the disk any
    /// more, but in what was set aside as damaged, and of a cfxdb store in free pages, until they are
    /// used again or [`compact`](crate::compact) is called. Takes what is appended; what is pending is not
    /// seen. Waits for the disk: every segment that holds some of them is written anew. Bounds
    /// count what is left, and show nothing again that they had dropped.
    ///
    /// # Errors
    /// [`QueryError::NoSuchPublication`] if the publication is not in this history or not for the
    /// viewer; whoever may see the others is not asked. After an error of the store, some may be
    /// purged.
    fn purge(&self, scope: &Scope, viewer: &Viewer, what: &Purge) -> Result<u64, QueryError>;

    /// What the store holds now. For metrics.
    fn usage(&self) -> Usage;

    /// What has been lost or set aside, since ever; see [`Lost`].
    fn lost(&self) -> Vec<Lost>;

    /// Notes that what sequences from `from` to `to` would have had is missing, such as what was
    /// published while nobody listened; durable when it returns. Sequences that were given to
    /// nothing else, or a later note would be about another's.
    ///
    /// # Errors
    /// If the store is only read, or its disk does not let it.
    fn note_lost(&self, lost: Lost) -> Result<(), StoreError>;

    /// Damaged parts that were set aside since the realm began.
    fn set_aside(&self) -> u64 {
        self.opened().set_aside.len() as u64
    }

    /// Whether it keeps who was there, and wants to be told by [`joined`](Self::joined) and
    /// [`left`](Self::left).
    fn keeps_visits(&self) -> bool {
        false
    }

    /// A session has joined the realm. Cheap: waits for no disk; it is written with the next
    /// [`append`](Self::append), be it of nothing. Where nothing can be written for long, those
    /// who join are not noted any more.
    fn joined(&self, visit: Visit) {
        let _ = visit;
    }

    /// A session that had [joined](Self::joined) has left. Cheap, and written likewise.
    fn left(&self, session: SessionId, at: Timestamp) {
        let _ = (session, at);
    }

    /// Ends the work cleanly: what was appended is on disk, and the next start skips no
    /// sequences: `next` is the next that the realm would have given out. Appending afterwards
    /// is [`StoreError::Closed`]; reading still works.
    fn close(&self, next: Sequence) -> Result<(), StoreError>;
}

/// What a store is made of.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The realm whose history it is.
    pub realm: String,
    /// Where the events are.
    pub engine: Engine,
    /// Bytes, in memory or on disk; the oldest events are dropped to stay within, unless
    /// `full` says otherwise. Metric `rewamp_history_bytes`. See [`MEMORY_MAXSIZE`] and [`MIN_SLED_MAXSIZE`].
    pub maxsize: u64,
    /// What happens there.
    pub full: Full,
    /// Whether an append returns only when its events are safe from power loss. Without, they
    /// are safe from a crash of this process, and within a second from power loss.
    pub sync: bool,
    /// Events that a filter without a `limit` of its own keeps. `None`: 100 in memory,
    /// any number on disk.
    pub limit: Option<u64>,
    /// What is stored, in the order that decides which history a subscription has.
    pub filters: Vec<Filter>,
    /// The sequence at which a memory store begins: the time of the start in microseconds, so
    /// that sequences of earlier lives are smaller. Other engines know their own.
    pub memory_begin: Sequence,
}

/// What a store does at its `maxsize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Full {
    /// The oldest events make room for new ones.
    #[default]
    DropOldest,
    /// Nothing more is taken ([`EventStore::room`]), until retention has made room.
    Refuse,
}

/// The bound of a memory store where none is configured, in bytes.
///
/// 256 MiB: a million small events, in a node that is given a gigabyte.
pub const MEMORY_MAXSIZE: u64 = 256 << 20;

/// The least `maxsize` of a sled store, in bytes: below, less than two segments would fit.
pub const MIN_SLED_MAXSIZE: u64 = 5_242_880;

/// The least `maxsize` of a cfxdb store, in bytes: as at Crossbar.
pub const MIN_CFXDB_MAXSIZE: u64 = 131_072;

/// Where the events are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// In memory, gone with the process.
    Memory,
    /// In files below a folder; see `history/FORMAT.md`.
    Sled {
        /// The folder of this store alone. It and its parents are created where missing, unless
        /// it is `readonly`.
        path: PathBuf,
        /// Whether the store is read and nothing else: not a byte of the folder changes, appends
        /// are [`StoreError::ReadOnly`], and what is read is the history as it stood when it was
        /// opened. Nobody may be writing to it then; whoever begins to later is not hindered. Any
        /// number may read the same store.
        readonly: bool,
    },
    /// In LMDB, in the rows that Crossbar's store has; see `history/FORMAT-cfxdb.md`.
    Cfxdb {
        /// The folder of this store alone. It and its parents are created where missing, unless
        /// it is `readonly`.
        path: PathBuf,
        /// Whether the store is read and nothing else: appends are [`StoreError::ReadOnly`].
        readonly: bool,
        /// Permissions of files that are made, before the process's mask is applied.
        mode: u32,
    },
}

impl Engine {
    /// Its name in a configuration: `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sled { .. } => "sled",
            Self::Cfxdb { .. } => "cfxdb",
        }
    }
}

/// Opens or begins a store.
pub fn open(config: StoreConfig) -> Result<Arc<dyn EventStore>, OpenError> {
    match &config.engine {
        Engine::Memory => Ok(Arc::new(Memory::begin(config)?)),
        Engine::Sled { path, readonly } => {
            let (path, readonly) = (path.clone(), *readonly);
            Ok(Arc::new(match readonly {
                true => Sled::open_readonly(&path, config)?,
                false => Sled::open(&path, config)?,
            }))
        }
        Engine::Cfxdb {
            path,
            readonly,
            mode,
        } => Ok(Arc::new(match readonly {
            true => Cfxdb::open_readonly(path, &config)?,
            false => Cfxdb::open(path, *mode, &config)?,
        })),
    }
}

/// A life of a store: drawn anew when it is begun anew, so that a client that resumes by
/// sequence from another life can be told.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub(crate) [u8; 16]);

impl Incarnation {
    /// The life with these bytes, from [`Self::bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 random bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a store found when it was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Which life of the store this is.
    pub incarnation: Incarnation,
    /// The first sequence that the realm may give out.
    pub next_sequence: Sequence,
    /// Sequences below this one may be given out before the first
    /// [`reserve`](EventStore::reserve).
    pub reserved: Sequence,
    /// The time of the newest event ever stored; new ones must be later.
    pub last_time: Timestamp,
    /// Events that are there.
    pub events: u64,
    /// Bytes they take, with all that belongs to them.
    pub bytes: u64,
    /// Whether it is only read: nothing can be appended.
    pub readonly: bool,
    /// Whether the last life ended without [`close`](EventStore::close).
    pub recovered: bool,
    /// What is missing, including what earlier starts missed; see [`Lost`].
    pub lost: Vec<Lost>,
    /// What this start could not read and has set aside.
    pub set_aside: Vec<PathBuf>,
    /// The folder, for engines that have one.
    pub path: Option<PathBuf>,
}

/// A run of sequences in which acknowledged events may be missing. At most 256 are kept; beyond
/// that, neighbours become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The first sequence.
    pub from: Sequence,
    /// The last sequence.
    pub to: Sequence,
    /// Why, for people.
    pub why: String,
}

/// Runs of lost sequences that are kept; beyond that, neighbours become one.
pub(crate) const MAX_LOST: usize = 256;

impl Lost {
    /// Adds it to what was lost; says whether that is news.
    pub(crate) fn note(self, lost: &mut Vec<Self>) -> bool {
        let known = |other: &Self| other.from <= self.from && self.to <= other.to;
        if self.from > self.to || lost.iter().any(known) {
            return false;
        }
        lost.push(self);
        lost.sort_by_key(|lost| lost.from);
        if lost.len() > MAX_LOST {
            join_closest(lost);
        }
        true
    }
}

fn join_closest(lost: &mut Vec<Lost>) {
    let gap = |pair: &[Lost]| match pair {
        [one, other] => other.from.get().saturating_sub(one.to.get()),
        _ => u64::MAX,
    };
    let pairs = lost.windows(2).enumerate();
    let closest = pairs.min_by_key(|(_, pair)| gap(pair)).map(|(at, _)| at);
    if let Some(at) = closest
        && at + 1 < lost.len()
    {
        let joined = lost.remove(at + 1);
        if let Some(lost) = lost.get_mut(at) {
            lost.to = lost.to.max(joined.to);
        }
    }
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Transactions it took.
    pub commits: u32,
    /// Bytes written for it, as far as the engine knows.
    pub bytes: u64,
}

/// The ends of a history, as a viewer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The oldest event.
    pub oldest: Option<Position>,
    /// The newest event.
    pub newest: Option<Position>,
}

/// What is in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Its ends, as the viewer sees them.
    pub span: Span,
    /// Events that it has, whoever may see them.
    pub events: u64,
    /// About how many bytes they take: their share, by number, of what they are stored with.
    pub bytes: u64,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Events that are there, each counted once. Metric `rewamp_history_events`.
    pub events: u64,
    /// Bytes, in memory or on disk. Metric `rewamp_history_bytes`.
    pub bytes: u64,
    /// Segments: units in which old events are dropped. 0 where there are none.
    pub segments: u64,
    /// Events of each configured filter, in configured order.
    pub filters: Vec<(FilterId, u64)>,
}
