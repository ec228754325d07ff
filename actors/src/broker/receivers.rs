//! The receivers of one subscription, grouped by how their messages are written, so that a run of
//! EVENTs is encoded once for each group and not once for each receiver. Beside them those who
//! follow: they get its events from the history until they have caught up.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::SessionId;

use crate::history::Track;
use crate::realm::member::Member;

/// How the EVENTs of a group of receivers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Serializer and framing.
    pub wire: Wire,
    /// Whether they carry `_sequence`, `_previous` and `_timestamp` where the history has them.
    pub sequenced: bool,
}

impl Form {
    /// Every form, each at its [`Form::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|sequenced| {
            Wire::ALL
                .into_iter()
                .map(move |wire| Self { wire, sequenced })
        })
    }

    /// Its place among them.
    #[must_use]
    pub fn index(self) -> usize {
        self.wire.index() + usize::from(self.sequenced) * Wire::ALL.len()
    }
}

/// How many forms there are.
pub(crate) const FORMS: usize = Wire::ALL.len() * 2;

/// See the head of this file.
#[derive(Default)]
pub struct Receivers {
    /// Mostly one, none of them empty.
    groups: Vec<(Form, Group)>,
    following: HashMap<SessionId, Follower>,
}

/// A receiver that gets its events from the history for now.
struct Follower {
    member: Rc<Member>,
    sequenced: bool,
    track: Arc<Track>,
}

#[derive(Default)]
struct Group {
    members: Vec<Rc<Member>>,
    places: HashMap<SessionId, usize>,
    limits: BTreeMap<usize, usize>,
}

impl Receivers {
    /// Adds a receiver of live events, which are `sequenced` for it or not; false if it was there
    /// already.
    pub fn add(&mut self, member: &Rc<Member>, sequenced: bool) -> bool {
        if self.contains(member) {
            return false;
        }
        let form = Form {
            wire: member.wire,
            sequenced,
        };
        let at = self.groups.iter().position(|(of, _)| *of == form);
        let at = at.unwrap_or_else(|| {
            self.groups.push((form, Group::default()));
            self.groups.len() - 1
        });
        let Some((_, group)) = self.groups.get_mut(at) else {
            return false;
        };
        group.places.insert(member.id(), group.members.len());
        group.members.push(Rc::clone(member));
        *group.limits.entry(member.max_message).or_default() += 1;
        true
    }

    /// Adds a receiver that gets what is published from the history, by way of `track`, until
    /// [`Receivers::join`]; false if it was there already.
    pub fn follow(&mut self, member: &Rc<Member>, sequenced: bool, track: Arc<Track>) -> bool {
        if self.contains(member) {
            return false;
        }
        let follower = Follower {
            member: Rc::clone(member),
            sequenced,
            track,
        };
        self.following.insert(member.id(), follower);
        true
    }

    /// The follower is live from here on; false if it does not follow.
    pub fn join(&mut self, member: &Rc<Member>) -> bool {
        match self.following.remove(&member.id()) {
            Some(follower) => self.add(member, follower.sequenced),
            None => false,
        }
    }

    /// Removes a receiver; false if it was not there.
    pub fn remove(&mut self, member: &Member) -> bool {
        if self.following.remove(&member.id()).is_some() {
            return true;
        }
        let mut groups = self.groups.iter_mut();
        let Some(at) = groups.position(|(_, group)| group.remove(member)) else {
            return false;
        };
        if self
            .groups
            .get(at)
            .is_some_and(|(_, group)| group.members.is_empty())
        {
            self.groups.swap_remove(at);
        }
        true
    }

    /// True if this session is among them.
    #[must_use]
    pub fn contains(&self, member: &Member) -> bool {
        let id = member.id();
        self.following.contains_key(&id) || self.groups.iter().any(|(_, group)| group.contains(id))
    }

    /// Whether the EVENTs that this session gets are sequenced; `None` if it gets none.
    #[must_use]
    pub fn is_sequenced(&self, member: &Member) -> Option<bool> {
        if let Some(follower) = self.following.get(&member.id()) {
            return Some(follower.sequenced);
        }
        let mut groups = self.groups.iter();
        groups
            .find(|(_, group)| group.contains(member.id()))
            .map(|(form, _)| form.sequenced)
    }

    /// The form in which all that are live get the events, and the smallest message limit there;
    /// `None` if there are several.
    #[must_use]
    pub fn only_form(&self) -> Option<(Form, usize)> {
        let mut forms = self.forms();
        let only = forms.next().filter(|_| forms.next().is_none())?;
        Some((only, self.smallest_limit(only)))
    }

    /// The forms in which somebody live gets the events.
    pub fn forms(&self) -> impl Iterator<Item = Form> {
        self.groups.iter().map(|(form, _)| *form)
    }

    /// Those who are live and whose events are written as `form` says.
    #[must_use]
    pub fn on(&self, form: Form) -> &[Rc<Member>] {
        self.group(form).map_or(&[], |group| &group.members)
    }

    /// The smallest message limit among those of `form`, in bytes.
    #[must_use]
    pub fn smallest_limit(&self, form: Form) -> usize {
        self.group(form)
            .and_then(|group| group.limits.first_key_value())
            .map_or(usize::MAX, |(limit, _)| *limit)
    }

    /// Those who get their events from the history.
    pub fn following(&self) -> impl Iterator<Item = (&Rc<Member>, &Arc<Track>)> {
        self.following
            .values()
            .map(|follower| (&follower.member, &follower.track))
    }

    /// True if nobody does.
    #[must_use]
    pub fn nobody_follows(&self) -> bool {
        self.following.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Member>> {
        let followers = self.following.values().map(|follower| &follower.member);
        self.groups
            .iter()
            .flat_map(|(_, group)| &group.members)
            .chain(followers)
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        let live: usize = self
            .groups
            .iter()
            .map(|(_, group)| group.members.len())
            .sum();
        live + self.following.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.following.is_empty() && self.groups.is_empty()
    }

    fn group(&self, form: Form) -> Option<&Group> {
        let mut groups = self.groups.iter();
        groups.find(|(of, _)| *of == form).map(|(_, group)| group)
    }
}

impl Group {
    fn contains(&self, session: SessionId) -> bool {
        self.places.contains_key(&session)
    }

    fn remove(&mut self, member: &Member) -> bool {
        let Some(place) = self.places.remove(&member.id()) else {
            return false;
        };
        self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.places.insert(moved.id(), place);
        }
        self.forget_limit(member.max_message);
        true
    }

    fn forget_limit(&mut self, limit: usize) {
        if let Some(count) = self.limits.get_mut(&limit) {
            *count -= 1;
            if *count == 0 {
                self.limits.remove(&limit);
            }
        }
    }
}
