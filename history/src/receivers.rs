//! Who may see an event: its publisher's `exclude_*` and `eligible_*` lists by authid and
//! authrole. Kept as the bytes that are stored, so that memory and disk decide alike.
//! Lists of session IDs are not here: such publications are never stored. Spec: "Subscriber
//! Black- and Whitelisting", "Event History", Security Aspects.

use bytestring::ByteString;
use rewamp_wamp::message::ReceiverLists;

/// The four lists of one publication. An empty list counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receivers(Box<[u8]>);

/// [`Receivers`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiversRef<'a>(&'a [u8]);

/// The session that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewerRef<'a> {
    /// Its authid.
    pub authid: &'a str,
    /// Its authrole.
    pub authrole: &'a str,
}

impl Receivers {
    /// The lists that mean something later, or `None` if there are none: everybody may see it.
    pub fn new(lists: &ReceiverLists) -> Option<Self> {
        let mut bytes = Vec::new();
        put_list(&mut bytes, &lists.exclude_authid);
        put_list(&mut bytes, &lists.exclude_authrole);
        put_list(&mut bytes, &lists.eligible_authid);
        put_list(&mut bytes, &lists.eligible_authrole);
        let all_empty = bytes.len() == 4 * size_of::<u32>();
        (!all_empty).then(|| Self(bytes.into_boxed_slice()))
    }

    /// The same lists, borrowed.
    pub fn as_ref(&self) -> ReceiversRef<'_> {
        ReceiversRef(&self.0)
    }

    /// Bytes they take.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> ReceiversRef<'a> {
    /// The lists in these bytes, which [`Self::bytes`] gave.
    pub(crate) const fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The lists as they are stored: four times `u32` count and as often `u32` length, text;
    /// little-endian.
    pub(crate) const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The lists. Bytes that are no lists give none.
    pub fn lists(self) -> ReceiverLists {
        let mut rest = self.0;
        let mut next = || take_texts(&mut rest).unwrap_or_default();
        ReceiverLists {
            exclude_authid: next(),
            exclude_authrole: next(),
            eligible_authid: next(),
            eligible_authrole: next(),
            ..ReceiverLists::default()
        }
    }

    /// Whether `viewer` would have been sent the event. Bytes that are no lists admit nobody.
    pub fn admit(self, viewer: ViewerRef<'_>) -> bool {
        self.decide(viewer).unwrap_or(false)
    }

    fn decide(self, viewer: ViewerRef<'_>) -> Option<bool> {
        let mut rest = self.0;
        let excluded = [
            take_list(&mut rest, viewer.authid)?.listed,
            take_list(&mut rest, viewer.authrole)?.listed,
        ];
        let eligible = [
            take_list(&mut rest, viewer.authid)?.empty_or_listed(),
            take_list(&mut rest, viewer.authrole)?.empty_or_listed(),
        ];
        Some(excluded == [false, false] && eligible == [true, true])
    }
}

struct Found {
    empty: bool,
    listed: bool,
}

impl Found {
    fn empty_or_listed(&self) -> bool {
        self.empty || self.listed
    }
}

fn put_list(bytes: &mut Vec<u8>, texts: &[ByteString]) {
    put_length(bytes, texts.len());
    for text in texts {
        put_length(bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    // A message has at most 16 MiB, so no list and no text in it comes near 2^32.
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn take_list(rest: &mut &[u8], wanted: &str) -> Option<Found> {
    let count = take_length(rest)?;
    let mut listed = false;
    for _ in 0..count {
        let length = take_length(rest)?;
        let (text, after) = rest.split_at_checked(length as usize)?;
        listed |= text == wanted.as_bytes();
        *rest = after;
    }
    Some(Found {
        empty: count == 0,
        listed,
    })
}

fn take_texts(rest: &mut &[u8]) -> Option<Vec<ByteString>> {
    let count = take_length(rest)?;
    let mut texts = Vec::new();
    for _ in 0..count {
        let length = take_length(rest)?;
        let (text, after) = rest.split_at_checked(length as usize)?;
        texts.push(std::str::from_utf8(text).ok()?.into());
        *rest = after;
    }
    Some(texts)
}

fn take_length(rest: &mut &[u8]) -> Option<u32> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &[&str] = &[];
    const JOE_USER: ViewerRef<'_> = ViewerRef {
        authid: "joe",
        authrole: "user",
    };

    fn lists(texts: [&[&str]; 4]) -> ReceiverLists {
        let [
            exclude_authid,
            exclude_authrole,
            eligible_authid,
            eligible_authrole,
        ] = texts.map(|texts| texts.iter().map(|text| ByteString::from(*text)).collect());
        ReceiverLists {
            exclude_authid,
            exclude_authrole,
            eligible_authid,
            eligible_authrole,
            ..ReceiverLists::default()
        }
    }

    #[track_caller]
    fn check(texts: [&[&str]; 4], admits: bool) {
        let lists = lists(texts);
        let receivers = Receivers::new(&lists).unwrap();
        assert_eq!(receivers.as_ref().admit(JOE_USER), admits, "{texts:?}");
        assert_eq!(
            lists.admit_user("joe", "user"),
            admits,
            "live and later differ: {texts:?}"
        );
    }

    #[test]
    fn a_viewer_sees_what_excludes_it_nowhere_and_lists_it_wherever_eligible_is_given() {
        check([&["eve"], NONE, NONE, NONE], true);
        check([&["eve", "joe"], NONE, NONE, NONE], false);
        check([NONE, &["user"], NONE, NONE], false);
        check([NONE, NONE, &["joe"], NONE], true);
        check([NONE, NONE, &["eve"], NONE], false);
        check([NONE, NONE, NONE, &["admin", "user"]], true);
        check([NONE, NONE, NONE, &["admin"]], false);
        check([NONE, NONE, &["joe"], &["admin"]], false);
        check([&["joe"], NONE, &["joe"], NONE], false);
    }

    #[test]
    fn empty_lists_count_as_absent() {
        assert_eq!(Receivers::new(&ReceiverLists::default()), None);
    }

    #[test]
    fn bytes_that_are_no_lists_admit_nobody() {
        let receivers = Receivers::new(&lists([&["eve"], NONE, NONE, NONE])).unwrap();
        let bytes = receivers.as_ref().bytes();
        for cut in 0..bytes.len() {
            assert!(!ReceiversRef::from_bytes(&bytes[..cut]).admit(JOE_USER));
        }
    }
}
