//! The rows that cfxdb defines, as its `realmstore.fbs` has them: Publication, Event, Session.
//! What Crossbar writes and we do not is read as far as we can tell something from it.

use rewamp_wamp::message::ReceiverLists;

use super::flat::{Field, Table, write};
use super::opaque::Opaque;
use crate::receivers::{Receivers, ReceiversRef};

/// A row of the table Publications.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicationRow<'a> {
    /// When it was accepted, ns since 1970; at Crossbar when it was written.
    pub(super) timestamp: u64,
    pub(super) publication: u64,
    /// The session that published.
    pub(super) publisher: u64,
    pub(super) topic: &'a str,
    /// A list in CBOR.
    pub(super) args: Option<&'a [u8]>,
    /// A map in CBOR.
    pub(super) kwargs: Option<&'a [u8]>,
    pub(super) exclude_me: bool,
    /// In place of the arguments. Written and never read: what Crossbar's rows have there cannot be
    /// told from arguments of nobody, and ours have it in their own row too.
    pub(super) opaque: Option<&'a Opaque>,
}

/// Numbers of the fields, as in `realmstore.fbs`.
mod publication {
    pub(super) const TIMESTAMP: u16 = 0;
    pub(super) const PUBLICATION: u16 = 1;
    pub(super) const PUBLISHER: u16 = 2;
    pub(super) const TOPIC: u16 = 3;
    pub(super) const ARGS: u16 = 4;
    pub(super) const KWARGS: u16 = 5;
    pub(super) const PAYLOAD: u16 = 6;
    pub(super) const EXCLUDE_ME: u16 = 9;
    pub(super) const EXCLUDE: u16 = 10;
    pub(super) const EXCLUDE_AUTHID: u16 = 11;
    pub(super) const EXCLUDE_AUTHROLE: u16 = 12;
    pub(super) const ELIGIBLE: u16 = 13;
    pub(super) const ELIGIBLE_AUTHID: u16 = 14;
    pub(super) const ELIGIBLE_AUTHROLE: u16 = 15;
    pub(super) const ENC_ALGO: u16 = 16;
    pub(super) const ENC_KEY: u16 = 17;
    pub(super) const ENC_SERIALIZER: u16 = 18;
}

impl<'a> PublicationRow<'a> {
    /// Writes the row into `out`, in place of what is there.
    pub(super) fn write(&self, receivers: Option<ReceiversRef<'_>>, out: &mut Vec<u8>) {
        let mut fields = vec![
            (publication::TIMESTAMP, Field::U64(self.timestamp)),
            (publication::PUBLICATION, Field::U64(self.publication)),
            (publication::PUBLISHER, Field::U64(self.publisher)),
            (publication::TOPIC, Field::Text(self.topic)),
            (publication::EXCLUDE_ME, Field::Bool(self.exclude_me)),
        ];
        let payload = [
            (publication::ARGS, self.args),
            (publication::KWARGS, self.kwargs),
        ];
        let payload = payload.iter().filter_map(|(id, bytes)| {
            let bytes = (*bytes)?;
            Some((*id, Field::Bytes(bytes)))
        });
        fields.extend(payload);
        if let Some(opaque) = self.opaque {
            fields.push((publication::PAYLOAD, Field::Bytes(&opaque.payload)));
            fields.push((publication::ENC_ALGO, Field::U8(opaque.algorithm)));
            fields.push((publication::ENC_SERIALIZER, Field::U8(opaque.serializer)));
            let key = opaque.key.as_deref();
            fields.extend(key.map(|key| (publication::ENC_KEY, Field::Bytes(key))));
        }
        let lists = receivers.map(ReceiversRef::lists).unwrap_or_default();
        let lists = [
            (publication::EXCLUDE_AUTHID, &lists.exclude_authid),
            (publication::EXCLUDE_AUTHROLE, &lists.exclude_authrole),
            (publication::ELIGIBLE_AUTHID, &lists.eligible_authid),
            (publication::ELIGIBLE_AUTHROLE, &lists.eligible_authrole),
        ];
        let lists = lists.map(|(id, list)| {
            let list: Vec<&str> = list.iter().map(|text| &**text).collect();
            (id, list)
        });
        let lists = lists.iter().filter(|(_, list)| !list.is_empty());
        fields.extend(lists.map(|(id, list)| (*id, Field::Texts(list))));
        write(&fields, out);
    }

