//! What each message does to which sockets. A message that is not understood ends its connection.

use super::connection::{Connection, Phase};
use super::message::{self, Counted, EventPrefix, SIXTEEN_DIGITS};
use crate::wire::{self, Cursor, Format, Framing, Wire};
use hashbrown::HashMap;
use serde_json::json;

/// Every connection, subscription and registration of the floor server.
pub(super) struct Router {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    dirty: Vec<usize>,
    json: Names,
    msgpack: Names,
    /// Counted from a number as long as those that other routers draw.
    publication: Counted,
    calls: Vec<Call>,
    free_calls: Vec<usize>,
}

/// Topics and procedures of one format: arguments are not transcoded, so formats do not meet.
#[derive(Default)]
struct Names {
    topics: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    list: Vec<Topic>,
    /// Place of the topic that was found last: publications come in runs.
    recent: usize,
    procedures: HashMap<Box<[u8]>, Procedure, foldhash::fast::RandomState>,
}

struct Topic {
    name: Box<[u8]>,
    subscription: u64,
    prefix: EventPrefix,
    receivers: Vec<usize>,
}

struct Procedure {
    registration: u64,
    callee: usize,
}

/// A call under way; its place in the list, plus one, is the invocation's request.
#[derive(Clone, Copy)]
struct Call {
    caller: usize,
    request: u64,
}

impl Router {
    pub(super) fn new() -> Self {
        Self {
            connections: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            json: Names::default(),
            msgpack: Names::default(),
            publication: Counted::from(SIXTEEN_DIGITS),
            calls: Vec::new(),
            free_calls: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, connection: Connection) -> usize {
        let id = self.free.pop().unwrap_or(self.connections.len());
        match self.connections.get_mut(id) {
            Some(slot) => *slot = Some(connection),
            None => self.connections.push(Some(connection)),
        }
        id
    }

    pub(super) fn connection(&mut self, id: usize) -> Option<&mut Connection> {
        self.connections.get_mut(id)?.as_mut()
    }

    pub(super) fn remove(&mut self, id: usize) {
        let Some(slot) = self.connections.get_mut(id) else {
            return;
        };
        if slot.take().is_none() {
            return;
        }
        self.free.push(id);
        for names in [&mut self.json, &mut self.msgpack] {
            names
                .procedures
                .retain(|_, procedure| procedure.callee != id);
            for topic in &mut names.list {
                topic.receivers.retain(|receiver| *receiver != id);
            }
        }
    }

    /// The next socket that has bytes to be written.
    pub(super) fn next_dirty(&mut self) -> Option<usize> {
        self.dirty.pop()
    }

    /// Answers a handshake: bytes used, `None` to close.
    pub(super) fn handshake(&mut self, id: usize, framing: Framing, input: &[u8]) -> Option<usize> {
        let (format, answer, used) = match framing {
            Framing::Raw => {
                let Some(request) = input.first_chunk() else {
                    return Some(0);
                };
                let (format, answer) = wire::accept_raw(*request)?;
                (format, answer.to_vec(), 4)
            }
            Framing::Ws => {
                let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
                    return Some(0);
                };
                let head = String::from_utf8_lossy(input.get(..end)?);
                let (format, answer) = wire::accept_websocket(&head)?;
                (format, answer.into_bytes(), end + 4)
            }
        };
        let connection = self.connection(id)?;
        connection.phase = Phase::Open(Wire { framing, format });
        connection.socket.out.extend_from_slice(&answer);
        self.mark_dirty(id);
        Some(used)
    }

    /// Routes one message; `None` closes the connection it came from.
    #[inline]
    pub(super) fn message(&mut self, from: usize, format: Format, message: &[u8]) -> Option<()> {
        let mut cursor = Cursor::open(format, message)?;
        match cursor.uint()? {
            16 => self.publish(from, format, message, cursor),
            48 => self.call(from, format, message, cursor),
            70 => self.yielded(message, cursor),
            32 => self.subscribe(from, format, cursor),
            64 => self.register(from, format, cursor),
            1 => {
                let welcome = json!([2, from + 1, {"roles": {"broker": {}, "dealer": {}}}]);
                self.answer(from, &format.encode(&welcome))
            }
            6 => self.answer(
                from,
                &format.encode(&json!([6, {}, "wamp.close.goodbye_and_out"])),
            ),
            _ => None,
        }
    }

    /// `[16, Request, Options, Topic, Arguments?, ArgumentsKw?]` becomes
    /// `[36, Subscription, Publication, Details, Arguments?, ArgumentsKw?]`.
    fn publish(
        &mut self,
        from: usize,
        format: Format,
        message: &[u8],
        mut cursor: Cursor<'_>,
    ) -> Option<()> {
        let mut request = cursor;
        cursor.skip_uint()?;
        let options = cursor.skip()?;
        let topic = cursor.text()?;
        self.publication.count();
        let names = match format {
            Format::Json => &mut self.json,
            Format::Msgpack => &mut self.msgpack,
        };
        if let Some(topic) = names.topic(topic) {
            let list = message.first().copied()?;
            let Counted { number, digits } = self.publication;
            for &receiver in &topic.receivers {
                let connection = self.connections.get_mut(receiver)?.as_mut()?;
                let (wire, out) = waiting(connection, receiver, &mut self.dirty)?;
                match format {
                    Format::Json => {
                        message::json_event(out, wire, &topic.prefix, digits, &cursor);
                    }
                    Format::Msgpack => {
                        message::msgpack_event(out, wire, list, &topic.prefix, number, &cursor);
                    }
                }
            }
        }
        if options.len() > 2 && memchr::memmem::find(options, b"acknowledge").is_some() {
            self.answer_ids(from, [17, request.uint()?, self.publication.number])?;
        }
        Some(())
    }

