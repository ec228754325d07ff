//! Permits: the proof that a role allowed an action. Only a [`Role`](super::Role) makes them, so
//! what takes one cannot be reached around the check. Used by `role.rs`; carried to the Broker,
//! the Dealer and the meta API.

use super::rules::Grant;

/// May publish there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct PublishPermit {
    disclose: bool,
    may_cache: bool,
}

impl PublishPermit {
    pub(super) fn of(grant: Grant) -> Self {
        Self {
            disclose: grant.disclose.publisher,
            may_cache: grant.cache,
        }
    }

    /// Whether subscribers, and readers of the history, are told who published.
    #[must_use]
    pub fn discloses_publisher(self) -> bool {
        self.disclose
    }

    /// Whether this permit may be kept for later publications to the same topic.
    #[must_use]
    pub fn may_cache(self) -> bool {
        self.may_cache
    }
}

/// May call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct CallPermit {
    disclose: bool,
    may_cache: bool,
}

impl CallPermit {
    pub(super) fn of(grant: Grant) -> Self {
        Self {
            disclose: grant.disclose.caller,
            may_cache: grant.cache,
        }
    }

    /// Whether the callee is told who called.
    #[must_use]
    pub fn discloses_caller(self) -> bool {
        self.disclose
    }

    /// Whether this permit may be kept for later calls of the same procedure.
    #[must_use]
    pub fn may_cache(self) -> bool {
        self.may_cache
    }
}

/// May subscribe there, or see what is remembered of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct SubscribePermit(());

impl SubscribePermit {
    pub(super) fn of(_: Grant) -> Self {
        Self(())
    }
}

/// May register there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct RegisterPermit(());

impl RegisterPermit {
    pub(super) fn of(_: Grant) -> Self {
        Self(())
    }
}
