//! Where and how a run connects.

use super::fault::Fault;
use super::nats::NatsConnection;
use super::session::Session;
use crate::wire::{Format, Framing, Wire};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::{Duration, Instant};

/// No server of a run may take longer for one answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How the generator talks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    /// WAMP over RawSocket.
    Raw,
    /// WAMP over WebSocket.
    Ws,
    /// NATS text protocol.
    Nats,
    /// Events straight through the bare relay, framed as RawSocket frames.
    BareRaw,
    /// Events straight through the bare relay, framed as WebSocket frames.
    BareWs,
}

impl Transport {
    /// Events go through the relay that looks at nothing.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::BareRaw | Self::BareWs)
    }
}

/// One server as a run sees it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Which protocol.
    pub(crate) transport: Transport,
    /// Framing and serializer, where the protocol is WAMP.
    pub(crate) wire: Wire,
    /// Host and port, as in the HTTP header `Host`.
    pub(crate) host: String,
    /// Path of the WebSocket.
    pub(crate) path: String,
    /// WAMP realm.
    pub(crate) realm: String,
    address: SocketAddr,
}

impl Target {
    /// Reads `scheme://host:port/path`; scheme and path may be left out.
    pub(crate) fn parse(
        transport: Transport,
        format: Format,
        url: &str,
        realm: &str,
    ) -> Result<Self, Fault> {
        let fault = |why| Fault::Url {
            url: url.to_owned(),
            why,
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let fits = match transport {
            Transport::Ws => ["", "ws"].contains(&scheme),
            Transport::Nats => ["", "nats"].contains(&scheme),
            _ => ["", "tcp", "rs"].contains(&scheme),
        };
        if !fits {
            return Err(fault(
                "this transport has another scheme: ws, nats, or tcp for the rest",
            ));
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = host
            .to_socket_addrs()
            .ok()
            .and_then(|mut all| all.next())
            .ok_or_else(|| fault("host and port are needed, as in 127.0.0.1:8081"))?;
        let framing = match transport {
            Transport::Ws | Transport::BareWs => Framing::Ws,
            _ => Framing::Raw,
        };
        Ok(Self {
            transport,
            wire: Wire { framing, format },
            host: host.to_owned(),
            path: format!("/{path}"),
            realm: realm.to_owned(),
            address,
        })
    }

    /// A new blocking connection without Nagle's delay; reads and writes end after `PATIENCE`.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// A session that joins, or a connection where there are no sessions.
    pub(crate) fn probe(&self) -> Result<(), Fault> {
        match self.transport {
            Transport::Raw | Transport::Ws => Session::join(self)?.leave(),
            Transport::Nats => NatsConnection::open(self).map(drop),
            Transport::BareRaw | Transport::BareWs => Ok(self.connect().map(drop)?),
        }
    }

    /// Waits until something listens.
    pub(crate) fn await_port(&self, patience: Duration) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            match TcpStream::connect_timeout(&self.address, patience) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > patience => return Err(error),
                Err(_) => thread::park_timeout(Duration::from_millis(20)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_give_host_and_path() {
        let check = |transport, url: &str| {
            let target = Target::parse(transport, Format::Json, url, "realm1").ok()?;
            Some((target.host, target.path))
        };
        let some = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
        assert_eq!(
            check(Transport::Ws, "ws://127.0.0.1:80/ws"),
            some("127.0.0.1:80", "/ws")
        );
        assert_eq!(
            check(Transport::Raw, "127.0.0.1:81"),
            some("127.0.0.1:81", "/")
        );
        assert_eq!(
            check(Transport::Nats, "nats://127.0.0.1:1"),
            some("127.0.0.1:1", "/")
        );
        assert_eq!(check(Transport::Raw, "ws://127.0.0.1:80"), None);
        assert_eq!(check(Transport::Raw, "127.0.0.1"), None);
    }
}
