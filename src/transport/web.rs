//! HTTP on a listener: which path is answered by what, and how a request becomes a WebSocket.
//! The requests are actix-web's; a connection that becomes a WebSocket leaves it and is read and
//! written like every other client's, so that both have one way to be slow, cut and closed.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::{BodySize, BoxBody, MessageBody, to_bytes};
use actix_http::{
    ConnectionType, HttpService, KeepAlive, Method, Request, Response, StatusCode, h1,
};
use actix_rt::spawn;
use actix_service::{ServiceFactory, fn_factory, fn_service, map_config};
use actix_web::dev::{AppConfig, Service as HttpApp, ServiceResponse};
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse};
use log::debug;
use tokio::io::AsyncWriteExt;

use super::Door;
use super::listen::Service;
use super::socket::{Client, Socket, linger};
use super::websocket::{Agreed, WebSocketService};

/// What a client is told when there is no room for it.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    retry-after: 10\r\ncontent-length: 34\r\nconnection: close\r\n\r\n\
    this node has too many connections";

/// How long an HTTP connection that is closing may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// What answers at the paths of a listener.
pub(crate) struct Site {
    /// From the longest path to the shortest.
    paths: Vec<(String, Answer)>,
    /// For a request to arrive and an idle connection to stay; none: no limit.
    client_timeout: Option<Duration>,
}

/// What answers at a path and below it.
pub(crate) enum Answer {
    /// A WebSocket.
    WebSocket(Rc<WebSocketService>),
    /// A page.
    Page(Box<dyn Fn() -> HttpResponse>),
    /// A page that says so, with the kind that was configured.
    NotBuilt(String),
}

impl Site {
    /// A site with `paths`; `/` answers for all that no other takes.
    pub(crate) fn new(
        mut paths: Vec<(String, Answer)>,
        client_timeout: Option<Duration>,
    ) -> Rc<Self> {
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Rc::new(Self {
            paths,
            client_timeout,
        })
    }

    /// For a request to arrive; none: no limit.
    pub(super) fn client_timeout(&self) -> Option<Duration> {
        self.client_timeout
    }

    fn find(&self, asked: &str) -> Option<&Answer> {
        let takes = |path: &str| match asked.strip_prefix(path.trim_end_matches('/')) {
            Some(below) => below.is_empty() || below.starts_with('/'),
            None => false,
        };
        self.paths
            .iter()
            .find(|(path, _)| takes(path))
            .map(|(_, answer)| answer)
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        match self.find(request.path()) {
            Some(Answer::WebSocket(service)) => service.handshake(request),
            Some(Answer::Page(page)) => match *request.method() {
                Method::GET | Method::HEAD => page(),
                _ => HttpResponse::MethodNotAllowed()
                    .insert_header(("allow", "GET"))
                    .finish(),
            },
            Some(Answer::NotBuilt(kind)) => HttpResponse::NotImplemented()
                .body(format!("what is configured here, `{kind}`, is not built\n")),
            None => HttpResponse::NotFound().body("there is nothing here\n"),
        }
    }
}

/// An HTTP server for the sockets of one listener.
///
/// # Errors
/// Never in practice: nothing in it can fail to start.
pub(super) async fn service<S: Socket>(site: &Rc<Site>, door: &Door) -> Result<Service<S>, ()> {
    let (site, door) = (Rc::clone(site), door.clone());
    let timeout = site.client_timeout.unwrap_or(Duration::ZERO);
    let keep_alive = site
        .client_timeout
        .map_or(KeepAlive::Os, KeepAlive::Timeout);
    let app = App::new().default_service(actix_web::web::to(move |request: HttpRequest| {
        ready(site.answer(&request))
    }));
    let app = Rc::new(
        map_config(app, |()| AppConfig::default())
            .new_service(())
            .await?,
    );
    let upgrading = Rc::clone(&app);
    let http = HttpService::build()
        .keep_alive(keep_alive)
        .client_request_timeout(timeout)
        .client_disconnect_timeout(CLOSE_WITHIN)
        .upgrade(fn_service(
            move |(request, framed): (Request, Framed<Client<S>, h1::Codec>)| {
                let (app, door) = (Rc::clone(&upgrading), door.clone());
                async move {
                    if let Err(error) = upgrade(&*app, &door, request, framed).await {
                        debug!(error:%; "a connection broke during its WebSocket handshake");
                    }
                    Ok::<(), Infallible>(())
                }
            },
        ))
        .h1(fn_factory(move || ready(Ok::<_, ()>(Rc::clone(&app)))))
        .new_service(())
        .await?;
    let serve = move |client: Client<S>| {
        let connection = http.call((client, None));
        spawn(async move {
            if let Err(error) = connection.await {
                debug!(error:%; "an HTTP connection ended");
            }
        });
    };
    Ok(Service {
        serve: Box::new(serve),
        busy: BUSY,
    })
}

