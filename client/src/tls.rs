//! TLS for `wss://`: whose certificates are believed, and the connection under the WebSocket,
//! encrypted or not.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::fault::ClientError;

/// Whose signature on a router's certificate counts.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust(…)")
    }
}

impl Trust {
    /// The authorities that Mozilla's programs believe, as they were when this was built.
    ///
    /// # Errors
    /// If there is no cryptography, which says why.
    pub fn public() -> Result<Self, ClientError> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Self::of(roots.collect())
    }

    /// These certificates alone, in PEM: authorities, or the router's own if it has signed it
    /// itself as one.
    ///
    /// # Errors
    /// If there is none, or one of them is none.
    pub fn only(pem: &[u8]) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| ClientError::Tls(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| ClientError::Tls(error.to_string()))?;
        }
        match roots.is_empty() {
            true => Err(ClientError::Tls("no certificate in PEM".to_owned())),
            false => Self::of(roots),
        }
    }

    fn of(roots: RootCertStore) -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Begins TLS with the router of that name; it is shaken hands with as bytes are written.
    pub(crate) fn over(&self, stream: TcpStream, name: &str) -> Result<Stream, ClientError> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| ClientError::Tls(format!("`{name}`: {error}")))?;
        let session = ClientConnection::new(Arc::clone(&self.0), name)
            .map_err(|error| ClientError::Tls(error.to_string()))?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, stream))))
    }
}

/// What a WebSocket is spoken over.
#[derive(Debug)]
pub(crate) enum Stream {
    /// `ws://`
    Plain(TcpStream),
    /// `wss://`
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// The connection beneath, for its deadlines.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
