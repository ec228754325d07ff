//! What a commit tells those who wait for it: PUBLISHED, or ERROR where it failed.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use bytestring::ByteString;
use rewamp_history::StoreError;
use rewamp_wamp::codec;
use rewamp_wamp::error_uri;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::{PublicationId, RequestId};
use rewamp_wamp::message::{Error, Message, MessageType};
use rewamp_wamp::value::{Dict, Value};

use crate::session::encoding;
use crate::session::outbox::Outbox;

/// A publisher who asked for an acknowledgement that is only true once the event is on disk.
pub struct Waiting {
    /// Where the answer goes.
    pub outbox: Arc<Outbox>,
    /// How it is written.
    pub wire: Wire,
    /// His PUBLISH.
    pub request: RequestId,
    /// What it became.
    pub publication: PublicationId,
    /// When it was accepted, ns since 1970.
    pub accepted: u64,
    /// Which event of the transaction it is, counted from 0.
    pub place: usize,
}

impl Waiting {
    /// The same behind `events` others.
    pub(super) fn behind(self, events: usize) -> Self {
        Self {
            place: self.place + events,
            ..self
        }
    }

    /// Answers; `dirty` collects whom to wake when all are answered.
    pub(super) fn tell(
        &self,
        failure: Option<&StoreError>,
        scratch: &mut BytesMut,
        dirty: &mut Vec<Arc<Outbox>>,
    ) {
        scratch.clear();
        match failure {
            None => {
                codec::append_published(self.wire, self.request, self.publication, scratch);
            }
            Some(error) => {
                let message = routed_not_stored(self.request, self.wire, &error.to_string());
                encoding::append(self.wire, &message, scratch);
            }
        }
        self.outbox.answer(scratch, 1);
        if self.outbox.mark_dirty() {
            dirty.push(Arc::clone(&self.outbox));
        }
    }
}

/// The ERROR for a publication that live subscribers have received and the history has not.
pub(crate) fn routed_not_stored(request: RequestId, wire: Wire, why: &str) -> Message {
    routed(error_uri::STORE_UNAVAILABLE, request, wire, why)
}

/// The same where the history takes nothing at all.
pub(crate) fn routed_readonly(request: RequestId, wire: Wire) -> Message {
    let why = "the store is readonly";
    routed(error_uri::STORE_READONLY, request, wire, why)
}

fn routed(error: &'static str, request: RequestId, wire: Wire, why: &str) -> Message {
    let mut details = Dict::new();
    details.insert("_routed", true);
    Message::Error(Error {
        request_type: MessageType::Publish,
        request,
        details,
        error: ByteString::from_static(error),
        payload: encoding::arguments(
            wire.serializer,
            &[Value::from(format!(
                "routed to subscribers, but not stored: {why}"
            ))],
            None,
        ),
    })
}

/// A panic in the store's code, as an error of the store.
pub(super) fn panicked(panic: &tokio::task::JoinError) -> StoreError {
    StoreError::Engine {
        what: "a fault of the program",
        path: PathBuf::new(),
        reason: panic.to_string(),
    }
}

/// Seconds between two times in ns.
pub(super) fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}
