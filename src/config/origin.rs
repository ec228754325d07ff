//! Which web pages may open a WebSocket. A browser sends the page's origin and lets any page
//! connect anywhere, so a node on a developer's machine would be open to every page in the web.
//! Spec: RFC 6455, "Origin Considerations"; RFC 6454.

/// Which values of the `Origin` header are let in. A connection without it is not a browser's and
/// always is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    /// Pages.
    pub pages: Pages,
    /// Whether the origin `null` (a file, a sandboxed page) is let in.
    pub null: bool,
}

/// Which pages are let in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pages {
    /// Those of this machine: `localhost`, 127.0.0.0/8, `::1`, on any port.
    #[default]
    Loopback,
    /// `scheme://host:port`, the scheme's own port also left out, `*` standing for any text.
    Listed(Vec<String>),
}

impl Origins {
    /// Whether a request with that `Origin` header (none: without one) may become a WebSocket.
    pub fn allow(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        match Origin::parse(origin) {
            Some(Origin::Null) => self.null,
            Some(Origin::Page { scheme, host, port }) => self.pages.allow(&scheme, &host, port),
            None => false,
        }
    }
}

impl Pages {
    fn allow(&self, scheme: &str, host: &str, port: u16) -> bool {
        let Self::Listed(patterns) = self else {
            return is_loopback(host);
        };
        let full = format!("{scheme}://{host}:{port}");
        let short = full.strip_suffix(default_port(scheme));
        patterns
            .iter()
            .map(|pattern| pattern.to_lowercase())
            .any(|pattern| {
                fits(&pattern, &full) || short.is_some_and(|short| fits(&pattern, short))
            })
    }
}

/// A parsed header.
enum Origin {
    /// `null`, or a file, which browsers send in two ways.
    Null,
    /// A page's scheme, host (lower case, without brackets) and port.
    Page {
        scheme: String,
        host: String,
        port: u16,
    },
}

impl Origin {
    /// None for what no browser sends.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        if text == "null" || text.starts_with("file:") {
            return Some(Self::Null);
        }
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (
                    host,
                    if port.is_empty() {
                        None
                    } else {
                        Some(port.strip_prefix(':')?)
                    },
                )
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if scheme == "https" => 443,
            None if scheme == "http" => 80,
            None => return None,
        };
        let page = Self::Page {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port,
        };
        (!host.is_empty() && !host.contains('@')).then_some(page)
    }
}

/// What an origin of that scheme leaves out; a port that none has, for other schemes.
fn default_port(scheme: &str) -> &'static str {
    match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => ":",
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether `text` is `pattern` with some text for each `*`. Linear in practice: each star takes
/// the first place where what follows it fits.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let head = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        if let Some(piece) = last.replace(piece) {
            match rest.find(piece) {
                Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
    }
    match last {
        Some(tail) => rest.ends_with(tail),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(patterns: &[&str], null: bool) -> Origins {
        let pages = Pages::Listed(patterns.iter().map(|&pattern| pattern.to_owned()).collect());
        Origins { pages, null }
    }

    #[test]
    fn with_nothing_configured_only_pages_of_this_machine_come_in() {
        let check = |origin, allowed| {
            assert_eq!(Origins::default().allow(origin), allowed, "{origin:?}");
        };
        check(None, true);
        check(Some("http://localhost:3000"), true);
        check(Some("https://LOCALHOST"), true);
        check(Some("http://127.0.0.1"), true);
        check(Some("http://127.1.2.3:99"), true);
        check(Some("http://[::1]:8080"), true);
        check(Some("http://app.localhost"), true);
        check(Some("http://evil.example"), false);
        check(Some("http://localhost.evil.example"), false);
        check(Some("http://127.0.0.1.evil.example"), false);
        check(Some("http://evil.example/localhost"), false);
        check(Some("http://localhost@evil.example"), false);
        check(Some("http://localhost:80@evil.example"), false);
        check(Some("null"), false);
        check(Some("file://"), false);
        check(Some(""), false);
        check(Some("localhost"), false);
    }

    #[test]
    fn a_star_in_a_listed_origin_stands_for_any_text() {
        let check = |pattern, origin, allowed| {
            assert_eq!(
                listed(&[pattern], false).allow(Some(origin)),
                allowed,
                "{pattern} {origin}"
            );
        };
        check("*", "http://anything.example:81", true);
        check("https://*.example.com:*", "https://a.example.com", true);
        check(
            "https://*.example.com:*",
            "https://a.example.com:8443",
            true,
        );
        check(
            "https://*.example.com:443",
            "https://a.example.com:8443",
            false,
        );
        check("https://*.example.com:*", "http://a.example.com", false);
        check(
            "https://*.example.com:443",
            "https://example.com.evil:443",
            false,
        );
        check("https://Example.com:443", "https://example.COM", true);
        check("https://example.com", "https://example.com", true);
        check("https://example.com", "https://example.com:443", true);
        check("https://example.com", "https://example.com:444", false);
        check("http*://a*b*c:80", "http://axbxc", true);
        check("http*://a*b*c:80", "http://axcxb", false);
        check("*", "null", false);
    }

    #[test]
    fn the_null_origin_has_a_switch_of_its_own() {
        assert!(listed(&[], true).allow(Some("null")));
        assert!(!listed(&["*"], false).allow(Some("null")));
        assert!(listed(&[], false).allow(None));
    }
}
