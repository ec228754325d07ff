//! One client of the floor server.

use crate::socket::Socket;
use crate::wire::{Framing, Wire};

/// A client's connection.
pub(super) struct Connection {
    /// The socket, non-blocking, with what waits to go out at the end of the batch.
    pub(super) socket: Socket,
    /// Where the connection stands.
    pub(super) phase: Phase,
    /// Already in the list of sockets to be flushed.
    pub(super) dirty: bool,
}

/// Before or after the handshake.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// The serializer is not known yet.
    Handshake(Framing),
    /// Frames flow.
    Open(Wire),
}
