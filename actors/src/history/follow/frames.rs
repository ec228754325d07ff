//! EVENTs from what the store lends, as the Broker would have written them live.

use bytes::BytesMut;
use bytestring::ByteString;
use rewamp_history::{EventRef, Sequence};
use rewamp_wamp::codec::EventHead;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::message::EventDetails;
use rewamp_wamp::payload::PayloadSlice;
use rewamp_wamp::uri::MatchPolicy;

use super::super::record::{further, transcoded};
use super::track::{Followed, Track, TrackKind};
use crate::broker::sequence_details;
use crate::metrics::{Id, RealmMetrics};

/// See the head of this file.
pub(super) struct Frames<'a> {
    track: &'a Track,
    metrics: &'a RealmMetrics,
    /// Whole frames, one after another.
    pub(super) bytes: BytesMut,
    /// What the EVENT before had, if the next may have the same.
    head: Option<(SubscriptionId, ByteString, EventHead)>,
}

impl<'a> Frames<'a> {
    /// Frames of about `bytes` in all, which are known to the caller alone until he has split them off.
    pub(super) fn new(track: &'a Track, metrics: &'a RealmMetrics, bytes: usize) -> Self {
        Self {
            track,
            metrics,
            bytes: track.buffer(bytes),
            head: None,
        }
    }

    /// Appends the EVENT by which `followed` gets the event; false if it gets none, because its
    /// serializer cannot express it or its message limit is below it.
    pub(super) fn append(
        &mut self,
        followed: &Followed,
        event: &EventRef<'_>,
        previous: Option<Sequence>,
    ) -> bool {
        let before = self.bytes.len();
        match self.write(followed, event, previous) {
            Some(length) if length <= self.track.max_message => true,
            Some(_) => {
                self.bytes.truncate(before);
                self.metrics.count(Id::OversizeEvents, 1);
                false
            }
            None => {
                self.bytes.truncate(before);
                self.metrics.count(Id::UntranscodableEvents, 1);
                false
            }
        }
    }

    fn write(
        &mut self,
        followed: &Followed,
        event: &EventRef<'_>,
        previous: Option<Sequence>,
    ) -> Option<usize> {
        let is_plain = !followed.sequenced && event.disclosed.is_none() && event.details.is_none();
        if is_plain
            && let Some((subscription, topic, head)) = &self.head
            && *subscription == followed.subscription
            && (followed.scope.match_policy == MatchPolicy::Exact || *topic == *event.topic)
        {
            return append(head, self.track, event, &mut self.bytes);
        }
        let details = self.details(followed, event, previous);
        let head = EventHead::new(self.track.wire, followed.subscription, &details).ok()?;
        let length = append(&head, self.track, event, &mut self.bytes);
        if is_plain {
            self.head = Some((followed.subscription, event.topic.into(), head));
        }
        length
    }

    fn details(
        &self,
        followed: &Followed,
        event: &EventRef<'_>,
        previous: Option<Sequence>,
    ) -> EventDetails {
        let pattern = followed.scope.match_policy != MatchPolicy::Exact;
        let mut details = EventDetails {
            topic: pattern.then(|| event.topic.into()),
            publisher: event.disclosed.map(|_| event.publisher),
            publisher_authid: event.disclosed.map(|who| who.authid.into()),
            publisher_authrole: event.disclosed.map(|who| who.authrole.into()),
            extra: further(event),
            ..EventDetails::default()
        };
        if self.track.kind == (TrackKind::Replay { marked: true }) {
            details.extra.insert("_replayed", true);
        }
        if followed.sequenced {
            sequence_details(&mut details.extra, event.sequence, previous, event.time);
        }
        details
    }
}

fn append(
    head: &EventHead,
    track: &Track,
    event: &EventRef<'_>,
    out: &mut BytesMut,
) -> Option<usize> {
    let stored = &event.payload;
    let elements = u8::from(stored.args.is_some()) + u8::from(stored.kwargs.is_some());
    if elements == 0 || stored.serializer == track.wire.serializer {
        let payload = PayloadSlice::new(track.wire.serializer, elements, stored.tail);
        return head.append_slice(event.publication, payload, out).ok();
    }
    let payload = transcoded(event, track.wire.serializer).ok()?;
    head.append(event.publication, &payload, out).ok()
}
