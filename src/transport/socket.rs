//! A client's socket, TCP or Unix, and the two things that every transport does with one: read
//! what is there, and end.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_util::io::poll_read_buf;

use super::connections::Slot;

/// What one read takes at most. 64 KiB: a few hundred messages, and one system call for all.
const READ_BLOCK: usize = 64 * 1024;

/// A block with less room than this is given up for a new one.
const READ_LEAST: usize = 4 * 1024;

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

    /// Reads and throws away what is there, waiting for it; true at the end of the stream.
    fn discard(&self) -> impl Future<Output = io::Result<bool>>;
}

impl Socket for TcpStream {
    type Read = tcp::OwnedReadHalf;
    type Write = tcp::OwnedWriteHalf;

    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }

    async fn discard(&self) -> io::Result<bool> {
        self.readable().await?;
        discarded(self.try_read(&mut [0; READ_LEAST]))
    }
}

impl Socket for UnixStream {
    type Read = unix::OwnedReadHalf;
    type Write = unix::OwnedWriteHalf;

    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }

    async fn discard(&self) -> io::Result<bool> {
        self.readable().await?;
        discarded(self.try_read(&mut [0; READ_LEAST]))
    }
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
pub(super) struct ReadBlock(Rc<RefCell<BytesMut>>);

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
        let mut block = self.0.borrow_mut();
        if block.capacity() < partial.len() + READ_LEAST {
            // The same memory again, where all earlier slices of it are gone.
            block.reserve(READ_BLOCK);
        }
        block.extend_from_slice(partial);
        let read = poll_read_buf(Pin::new(socket), cx, &mut *block);
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
