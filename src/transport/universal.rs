//! RawSocket and HTTP on one port: a connection's first byte tells which a client speaks, since no
//! HTTP request begins with a RawSocket handshake's 0x7f.

use std::rc::Rc;

use actix_rt::spawn;
use log::debug;
use rewamp_wamp::framing::rawsocket::MAGIC;
use tokio::time::timeout;

use super::Door;
use super::listen::Service;
use super::rawsocket::{self, HANDSHAKE_WITHIN, RawSocketService};
use super::socket::{Client, Socket};
use super::web::{self, Site};

/// Serves the clients of one listener. Where there is no room for a client, it is told so over HTTP:
/// what it speaks is not known yet.
///
/// # Errors
/// Never in practice: nothing in it can fail to start.
pub(super) async fn service<S: Socket>(
    raw: &Rc<RawSocketService>,
    site: &Rc<Site>,
    door: &Door,
) -> Result<Service<S>, ()> {
    let within = site
        .client_timeout()
        .map_or(HANDSHAKE_WITHIN, |within| within.min(HANDSHAKE_WITHIN));
    let http = web::service(site, door).await?;
    let busy = http.busy;
    let speak = Rc::new((rawsocket::service(raw, door).serve, http.serve));
    let serve = move |client: Client<S>| {
        let speak = Rc::clone(&speak);
        spawn(async move {
            match timeout(within, client.socket.next_byte()).await {
                Ok(Ok(Some(MAGIC))) => (speak.0)(client),
                Ok(Ok(Some(_))) => (speak.1)(client),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => debug!(error:%; "a connection broke before its first byte"),
                Err(_) => debug!(peer = client.address; "a client did not say what it wants"),
            }
        });
    };
    Ok(Service {
        serve: Box::new(serve),
        busy,
    })
}