    /// The row in these bytes.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let table = Table::root(bytes)?;
        Some(Self {
            timestamp: table.u64(publication::TIMESTAMP),
            publication: table.u64(publication::PUBLICATION),
            publisher: table.u64(publication::PUBLISHER),
            topic: table.text(publication::TOPIC)?,
            args: table.bytes(publication::ARGS),
            kwargs: table.bytes(publication::KWARGS),
            exclude_me: table.u8(publication::EXCLUDE_ME) != 0,
            opaque: None,
        })
    }

    /// Who may see the publication of such a row, as Crossbar wrote it: `None` if nobody may, by
    /// any history: it had lists of sessions, or what was sent is encrypted and not stored as args.
    pub(super) fn audience(bytes: &[u8]) -> Option<Option<Receivers>> {
        let table = Table::root(bytes)?;
        let named = table.len(publication::EXCLUDE) + table.len(publication::ELIGIBLE);
        if named > 0 || table.bytes(publication::PAYLOAD).is_some() {
            return None;
        }
        let list = |id| {
            let texts = table.texts(id)?;
            Some(texts.into_iter().map(Into::into).collect())
        };
        Some(Receivers::new(&ReceiverLists {
            exclude_authid: list(publication::EXCLUDE_AUTHID)?,
            exclude_authrole: list(publication::EXCLUDE_AUTHROLE)?,
            eligible_authid: list(publication::ELIGIBLE_AUTHID)?,
            eligible_authrole: list(publication::ELIGIBLE_AUTHROLE)?,
            ..ReceiverLists::default()
        }))
    }
}

/// A row of the table Events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventRow {
    /// With the subscription its key, ns since 1970.
    pub(super) timestamp: u64,
    pub(super) subscription: u64,
    pub(super) publication: u64,
}

impl EventRow {
    /// Writes the row into `out`, in place of what is there. Its receiver is 0: nobody in
    /// particular.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let fields = [
            (0, Field::U64(self.timestamp)),
            (1, Field::U64(self.subscription)),
            (2, Field::U64(self.publication)),
        ];
        write(&fields, out);
    }

    /// The row in these bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let table = Table::root(bytes)?;
        Some(Self {
            timestamp: table.u64(0),
            subscription: table.u64(1),
            publication: table.u64(2),
        })
    }
}

/// A row of the table Sessions, as far as it is read and written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionRow<'a> {
    /// The row's own name.
    pub(super) oid: &'a [u8],
    pub(super) session: u64,
    /// When it joined, ns since 1970.
    pub(super) joined: u64,
    /// When it left; zero as long as that is not known.
    pub(super) left: u64,
    /// Its connection, a map in CBOR.
    pub(super) transport: Option<&'a [u8]>,
    /// The realm that it joined, where it is written.
    pub(super) realm: Option<&'a str>,
    pub(super) authid: Option<&'a str>,
    pub(super) authrole: Option<&'a str>,
    pub(super) authmethod: Option<&'a str>,
    pub(super) authprovider: Option<&'a str>,
}

/// Numbers of the fields, as in `realmstore.fbs`.
mod session {
    pub(super) const OID: u16 = 1;
    pub(super) const SESSION: u16 = 2;
    pub(super) const JOINED: u16 = 3;
    pub(super) const LEFT: u16 = 4;
    pub(super) const TRANSPORT: u16 = 9;
    pub(super) const REALM: u16 = 15;
    pub(super) const AUTHID: u16 = 16;
    pub(super) const AUTHROLE: u16 = 17;
    pub(super) const AUTHMETHOD: u16 = 18;
    pub(super) const AUTHPROVIDER: u16 = 19;
}

