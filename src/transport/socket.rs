//! A client's socket, TCP or Unix, and the two things that every transport does with one: read
//! what is there, and end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_util::io::poll_read_buf;

use super::connections::Slot;

/// What one read takes at most. 64 KiB: a few hundred messages, and one system call for all.
const READ_BLOCK: usize = 64 * 1024;

/// Filled blocks that wait to be used again: as many as batches are usually under way. Without,
/// every read takes fresh pages from the system; measured at 6 % of the work of forwarding.
const BLOCKS_KEPT: usize = 8;

/// A block with less room than this is given up for another one. Half of it: what is left of one
/// would cut the next read in two.
const READ_LEAST: usize = READ_BLOCK / 2;

/// What is thrown away at once.
const DISCARD: usize = 4 * 1024;

/// A beginning of a message is copied below this length, and grows where it is from there on.
const KEEP_APART: usize = 16 * 1024;

/// What one read takes at most while a long message arrives.
const READ_LONG: usize = 256 * 1024;

/// How long a closed connection is read on, so that what was written last reaches the client: a
/// socket that is closed with unread bytes resets the connection and takes it back.
const LINGER: Duration = Duration::from_secs(3);

/// A byte stream to a client.
pub(super) trait Socket: AsyncRead + AsyncWrite + AsFd + Unpin + Sized + 'static {
    /// Its reading half.
    type Read: AsyncRead + Unpin + 'static;
    /// Its writing half.
    type Write: AsyncWrite + AsRef<Self> + Unpin + 'static;

    /// Both halves, for two tasks of one thread.
    fn halves(self) -> (Self::Read, Self::Write);

    /// The next byte from the client, which stays to be read; none at the end of the stream.
    fn next_byte(&self) -> impl Future<Output = io::Result<Option<u8>>>;

    /// Reads and throws away what is there, waiting for it; true at the end of the stream.
    fn discard(&self) -> impl Future<Output = io::Result<bool>>;
}

impl Socket for TcpStream {
    type Read = tcp::OwnedReadHalf;
    type Write = tcp::OwnedWriteHalf;

    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }

    async fn next_byte(&self) -> io::Result<Option<u8>> {
        let next = || first_byte(self);
        self.async_io(Interest::READABLE, next).await
    }

    async fn discard(&self) -> io::Result<bool> {
        self.readable().await?;
        discarded(self.try_read(&mut [0; DISCARD]))
    }
}

impl Socket for UnixStream {
    type Read = unix::OwnedReadHalf;
    type Write = unix::OwnedWriteHalf;

    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }

    async fn next_byte(&self) -> io::Result<Option<u8>> {
        let next = || first_byte(self);
        self.async_io(Interest::READABLE, next).await
    }

    async fn discard(&self) -> io::Result<bool> {
        self.readable().await?;
        discarded(self.try_read(&mut [0; DISCARD]))
    }
}

fn first_byte(socket: impl AsFd) -> io::Result<Option<u8>> {
    let mut first = [0];
    let (bytes, _) = recv(socket, &mut first, RecvFlags::PEEK)?;
    Ok((bytes > 0).then_some(first[0]))
}

