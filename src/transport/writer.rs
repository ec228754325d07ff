//! What a client gets: empties its outbox into its socket, one vectored write at a time, and ends
//! the connection the way the outbox says. One task a connection, which owns the socket's place
//! among the node's connections. Knows no message: the outbox holds whole frames.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use log::debug;
use rewamp_actors::session::outbox::{Outbox, Take};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep};

use super::connections::Slot;
use super::socket::{Socket, linger, reset};

/// What is taken from the outbox at once. 256 KiB: about what a socket's buffer takes.
const TAKE: usize = 256 * 1024;

/// Slices of one vectored write.
const SLICES: usize = 64;

/// How long a connection that is closing may take until the client has read what waits for it.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// The last bytes to a client, which the reader may replace; shared by reader and writer.
#[derive(Clone, Default)]
pub(super) struct Farewell(Rc<Shared>);

#[derive(Default)]
struct Shared {
    bytes: RefCell<Bytes>,
    heard: Cell<bool>,
}

impl Farewell {
    /// Bytes to be written when the session is over and nobody says otherwise.
    pub(super) fn new(bytes: Bytes) -> Self {
        let farewell = Self::default();
        farewell.set(bytes);
        farewell
    }

    /// Replaces them.
    pub(super) fn set(&self, bytes: Bytes) {
        self.0.bytes.replace(bytes);
    }

    /// Notes that the client has sent something.
    pub(super) fn heard(&self) {
        self.0.heard.set(true);
    }

    fn take(&self) -> Bytes {
        self.0.bytes.take()
    }

    fn take_heard(&self) -> bool {
        self.0.heard.take()
    }
}

/// When a quiet connection is asked whether somebody is there. Any traffic counts as an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PingPlan {
    /// A ping is due when nothing came for this long.
    pub(crate) interval: Duration,
    /// The connection is cut when nothing came for this long after a ping; none: never.
    pub(crate) answer_within: Option<Duration>,
}

/// The pings of one connection.
pub(super) struct Heartbeat {
    plan: PingPlan,
    /// The whole frame.
    ping: Bytes,
    timer: Pin<Box<Sleep>>,
    unanswered: bool,
}

enum Beat {
    Ping,
    Dead,
}

impl Heartbeat {
    /// Sends `ping`, a whole frame, as planned.
    pub(super) fn new(plan: PingPlan, ping: Bytes) -> Self {
        Self {
            plan,
            ping,
            timer: Box::pin(sleep(plan.interval)),
            unanswered: false,
        }
    }

    fn poll(&mut self, farewell: &Farewell, cx: &mut Context<'_>) -> Poll<Beat> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let heard = farewell.take_heard();
            if self.unanswered && !heard && self.plan.answer_within.is_some() {
                return Poll::Ready(Beat::Dead);
            }
            self.unanswered = !heard;
            let next = match self.plan.answer_within {
                Some(answer_within) if self.unanswered => answer_within,
                _ => self.plan.interval,
            };
            self.timer.as_mut().reset(Instant::now() + next);
            if self.unanswered {
                return Poll::Ready(Beat::Ping);
            }
        }
    }
}

/// Ends a write that is under way, from any thread.
#[derive(Default)]
struct Cut {
    is_cut: AtomicBool,
    writer: AtomicWaker,
}

/// See the head of this file.
pub(super) struct Writer<S: Socket> {
    socket: S::Write,
    outbox: Arc<Outbox>,
    farewell: Farewell,
    heartbeat: Option<Heartbeat>,
    cut: Arc<Cut>,
    waiting: Vec<Bytes>,
    _slot: Slot,
}

enum End {
    /// Everything is written.
    Finished,
    /// The connection was cut, or does not take what is left.
    Cut,
}

impl<S: Socket> Writer<S> {
    /// Writes what `outbox` gives to `socket`.
    pub(super) fn new(
        socket: S::Write,
        outbox: &Arc<Outbox>,
        farewell: &Farewell,
        heartbeat: Option<Heartbeat>,
        slot: Slot,
    ) -> Self {
        let cut = Arc::new(Cut::default());
        outbox.on_cut({
            let cut = Arc::clone(&cut);
            move || {
                cut.is_cut.store(true, Ordering::Release);
                cut.writer.wake();
            }
        });
        Self {
            socket,
            outbox: Arc::clone(outbox),
            farewell: farewell.clone(),
            heartbeat,
            cut,
            waiting: Vec::new(),
            _slot: slot,
        }
    }