    /// `[32, Request, Options, Topic]`; the match policy is not read.
    fn subscribe(&mut self, from: usize, format: Format, mut cursor: Cursor<'_>) -> Option<()> {
        let request = cursor.uint()?;
        cursor.skip()?;
        let names = match format {
            Format::Json => &mut self.json,
            Format::Msgpack => &mut self.msgpack,
        };
        // A subscription ID as long as those that other routers draw.
        let fresh = names.list.len();
        let name = cursor.text()?;
        let place = *names.topics.entry_ref(name).or_insert(fresh);
        if place == fresh {
            names.list.push(Topic::new(name, (1 << 52) + fresh as u64));
        }
        let topic = names.list.get_mut(place)?;
        let subscription = topic.subscription;
        if !topic.receivers.contains(&from) {
            topic.receivers.push(from);
        }
        self.answer_ids(from, [33, request, subscription])
    }

    /// `[64, Request, Options, Procedure]`; the last callee wins.
    fn register(&mut self, from: usize, format: Format, mut cursor: Cursor<'_>) -> Option<()> {
        let request = cursor.uint()?;
        cursor.skip()?;
        let names = match format {
            Format::Json => &mut self.json,
            Format::Msgpack => &mut self.msgpack,
        };
        let registration = (1 << 52) + names.procedures.len() as u64;
        names.procedures.insert(
            cursor.text()?.into(),
            Procedure {
                registration,
                callee: from,
            },
        );
        self.answer_ids(from, [65, request, registration])
    }

    /// `[48, Request, Options, Procedure, …]` becomes
    /// `[68, Request, Registration, Details, …]`.
    fn call(
        &mut self,
        from: usize,
        format: Format,
        message: &[u8],
        mut cursor: Cursor<'_>,
    ) -> Option<()> {
        let request = cursor.uint()?;
        cursor.skip()?;
        let procedure = cursor.text()?;
        let names = match format {
            Format::Json => &self.json,
            Format::Msgpack => &self.msgpack,
        };
        let Some(&Procedure {
            registration,
            callee,
        }) = names.procedures.get(procedure)
        else {
            let error = json!([8, 48, request, {}, "wamp.error.no_such_procedure"]);
            return self.answer(from, &format.encode(&error));
        };
        let call = Call {
            caller: from,
            request,
        };
        let place = self.free_calls.pop().unwrap_or(self.calls.len());
        match self.calls.get_mut(place) {
            Some(slot) => *slot = call,
            None => self.calls.push(call),
        }
        let ids = [68, place as u64 + 1, registration];
        let list = message.first().copied()?;
        let (wire, out) = self.waiting(callee)?;
        message::converted(out, wire, list, ids, &cursor);
        Some(())
    }

    /// `[70, Request, Options, …]` becomes `[50, Request, Details, …]`.
    fn yielded(&mut self, message: &[u8], mut cursor: Cursor<'_>) -> Option<()> {
        let place = usize::try_from(cursor.uint()?).ok()?.checked_sub(1)?;
        cursor.skip()?;
        let Call { caller, request } = *self.calls.get(place)?;
        self.free_calls.push(place);
        let list = message.first().copied()?;
        // A caller that left in the meantime gets nothing.
        if let Some((wire, out)) = self.waiting(caller) {
            message::converted(out, wire, list, [50, request], &cursor);
        }
        Some(())
    }

    #[inline]
    fn answer_ids<const N: usize>(&mut self, to: usize, ids: [u64; N]) -> Option<()> {
        let (wire, out) = self.waiting(to)?;
        message::numbers(out, wire, ids);
        Some(())
    }

    fn answer(&mut self, to: usize, message: &[u8]) -> Option<()> {
        let (wire, out) = self.waiting(to)?;
        wire::begin_frame(wire, message.len(), out);
        out.extend_from_slice(message);
        Some(())
    }

    #[inline]
    fn waiting(&mut self, to: usize) -> Option<(Wire, &mut Vec<u8>)> {
        waiting(self.connections.get_mut(to)?.as_mut()?, to, &mut self.dirty)
    }

    fn mark_dirty(&mut self, id: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }
}

impl Names {
    #[inline]
    fn topic(&mut self, name: &[u8]) -> Option<&Topic> {
        match self.list.get(self.recent) {
            Some(recent) if *recent.name == *name => {}
            _ => self.recent = *self.topics.get(name)?,
        }
        self.list.get(self.recent)
    }
}

impl Topic {
    fn new(name: &[u8], subscription: u64) -> Self {
        let prefix = EventPrefix::new(subscription);
        Self {
            name: name.into(),
            subscription,
            prefix,
            receivers: Vec::new(),
        }
    }
}

/// Where a message for an open connection is written to; the connection is flushed afterwards.
#[inline(always)]
fn waiting<'a>(
    connection: &'a mut Connection,
    id: usize,
    dirty: &mut Vec<usize>,
) -> Option<(Wire, &'a mut Vec<u8>)> {
    let Phase::Open(wire) = connection.phase else {
        return None;
    };
    if !connection.dirty {
        connection.dirty = true;
        dirty.push(id);
    }
    Some((wire, &mut connection.socket.out))
}
