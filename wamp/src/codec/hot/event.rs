//! EVENTs, as `hot.rs` writes its messages: the bytes go where they stay, put into a form that all
//! of one subscription share.

use bytes::BytesMut;
use smallvec::SmallVec;

use super::super::number::Number;
use super::list_head;
use crate::framing::rawsocket::{FrameKind, frame_header};
use crate::framing::{FrameTooLong, Framing, Wire};
use crate::id::PublicationId;
use crate::payload::PayloadSlice;
use crate::serializer::Serializer;

/// What all EVENTs of one subscription on one wire begin with. Most have the same form, but for
/// four bytes of a header, the head of the list and the publication: these are put into a copy.
#[derive(Debug, Clone)]
pub(in crate::codec) struct EventForm {
    wire: Wire,
    /// What stands between the head of the list and the publication.
    subscription: SmallVec<[u8; 24]>,
    /// What stands between the publication and the payload.
    details: SmallVec<[u8; 24]>,
    usual: Option<Usual>,
}

/// A frame up to its payload.
#[derive(Debug, Clone, Copy)]
struct Usual {
    bytes: [u8; USUAL],
    length: usize,
    /// Where the publication stands.
    publication: usize,
}

/// Room for the usual frame up to its payload. 48: more than without a topic in the details.
const USUAL: usize = 48;

impl EventForm {
    pub(in crate::codec) fn new(wire: Wire, subscription: &[u8], details: &[u8]) -> Self {
        Self {
            wire,
            subscription: subscription.into(),
            details: details.into(),
            usual: Usual::new(wire, subscription, details),
        }
    }

    pub(in crate::codec) const fn wire(&self) -> Wire {
        self.wire
    }

    /// Appends one framed EVENT.
    #[inline]
    pub(in crate::codec) fn append(
        &self,
        publication: PublicationId,
        payload: PayloadSlice<'_>,
        out: &mut BytesMut,
    ) -> Result<usize, FrameTooLong> {
        let usual = self.usual.as_ref();
        if let Some(length) = usual.and_then(|it| it.append(self.wire, publication, payload, out)) {
            return Ok(length);
        }
        let serializer = self.wire.serializer;
        let json = serializer == Serializer::Json;
        let publication = Number::new(serializer, publication.get());
        let comma = json && payload.elements > 0;
        let length = 1
            + self.subscription.len()
            + publication.length()
            + self.details.len()
            + usize::from(comma)
            + payload.tail.len()
            + usize::from(json);
        begin(self.wire, length, 4 + payload.elements, out)?;
        out.extend_from_slice(&self.subscription);
        publication.append(out);
        out.extend_from_slice(&self.details);
        end(json, comma, payload.tail, out);
        Ok(length)
    }
}

impl Usual {
    fn new(wire: Wire, subscription: &[u8], details: &[u8]) -> Option<Self> {
        // The header and the head of the list come with each event.
        let mut form = vec![0; 5];
        form.extend_from_slice(subscription);
        let publication = form.len();
        let (place, comma): (&[u8], &[u8]) = match wire.serializer {
            Serializer::Json => (&[b'0'; 16], b","),
            Serializer::MsgPack => (&[0xcf, 0, 0, 0, 0, 0, 0, 0, 0], b""),
            Serializer::Cbor => (&[0x1b, 0, 0, 0, 0, 0, 0, 0, 0], b""),
        };
        form.extend_from_slice(place);
        form.extend_from_slice(details);
        form.extend_from_slice(comma);
        let length = form.len();
        form.resize(USUAL.max(length), 0);
        Some(Self {
            bytes: form.try_into().ok()?,
            length,
            publication,
        })
    }

    /// Appends an EVENT and returns its length; `None` if its form is another one: no arguments, a
    /// small number for the publication, or a header that is not four bytes.
    #[inline]
    fn append(
        &self,
        wire: Wire,
        publication: PublicationId,
        payload: PayloadSlice<'_>,
        out: &mut BytesMut,
    ) -> Option<usize> {
        let json = wire.serializer == Serializer::Json;
        let length = self.length - 4 + payload.tail.len() + usize::from(json);
        let header = match wire.framing {
            Framing::RawSocket => frame_header(FrameKind::Message, length)?,
            Framing::WebSocket => wire.header(length).ok()?.as_bytes().try_into().ok()?,
        };
        if payload.elements == 0 {
            return None;
        }
        let begins = out.len();
        out.reserve(USUAL + payload.tail.len() + 1);
        out.extend_from_slice(&self.bytes);
        let form = out.get_mut(begins..)?.first_chunk_mut::<USUAL>()?;
        let number = Number::new(wire.serializer, publication.get());
        let [a, b, c, d, list, ..] = form;
        [*a, *b, *c, *d] = header;
        *list = list_head(wire.serializer, 4 + payload.elements);
        // Sixteen digits, or a byte that stands there already and eight more.
        let (fits, place) = match wire.serializer {
            Serializer::Json => {
                let place = form.get_mut(self.publication..)?.first_chunk_mut()?;
                *place = number.first;
                (number.first_length == 8, self.publication + 8)
            }
            Serializer::MsgPack | Serializer::Cbor => (true, self.publication + 1),
        };
        let place = form.get_mut(place..)?.first_chunk_mut()?;
        *place = number.second;
        let fits = fits && number.second_length == 8;
        if !fits {
            out.truncate(begins);
            return None;
        }
        out.truncate(begins + self.length);
        out.extend_from_slice(payload.tail);
        if json {
            out.extend_from_slice(b"]");
        }
        Some(length)
    }
}

/// The header of a frame and the head of a list of `elements`, with room for the rest.
#[inline]
fn begin(wire: Wire, length: usize, elements: u8, out: &mut BytesMut) -> Result<(), FrameTooLong> {
    /// Of a frame's header and the head of a list.
    const MOST: usize = 12;
    let list = list_head(wire.serializer, elements);
    if wire.framing == Framing::RawSocket {
        let header = frame_header(FrameKind::Message, length);
        let [a, b, c, d] = header.ok_or(FrameTooLong { bytes: length })?;
        out.reserve(MOST + length);
        out.extend_from_slice(&[a, b, c, d, list]);
    } else {
        let header = wire.header(length)?;
        out.reserve(MOST + length);
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&[list]);
    }
    Ok(())
}

/// The payload, with a comma before it where one is wanted, and the end of the list.
#[inline]
fn end(json: bool, comma: bool, tail: &[u8], out: &mut BytesMut) {
    if comma {
        out.extend_from_slice(b",");
    }
    out.extend_from_slice(tail);
    if json {
        out.extend_from_slice(b"]");
    }
}
