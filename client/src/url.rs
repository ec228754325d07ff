//! Where a router is: `ws://host[:port]/path`, or `wss://` for TLS.

use std::fmt;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::Duration;

use crate::fault::ClientError;
use crate::tls::{Stream, Trust};

/// How long one address is tried.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address of a router's WebSocket transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    /// With the port.
    host: String,
    encrypted: bool,
}

impl Url {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A connection to there, encrypted if the URL says so.
    pub(crate) fn connect(&self, trust: &Trust) -> Result<Stream, ClientError> {
        let stream = self.reach()?;
        match self.encrypted {
            true => trust.over(stream, self.name()),
            false => Ok(Stream::Plain(stream)),
        }
    }

    /// The host without port and brackets: what its certificate has to name.
    fn name(&self) -> &str {
        let (name, _) = self.host.rsplit_once(':').unwrap_or((&self.host, ""));
        name.trim_start_matches('[').trim_end_matches(']')
    }

    fn reach(&self) -> Result<TcpStream, ClientError> {
        let unreachable = |source| ClientError::Unreachable {
            host: self.host.clone(),
            source,
        };
        let addresses = self.host.to_socket_addrs().map_err(unreachable)?;
        let mut failed = std::io::Error::other("the name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(unreachable(failed))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "ws://HOST[:PORT]/PATH or wss://HOST[:PORT]/PATH is expected".to_owned();
        let (rest, encrypted) = match (text.strip_prefix("ws://"), text.strip_prefix("wss://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(expected()),
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.contains('@') || rest.contains('#') {
            return Err(expected());
        }
        let has_port = match host.rsplit_once(':') {
            // An IPv6 address has colons of its own, in brackets.
            Some((_, port)) => !port.ends_with(']'),
            None => false,
        };
        let host = match has_port {
            true => host.to_owned(),
            false => format!("{host}:{}", if encrypted { 443 } else { 80 }),
        };
        if host
            .rsplit_once(':')
            .is_none_or(|(_, port)| port.parse::<u16>().is_err())
        {
            return Err("its port is no number from 0 to 65535".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            host,
            encrypted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_and_port() {
        for (text, host) in [
            ("ws://localhost/ws", "localhost:80"),
            ("ws://localhost:8080", "localhost:8080"),
            ("ws://[::1]:8080/ws", "[::1]:8080"),
            ("ws://[::1]/ws", "[::1]:80"),
            ("ws://router.example/ws?x=1", "router.example:80"),
            ("wss://router.example/ws", "router.example:443"),
            ("wss://[::1]/ws", "[::1]:443"),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().host, host);
        }
        assert_eq!("wss://[::1]/ws".parse::<Url>().unwrap().name(), "::1");
        for wrong in [
            "",
            "wss:///ws",
            "http://a/",
            "ws://",
            "ws:///ws",
            "ws://a:x/",
            "ws://a:99999/",
        ] {
            wrong.parse::<Url>().unwrap_err();
        }
    }
}