    /// Runs until the connection is closed.
    pub(super) async fn run(mut self) {
        match self.write().await {
            Ok(End::Finished) => self.close().await,
            // Nobody reads any more: what is still pushed for this client is thrown away.
            Ok(End::Cut) => {
                reset(self.socket.as_ref());
                self.outbox.cut();
            }
            Err(error) => {
                debug!(error:%; "a connection broke");
                self.outbox.cut();
            }
        }
    }

    async fn write(&mut self) -> io::Result<End> {
        loop {
            match self.next().await {
                Take::Write => {}
                Take::Finished => {
                    self.waiting
                        .extend(Some(self.farewell.take()).filter(|last| !last.is_empty()));
                    return self.write_waiting().await;
                }
                Take::Cut => return Ok(End::Cut),
            }
            if let End::Cut = self.write_waiting().await? {
                return Ok(End::Cut);
            }
        }
    }

    /// What to write next, with pings while there is nothing.
    async fn next(&mut self) -> Take {
        let Self {
            outbox,
            waiting,
            heartbeat,
            farewell,
            ..
        } = self;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(take) = outbox.poll_take(cx, TAKE, waiting) {
                    return Poll::Ready(take);
                }
                let Some(heartbeat) = heartbeat else {
                    return Poll::Pending;
                };
                match ready!(heartbeat.poll(farewell, cx)) {
                    Beat::Ping => {
                        waiting.push(heartbeat.ping.clone());
                        return Poll::Ready(Take::Write);
                    }
                    Beat::Dead => {
                        debug!("a connection does not answer a ping");
                        outbox.cut();
                    }
                }
            }
        })
        .await
    }

    async fn write_waiting(&mut self) -> io::Result<End> {
        let Self {
            socket,
            outbox,
            cut,
            waiting,
            ..
        } = self;
        let mut stalled: Option<Pin<Box<Sleep>>> = None;
        let mut at = 0;
        let end = poll_fn(|cx| {
            loop {
                match poll_write_some(socket, cut, waiting, &mut at, cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => return Poll::Ready(Ok(End::Finished)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if cut.is_cut.load(Ordering::Acquire) => {
                        return Poll::Ready(Ok(End::Cut));
                    }
                    Poll::Pending => break,
                }
            }
            poll_stalled(&mut stalled, outbox, cx).map(|()| Ok(End::Cut))
        })
        .await;
        waiting.clear();
        // An idle connection holds as little as it can.
        waiting.shrink_to(4);
        end
    }

    async fn close(self) {
        let Self {
            mut socket, _slot, ..
        } = self;
        if let Err(error) = socket.shutdown().await {
            debug!(error:%; "a connection broke while it was closed");
            return;
        }
        let socket: &S = socket.as_ref();
        linger(socket).await;
    }
}

/// Writes once; false when nothing waits any more. `at` is the first chunk that is not written.
fn poll_write_some<W: AsyncWrite + Unpin>(
    socket: &mut W,
    cut: &Cut,
    waiting: &mut [Bytes],
    at: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    let Some(left) = waiting.get_mut(*at..).filter(|left| !left.is_empty()) else {
        return Poll::Ready(Ok(false));
    };
    cut.writer.register(cx.waker());
    if cut.is_cut.load(Ordering::Acquire) {
        return Poll::Pending;
    }
    let written = match &*left {
        [chunk] => Pin::new(socket).poll_write(cx, chunk),
        chunks => {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut filled = 0;
            for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
                *slice = IoSlice::new(chunk);
                filled += 1;
            }
            let slices = slices.get(..filled).unwrap_or_default();
            Pin::new(socket).poll_write_vectored(cx, slices)
        }
    };
    written.map(|written| {
        let mut written = match written? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => written,
        };
        for chunk in left {
            let taken = written.min(chunk.len());
            chunk.advance(taken);
            written -= taken;
            if !chunk.is_empty() {
                break;
            }
            *at += 1;
        }
        Ok(true)
    })
}

