//! What each message does to which sockets. A message that is not understood ends its connection.

use super::connection::{Connection, Phase};
use super::head::Head;
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
    publication: u64,
    calls: Vec<Call>,
    free_calls: Vec<usize>,
}

/// Topics and procedures of one format: arguments are not transcoded, so formats do not meet.
#[derive(Default)]
struct Names {
    topics: HashMap<Box<[u8]>, Topic, foldhash::fast::RandomState>,
    procedures: HashMap<Box<[u8]>, Procedure, foldhash::fast::RandomState>,
}

struct Topic {
    subscription: u64,
    prefix: Head,
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
            publication: 1_000_000_000_000_000,
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
            for topic in names.topics.values_mut() {
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
            70 => self.yielded(format, message, cursor),
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
        self.publication += 1;
        let names = match format {
            Format::Json => &self.json,
            Format::Msgpack => &self.msgpack,
        };
        if let Some(topic) = names.topics.get(topic) {
            let head = Head::event(format, message, topic.prefix, self.publication, &cursor);
            for &receiver in &topic.receivers {
                let connection = self.connections.get_mut(receiver)?.as_mut()?;
                append(connection, receiver, &head, cursor.tail(), &mut self.dirty);
            }
        }
        if options.len() > 2 && memchr::memmem::find(options, b"acknowledge").is_some() {
            self.answer_ids(from, format, &[17, request.uint()?, self.publication])?;
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
        let fresh = (1 << 52) + names.topics.len() as u64;
        let topic = names
            .topics
            .entry_ref(cursor.text()?)
            .or_insert_with(|| Topic::new(format, fresh));
        let subscription = topic.subscription;
        if !topic.receivers.contains(&from) {
            topic.receivers.push(from);
        }
        self.answer_ids(from, format, &[33, request, subscription])
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
        self.answer_ids(from, format, &[65, request, registration])
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
        let head = Head::converted(format, message, &ids, &cursor);
        self.push(callee, &head, cursor.tail())
    }

    /// `[70, Request, Options, …]` becomes `[50, Request, Details, …]`.
    fn yielded(&mut self, format: Format, message: &[u8], mut cursor: Cursor<'_>) -> Option<()> {
        let place = usize::try_from(cursor.uint()?).ok()?.checked_sub(1)?;
        cursor.skip()?;
        let Call { caller, request } = *self.calls.get(place)?;
        self.free_calls.push(place);
        let head = Head::converted(format, message, &[50, request], &cursor);
        // A caller that left in the meantime gets nothing.
        let _ = self.push(caller, &head, cursor.tail());
        Some(())
    }

    fn answer_ids(&mut self, to: usize, format: Format, ids: &[u64]) -> Option<()> {
        let mut head = Head::open(format, 0x90 | ids.len() as u8);
        head.push_ids(format, ids);
        let end: &[u8] = if format == Format::Json { b"]" } else { &[] };
        self.push(to, &head, end)
    }

    fn answer(&mut self, to: usize, message: &[u8]) -> Option<()> {
        self.push(to, &Head::default(), message)
    }

    fn push(&mut self, to: usize, head: &Head, tail: &[u8]) -> Option<()> {
        let connection = self.connections.get_mut(to)?.as_mut()?;
        append(connection, to, head, tail, &mut self.dirty);
        Some(())
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

impl Topic {
    fn new(format: Format, subscription: u64) -> Self {
        // Which list's head an event has depends on the publication: it is set then.
        let mut prefix = Head::open(format, 0);
        prefix.push_ids(format, &[36, subscription]);
        Self {
            subscription,
            prefix,
            receivers: Vec::new(),
        }
    }
}

/// Appends one framed message to what waits for a connection.
#[inline]
fn append(
    connection: &mut Connection,
    id: usize,
    head: &Head,
    tail: &[u8],
    dirty: &mut Vec<usize>,
) {
    let Phase::Open(wire) = connection.phase else {
        return;
    };
    let out = &mut connection.socket.out;
    wire::begin_frame(wire, head.len() + tail.len(), out);
    head.append_to(out);
    out.extend_from_slice(tail);
    if !connection.dirty {
        connection.dirty = true;
        dirty.push(id);
    }
}
