//! Messages with their frames, appended to what waits for a connection. One message, one frame.

use bytes::BytesMut;

use super::hot::event::EventForm;
use super::{encode, write_options};
use crate::framing::{FrameTooLong, Wire, append_framed};
use crate::id::{PublicationId, SubscriptionId};
use crate::message::{EventDetails, Message, MessageType};
use crate::payload::{Payload, PayloadSlice};
use crate::serializer::{
    CborWriter, JsonWriter, MsgPackWriter, Serializer, TranscodeError, Writer,
};

/// Why a message cannot be sent. Nothing has been appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The serializer cannot express it.
    #[error(transparent)]
    Transcode(#[from] TranscodeError),
    /// It is longer than the frame can be.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
}

/// Appends one framed message and returns the length of the message in it, to compare with what
/// the receiver takes. A payload of another serializer is transcoded.
///
/// # Errors
/// What the serializer cannot express, or the frame cannot hold.
pub fn encode_framed(
    wire: Wire,
    message: &Message,
    out: &mut BytesMut,
) -> Result<usize, EncodeError> {
    const HEAD_BYTES: usize = 48;
    let estimate = HEAD_BYTES + message.payload().map_or(0, |payload| payload.tail().len());
    append_framed(wire, estimate, out, |out| {
        Ok(encode(wire.serializer, message, out)?)
    })
}

/// What all EVENTs of one subscription on one wire have in common, encoded once:
/// everything but the publication's ID and the payload.
#[derive(Debug, Clone)]
pub struct EventHead(EventForm);

impl EventHead {
    /// For events of `subscription` with these details.
    ///
    /// # Errors
    /// What the serializer cannot express in the details.
    pub fn new(
        wire: Wire,
        subscription: SubscriptionId,
        details: &EventDetails,
    ) -> Result<Self, TranscodeError> {
        match wire.serializer {
            Serializer::Json => Self::with::<JsonWriter>(wire, subscription, details),
            Serializer::MsgPack => Self::with::<MsgPackWriter>(wire, subscription, details),
            Serializer::Cbor => Self::with::<CborWriter>(wire, subscription, details),
        }
    }

    fn with<W: Writer>(
        wire: Wire,
        subscription: SubscriptionId,
        details: &EventDetails,
    ) -> Result<Self, TranscodeError> {
        let mut out = BytesMut::new();
        W::unsigned(&mut out, MessageType::Event.code());
        W::separate(&mut out, false);
        W::unsigned(&mut out, subscription.get());
        W::separate(&mut out, false);
        let head = out.split();
        W::separate(&mut out, false);
        let entries = write_options::event(details);
        entries
            .write::<W>(&mut out)
            .map_err(|error| error.within("EVENT"))?;
        Ok(Self(EventForm::new(wire, &head, &out)))
    }

    /// On which wire.
    pub const fn wire(&self) -> Wire {
        self.0.wire()
    }

    /// Appends one framed EVENT and returns the length of the message in it. A payload of
    /// another serializer is transcoded: to send it to many, transcode it first.
    ///
    /// # Errors
    /// What the serializer cannot express, or the frame cannot hold.
    pub fn append(
        &self,
        publication: PublicationId,
        payload: &Payload,
        out: &mut BytesMut,
    ) -> Result<usize, EncodeError> {
        if payload.serializer() == self.wire().serializer {
            return Ok(self.append_slice(publication, payload.as_slice(), out)?);
        }
        let other = payload.transcode(self.wire().serializer);
        let other = other.map_err(|error| error.within("EVENT."))?;
        Ok(self.append_slice(publication, other.as_slice(), out)?)
    }

    /// As [`Self::append`], for a payload of the same serializer.
    ///
    /// # Errors
    /// What the frame cannot hold.
    #[inline]
    pub fn append_slice(
        &self,
        publication: PublicationId,
        payload: PayloadSlice<'_>,
        out: &mut BytesMut,
    ) -> Result<usize, FrameTooLong> {
        self.0.append(publication, payload, out)
    }
}
