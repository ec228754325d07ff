//! A session's stay in a realm, as engines may keep it that have a place for it. Knows nothing of
//! what a session is else.

use bytes::Bytes;
use bytestring::ByteString;
use rewamp_wamp::id::SessionId;

use crate::event::Timestamp;

/// Who joined a realm, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The session.
    pub session: SessionId,
    /// When it joined.
    pub joined: Timestamp,
    /// Who it is.
    pub authid: ByteString,
    /// In which role.
    pub authrole: ByteString,
    /// How it showed that.
    pub authmethod: ByteString,
    /// Who vouches for it.
    pub authprovider: ByteString,
    /// Its connection: a map in CBOR.
    pub transport: Bytes,
}
