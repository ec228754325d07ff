//! The Outbox: what waits to be written to one client, and whether more may be read from it.
//! Filled by the realm and the history, emptied by the transport's writer, asked by its reader.
//! Knows no socket: the transport hands in what cuts the connection.
//!
//! Two ways in: messages and short runs are appended to a growing tail, since one copy is cheaper
//! than one queue entry; long runs, which many receivers share, are queued as the same [`Bytes`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::metrics::Gauge;

mod pace; // live, or from the history
mod staging; // what waits for its place behind older events

pub use staging::{Place, Staging};

use pace::Pace;

/// From this length on, a run is queued as shared bytes instead of being copied. Measured: below
/// it the copy is cheaper than the queue entry and the longer vectored write.
const SHARE_FROM: usize = 2048;

/// The tail is sealed at this length, so that one write never pins a huge buffer.
const TAIL_LIMIT: usize = 256 * 1024;

/// Batches of one session under way in its realm before its reads pause. Policy: TCP pushes back.
/// 8: a large read is several, and the next one may be read while the realm is busy with others.
const BATCHES_IN_FLIGHT: u32 = 8;

/// The bounds of one session's outbox, from the realm's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes waiting for one session. When full, the realm's slow-consumer policy decides.
    /// Metric `rewamp_outbox_bytes`. 8 MiB: two seconds of a 32 Mbit/s subscriber.
    pub bytes: usize,
    /// Messages waiting for one session; same policy. Metric `rewamp_outbox_messages`.
    /// 32,768: about 256 bytes each before the byte limit would hold.
    pub messages: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            bytes: 8 * 1024 * 1024,
            messages: 32_768,
        }
    }
}

/// What became of bytes handed to [`Outbox::push`].
#[must_use = "what is full has to be answered"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// They wait for the writer.
    Queued,
    /// The history has them, and the session gets them from there in their turn.
    Later,
    /// The session's limit is reached; nothing was queued.
    Full,
    /// The connection is closing or gone; nobody will read them.
    Closed,
}

/// What the writer is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Take {
    /// Write these, in order.
    Write,
    /// Everything is written and nothing more will come: close in an orderly way.
    Finished,
    /// The connection was cut: close at once.
    Cut,
}

/// Whether the transport may read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// Read the next batch.
    Yes,
    /// The session is over: read nothing more.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Finishing,
    Cut,
}

type Hook = Box<dyn FnOnce() + Send>;

struct Queue {
    state: State,
    limits: OutboxLimits,
    chunks: VecDeque<(Bytes, u32)>,
    tail: BytesMut,
    tail_messages: u32,
    bytes: usize,
    messages: usize,
    writer: Option<Waker>,
    cut: Option<Hook>,
    drained: Vec<Hook>,
    refill: Vec<Hook>,
    depth: Option<(Gauge, Gauge)>,
    pace: Pace,
}

/// See the head of this file. Shared as `Arc<Outbox>` by everything that talks to one session.
pub struct Outbox {
    queue: Mutex<Queue>,
    dirty: AtomicBool,
    reader: AtomicWaker,
    in_flight: AtomicU32,
    paused: AtomicBool,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.queue.lock();
        f.debug_struct("Outbox")
            .field("state", &queue.state)
            .field("bytes", &queue.bytes)
            .field("messages", &queue.messages)
            .finish_non_exhaustive()
    }
}