/// While a write does not get on: ready when the session has ended and the client still does not
/// take the rest.
fn poll_stalled(
    stalled: &mut Option<Pin<Box<Sleep>>>,
    outbox: &Outbox,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let timer = stalled.get_or_insert_with(|| Box::pin(sleep(CLOSE_WITHIN)));
    while timer.as_mut().poll(cx).is_ready() {
        if outbox.is_closed() {
            return Poll::Ready(());
        }
        timer.as_mut().reset(Instant::now() + CLOSE_WITHIN);
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::connections::Connections;
    use actix_rt::task::JoinHandle;
    use rewamp_actors::metrics::Metrics;
    use rewamp_actors::session::outbox::OutboxLimits;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    const PLAN: PingPlan = PingPlan {
        interval: Duration::from_secs(10),
        answer_within: Some(Duration::from_secs(3)),
    };

    struct Written {
        outbox: Arc<Outbox>,
        farewell: Farewell,
        client: UnixStream,
        writer: JoinHandle<()>,
    }

    fn write(plan: Option<PingPlan>) -> Written {
        let (client, node) = UnixStream::pair().unwrap();
        // The reading half stays open, as the session's reader would keep it.
        let (_, socket) = node.halves();
        let slot = Connections::new(1, &Metrics::new()).admit().unwrap();
        let outbox = Arc::new(Outbox::new(OutboxLimits::default()));
        let farewell = Farewell::new(Bytes::from_static(b"bye"));
        let heartbeat = plan.map(|plan| Heartbeat::new(plan, Bytes::from_static(b"ping")));
        let writer = Writer::<UnixStream>::new(socket, &outbox, &farewell, heartbeat, slot);
        Written {
            outbox,
            farewell,
            client,
            writer: actix_rt::spawn(writer.run()),
        }
    }

    /// More than a socket's buffer takes.
    fn fill(outbox: &Outbox) {
        let frames = Bytes::from(vec![b'x'; 100_000]);
        (0..50).for_each(|_| outbox.answer_shared(frames.clone(), 1));
        outbox.wake();
    }

    #[actix_rt::test]
    async fn all_that_waits_is_written_in_order_and_the_farewell_last() {
        let Written {
            outbox,
            mut client,
            writer,
            ..
        } = write(None);
        let mut expected = Vec::new();
        for number in 0..10_000u32 {
            let frame = vec![number as u8; number as usize % 300];
            if number % 7 == 0 {
                outbox.answer_shared(Bytes::from(frame.clone()), 1);
            } else {
                outbox.answer(&frame, 1);
            }
            expected.extend_from_slice(&frame);
        }
        outbox.finish();
        expected.extend_from_slice(b"bye");
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert!(
            read == expected,
            "{} bytes of {}",
            read.len(),
            expected.len()
        );
        drop(client);
        writer.await.unwrap();
    }

    #[actix_rt::test]
    async fn a_cut_ends_a_write_that_is_under_way() {
        let Written {
            outbox,
            client,
            writer,
            ..
        } = write(None);
        fill(&outbox);
        actix_rt::task::yield_now().await;
        assert!(!writer.is_finished());
        outbox.cut();
        writer.await.unwrap();
        drop(client);
    }

    #[actix_rt::test]
    async fn a_client_that_does_not_read_its_end_is_given_up() {
        let Written {
            outbox,
            client,
            writer,
            ..
        } = write(None);
        fill(&outbox);
        outbox.finish();
        tokio::time::pause(); // and time goes on to the next timer when nothing else is left to do
        writer.await.unwrap();
        assert!(outbox.is_closed());
        drop(client);
    }

    #[actix_rt::test]
    async fn a_client_that_is_gone_ends_its_session() {
        let Written {
            outbox,
            client,
            writer,
            ..
        } = write(None);
        drop(client);
        fill(&outbox);
        writer.await.unwrap();
        assert!(outbox.is_closed());
    }

    #[actix_rt::test]
    async fn a_quiet_client_is_asked_and_cut_if_it_does_not_answer() {
        tokio::time::pause();
        let begun = Instant::now();
        let Written {
            outbox,
            mut client,
            writer,
            ..
        } = write(Some(PLAN));
        let mut ping = [0; 4];
        client.read_exact(&mut ping).await.unwrap();
        assert_eq!((&ping, begun.elapsed().as_secs()), (b"ping", 10));
        writer.await.unwrap();
        assert!(outbox.is_closed());
        assert_eq!(begun.elapsed().as_secs(), 13);
    }

    #[actix_rt::test]
    async fn any_traffic_answers_a_ping() {
        tokio::time::pause();
        let Written {
            outbox,
            farewell,
            mut client,
            ..
        } = write(Some(PLAN));
        for _ in 0..5 {
            let mut ping = [0; 4];
            client.read_exact(&mut ping).await.unwrap();
            farewell.heard();
        }
        assert!(!outbox.is_closed());
    }
}
