//! One TCP socket with the bytes of an unfinished frame before it and the bytes that wait to go
//! out behind it. Used by the floor server and the generator, so that both batch alike.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// A socket and its two remainders.
pub(crate) struct Socket {
    /// Bytes to be written by the next `flush`. Unbounded: the generator bounds what is under way.
    pub(crate) out: Vec<u8>,
    stream: TcpStream,
    partial: Vec<u8>,
    waits: bool,
}

/// What a `flush` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing changes in what the poller has to watch.
    Unchanged,
    /// From now on (not) to be watched for being writable.
    Watch(bool),
}

impl Socket {
    /// Takes over a stream, with bytes that were already read from it.
    pub(crate) fn new(stream: TcpStream, partial: Vec<u8>) -> Self {
        Self {
            out: Vec::new(),
            stream,
            partial,
            waits: false,
        }
    }

    /// Puts what is left from last time and one read into `input`, which grows where a single
    /// message needs it; the number of bytes there. The end of the connection is `UnexpectedEof`.
    pub(crate) fn read(&mut self, input: &mut Vec<u8>) -> io::Result<usize> {
        let kept = self.partial.len();
        if kept >= input.len() {
            input.resize(kept * 2, 0);
        }
        let Some((old, free)) = input.split_at_mut_checked(kept) else {
            return Ok(0);
        };
        old.copy_from_slice(&self.partial);
        self.partial.clear();
        match self.stream.read(free) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(got) => Ok(kept + got),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(kept),
            Err(error) => Err(error),
        }
    }

    /// Keeps the beginning of a frame until the next read.
    pub(crate) fn keep(&mut self, partial: &[u8]) {
        self.partial.extend_from_slice(partial);
    }

    /// Writes `bytes` at once as far as they go; the rest waits for `flush`.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Flushed> {
        if !self.out.is_empty() {
            self.out.extend_from_slice(bytes);
            return self.flush();
        }
        let written = self.write(bytes)?;
        self.out
            .extend_from_slice(bytes.get(written..).unwrap_or_default());
        Ok(self.watch())
    }

    /// One write of what waits.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        let out = std::mem::take(&mut self.out);
        let written = self.write(&out);
        self.out = out;
        let written = written?;
        if written == self.out.len() {
            self.out.clear();
        } else {
            self.out.drain(..written);
        }
        Ok(self.watch())
    }

    /// Everything has been handed to the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    fn watch(&mut self) -> Flushed {
        let waits = !self.out.is_empty();
        if waits == self.waits {
            return Flushed::Unchanged;
        }
        self.waits = waits;
        Flushed::Watch(waits)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
