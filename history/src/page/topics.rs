//! Where the topics of a filter begin that keeps so many events of each: what is pending counts
//! as kept already.

use std::cell::RefCell;
use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap;

use crate::error::StoreError;
use crate::event::{Event, Sequence};

type Map<V> = HashMap<ByteString, V, foldhash::quality::RandomState>;

/// Topics of which it is remembered where they begin, while many events are looked at.
///
/// 65,536: with names of 100 bytes some 10 MB. When it is full it begins anew: cost, not history.
const REMEMBERED: usize = 65_536;

/// See the head of this file.
pub(super) struct Topics {
    /// Events kept of each.
    each: u64,
    pending: Map<Pending>,
    committed: RefCell<Map<Sequence>>,
}

/// Pending events of one topic.
struct Pending {
    events: u64,
    /// The oldest of them that is kept.
    oldest: Sequence,
}

impl Topics {
    /// With the filter's pending events, newest first.
    pub(super) fn new<'p>(each: u64, pending: impl Iterator<Item = &'p Arc<Event>>) -> Self {
        let mut topics = Map::<Pending>::default();
        for event in pending {
            let topic = topics.entry_ref(&**event.topic.name()).or_insert(Pending {
                events: 0,
                oldest: Sequence::MAX,
            });
            topic.events += 1;
            if topic.events <= each {
                topic.oldest = event.sequence;
            }
        }
        Self {
            each,
            pending: topics,
            committed: RefCell::default(),
        }
    }

    pub(super) fn keeps_pending(&self, event: &Event) -> bool {
        let topic = self.pending.get(&**event.topic.name());
        topic.is_none_or(|topic| event.sequence >= topic.oldest)
    }

    /// From where on committed events of a topic are kept, which `find` says for a number of
    /// newer ones.
    pub(super) fn floor(
        &self,
        topic: &str,
        find: impl FnOnce(u64) -> Result<Sequence, StoreError>,
    ) -> Result<Sequence, StoreError> {
        let mut committed = self.committed.borrow_mut();
        if let Some(floor) = committed.get(topic) {
            return Ok(*floor);
        }
        let newer = self.pending.get(topic).map_or(0, |pending| pending.events);
        let floor = match newer < self.each {
            true => find(newer)?,
            false => Sequence::MAX,
        };
        if committed.len() >= REMEMBERED {
            committed.clear();
        }
        committed.insert(ByteString::from(topic), floor);
        Ok(floor)
    }
}
