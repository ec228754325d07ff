//! The floor server: a null router, the least that any router does. One thread, bare sockets, exact
//! topics, no checks, no limits; arguments pass as raw bytes and do not change their serializer;
//! every event is appended for every subscriber; one write per connection and read batch.
//! It is what other routers are compared with, not a product: history, permissions, patterns,
//! realms and slow consumers do not exist here.

mod connection; // one socket: what came in part, what waits to go out
mod message; // how messages are written
mod router; // what each message does to which sockets

use crate::poller::{Poller, Ready};
use crate::socket::{Flushed, Socket};
use crate::wire::{self, Framing, Kind, READ};
use connection::{Connection, Phase};
use router::Router;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Tokens below this are listeners.
const FIRST_CONNECTION: usize = 2;

/// A bound floor server that has not begun to serve.
pub(crate) struct Floor {
    poller: Poller,
    listeners: Vec<(TcpListener, Framing)>,
    router: Router,
    input: Vec<u8>,
}

impl Floor {
    /// Listens on loopback, each port optional.
    pub(crate) fn bind(raw: Option<u16>, ws: Option<u16>) -> io::Result<Self> {
        let poller = Poller::new()?;
        let mut listeners = Vec::new();
        for (port, framing) in [(raw, Framing::Raw), (ws, Framing::Ws)] {
            let Some(port) = port else { continue };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            listener.set_nonblocking(true)?;
            poller.watch(&listener, listeners.len())?;
            listeners.push((listener, framing));
        }
        Ok(Self {
            poller,
            listeners,
            router: Router::new(),
            input: vec![0; READ],
        })
    }

    /// Serves until the process ends.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(None, &mut ready)?;
            for &Ready {
                token,
                readable,
                writable,
            } in &ready
            {
                match token.checked_sub(FIRST_CONNECTION) {
                    None => self.accept(token)?,
                    Some(id) => {
                        if writable && !readable {
                            self.flush(id)?;
                        }
                        if readable {
                            self.read(id)?;
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) -> io::Result<()> {
        let Some((listener, framing)) = self.listeners.get(listener) else {
            return Ok(());
        };
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let socket = Socket::new(stream, Vec::new());
                    let phase = Phase::Handshake(*framing);
                    let id = self.router.add(Connection {
                        socket,
                        phase,
                        dirty: false,
                    });
                    if let Some(connection) = self.router.connection(id) {
                        self.poller
                            .watch(&connection.socket, FIRST_CONNECTION + id)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The peer gave up between the report and now, or descriptors ran out for a while.
                Err(_) => return Ok(()),
            }
        }
    }

    /// One read is one batch: everything it holds is routed, then every touched socket gets one
    /// write.
    fn read(&mut self, id: usize) -> io::Result<()> {
        let Some(connection) = self.router.connection(id) else {
            return Ok(());
        };
        let Ok(filled) = connection.socket.read(&mut self.input) else {
            self.router.remove(id);
            return Ok(());
        };
        let phase = connection.phase;
        let Some(input) = self.input.get_mut(..filled) else {
            return Ok(());
        };
        let used = match phase {
            Phase::Handshake(framing) => self.router.handshake(id, framing, input),
            Phase::Open(wire) => route_batch(&mut self.router, id, wire, input),
        };
        match (used, self.router.connection(id)) {
            (Some(used), Some(connection)) => {
                connection
                    .socket
                    .keep(self.input.get(used..filled).unwrap_or_default());
            }
            _ => self.router.remove(id),
        }
        while let Some(id) = self.router.next_dirty() {
            self.flush(id)?;
        }
        Ok(())
    }

    fn flush(&mut self, id: usize) -> io::Result<()> {
        let Some(connection) = self.router.connection(id) else {
            return Ok(());
        };
        match connection.socket.flush() {
            Ok(Flushed::Unchanged) => connection.dirty = false,
            Ok(Flushed::Watch(writable)) => {
                connection.dirty = false;
                self.poller
                    .watch_writable(&connection.socket, FIRST_CONNECTION + id, writable)?;
            }
            Err(_) => self.router.remove(id),
        }
        Ok(())
    }
}

/// Routes all whole frames of `input`; gives the number of bytes they took, `None` when the
/// connection is to be closed.
fn route_batch(
    router: &mut Router,
    id: usize,
    wire: wire::Wire,
    input: &mut [u8],
) -> Option<usize> {
    let mut at = 0;
    while let Some(frame) = wire::peek(wire.framing, input.get(at..)?).ok()? {
        let Some(content) = input.get_mut(at + frame.head..at + frame.total()) else {
            break;
        };
        if let Some(mask) = frame.mask {
            wire::mask_in_place(content, mask);
        }
        match frame.kind {
            Kind::Message => router.message(id, wire.format, content)?,
            Kind::Close => return None,
            // No client of a run pings.
            Kind::Ping | Kind::Pong => {}
        }
        at += frame.total();
    }
    Some(at)
}