impl<'a> SessionRow<'a> {
    /// Writes the row into `out`, in place of what is there, with room for when it left.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut fields = vec![
            (session::OID, Field::Bytes(self.oid)),
            (session::SESSION, Field::U64(self.session)),
            (session::JOINED, Field::U64(self.joined)),
            (session::LEFT, Field::Place(self.left)),
        ];
        let transport = self.transport.map(Field::Bytes);
        fields.extend(transport.map(|field| (session::TRANSPORT, field)));
        for (id, text) in [
            (session::REALM, self.realm),
            (session::AUTHID, self.authid),
            (session::AUTHROLE, self.authrole),
            (session::AUTHMETHOD, self.authmethod),
            (session::AUTHPROVIDER, self.authprovider),
        ] {
            fields.extend(text.map(|text| (id, Field::Text(text))));
        }
        write(&fields, out);
    }

    /// The row in these bytes.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let table = Table::root(bytes)?;
        Some(Self {
            oid: table.bytes(session::OID).unwrap_or_default(),
            session: table.u64(session::SESSION),
            joined: table.u64(session::JOINED),
            left: table.u64(session::LEFT),
            transport: table.bytes(session::TRANSPORT),
            realm: table.text(session::REALM),
            authid: table.text(session::AUTHID),
            authrole: table.text(session::AUTHROLE),
            authmethod: table.text(session::AUTHMETHOD),
            authprovider: table.text(session::AUTHPROVIDER),
        })
    }

    /// Says in a row when its session left; says whether the row has a place for it, as Crossbar's
    /// have not.
    pub(super) fn set_left(bytes: &mut [u8], at: u64) -> bool {
        let place = Table::root(bytes).and_then(|table| table.place_of_u64(session::LEFT));
        let Some(place) = place.and_then(|place| bytes.get_mut(place)) else {
            return false;
        };
        place.copy_from_slice(&at.to_le_bytes());
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row<'a>(
        topic: &'a str,
        args: Option<&'a [u8]>,
        kwargs: Option<&'a [u8]>,
    ) -> PublicationRow<'a> {
        PublicationRow {
            timestamp: 1_800_000_000_000_000_001,
            publication: 7,
            publisher: 9_007_199_254_740_992,
            topic,
            args,
            kwargs,
            exclude_me: true,
            opaque: None,
        }
    }

    #[test]
    fn an_opaque_payload_stands_where_cfxdb_looks_for_it() {
        let opaque = Opaque {
            payload: vec![1, 2],
            algorithm: 1,
            key: Some(b"k".to_vec()),
            serializer: 3,
        };
        let row = PublicationRow {
            opaque: Some(&opaque),
            ..row("com.a", None, None)
        };
        let mut out = Vec::new();
        row.write(None, &mut out);
        let table = Table::root(&out).unwrap();
        assert_eq!(table.bytes(6), Some(&[1, 2][..]));
        assert_eq!((table.u8(16), table.u8(18)), (1, 3));
        assert_eq!(table.bytes(17), Some(&b"k"[..]));
        assert_eq!(table.bytes(4), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn a_publication_is_read_as_it_was_written(
            topic in ".{0,40}",
            args in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            kwargs in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            lists in prop::collection::vec(prop::collection::vec(".{0,9}", 0..4), 4),
        ) {
            let list = |at: usize| lists[at].iter().map(|text| text.as_str().into()).collect();
            let receivers = Receivers::new(&ReceiverLists {
                exclude_authid: list(0),
                exclude_authrole: list(1),
                eligible_authid: list(2),
                eligible_authrole: list(3),
                ..ReceiverLists::default()
            });
            let mut out = Vec::new();
            let row = row(&topic, args.as_deref(), kwargs.as_deref());
            row.write(receivers.as_ref().map(Receivers::as_ref), &mut out);
            let found = PublicationRow::read(&out).unwrap();
            prop_assert_eq!(format!("{found:?}"), format!("{row:?}"));
            prop_assert_eq!(PublicationRow::audience(&out), Some(receivers));
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let row = EventRow {
            timestamp: u64::MAX,
            subscription: 1,
            publication: 2,
        };
        let mut out = Vec::new();
        row.write(&mut out);
        assert_eq!(EventRow::read(&out), Some(row));
        assert!(out.len() <= 56, "{}", out.len());
    }

    #[test]
    fn a_session_is_read_as_it_was_written_and_when_it_left_is_set_in_place() {
        let row = SessionRow {
            oid: &[7; 16],
            session: 9,
            joined: 1_800_000_000_000_000_001,
            left: 0,
            transport: Some(&[0xa0]),
            realm: Some("realm1"),
            authid: Some("joe"),
            authrole: Some("user"),
            authmethod: Some("ticket"),
            authprovider: None,
        };
        let mut out = Vec::new();
        row.write(&mut out);
        assert_eq!(SessionRow::read(&out), Some(row));
        assert!(SessionRow::set_left(&mut out, 5));
        assert_eq!(SessionRow::read(&out), Some(SessionRow { left: 5, ..row }));
        // Crossbar leaves out what is zero.
        write(&[(2, Field::U64(9))], &mut out);
        assert!(!SessionRow::set_left(&mut out, 5));
    }
}
