//! Where clients come in: listeners, the protocols on them, and what a connection is made of.
//! A transport ends where a session begins: it hands over whole messages and takes whole frames.
//! Knows how bytes are framed, and nothing of what they mean.
//!
//! ```text
//! listen ─ rawsocket ────────┬─ reader ─ batches of messages ─▶ session
//!        └ web ─ websocket ──┘  writer ◀─ outbox ◀───────────── session, realm
//! ```

mod connections; // how many there are, and how a clean stop reaches them
mod listen; //      addresses become sockets
mod web; //         HTTP, and what answers at a path
mod websocket; //   HTTP becomes WebSocket becomes messages
mod rawsocket; //   bytes become messages
mod universal; //   both on one port
mod socket; //      TCP or Unix
mod reader; //      what a client sends
mod writer; //      what a client gets

use std::rc::Rc;
use std::sync::Arc;

use actix_rt::spawn;
use bytes::BytesMut;
use log::debug;
use rewamp_actors::auth::Authenticators;
use rewamp_actors::clock::Clock;
use rewamp_actors::router::Router;
use rewamp_actors::session::outbox::{Outbox, OutboxLimits};
use rewamp_actors::session::{self, Connection, Peer};
use rewamp_wamp::framing::Wire;
use tokio::sync::watch;

pub(crate) use self::connections::Connections;
pub(crate) use self::listen::{BindError, Listener};
use self::listen::{Service, accept_all};
pub(crate) use self::rawsocket::RawSocketService;
use self::reader::{Decode, Reader};
use self::socket::{Client, ReadBlock, Socket};
pub(crate) use self::web::{Answer, Site};
pub(crate) use self::websocket::WebSocketService;
use self::writer::{Farewell, Heartbeat, Writer};

/// What lies behind a listener, the same for all its connections. Belongs to one thread.
#[derive(Clone)]
pub(crate) struct Door {
    router: Router,
    connections: Arc<Connections>,
    clock: Clock,
    block: ReadBlock,
}

/// What the handshake of a transport has settled.
struct Established<D> {
    wire: Wire,
    decoder: D,
    /// The last bytes to the client when the session ends by itself.
    farewell: Farewell,
    heartbeat: Option<Heartbeat>,
    /// Bytes that one message to the client may have.
    max_message: usize,
    auth: Arc<Authenticators>,
    /// `websocket` or `rawsocket`.
    transport: &'static str,
    /// HTTP headers of the handshake.
    headers: Vec<(String, String)>,
}

/// What a listener speaks.
#[derive(Clone)]
pub(crate) enum Protocol {
    /// WAMP over RawSocket.
    RawSocket(Rc<RawSocketService>),
    /// HTTP, and WAMP over WebSocket at some paths.
    Http(Rc<Site>),
    /// Both: a connection's first byte tells which.
    Universal(Rc<RawSocketService>, Rc<Site>),
}

impl Protocol {
    async fn serve<S: Socket>(&self, door: &Door) -> Result<Service<S>, ()> {
        match self {
            Self::RawSocket(service) => Ok(rawsocket::service(service, door)),
            Self::Http(site) => web::service(site, door).await,
            Self::Universal(raw, site) => universal::service(raw, site, door).await,
        }
    }
}

impl Door {
    /// A door to the realms of `router`.
    pub(crate) fn new(router: Router, connections: &Arc<Connections>, clock: Clock) -> Self {
        let connections = Arc::clone(connections);
        Self {
            router,
            connections,
            clock,
            block: ReadBlock::default(),
        }
    }

    /// The same door, with other realms behind it.
    pub(crate) fn to(&self, router: Router) -> Self {
        Self {
            router,
            ..self.clone()
        }
    }

    /// Accepts clients from `listener` until `stop` is true or gone.
    ///
    /// # Errors
    /// Never in practice: nothing that is made here can fail.
    pub(crate) async fn open(
        &self,
        listener: Listener,
        protocol: &Protocol,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), ()> {
        let (connections, stop) = (Arc::clone(&self.connections), stop.clone());
        match listener {
            Listener::Tcp(listener) => {
                spawn(accept_all(
                    listener,
                    protocol.serve(self).await?,
                    connections,
                    stop,
                ));
            }
            Listener::Unix(listener, file) => {
                let listener = (listener, file);
                spawn(accept_all(
                    listener,
                    protocol.serve(self).await?,
                    connections,
                    stop,
                ));
            }
        }
        Ok(())
    }

    /// Starts the session of `client`, whose handshake is done. `already` are bytes that came with
    /// the handshake.
    fn establish<S: Socket, D: Decode>(
        &self,
        client: Client<S>,
        already: BytesMut,
        established: Established<D>,
    ) {
        let Client {
            socket,
            mut slot,
            address,
        } = client;
        let outbox = Arc::new(Outbox::new(OutboxLimits::default()));
        if !slot.establish(&outbox) {
            debug!(peer = address; "refused a connection: the node is stopping");
            return;
        }
        let Established {
            wire,
            decoder,
            farewell,
            heartbeat,
            max_message,
            ..
        } = established;
        let (read, write) = socket.halves();
        let reader = Reader::new(read, decoder, already, &outbox, &farewell, &self.block);
        let writer = Writer::<S>::new(write, &outbox, &farewell, heartbeat, slot);
        spawn(writer.run());
        let connection = Connection {
            wire,
            outbox,
            peer: Peer {
                transport: established.transport,
                address,
                headers: established.headers,
            },
            max_message,
            auth: established.auth,
            router: self.router.clone(),
            clock: self.clock.clone(),
        };
        session::start(connection, reader);
    }
}
