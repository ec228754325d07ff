//! The receivers of one subscription, grouped by how their messages are written, so that a run of
//! EVENTs is encoded once for each group and not once for each receiver.

use std::collections::BTreeMap;
use std::rc::Rc;

use foldhash::HashMap;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::SessionId;

use crate::realm::member::Member;

/// How many kinds of [`Wire`] there are.
pub(crate) const WIRES: usize = Wire::ALL.len();

/// See the head of this file.
#[derive(Default)]
pub struct Receivers {
    groups: [Group; WIRES],
}

#[derive(Default)]
struct Group {
    members: Vec<Rc<Member>>,
    places: HashMap<SessionId, usize>,
    limits: BTreeMap<usize, usize>,
}

impl Receivers {
    /// Adds a receiver; false if it was there already.
    pub fn add(&mut self, member: &Rc<Member>) -> bool {
        let Some(group) = self.groups.get_mut(member.wire.index()) else {
            return false;
        };
        if group.places.contains_key(&member.id()) {
            return false;
        }
        group.places.insert(member.id(), group.members.len());
        group.members.push(Rc::clone(member));
        *group.limits.entry(member.max_message).or_default() += 1;
        true
    }

    /// Removes a receiver; false if it was not there.
    pub fn remove(&mut self, member: &Member) -> bool {
        let Some(group) = self.groups.get_mut(member.wire.index()) else {
            return false;
        };
        let Some(place) = group.places.remove(&member.id()) else {
            return false;
        };
        group.members.swap_remove(place);
        if let Some(moved) = group.members.get(place) {
            group.places.insert(moved.id(), place);
        }
        group.forget_limit(member.max_message);
        true
    }

    /// True if this session is among them.
    #[must_use]
    pub fn contains(&self, member: &Member) -> bool {
        self.group(member.wire)
            .is_some_and(|group| group.places.contains_key(&member.id()))
    }

    /// Those whose messages are written as `wire` says.
    #[must_use]
    pub fn on(&self, wire: Wire) -> &[Rc<Member>] {
        self.group(wire).map_or(&[], |group| &group.members)
    }

    /// The kind of wire that all of them are on, and the smallest message limit there; `None` if
    /// there are several.
    #[must_use]
    pub fn only_wire(&self) -> Option<(Wire, usize)> {
        let mut wires = Wire::ALL
            .into_iter()
            .filter(|wire| !self.on(*wire).is_empty());
        let only = wires.next().filter(|_| wires.next().is_none())?;
        Some((only, self.smallest_limit(only)))
    }

    /// The smallest message limit among those on `wire`, in bytes.
    #[must_use]
    pub fn smallest_limit(&self, wire: Wire) -> usize {
        self.group(wire)
            .and_then(|group| group.limits.first_key_value())
            .map_or(usize::MAX, |(limit, _)| *limit)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Member>> {
        self.groups.iter().flat_map(|group| &group.members)
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.members.len()).sum()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.members.is_empty())
    }

    fn group(&self, wire: Wire) -> Option<&Group> {
        self.groups.get(wire.index())
    }
}

impl Group {
    fn forget_limit(&mut self, limit: usize) {
        if let Some(count) = self.limits.get_mut(&limit) {
            *count -= 1;
            if *count == 0 {
                self.limits.remove(&limit);
            }
        }
    }
}
