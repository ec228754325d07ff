use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::handshake::server::{Request, Response};

use super::*;

/// A certificate authority, a router's certificate for `name` that it has signed, and its key.
struct Signed {
    authority: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn signed(name: &str) -> Signed {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Signed {
        authority: pem,
        certificate: certificate.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

/// The least router: lets one client in, over TLS if there is a certificate, and answers its
/// GOODBYE.
fn router(tls: Option<&Signed>) -> (u16, JoinHandle<Result<(), String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = tls.map(|signed| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.certificate.clone()], signed.key.clone_key());
        Arc::new(config.unwrap())
    });
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
        match config {
            None => serve(stream),
            Some(config) => {
                let session = ServerConnection::new(config).unwrap();
                serve(StreamOwned::new(session, stream))
            }
        }
    });
    (port, serving)
}

fn serve<S: io::Read + io::Write>(stream: S) -> Result<(), String> {
    #[expect(clippy::result_large_err, reason = "so tungstenite has it")]
    let choose = |_: &Request, mut response: Response| {
        let chosen = HeaderValue::from_static("wamp.2.json");
        response
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", chosen);
        Ok(response)
    };
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut socket = tungstenite::accept_hdr(stream, choose).map_err(|error| text(&error))?;
    loop {
        let frame = socket.read().map_err(|error| text(&error))?;
        let message = frame.into_text().map_err(|error| text(&error))?;
        let answer = match message.get(..3) {
            Some("[1,") => r#"[2,7,{"roles":{"broker":{},"dealer":{}}}]"#,
            _ => "[6,{},\"wamp.close.goodbye_and_out\"]",
        };
        socket
            .send(Frame::text(answer))
            .map_err(|error| text(&error))?;
        if message.starts_with("[6,") {
            return Ok(());
        }
    }
}

fn join(port: u16, scheme: &str, trust: &Trust) -> Result<Client, ClientError> {
    let url = format!("{scheme}://localhost:{port}/ws").parse().unwrap();
    let login = Login {
        realm: "realm1".into(),
        authid: None,
        secret: None,
    };
    Client::join(&url, &login, trust)
}

#[test]
fn a_router_is_joined_over_tls_if_its_certificate_is_signed_by_who_is_trusted() {
    let good = signed("localhost");
    for (router_has, trust, expected) in [
        (&good, Trust::only(good.authority.as_bytes()), None),
        (&good, Trust::public(), Some("UnknownIssuer")),
        (
            &signed("other.example"),
            Trust::only(signed("localhost").authority.as_bytes()),
            Some("certificate"),
        ),
    ] {
        let (port, serving) = router(Some(router_has));
        let joined = join(port, "wss", &trust.unwrap());
        match expected {
            None => {
                let client = joined.unwrap();
                assert_eq!(client.session().get(), 7);
                client.leave();
                serving.join().unwrap().unwrap();
            }
            Some(why) => {
                let told = joined.err().unwrap().to_string();
                assert!(told.contains(why), "{told}");
                serving.join().unwrap().unwrap_err();
            }
        }
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let other = signed("other.example");
    let (port, serving) = router(Some(&other));
    let trust = Trust::only(other.authority.as_bytes()).unwrap();
    let told = join(port, "wss", &trust).err().unwrap().to_string();
    assert!(told.contains("not valid for name"), "{told}");
    serving.join().unwrap().unwrap_err();
}

#[test]
fn without_tls_a_secret_router_is_not_joined_and_an_open_one_is() {
    let trust = Trust::public().unwrap();
    let (port, serving) = router(None);
    join(port, "ws", &trust).unwrap().leave();
    serving.join().unwrap().unwrap();
    // A router that speaks no TLS is not spoken to without it.
    let (port, serving) = router(None);
    join(port, "wss", &trust).err().unwrap();
    serving.join().unwrap().unwrap_err();
}

#[test]
fn what_is_no_certificate_is_told() {
    for wrong in [
        "",
        "text",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let told = Trust::only(wrong.as_bytes()).unwrap_err();
        assert!(matches!(told, ClientError::Tls(_)), "{told}");
    }
}