/// Answers a request to change the protocol; if the answer is yes, the connection becomes a
/// client's session.
async fn upgrade<S: Socket, A>(
    app: &A,
    door: &Door,
    request: Request,
    mut framed: Framed<Client<S>, h1::Codec>,
) -> io::Result<()>
where
    A: HttpApp<Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error>,
{
    let (response, agreed) = match app.call(request).await {
        Ok(answered) => {
            let agreed = answered.request().extensions_mut().remove::<Agreed>();
            (answered.into_parts().1, agreed)
        }
        Err(error) => (error.error_response(), None),
    };
    match agreed.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        Some(agreed) => {
            let response: Response<BoxBody> = response.into();
            send(
                &mut framed,
                h1::Message::Item((response.drop_body(), BodySize::None)),
            )
            .await?;
            let parts = framed.into_parts();
            agreed.establish(parts.io, parts.read_buf, door);
            Ok(())
        }
        None => refuse(framed, response.into()).await,
    }
}

async fn refuse<S: Socket>(
    mut framed: Framed<Client<S>, h1::Codec>,
    response: Response<BoxBody>,
) -> io::Result<()> {
    let (mut response, body) = response.into_parts();
    response
        .head_mut()
        .set_connection_type(ConnectionType::Close);
    let size = body.size();
    let body = to_bytes(body)
        .await
        .map_err(|_| io::ErrorKind::InvalidData)?;
    send(&mut framed, h1::Message::Item((response, size))).await?;
    send(&mut framed, h1::Message::Chunk(Some(body))).await?;
    let mut client = framed.into_parts().io;
    client.socket.shutdown().await?;
    linger(&client.socket).await;
    Ok(())
}

type Reply = h1::Message<(Response<()>, BodySize)>;

async fn send<S: Socket>(
    framed: &mut Framed<Client<S>, h1::Codec>,
    reply: Reply,
) -> io::Result<()> {
    Pin::new(&mut *framed).write(reply)?;
    poll_fn(|cx| Pin::new(&mut *framed).flush::<Reply>(cx)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], asked: &str, answers: Option<&str>) {
        let paths = paths
            .iter()
            .map(|&path| (path.to_owned(), Answer::NotBuilt(path.to_owned())));
        let site = Site::new(paths.collect(), None);
        let found = site.find(asked).map(|answer| match answer {
            Answer::NotBuilt(path) => path.as_str(),
            Answer::WebSocket(_) | Answer::Page(_) => "another",
        });
        assert_eq!(found, answers, "{asked}");
    }

    #[test]
    fn the_longest_path_above_the_asked_one_answers() {
        let paths = ["/", "/ws", "/api", "/api/v1"];
        check(&paths, "/ws", Some("/ws"));
        check(&paths, "/ws/", Some("/ws"));
        check(&paths, "/ws/below", Some("/ws"));
        check(&paths, "/wsx", Some("/"));
        check(&paths, "/api/v1/x", Some("/api/v1"));
        check(&paths, "/api/v2", Some("/api"));
        check(&paths, "/", Some("/"));
    }

    #[test]
    fn without_a_path_for_the_rest_there_is_nothing() {
        check(&["/ws"], "/", None);
        check(&["/ws"], "/w", None);
        check(&[], "/", None);
    }

    #[test]
    fn the_answer_of_a_full_node_is_as_long_as_it_says() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
    }
}
