//! What a client sends, as the session gets it: one read becomes one batch of whole messages.
//! Asks the outbox before every read, so that a client that does not keep up with what it asks for
//! is pushed back by TCP. Knows no framing: a [`Decode`] does.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use log::debug;
use rewamp_actors::session::outbox::{Outbox, Readable};
use rewamp_actors::session::{Frames, Inbound};
use tokio::io::AsyncRead;

use super::socket::ReadBlock;
use super::writer::Farewell;

/// Tells messages apart in a stream of bytes.
pub(super) trait Decode: Unpin + 'static {
    /// Moves whole messages from the front of `read` into `batch`, and leaves the beginning of the
    /// next one.
    ///
    /// # Errors
    /// The client breaks the rules of the transport. What is in `batch` by then still counts.
    fn decode(&mut self, read: &mut BytesMut, batch: &mut Batch) -> Result<(), Fault>;
}

/// What one read brought.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Whole messages, without what the transport puts around them.
    pub(super) frames: Vec<Frames>,
    /// Frames that the transport itself answers with.
    pub(super) answers: BytesMut,
    /// How many frames those are.
    pub(super) answered: u32,
    /// The client wants to end, and gets this as the last bytes.
    pub(super) closed: Option<Bytes>,
}

impl Batch {
    /// Adds the messages at `places` of the first `taken` bytes of `read`, which are taken off it.
    pub(super) fn take(&mut self, read: &mut BytesMut, taken: usize, places: Vec<Range<u32>>) {
        let block = read.split_to(taken.min(read.len())).freeze();
        if !places.is_empty() {
            self.frames.push(Frames::new(block, places));
        }
    }
}

/// For how many frames there should be room, the first of `bytes` being so long: most that come
/// together are alike.
pub(super) const fn likely_frames(bytes: usize, first: usize) -> usize {
    /// Small ones may be followed by large ones: 4 KiB of places.
    const MOST: usize = 512;
    let frames = 1 + bytes / (first + 1);
    if frames < MOST { frames } else { MOST }
}

/// A client breaks the rules of its transport.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong and what is allowed.
    pub(super) text: String,
    /// The last bytes to the client, which tell it why; empty where the transport has no such
    /// thing.
    pub(super) farewell: Bytes,
}

/// See the head of this file.
pub(super) struct Reader<R, D> {
    socket: R,
    decoder: D,
    outbox: Arc<Outbox>,
    farewell: Farewell,
    block: ReadBlock,
    partial: BytesMut,
    /// Whether `partial` may hold whole messages before anything is read.
    unseen: bool,
    state: State,
}

enum State {
    Reading,
    Faulty(Fault),
    Ended,
}

impl<R, D> Reader<R, D> {
    /// Reads from `socket`, beginning with `already`, which was read before.
    pub(super) fn new(
        socket: R,
        decoder: D,
        already: BytesMut,
        outbox: &Arc<Outbox>,
        farewell: &Farewell,
        block: &ReadBlock,
    ) -> Self {
        Self {
            socket,
            decoder,
            outbox: Arc::clone(outbox),
            farewell: farewell.clone(),
            block: block.clone(),
            unseen: !already.is_empty(),
            // An empty buffer of the handshake would be kept for the life of the connection.
            partial: if already.is_empty() {
                BytesMut::new()
            } else {
                already
            },
            state: State::Reading,
        }
    }
}

/// With the session's end, however it came about, nobody answers this client any more.
impl<R, D> Drop for Reader<R, D> {
    fn drop(&mut self) {
        self.outbox.finish();
    }
}

impl<R: AsyncRead + Unpin, D: Decode> Reader<R, D> {
    /// The next bytes; false at the end of the stream.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match ready!(
            self.block
                .poll_read(&mut self.socket, cx, &mut self.partial)
        ) {
            Ok(0) if self.partial.is_empty() => Poll::Ready(false),
            Ok(0) => {
                debug!(bytes = self.partial.len(); "a client left in the middle of a message");
                Poll::Ready(false)
            }
            Ok(_) => {
                self.farewell.heard();
                Poll::Ready(true)
            }
            Err(error) => {
                debug!(error:%; "a connection broke");
                Poll::Ready(false)
            }
        }
    }

    /// What is whole in the bytes read so far.
    fn take_batch(&mut self) -> Vec<Frames> {
        let mut batch = Batch::default();
        let decoded = self.decoder.decode(&mut self.partial, &mut batch);
        ReadBlock::keep_apart(&mut self.partial);
        if batch.answered > 0 {
            self.outbox.answer(&batch.answers, batch.answered);
            self.outbox.wake();
        }
        if let Err(fault) = decoded {
            self.state = State::Faulty(fault);
        } else if let Some(farewell) = batch.closed {
            self.farewell.set(farewell);
            self.state = State::Ended;
        }
        batch.frames
    }
}

