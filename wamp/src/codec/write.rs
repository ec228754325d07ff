//! Messages to bytes: one arm a message, in the order of its elements.

use std::marker::PhantomData;

use bytes::BytesMut;

use super::write_options as options;
use super::write_options::Entries;
use crate::id::{Id, Kind};
use crate::message::{Message, Unregistered, Unsubscribed};
use crate::payload::Payload;
use crate::serializer::{TranscodeError, Writer, write_map};
use crate::value::Dict;

pub(super) fn message<W: Writer>(
    out: &mut BytesMut,
    message: &Message,
) -> Result<(), TranscodeError> {
    let message_type = message.message_type();
    elements::<W>(out, message).map_err(|error| error.within(message_type.name()))
}

fn elements<W: Writer>(out: &mut BytesMut, message: &Message) -> Result<(), TranscodeError> {
    let begun = Elements::<W>::begin(out, message);
    let written = match message {
        Message::Publish(m) => {
            let begun = begun.id(m.request).entries(&options::publish(&m.options))?;
            begun.text(&m.topic)?.payload(&m.payload)?
        }
        Message::Published(m) => begun.id(m.request).id(m.publication),
        Message::Event(m) => {
            let begun = begun.id(m.subscription).id(m.publication);
            begun
                .entries(&options::event(&m.details))?
                .payload(&m.payload)?
        }
        Message::Call(m) => {
            let begun = begun.id(m.request).entries(&options::call(&m.options))?;
            begun.text(&m.procedure)?.payload(&m.payload)?
        }
        Message::Result(m) => begun
            .id(m.request)
            .entries(&options::result(&m.details))?
            .payload(&m.payload)?,
        Message::Invocation(m) => {
            let begun = begun.id(m.request).id(m.registration);
            begun
                .entries(&options::invocation(&m.details))?
                .payload(&m.payload)?
        }
        Message::Yield(m) => begun
            .id(m.request)
            .entries(&options::yielded(&m.options))?
            .payload(&m.payload)?,
        Message::Error(m) => {
            let begun = begun.number(m.request_type.code()).id(m.request);
            begun
                .dict(&m.details)?
                .text(&m.error)?
                .payload(&m.payload)?
        }
        _ => rarer(begun, message)?,
    };
    written.end();
    Ok(())
}

/// What a session sends once, or once for many others.
fn rarer<'o, W: Writer>(begun: Elements<'o, W>, message: &Message) -> Written<'o, W> {
    match message {
        Message::Subscribe(m) => begun
            .id(m.request)
            .entries(&options::subscribe(&m.options))?
            .text(&m.topic),
        Message::Subscribed(m) => Ok(begun.id(m.request).id(m.subscription)),
        Message::Unsubscribe(m) => Ok(begun.id(m.request).id(m.subscription)),
        Message::Unsubscribed(Unsubscribed::Answer { request }) => Ok(begun.id(*request)),
        Message::Unsubscribed(Unsubscribed::Revoked {
            subscription,
            reason,
        }) => {
            let details = options::revocation("subscription", *subscription, reason.as_ref());
            begun.number(0).entries(&details)
        }
        Message::Cancel(m) => begun
            .id(m.request)
            .entries(&options::cancel(m.mode, &m.extra)),
        Message::Register(m) => begun
            .id(m.request)
            .entries(&options::register(&m.options))?
            .text(&m.procedure),
        Message::Registered(m) => Ok(begun.id(m.request).id(m.registration)),
        Message::Unregister(m) => Ok(begun.id(m.request).id(m.registration)),
        Message::Unregistered(Unregistered::Answer { request }) => Ok(begun.id(*request)),
        Message::Unregistered(Unregistered::Revoked {
            registration,
            reason,
        }) => {
            let details = options::revocation("registration", *registration, reason.as_ref());
            begun.number(0).entries(&details)
        }
        Message::Interrupt(m) => begun.id(m.request).entries(&options::interrupt(&m.options)),
        _ => session(begun, message),
    }
}

/// What opens and closes a session; all others have been written.
fn session<'o, W: Writer>(begun: Elements<'o, W>, message: &Message) -> Written<'o, W> {
    match message {
        Message::Hello(m) => begun.text(&m.realm)?.entries(&options::hello(&m.details)),
        Message::Welcome(m) => begun.id(m.session).entries(&options::welcome(&m.details)),
        Message::Abort(m) => begun.dict(&m.details)?.text(&m.reason)?.payload(&m.payload),
        Message::Challenge(m) => begun.text(&m.method)?.dict(&m.extra),
        Message::Authenticate(m) => begun.text(&m.signature)?.dict(&m.extra),
        Message::Goodbye(m) => begun.dict(&m.details)?.text(&m.reason),
        _ => Ok(begun),
    }
}

/// How many elements there are, with the type and without the payload's.
const fn element_count(message: &Message) -> usize {
    match message {
        Message::Unsubscribed(Unsubscribed::Answer { .. })
        | Message::Unregistered(Unregistered::Answer { .. }) => 2,
        Message::Publish(_)
        | Message::Subscribe(_)
        | Message::Event(_)
        | Message::Call(_)
        | Message::Register(_)
        | Message::Invocation(_) => 4,
        Message::Error(_) => 5,
        _ => 3,
    }
}

type Written<'o, W> = Result<Elements<'o, W>, TranscodeError>;

/// A message being written, element by element.
struct Elements<'o, W> {
    out: &'o mut BytesMut,
    writer: PhantomData<W>,
}

impl<'o, W: Writer> Elements<'o, W> {
    fn begin(out: &'o mut BytesMut, message: &Message) -> Self {
        let payload = message.payload().map_or(0, Payload::elements);
        W::begin_list(out, element_count(message) + payload);
        W::unsigned(out, message.message_type().code());
        Self {
            out,
            writer: PhantomData,
        }
    }

    fn number(self, number: u64) -> Self {
        W::separate(self.out, false);
        W::unsigned(self.out, number);
        self
    }

    fn id<K: Kind>(self, id: Id<K>) -> Self {
        self.number(id.get())
    }

    fn text(self, text: &str) -> Result<Self, TranscodeError> {
        W::separate(self.out, false);
        W::text(self.out, text)
            .map_err(|what| TranscodeError::unrepresentable(what, W::SERIALIZER.name()))?;
        Ok(self)
    }

    fn dict(self, dict: &Dict) -> Result<Self, TranscodeError> {
        W::separate(self.out, false);
        write_map::<W>(self.out, dict)?;
        Ok(self)
    }

    fn entries(self, entries: &Entries<'_>) -> Result<Self, TranscodeError> {
        W::separate(self.out, false);
        entries.write::<W>(self.out)?;
        Ok(self)
    }

    fn payload(self, payload: &Payload) -> Result<Self, TranscodeError> {
        if payload.is_empty() {
            return Ok(self);
        }
        W::separate(self.out, false);
        if payload.serializer() == W::SERIALIZER {
            self.out.extend_from_slice(payload.tail());
        } else {
            let other = payload
                .transcode(W::SERIALIZER)
                .map_err(|error| error.within("."))?;
            self.out.extend_from_slice(other.tail());
        }
        Ok(self)
    }

    fn end(self) {
        W::end_list(self.out);
    }
}