fn discarded(read: io::Result<usize>) -> io::Result<bool> {
    match read {
        Ok(bytes) => Ok(bytes == 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until the client has closed its side too, at most [`LINGER`].
pub(super) async fn linger<S: Socket>(socket: &S) {
    let end = async { while matches!(socket.discard().await, Ok(false)) {} };
    let _ = tokio::time::timeout(LINGER, end).await;
}

/// Makes the closing of `socket` discard what the kernel still holds for the client, and tells it
/// at once, even while other handles to the socket are open.
pub(super) fn reset<S: Socket>(socket: &S) {
    let socket = socket2::SockRef::from(socket);
    let _ = socket.set_linger(Some(Duration::ZERO));
    let _ = socket.shutdown(std::net::Shutdown::Both);
}

/// The memory that sockets of one thread are read into. They share it, so that a connection from
/// which nothing comes holds none.
#[derive(Clone, Default)]
pub(super) struct ReadBlock(Rc<RefCell<Blocks>>);

#[derive(Default)]
struct Blocks {
    /// Empty; reads fill the room that it has left. None before the first read.
    current: Option<BytesMut>,
    /// Filled up, the oldest first. Used again once the last message in them is forgotten.
    filled: VecDeque<BytesMut>,
}

impl Blocks {
    /// An empty block with room for `bytes` and a bit. One that was read into lately is still in the
    /// processor's cache.
    fn with_room(&mut self, bytes: usize) -> &mut BytesMut {
        let room = bytes + READ_LEAST;
        let Self { current, filled } = self;
        let is_full =
            |current: &mut BytesMut| !current.try_reclaim(READ_BLOCK) && current.capacity() < room;
        if let Some(full) = current.take_if(is_full) {
            filled.push_back(full);
        }
        current.get_or_insert_with(|| {
            let free = filled
                .iter_mut()
                .rposition(|block| block.try_reclaim(READ_BLOCK));
            if free.is_none() && filled.len() > BLOCKS_KEPT {
                filled.pop_front();
            }
            free.and_then(|newest| filled.remove(newest))
                .unwrap_or_else(|| BytesMut::with_capacity(READ_BLOCK))
        })
    }
}

impl ReadBlock {
    /// Reads once. `partial` is the beginning of a message that earlier reads left, and has what
    /// was read at its end afterwards; 0 at the end of the stream.
    pub(super) fn poll_read<R: AsyncRead + Unpin>(
        &self,
        socket: &mut R,
        cx: &mut Context<'_>,
        partial: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if partial.len() >= KEEP_APART {
            partial.reserve(partial.len().min(READ_LONG));
            return poll_read_buf(Pin::new(socket), cx, partial);
        }
        let mut blocks = self.0.borrow_mut();
        let block = blocks.with_room(partial.len());
        block.extend_from_slice(partial);
        let read = poll_read_buf(Pin::new(socket), cx, block);
        if matches!(read, Poll::Ready(Ok(bytes)) if bytes > 0) {
            *partial = block.split();
        } else {
            block.clear();
        }
        read
    }

    /// Moves the beginning of a message to memory of its own: what waits for its rest, maybe for
    /// long, shall not hold the block that others were read into.
    pub(super) fn keep_apart(partial: &mut BytesMut) {
        let kept = std::mem::take(partial);
        if kept.len() >= KEEP_APART {
            *partial = kept;
        } else if !kept.is_empty() {
            *partial = BytesMut::from(&*kept);
        }
    }
}

/// An accepted socket with its place among the node's connections.
pub(super) struct Client<S> {
    /// The socket.
    pub(super) socket: S,
    /// Freed with it.
    pub(super) slot: Slot,
    /// Whose it is, for logs and `wamp.session.get`: `tcp4:127.0.0.1:49152`, as Crossbar has it.
    pub(super) address: String,
}

impl<S: Socket> AsyncRead for Client<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: Socket> AsyncWrite for Client<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &ReadBlock, mut source: &[u8], partial: &mut BytesMut) -> usize {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match block.poll_read(&mut source, &mut cx, partial) {
            Poll::Ready(Ok(bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_read_stands_behind_what_was_left() {
        let block = ReadBlock::default();
        for left in [0, 1, KEEP_APART - 1, KEEP_APART, READ_BLOCK] {
            let mut partial = BytesMut::from(&vec![b'a'; left][..]);
            let bytes = read(&block, b"bcd", &mut partial);
            assert_eq!((bytes, partial.len()), (3, left + 3));
            assert!(partial.ends_with(b"bcd") && partial[..left].iter().all(|&byte| byte == b'a'));
        }
        let mut partial = BytesMut::from(&b"left"[..]);
        assert_eq!(read(&block, b"", &mut partial), 0);
        assert_eq!(partial, "left");
    }

    #[test]
    fn memory_is_used_again_once_its_messages_are_forgotten() {
        let block = ReadBlock::default();
        let source = vec![b'x'; READ_BLOCK];
        let mut seen = std::collections::HashSet::new();
        let mut under_way = VecDeque::new();
        for _ in 0..100 {
            let mut partial = BytesMut::new();
            read(&block, &source, &mut partial);
            seen.insert(partial.as_ptr() as usize);
            under_way.push_back(partial);
            under_way.drain(..under_way.len().saturating_sub(4));
        }
        assert!(
            seen.len() <= 6,
            "{} blocks for four batches at a time",
            seen.len()
        );
        let kept: Vec<BytesMut> = (0..100)
            .map(|_| {
                let mut partial = BytesMut::new();
                read(&block, &source, &mut partial);
                partial
            })
            .collect();
        assert!(
            kept.iter()
                .all(|kept| kept.iter().all(|&byte| byte == b'x'))
        );
        assert!(block.0.borrow().filled.len() <= BLOCKS_KEPT);
    }
}
