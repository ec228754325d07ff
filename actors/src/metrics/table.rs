//! The table of metrics: what each is called, counts and says. Registered, counted and tested by
//! `metrics.rs`.

/// What a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever goes up; its name in the output ends in `_total`.
    Counter,
    /// A present state.
    Gauge,
    /// A distribution; buckets in the unit that the name says.
    Histogram,
}

/// Names a row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    /// Open client connections, joined or not.
    Connections,
    /// Connections ended by ABORT or a transport fault.
    Aborted,
    /// Joined sessions.
    Sessions,
    /// Sessions that have joined.
    Joins,
    /// Logins refused.
    FailedLogins,
    /// Messages received from clients, by message type.
    Messages,
    /// Subscriptions that have a subscriber.
    Subscriptions,
    /// Registered procedures.
    Registrations,
    /// Publications routed.
    Publications,
    /// EVENTs handed to receivers.
    Deliveries,
    /// EVENTs dropped for receivers that were too slow.
    DroppedEvents,
    /// EVENTs over a receiver's message limit, dropped for it.
    OversizeEvents,
    /// EVENTs that a receiver's serializer cannot express, dropped for it.
    UntranscodableEvents,
    /// Sessions cut because they did not read.
    CutSlowConsumers,
    /// Sessions that could not keep up and got events from the history instead.
    CatchUps,
    /// Sessions' subscriptions, and sessions, that get events from the history now.
    Tracks,
    /// EVENTs handed to receivers from the history.
    Replayed,
    /// Times that a session missed events that the history did not have any more.
    Gaps,
    /// Bytes waiting for receivers, all sessions together.
    OutboxBytes,
    /// Messages waiting for receivers, all sessions together.
    OutboxMessages,
    /// Calls that wait for their callee.
    PendingCalls,
    /// Times the cache of topic routes was full and begun anew.
    TopicCacheResets,
    /// Batches of publishers that wait for room in the history buffer.
    HeldBatches,
    /// 1 while the realm's store cannot be written.
    HistoryDegraded,
    /// 1 while the realm's store is full and refuses.
    HistoryFull,
    /// Events that a history filter shows.
    HistoryEvents,
    /// Bytes that the store takes, on disk or in memory.
    HistoryBytes,
    /// Events accepted and not yet committed.
    HistoryBufferedEvents,
    /// Bytes of the events accepted and not yet committed.
    HistoryBufferedBytes,
    /// Events committed to the store.
    HistoryStored,
    /// Events routed live and not stored, because the store failed or its buffers stayed full.
    HistoryNotStored,
    /// Publications refused because they are too large for the store, or it was full.
    HistoryRefused,
    /// Commits that the store could not do.
    HistoryFailedCommits,
    /// Pages of history answered.
    HistoryQueries,
    /// Pages of history asked for and not yet answered.
    HistoryWaitingQueries,
    /// Events of a commit.
    HistoryFlushEvents,
    /// How long a commit took.
    HistoryFlushSeconds,
    /// From a publication's acceptance to its durable acknowledgement.
    HistoryAckSeconds,
    /// Starts at which the store had to be repaired.
    HistoryRecoveries,
    /// Events brought back by repair.
    HistoryRecoveredEvents,
    /// Events known to have been stored and not found any more, at most.
    HistoryMissingEvents,
    /// Damaged parts of the store set aside and kept.
    HistorySetAside,
    /// 1 while the realm's store cannot be opened.
    HistoryUnavailable,
    /// Event stores that are open.
    OpenStores,
    /// How long someone waited for a store to be opened.
    StoreOpenSeconds,
    /// Event stores that could not be opened when they were wanted.
    StoreOpenFailures,
    /// How long closing a store took.
    StoreRestSeconds,
    /// Event stores closed, although not idle, because others were wanted.
    StoreEvictions,
    /// Event stores opened beyond the budget, because all others were in use.
    StoresOverBudget,
    /// Turns of commits and questions that are at work in event stores.
    StoreTurns,
    /// Turns of commits and questions that wait for others to end.
    StoreTurnsWaiting,
}

/// A row of [`TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// What the code calls it.
    pub id: Id,
    /// Its name without the prefix `rewamp_`.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// One sentence for the one who reads a dashboard.
    pub help: &'static str,
}

const fn row(
    id: Id,
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        id,
        name,
        kind,
        labels,
        help,
    }
}

