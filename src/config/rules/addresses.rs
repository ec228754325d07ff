//! No two listeners at one address, no two transports of one name.

use std::collections::HashMap;

use super::super::cursor::Cursor;
use super::super::finding::Findings;
use super::super::path::Path;

pub(super) fn check(node: &Cursor, routers: &[Cursor], findings: &mut Findings) {
    let transports = || {
        routers
            .iter()
            .flat_map(|router| router.key("transports").items())
    };
    let mut seen: Vec<(Listener, Path)> = Vec::new();
    let endpoints = transports()
        .filter(|transport| listens(transport))
        .map(|t| t.key("endpoint"));
    for endpoint in endpoints.chain([node.key("rewamp").key("admin")]) {
        let Some(listener) = Listener::of(&endpoint) else {
            continue;
        };
        if let Some((_, first)) = seen.iter().find(|(earlier, _)| earlier.meets(&listener)) {
            let (key, what) = listener.describe();
            let text = format!("{what} is also listened on by {first}");
            findings.fault(&endpoint.key(key).path, text);
        }
        seen.push((listener, endpoint.path.clone()));
    }
    ids(transports(), findings);
}

/// Kinds that are not built do not listen.
fn listens(transport: &Cursor) -> bool {
    matches!(
        transport.key("type").text(),
        Some("websocket" | "rawsocket" | "web" | "universal")
    )
}

enum Listener<'a> {
    Tcp { interface: &'a str, port: u64 },
    Unix { path: &'a str },
}

impl<'a> Listener<'a> {
    fn of(endpoint: &Cursor<'a>) -> Option<Self> {
        match endpoint.key("type").text()? {
            "tcp" => Some(Self::Tcp {
                interface: endpoint.key("interface").text().unwrap_or_default(),
                port: endpoint.key("port").integer()?,
            }),
            "unix" => Some(Self::Unix {
                path: endpoint.key("path").text()?,
            }),
            _ => None,
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Tcp {
                    interface: a,
                    port: one,
                },
                Self::Tcp {
                    interface: b,
                    port: two,
                },
            ) => one == two && (a == b || is_everywhere(a) || is_everywhere(b)),
            (Self::Unix { path: a }, Self::Unix { path: b }) => a == b,
            _ => false,
        }
    }

    /// The key to change, and what is taken.
    fn describe(&self) -> (&'static str, String) {
        match self {
            Self::Tcp { port, .. } => ("port", format!("port {port}")),
            Self::Unix { path } => ("path", format!("socket {path:?}")),
        }
    }
}

fn is_everywhere(interface: &str) -> bool {
    matches!(interface, "" | "0.0.0.0" | "::")
}

fn ids<'a>(transports: impl Iterator<Item = Cursor<'a>>, findings: &mut Findings) {
    let mut seen: HashMap<&str, Path> = HashMap::new();
    for transport in transports {
        let at = transport.key("id");
        let Some(id) = at.text() else { continue };
        if let Some(first) = seen.get(id) {
            findings.fault(&at.path, format!("transport {id:?} is also at {first}"));
        }
        seen.entry(id).or_insert_with(|| transport.path.clone());
    }
}
