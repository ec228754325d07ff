//! Listeners: a configured address becomes a socket, and accepted sockets go to the protocol of
//! the listener. All ports are bound before the first one accepts, so that a node either starts
//! whole or says what is in its way.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::spawn;
use log::{info, warn};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::connections::Connections;
use super::socket::{Client, Socket, linger};
use crate::config::checked::{Address, Endpoint};

/// How long accepting pauses after the system refused, so that it does not spin: for instance when
/// the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Clients that are told at the same time that there is no room; more are dropped without a word.
const REFUSALS: usize = 64;

/// When the system asks an idle client whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long a client may acknowledge nothing until it counts as gone. Three minutes: longer than
/// most failovers, shorter than the system's quarter of an hour.
const SILENT: Duration = Duration::from_secs(180);

/// Why an address cannot be listened on. `Display` says what to change.
#[derive(Debug, Error)]
#[error(
    "cannot listen on {address}: {why}; it is configured by `{key}`, or the variable {variable}"
)]
pub(crate) struct BindError {
    address: String,
    why: String,
    key: String,
    variable: String,
}

/// A bound address that accepts nobody yet.
pub(crate) enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed when nobody listens on it any more.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds all addresses of `endpoint`: a name can have several.
    ///
    /// # Errors
    /// One cannot be had.
    pub(crate) fn bind(endpoint: &Endpoint) -> Result<Vec<Self>, BindError> {
        let backlog = i32::from(endpoint.backlog);
        let bound = match &endpoint.address {
            Address::Tcp { interface, port } => bind_tcp(interface, *port, backlog),
            Address::Unix { path } => bind_unix(path, backlog).map(|listener| vec![listener]),
        };
        bound.map_err(|error| BindError {
            address: endpoint.address.to_string(),
            why: explain(&error),
            key: endpoint.place.key.clone(),
            variable: endpoint.place.variable.clone(),
        })
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "the address is in use by another process".to_owned(),
        ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        ErrorKind::PermissionDenied => "the system does not permit it".to_owned(),
        _ => error.to_string(),
    }
}

fn bind_tcp(interface: &str, port: u16, backlog: i32) -> io::Result<Vec<Listener>> {
    let addresses: Vec<SocketAddr> = (interface, port).to_socket_addrs()?.collect();
    let mut listeners = Vec::new();
    let mut missing = None;
    for address in addresses {
        match bind_address(address, backlog) {
            Ok(listener) => listeners.push(Listener::Tcp(listener)),
            // `localhost` has an IPv6 address also where the machine has no IPv6.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

fn bind_address(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restarted node does not wait for the connections of the last one to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` is one address here; its IPv4 counterpart may be another listener's.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

fn bind_unix(path: &Path, backlog: i32) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    socket.listen(backlog)?;
    Ok(Listener::Unix(UnixListener::from_std(socket.into())?, file))
}

/// A process that was killed leaves its socket file behind, which nobody can bind again.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        let text = "there is a file of that name which is no socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    match BlockingUnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            info!(path:% = path.display(); "removing the socket of a process that is gone");
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

/// Where sockets come from.
pub(super) trait Accept: 'static {
    /// What they are.
    type Socket: Socket;

    /// The next one, ready for use, and whose it is.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Socket, String)>>;
}

impl Accept for TcpListener {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, String)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 4);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(Some(SILENT))?;
        let version = if peer.is_ipv6() { 6 } else { 4 };
        Ok((stream, format!("tcp{version}:{peer}")))
    }
}

impl Accept for (UnixListener, SocketFile) {
    type Socket = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, String)> {
        let (stream, _) = self.0.accept().await?;
        Ok((stream, format!("unix:{}", self.1.0.display())))
    }
}

/// What a listener does with a socket.
pub(super) struct Service<S> {
    /// Speaks with a client, in a task of its own.
    pub(super) serve: Box<dyn Fn(Client<S>)>,
    /// What a client is told when there is no room for it.
    pub(super) busy: &'static [u8],
}

/// Accepts sockets until `stop` is true or gone.
pub(super) async fn accept_all<A: Accept>(
    listener: A,
    service: Service<A::Socket>,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) {
    let refusals = Rc::new(Semaphore::new(REFUSALS));
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|&stop| stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => {
                failing = false;
                match connections.admit() {
                    Some(slot) => (service.serve)(Client {
                        socket,
                        slot,
                        address,
                    }),
                    None => refuse(socket, service.busy, &refusals),
                }
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(error:%; "cannot accept connections for now");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// The client was gone before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | NotConnected | InvalidInput
    )
}

fn refuse<S: Socket>(mut socket: S, busy: &'static [u8], refusals: &Rc<Semaphore>) {
    let refusals = Rc::clone(refusals);
    spawn(async move {
        let Ok(_permit) = refusals.try_acquire() else {
            return;
        };
        if socket.write_all(busy).await.is_ok() && socket.shutdown().await.is_ok() {
            linger(&socket).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::Place;

    fn endpoint(address: Address) -> Endpoint {
        let place = Place {
            key: "transports[0].endpoint.port".to_owned(),
            variable: "REWAMP__TRANSPORTS__0__ENDPOINT__PORT".to_owned(),
        };
        Endpoint {
            place,
            address,
            backlog: 16,
        }
    }

    fn tcp(port: u16) -> Endpoint {
        endpoint(Address::Tcp {
            interface: "127.0.0.1".to_owned(),
            port,
        })
    }

    #[actix_rt::test]
    async fn a_taken_port_is_named_with_the_key_that_changes_it() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let Err(error) = Listener::bind(&tcp(port)) else {
            panic!("bound twice")
        };
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on 127.0.0.1:{port}: the address is in use by another process; it \
                 is configured by `transports[0].endpoint.port`, or the variable \
                 REWAMP__TRANSPORTS__0__ENDPOINT__PORT"
            )
        );
    }

    #[actix_rt::test]
    async fn the_socket_file_of_a_killed_process_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sock");
        let unix = endpoint(Address::Unix { path: path.clone() });
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());

        let live = Listener::bind(&unix).unwrap();
        let Err(error) = Listener::bind(&unix) else {
            panic!("took over a live socket")
        };
        assert!(error.to_string().contains("in use"), "{error}");
        drop(live);
        assert!(!path.exists());

        std::fs::write(&path, "precious").unwrap();
        let Err(error) = Listener::bind(&unix) else {
            panic!("replaced a file")
        };
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