const NODE: &[&str] = &[];
const REASON: &[&str] = &["reason"];
pub(super) const REALM: &[&str] = &["realm"];
const TYPED: &[&str] = &["realm", "type"];
const FILTERED: &[&str] = &["realm", "filter"];

/// Every metric of a node.
pub const TABLE: &[Metric] = &[
    row(
        Id::Connections,
        "connections",
        Kind::Gauge,
        NODE,
        "Open client connections, joined or not",
    ),
    row(
        Id::Aborted,
        "aborted",
        Kind::Counter,
        REASON,
        "Connections ended by ABORT or a transport fault",
    ),
    row(
        Id::Sessions,
        "sessions",
        Kind::Gauge,
        REALM,
        "Joined sessions",
    ),
    row(
        Id::Joins,
        "joins",
        Kind::Counter,
        REALM,
        "Sessions that have joined",
    ),
    row(
        Id::FailedLogins,
        "failed_logins",
        Kind::Counter,
        REALM,
        "Logins refused",
    ),
    row(
        Id::Messages,
        "messages",
        Kind::Counter,
        TYPED,
        "Messages received from clients, by message type",
    ),
    row(
        Id::Subscriptions,
        "subscriptions",
        Kind::Gauge,
        REALM,
        "Subscriptions that have a subscriber",
    ),
    row(
        Id::Registrations,
        "registrations",
        Kind::Gauge,
        REALM,
        "Registered procedures",
    ),
    row(
        Id::Publications,
        "publications",
        Kind::Counter,
        REALM,
        "Publications routed",
    ),
    row(
        Id::Deliveries,
        "deliveries",
        Kind::Counter,
        REALM,
        "EVENTs handed to receivers",
    ),
    row(
        Id::DroppedEvents,
        "dropped_events",
        Kind::Counter,
        REALM,
        "EVENTs dropped for receivers that were too slow",
    ),
    row(
        Id::OversizeEvents,
        "oversize_events",
        Kind::Counter,
        REALM,
        "EVENTs over a receiver's message limit, dropped for it",
    ),
    row(
        Id::UntranscodableEvents,
        "untranscodable_events",
        Kind::Counter,
        REALM,
        "EVENTs that a receiver's serializer cannot express, dropped for it",
    ),
    row(
        Id::CutSlowConsumers,
        "cut_slow_consumers",
        Kind::Counter,
        REALM,
        "Sessions cut because they did not read",
    ),
    row(
        Id::CatchUps,
        "catch_ups",
        Kind::Counter,
        REALM,
        "Times that a session could not keep up and got events from the history instead",
    ),
    row(
        Id::Tracks,
        "history_followers",
        Kind::Gauge,
        REALM,
        "Replays and sessions catching up that get events from the history now",
    ),
    row(
        Id::Replayed,
        "replayed_events",
        Kind::Counter,
        REALM,
        "EVENTs handed to receivers from the history",
    ),
    row(
        Id::Gaps,
        "history_gaps",
        Kind::Counter,
        REALM,
        "Times that a session missed events which the history did not have any more",
    ),
    row(
        Id::OutboxBytes,
        "outbox_bytes",
        Kind::Gauge,
        REALM,
        "Bytes waiting for receivers, all sessions together",
    ),
    row(
        Id::OutboxMessages,
        "outbox_messages",
        Kind::Gauge,
        REALM,
        "Messages waiting for receivers, all sessions together",
    ),
    row(
        Id::PendingCalls,
        "pending_calls",
        Kind::Gauge,
        REALM,
        "Calls that wait for their callee",
    ),
    row(
        Id::TopicCacheResets,
        "topic_cache_resets",
        Kind::Counter,
        REALM,
        "Times the cache of topic routes was full and begun anew",
    ),
    row(
        Id::HeldBatches,
        "held_batches",
        Kind::Gauge,
        REALM,
        "Batches of publishers that wait for room in the history buffer",
    ),
    row(
        Id::HistoryDegraded,
        "history_degraded",
        Kind::Gauge,
        REALM,
        "1 while the realm's store cannot be written, or is readonly",
    ),
    row(
        Id::HistoryFull,
        "history_full",
        Kind::Gauge,
        REALM,
        "1 while the realm's store is full and refuses publications",
    ),
    row(
        Id::HistoryEvents,
        "history_events",
        Kind::Gauge,
        FILTERED,
        "Events that a history filter shows",
    ),
    row(
        Id::HistoryBytes,
        "history_bytes",
        Kind::Gauge,
        REALM,
        "Bytes that the store takes, on disk or in memory",
    ),
    row(
        Id::HistoryBufferedEvents,
        "history_buffered_events",
        Kind::Gauge,
        REALM,
        "Events accepted and not yet committed",
    ),
    row(
        Id::HistoryBufferedBytes,
        "history_buffered_bytes",
        Kind::Gauge,
        REALM,
        "Bytes of the events accepted and not yet committed",
    ),
    row(
        Id::HistoryStored,
        "history_stored",
        Kind::Counter,
        REALM,
        "Events committed to the store",
    ),
    row(
        Id::HistoryNotStored,
        "history_not_stored",
        Kind::Counter,
        REALM,
        "Events routed live and not stored: the store is readonly, failed, or its buffers stayed full",
    ),
    row(
        Id::HistoryRefused,
        "history_refused",
        Kind::Counter,
        REALM,
        "Publications refused because they are too large for the store, or because it is full",
    ),
    row(
        Id::HistoryFailedCommits,
        "history_failed_commits",
        Kind::Counter,
        REALM,
        "Commits that the store could not do",
    ),
    row(
        Id::HistoryQueries,
        "history_queries",
        Kind::Counter,
        REALM,
        "Pages of history answered",
    ),
    row(
        Id::HistoryWaitingQueries,
        "history_waiting_queries",
        Kind::Gauge,
        REALM,
        "Pages of history asked for and not yet answered",
    ),
    row(
        Id::HistoryFlushEvents,
        "history_flush_events",
        Kind::Histogram,
        REALM,
        "Events of a commit",
    ),
    row(
        Id::HistoryFlushSeconds,
        "history_flush_seconds",
        Kind::Histogram,
        REALM,
        "How long a commit took",
    ),
    row(
        Id::HistoryAckSeconds,
        "history_ack_seconds",
        Kind::Histogram,
        REALM,
        "From a publication's acceptance to its durable acknowledgement",
    ),
    row(
        Id::HistoryRecoveries,
        "history_recoveries",
        Kind::Counter,
        REALM,
        "Starts at which the store had to be repaired",
    ),
    row(
        Id::HistoryRecoveredEvents,
        "history_recovered_events",
        Kind::Counter,
        REALM,
        "Events brought back by repair",
    ),
    row(
        Id::HistoryMissingEvents,
        "history_missing_events",
        Kind::Gauge,
        REALM,
        "Events known to have been stored and not found any more, at most",
    ),
    row(
        Id::HistorySetAside,
        "history_set_aside",
        Kind::Gauge,
        REALM,
        "Damaged parts of the store set aside and kept",
    ),
    row(
        Id::HistoryUnavailable,
        "history_unavailable",
        Kind::Gauge,
        REALM,
        "1 while the realm's store cannot be opened: events are routed and not stored",
    ),
    row(
        Id::OpenStores,
        "open_stores",
        Kind::Gauge,
        NODE,
        "Event stores that are open",
    ),
    row(
        Id::StoreOpenSeconds,
        "store_open_seconds",
        Kind::Histogram,
        NODE,
        "How long someone waited for an event store to be opened",
    ),
    row(
        Id::StoreOpenFailures,
        "store_open_failures",
        Kind::Counter,
        NODE,
        "Event stores that could not be opened when they were wanted",
    ),
    row(
        Id::StoreRestSeconds,
        "store_rest_seconds",
        Kind::Histogram,
        NODE,
        "How long closing an event store took that was not wanted for now",
    ),
    row(
        Id::StoreEvictions,
        "store_evictions",
        Kind::Counter,
        NODE,
        "Event stores closed, although not idle, because others were wanted",
    ),
    row(
        Id::StoresOverBudget,
        "stores_over_budget",
        Kind::Counter,
        NODE,
        "Event stores opened beyond the budget, because all others were in use",
    ),
    row(
        Id::StoreTurns,
        "store_turns",
        Kind::Gauge,
        NODE,
        "Commits and turns of questions that are at work in event stores",
    ),
    row(
        Id::StoreTurnsWaiting,
        "store_turns_waiting",
        Kind::Gauge,
        NODE,
        "Commits and turns of questions that wait until others have ended",
    ),
];