impl Outbox {
    /// An open, empty outbox.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            queue: Mutex::new(Queue {
                state: State::Open,
                limits,
                chunks: VecDeque::new(),
                tail: BytesMut::new(),
                tail_messages: 0,
                bytes: 0,
                messages: 0,
                writer: None,
                cut: None,
                drained: Vec::new(),
                refill: Vec::new(),
                depth: None,
                pace: Pace::Live,
            }),
            dirty: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            in_flight: AtomicU32::new(0),
            paused: AtomicBool::new(false),
        }
    }

    /// Takes over the limits and the depth gauges (bytes, messages) of the realm just joined.
    pub fn joined(&self, limits: OutboxLimits, depth: (Gauge, Gauge)) {
        let mut queue = self.queue.lock();
        queue.limits = limits;
        depth.0.inc_by(queue.bytes as i64);
        depth.1.inc_by(queue.messages as i64);
        queue.depth = Some(depth);
        queue.pace = Pace::Live;
    }

    /// What ends the connection at once, for [`Outbox::cut`]: called at most once, from any thread.
    pub fn on_cut(&self, hook: impl FnOnce() + Send + 'static) {
        self.queue.lock().cut = Some(Box::new(hook));
    }

    /// Queues whole frames of EVENTs for the client, unless it is too far behind.
    pub fn push(&self, frames: &Bytes, events: u32, place: &Place) -> Push {
        let mut queue = self.queue.lock();
        if !matches!(queue.pace, Pace::Live) {
            return queue.stage(|| frames.clone(), events, place);
        }
        match queue.admit(frames.len(), events) {
            Push::Queued if frames.len() >= SHARE_FROM => queue.share(frames.clone(), events),
            Push::Queued => queue.append(frames, events),
            refused => return refused,
        }
        Push::Queued
    }

    /// As [`Outbox::push`], for frames that nobody else shares.
    pub fn push_copy(&self, frames: &[u8], events: u32, place: &Place) -> Push {
        let mut queue = self.queue.lock();
        if !matches!(queue.pace, Pace::Live) {
            return queue.stage(|| Bytes::copy_from_slice(frames), events, place);
        }
        let admitted = queue.admit(frames.len(), events);
        if admitted == Push::Queued {
            queue.append(frames, events);
        }
        admitted
    }

    /// Queues whole frames of other messages that somebody else caused, unless it is too far
    /// behind. They wait for no EVENT.
    pub fn push_messages(&self, frames: &[u8], messages: u32) -> Push {
        let mut queue = self.queue.lock();
        let admitted = queue.admit(frames.len(), messages);
        if admitted == Push::Queued {
            queue.append(frames, messages);
        }
        admitted
    }

    /// As [`Outbox::push_messages`], for messages that are in a buffer of their own.
    pub fn push_shared_messages(&self, frames: Bytes, messages: u32) -> Push {
        let mut queue = self.queue.lock();
        let admitted = queue.admit(frames.len(), messages);
        if admitted == Push::Queued {
            queue.share(frames, messages);
        }
        admitted
    }

    /// Queues the answer to something this client asked for, over the limit if need be: what a
    /// client may ask before it reads is bounded by [`Outbox::poll_readable`], so its own answers
    /// are bounded too and never make it a slow consumer.
    pub fn answer(&self, frames: &[u8], messages: u32) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open {
            queue.append(frames, messages);
        }
    }

    /// As [`Outbox::answer`], for an answer that is large and already in a buffer of its own.
    pub fn answer_shared(&self, frames: Bytes, messages: u32) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open {
            queue.share(frames, messages);
        }
    }

    /// Marks this outbox as having something new; true for the first who says so since the last
    /// [`Outbox::wake`], who then has to see to that call.
    #[must_use]
    pub fn mark_dirty(&self) -> bool {
        !self.dirty.swap(true, Ordering::AcqRel)
    }

    /// Wakes the writer: once at the end of a batch, not once a message.
    pub fn wake(&self) {
        self.dirty.store(false, Ordering::Release);
        let writer = self.queue.lock().writer.take();
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Sends what waits, then closes. Nothing more is read or queued.
    pub fn finish(&self) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open {
            queue.state = State::Finishing;
        }
        drop(queue);
        self.reader.wake();
        self.wake();
    }

    /// Drops what waits and ends the connection at once.
    pub fn cut(&self) {
        let hooks = {
            let mut queue = self.queue.lock();
            queue.state = State::Cut;
            queue.clear();
            let cut = queue.cut.take();
            cut.into_iter()
                .chain(std::mem::take(&mut queue.drained))
                .chain(std::mem::take(&mut queue.refill))
                .collect::<Vec<_>>()
        };
        hooks.into_iter().for_each(|hook| hook());
        self.reader.wake();
        self.wake();
    }

    /// True once [`Outbox::finish`] or [`Outbox::cut`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.lock().state != State::Open
    }

    /// Stops reading from this client for good, while what waits is still written: the first step
    /// of a clean stop.
    pub fn stop_reading(&self) {
        self.paused.store(true, Ordering::Release);
    }

    /// True while so much waits that nothing more should be read from this client.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        self.queue.lock().is_backed_up()
    }

    /// Calls `hook` as soon as the outbox is no longer backed up, or closed: at once if that is now.
    pub fn when_drained(&self, hook: impl FnOnce() + Send + 'static) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open && queue.is_backed_up() {
            queue.drained.push(Box::new(hook));
        } else {
            drop(queue);
            hook();
        }
    }

    /// True while there is enough for the client to read that the history need not send more. Less
    /// than [`Outbox::is_backed_up`], so that a client that gets its past is still read from.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.queue.lock().is_above(4)
    }

    /// Calls `hook` as soon as half of what fills the outbox has been read, or it is closed: at once
    /// if that is now.
    pub fn when_refillable(&self, hook: impl FnOnce() + Send + 'static) {
        let mut queue = self.queue.lock();
        if queue.state == State::Open && queue.is_above(8) {
            queue.refill.push(Box::new(hook));
        } else {
            drop(queue);
            hook();
        }
    }

    /// For the transport's reader: ready when the next batch may be read.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<Readable> {
        self.reader.register(cx.waker());
        let queue = self.queue.lock();
        if queue.state != State::Open {
            return Poll::Ready(Readable::Closed);
        }
        let busy = self.in_flight.load(Ordering::Acquire) >= BATCHES_IN_FLIGHT;
        if busy || queue.is_backed_up() || self.paused.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        Poll::Ready(Readable::Yes)
    }

    /// For the transport's writer: moves up to about `max` bytes of whole chunks into `into`.
    /// Pending while nothing waits.
    pub fn poll_take(&self, cx: &mut Context<'_>, max: usize, into: &mut Vec<Bytes>) -> Poll<Take> {
        let mut queue = self.queue.lock();
        let was_backed_up = queue.is_backed_up();
        let state = queue.state;
        let take = match state {
            State::Cut => Take::Cut,
            _ if queue.take(max, into) => Take::Write,
            State::Finishing => Take::Finished,
            State::Open => {
                queue.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        let drained = was_backed_up && !queue.is_backed_up();
        let hooks = if drained {
            std::mem::take(&mut queue.drained)
        } else {
            Vec::new()
        };
        let refill = match queue.refill.is_empty() || queue.is_above(8) {
            true => Vec::new(),
            false => std::mem::take(&mut queue.refill),
        };
        drop(queue);
        if drained {
            self.reader.wake();
        }
        hooks.into_iter().chain(refill).for_each(|hook| hook());
        Poll::Ready(take)
    }
}

impl Queue {
    fn admit(&self, bytes: usize, messages: u32) -> Push {
        if self.state != State::Open {
            return Push::Closed;
        }
        let full = self.bytes + bytes > self.limits.bytes
            || self.messages + messages as usize > self.limits.messages;
        // A frame that alone is longer than the limit passes through an empty outbox: the limit
        // bounds what piles up, not how long one event may be.
        if full && self.messages > 0 {
            Push::Full
        } else {
            Push::Queued
        }
    }

    fn is_backed_up(&self) -> bool {
        self.is_above(2)
    }

    /// Whether more than that part of the limit waits.
    fn is_above(&self, part: usize) -> bool {
        self.bytes > self.limits.bytes / part || self.messages > self.limits.messages / part
    }

    fn append(&mut self, frames: &[u8], messages: u32) {
        self.tail.extend_from_slice(frames);
        self.tail_messages += messages;
        self.count(frames.len(), messages);
        if self.tail.len() >= TAIL_LIMIT {
            self.seal_tail();
        }
    }

    fn share(&mut self, frames: Bytes, messages: u32) {
        self.seal_tail();
        self.count(frames.len(), messages);
        self.chunks.push_back((frames, messages));
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.chunks
                .push_back((tail, std::mem::take(&mut self.tail_messages)));
        }
    }

    fn count(&mut self, bytes: usize, messages: u32) {
        self.bytes += bytes;
        self.messages += messages as usize;
        if let Some((depth_bytes, depth_messages)) = &self.depth {
            depth_bytes.inc_by(bytes as i64);
            depth_messages.inc_by(i64::from(messages));
        }
    }

    fn uncount(&mut self, bytes: usize, messages: usize) {
        self.bytes -= bytes;
        self.messages -= messages;
        if let Some((depth_bytes, depth_messages)) = &self.depth {
            depth_bytes.dec_by(bytes as i64);
            depth_messages.dec_by(messages as i64);
        }
    }

    fn take(&mut self, max: usize, into: &mut Vec<Bytes>) -> bool {
        if self.chunks.is_empty() {
            self.seal_tail();
        }
        let mut taken = 0;
        let mut messages = 0;
        while taken < max {
            let Some((chunk, count)) = self.chunks.pop_front() else {
                break;
            };
            taken += chunk.len();
            messages += count as usize;
            into.push(chunk);
            if self.chunks.is_empty() {
                self.seal_tail();
            }
        }
        self.uncount(taken, messages);
        taken > 0
    }

    fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.tail = BytesMut::new();
        self.tail_messages = 0;
        self.uncount(self.bytes, self.messages);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.queue.get_mut().clear();
    }
}

