//! A choice: of every topic the newest so many events that a viewer may see, as
//! [`crate::Query::last_per_topic`] asks. Made from the newest events to the oldest: what is
//! pending first, then what an engine has committed. Tells the engine which topics still want
//! events; a topic that has its number is looked for no further.

use bytestring::ByteString;
use hashbrown::HashMap;

use super::{Reach, Target};
use crate::event::EventRef;
use crate::filter::FilterId;
use crate::query::{Query, Scope, Viewer};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Newest<'q> {
    /// The filter whose events are chosen from.
    pub(crate) filter: FilterId,
    /// Those of one topic, or of a pattern's topics: never a whole filter, whose topics would not
    /// be known.
    pub(crate) target: Target<'q>,
    /// Where they are chosen from.
    pub(crate) range: Reach,
    each: u64,
    /// `None` where it does not matter who may see what is chosen.
    viewer: Option<&'q Viewer>,
    topics: HashMap<ByteString, Chosen, foldhash::quality::RandomState>,
    /// Events that may still be looked at and prove to be not for the viewer.
    looks: u64,
}

/// Events of one topic that were chosen.
#[derive(Debug, Default)]
struct Chosen {
    pending: u64,
    committed: u64,
}

impl<'q> Newest<'q> {
    pub(super) fn new(query: &'q Query, each: u64, target: Target<'q>, range: Reach) -> Self {
        Self {
            viewer: Some(&query.viewer),
            looks: query.budget,
            ..Self::for_all(&query.scope, each, target, range)
        }
    }

    /// A choice whoever may see what is chosen: made to count it.
    pub(super) fn for_all(scope: &'q Scope, each: u64, target: Target<'q>, range: Reach) -> Self {
        let target = match target {
            Target::Filter => Target::Pattern(&scope.uri, scope.match_policy),
            narrower => narrower,
        };
        Self {
            filter: scope.filter,
            target,
            range,
            each,
            viewer: None,
            topics: HashMap::default(),
            looks: u64::MAX,
        }
    }

    /// Whether receiver lists matter to it.
    pub(crate) fn is_for_one(&self) -> bool {
        self.viewer.is_some()
    }

    /// How many events of a topic are still wanted.
    pub(crate) fn left(&self, topic: &str) -> u64 {
        let chosen = self.topics.get(topic);
        let chosen = chosen.map_or(0, |chosen| chosen.pending + chosen.committed);
        self.each.saturating_sub(chosen)
    }

    /// Notes that committed events of a topic have been chosen, at most as many as are
    /// [left](Self::left).
    pub(crate) fn take(&mut self, topic: &ByteString, events: u64) {
        self.chosen(topic).committed += events;
    }

    /// The same of one that is pending; says whether it is chosen.
    pub(super) fn take_pending(&mut self, topic: &ByteString, event: &EventRef<'_>) -> bool {
        let wanted = self.left(topic) > 0 && self.admits(event);
        if wanted {
            self.chosen(topic).pending += 1;
        }
        wanted
    }

    fn chosen(&mut self, topic: &ByteString) -> &mut Chosen {
        self.topics.entry(topic.clone()).or_default()
    }

    /// Whether the viewer may see an event. One that it may not see is paid for.
    pub(crate) fn admits(&mut self, event: &EventRef<'_>) -> bool {
        let Some(viewer) = self.viewer else {
            return true;
        };
        let admitted = viewer.may_see(event);
        if !admitted {
            self.looks = self.looks.saturating_sub(1);
        }
        admitted
    }

    /// Whether so many events were looked at in vain that the choice ends here.
    pub(crate) fn is_cut(&self) -> bool {
        self.looks == 0
    }

    /// Forgets what was chosen of committed events, to choose among them once more.
    pub(crate) fn restart(&mut self) {
        self.topics
            .values_mut()
            .for_each(|chosen| chosen.committed = 0);
    }
}