impl<R: AsyncRead + Unpin, D: Decode> Stream for Reader<R, D> {
    type Item = Inbound;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let this = self.get_mut();
        loop {
            if !matches!(this.state, State::Reading) {
                return Poll::Ready(match std::mem::replace(&mut this.state, State::Ended) {
                    State::Faulty(fault) => {
                        this.farewell.set(fault.farewell);
                        Some(Inbound::Fault(fault.text))
                    }
                    State::Reading | State::Ended => None,
                });
            }
            if ready!(this.outbox.poll_readable(cx)) == Readable::Closed {
                return Poll::Ready(None);
            }
            if !std::mem::take(&mut this.unseen) && !ready!(this.poll_bytes(cx)) {
                this.state = State::Ended;
                continue;
            }
            let frames = this.take_batch();
            if !frames.is_empty() {
                return Poll::Ready(Some(Inbound::Frames(frames)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};
    use rewamp_actors::session::outbox::OutboxLimits;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    /// A message ends with a full stop; `!` is a fault, `?` is answered, `#` closes.
    struct Sentences;

    impl Decode for Sentences {
        fn decode(&mut self, read: &mut BytesMut, batch: &mut Batch) -> Result<(), Fault> {
            while let Some(end) = read.iter().position(|byte| b".!?#".contains(byte)) {
                let sentence = read.split_to(end + 1).freeze();
                match sentence[end] {
                    b'.' => batch.frames.push(sentence.into()),
                    b'?' => {
                        batch.answers.extend_from_slice(b"yes");
                        batch.answered += 1;
                    }
                    b'#' => batch.closed = Some(Bytes::from_static(b"closed")),
                    _ => {
                        let farewell = Bytes::from_static(b"fault");
                        return Err(Fault {
                            text: "do not shout".to_owned(),
                            farewell,
                        });
                    }
                }
            }
            Ok(())
        }
    }

    fn read(already: &str) -> (DuplexStream, Reader<DuplexStream, Sentences>, Arc<Outbox>) {
        let (client, socket) = duplex(1 << 20);
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            bytes: 100,
            messages: 10,
        }));
        let already = BytesMut::from(already);
        let (farewell, block) = (Farewell::default(), ReadBlock::default());
        let reader = Reader::new(socket, Sentences, already, &outbox, &farewell, &block);
        (client, reader, outbox)
    }

    fn messages(read: &[Frames]) -> Vec<Bytes> {
        read.iter().flat_map(Frames::messages).collect()
    }

    async fn check(already: &str, sent: &str, expected: &[&[&str]], fault: Option<&str>) {
        let (mut client, reader, _) = read(already);
        client.write_all(sent.as_bytes()).await.unwrap();
        drop(client);
        let mut batches = Vec::new();
        let mut said = None;
        for inbound in reader.collect::<Vec<_>>().await {
            match inbound {
                Inbound::Frames(read) => batches.push(messages(&read)),
                Inbound::Fault(text) => said = Some(text),
            }
        }
        assert_eq!(batches, expected, "{already:?} {sent:?}");
        assert_eq!(said.as_deref(), fault, "{already:?} {sent:?}");
    }

    #[actix_rt::test]
    async fn one_read_is_one_batch_of_whole_messages() {
        check("", "a.b.c", &[&["a.", "b."]], None).await;
        check("", "", &[], None).await;
        check("a.b", ".c.", &[&["a."], &["b.", "c."]], None).await;
    }

    #[actix_rt::test]
    async fn a_fault_comes_after_the_messages_before_it_and_ends_the_stream() {
        check("", "a.b!c.", &[&["a."]], Some("do not shout")).await;
        check("", "!", &[], Some("do not shout")).await;
        check("", "a.#b.", &[&["a.", "b."]], None).await;
    }

    #[actix_rt::test]
    async fn what_the_transport_answers_itself_goes_to_the_outbox() {
        let (mut client, mut reader, outbox) = read("");
        client.write_all(b"there?a.").await.unwrap();
        assert!(reader.next().await.is_some());
        let mut chunks = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(outbox.poll_take(&mut cx, 100, &mut chunks).is_ready());
        assert_eq!(chunks, ["yes"]);
    }

    #[actix_rt::test]
    async fn nothing_is_read_while_too_much_waits_for_the_client() {
        let (mut client, mut reader, outbox) = read("");
        client.write_all(b"a.").await.unwrap();
        outbox.answer(&[0; 51], 1);
        assert!(reader.next().now_or_never().is_none());
        let mut chunks = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(outbox.poll_take(&mut cx, 100, &mut chunks).is_ready());
        assert!(matches!(reader.next().await, Some(Inbound::Frames(_))));
        outbox.finish();
        client.write_all(b"b.").await.unwrap();
        assert!(reader.next().await.is_none());
    }
}