/// One batch under way in a realm. While [`BATCHES_IN_FLIGHT`] of them exist, the session's
/// transport reads nothing more; the drop of one lets it read on.
#[derive(Debug)]
pub struct Ticket(Arc<Outbox>);

impl Ticket {
    /// Counts a batch of the session with this outbox.
    #[must_use]
    pub fn new(outbox: &Arc<Outbox>) -> Self {
        outbox.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(outbox))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == BATCHES_IN_FLIGHT {
            self.0.reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;
    use rewamp_history::Sequence;
    use rewamp_wamp::id::SubscriptionId;

    fn small() -> Arc<Outbox> {
        Arc::new(Outbox::new(OutboxLimits {
            bytes: 100,
            messages: 4,
        }))
    }

    /// A place that does not matter while the session is live.
    fn live() -> Place {
        Place {
            subscription: SubscriptionId::FIRST,
            in_history: false,
            sequence: Sequence::ZERO,
        }
    }

    fn take(outbox: &Outbox) -> Poll<(Take, Vec<u8>)> {
        let mut chunks = Vec::new();
        outbox
            .poll_take(
                &mut Context::from_waker(&noop_waker()),
                1 << 20,
                &mut chunks,
            )
            .map(|take| (take, chunks.concat()))
    }

    fn readable(outbox: &Outbox) -> Poll<Readable> {
        outbox.poll_readable(&mut Context::from_waker(&noop_waker()))
    }

    #[test]
    fn what_is_pushed_comes_out_in_order_whichever_way_it_went_in() {
        let outbox = Outbox::new(OutboxLimits::default());
        let long = Bytes::from(vec![b'x'; SHARE_FROM]);
        assert_eq!(outbox.push_copy(b"one", 1, &live()), Push::Queued);
        assert_eq!(outbox.push(&long, 1, &live()), Push::Queued);
        outbox.answer(b"three", 1);
        let Poll::Ready((Take::Write, bytes)) = take(&outbox) else {
            panic!("nothing to write")
        };
        assert_eq!(bytes, [b"one".as_slice(), &long, b"three"].concat());
        assert!(take(&outbox).is_pending());
    }

    #[test]
    fn full_by_bytes_or_by_messages_is_answered_and_queues_nothing() {
        let outbox = small();
        assert_eq!(outbox.push_copy(&[0; 60], 1, &live()), Push::Queued);
        assert_eq!(outbox.push_copy(&[0; 60], 1, &live()), Push::Full);
        assert_eq!(outbox.push_copy(&[0; 10], 3, &live()), Push::Queued);
        assert_eq!(outbox.push_copy(&[0; 1], 1, &live()), Push::Full);
        let Poll::Ready((Take::Write, bytes)) = take(&outbox) else {
            panic!("nothing to write")
        };
        assert_eq!(bytes.len(), 70);
        assert_eq!(outbox.push_copy(&[0; 1], 1, &live()), Push::Queued);
    }

    #[test]
    fn a_frame_longer_than_the_limit_passes_through_an_empty_outbox() {
        let outbox = small();
        assert_eq!(outbox.push_copy(&[0; 500], 1, &live()), Push::Queued);
        assert_eq!(outbox.push_copy(&[0; 1], 1, &live()), Push::Full);
    }

    #[test]
    fn a_client_that_does_not_read_its_answers_is_not_read_from() {
        let outbox = small();
        assert_eq!(readable(&outbox), Poll::Ready(Readable::Yes));
        outbox.answer(&[0; 300], 1);
        assert!(readable(&outbox).is_pending());
        let _ = take(&outbox);
        assert_eq!(readable(&outbox), Poll::Ready(Readable::Yes));
    }

    #[test]
    fn only_so_many_batches_are_under_way_at_once() {
        let outbox = small();
        let mut tickets: Vec<_> = (0..BATCHES_IN_FLIGHT)
            .map(|_| Ticket::new(&outbox))
            .collect();
        assert!(readable(&outbox).is_pending());
        tickets.pop();
        assert_eq!(readable(&outbox), Poll::Ready(Readable::Yes));
    }

    #[test]
    fn finishing_sends_what_waits_and_cutting_drops_it() {
        let outbox = small();
        outbox.answer(b"bye", 1);
        outbox.finish();
        assert_eq!(outbox.push_copy(b"late", 1, &live()), Push::Closed);
        assert_eq!(take(&outbox), Poll::Ready((Take::Write, b"bye".to_vec())));
        assert_eq!(take(&outbox), Poll::Ready((Take::Finished, vec![])));
        assert_eq!(readable(&outbox), Poll::Ready(Readable::Closed));

        let outbox = small();
        let cut = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&cut);
        outbox.on_cut(move || seen.store(true, Ordering::SeqCst));
        outbox.answer(b"bye", 1);
        outbox.cut();
        assert!(cut.load(Ordering::SeqCst));
        assert_eq!(take(&outbox), Poll::Ready((Take::Cut, vec![])));
    }

    #[test]
    fn the_drained_hook_runs_when_half_the_limit_is_free_again() {
        let outbox = small();
        let drained = Arc::new(AtomicBool::new(false));
        outbox.answer(&[0; 80], 1);
        let seen = Arc::clone(&drained);
        outbox.when_drained(move || seen.store(true, Ordering::SeqCst));
        assert!(!drained.load(Ordering::SeqCst));
        let _ = take(&outbox);
        assert!(drained.load(Ordering::SeqCst));
    }

    #[test]
    fn only_the_first_to_dirty_an_outbox_has_to_wake_it() {
        let outbox = small();
        assert!(outbox.mark_dirty());
        assert!(!outbox.mark_dirty());
        outbox.wake();
        assert!(outbox.mark_dirty());
    }
}
