//! Where a browser may be sent after sign-in or sign-out: the only way to a redirect target.

use super::host::{AllowedHost, is_loopback};
use super::page::Page;
use serde::{Deserialize, Serialize};
use url::Url;

/// Longer than any page's address should be; short enough for a cookie.
const MAX_LEN: usize = 2_000;

/// A redirect target that [`ReturnToPolicy`] allowed. Always an absolute, serialised URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The URL as ASCII, fit for a `Location` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rule for redirect targets and for the origins of scripts that may call us.
#[derive(Debug, Clone)]
pub struct ReturnToPolicy {
    own: Url,
    /// Scheme, host and port of `own`.
    own_origin: String,
    allow: Vec<AllowedHost>,
    default: ReturnTo,
}

/// Why a target was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReturnTo {
    /// Too long for a cookie.
    #[error("it is longer than {MAX_LEN} characters")]
    TooLong,
    /// Not an absolute URL of a web page nor a path of ours, or parsers could disagree about it.
    #[error("it is not a plain absolute https URL or a path on our own origin")]
    Malformed,
    /// A host that is not allowed.
    #[error("its host is not in return_to.allow")]
    Host,
}

impl ReturnToPolicy {
    /// A policy for our own origin `own`. `default` replaces what is refused; `None` is our own `/`.
    pub fn new(own: Url, allow: Vec<AllowedHost>, default: Option<&Url>) -> Self {
        let default = ReturnTo(default.unwrap_or(&own).to_string());
        Self { own_origin: own.origin().ascii_serialization(), own, allow, default }
    }

    /// The target asked for if it is allowed, else the default.
    pub fn choose(&self, raw: Option<&str>) -> ReturnTo {
        raw.and_then(|raw| self.parse(raw).ok()).unwrap_or_else(|| self.default.clone())
    }

    /// Judges a target.
    ///
    /// # Errors
    /// Why it is [`InvalidReturnTo`].
    pub fn parse(&self, raw: &str) -> Result<ReturnTo, InvalidReturnTo> {
        if raw.len() > MAX_LEN {
            return Err(InvalidReturnTo::TooLong);
        }
        // What one parser strips, folds or treats as a slash, another may not.
        if raw.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(InvalidReturnTo::Malformed);
        }
        let absolute;
        let (text, ours) = if raw.starts_with('/') && !raw.starts_with("//") {
            absolute = format!("{}{raw}", self.own.as_str().trim_end_matches('/'));
            (absolute.as_str(), true)
        } else {
            (raw, false)
        };
        let seen = Authority::split(text).ok_or(InvalidReturnTo::Malformed)?;
        let url = Url::parse(text).map_err(|_| InvalidReturnTo::Malformed)?;
        seen.agrees_with(&url)?;
        let own = url.origin() == self.own.origin();
        if ours && !own {
            return Err(InvalidReturnTo::Malformed);
        }
        if !own && !self.allows_url(&url, true) {
            return Err(InvalidReturnTo::Host);
        }
        // Encoding may have made it longer.
        if url.as_str().len() > MAX_LEN {
            return Err(InvalidReturnTo::TooLong);
        }
        // Back to the sign-in would only go round in a circle.
        if own && url.path().starts_with("/auth/signin") {
            return Err(InvalidReturnTo::Host);
        }
        Ok(ReturnTo(url.into()))
    }

    /// The page that a proxy asks about: `target` is path and query as the browser sent them. Refused unless it is
    /// written as a browser writes it, so that the proxy and the site read the same.
    ///
    /// # Errors
    /// Why it is [`InvalidReturnTo`].
    pub fn page(&self, scheme: &str, host: &str, target: &str) -> Result<Page, InvalidReturnTo> {
        let path = target.split('?').next().unwrap_or_default();
        let visible = target.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !visible || !path.starts_with('/') || path.contains('\\') {
            return Err(InvalidReturnTo::Malformed);
        }
        let origin = [scheme, "://", host].concat();
        let seen = Authority::split(&origin).filter(|seen| seen.rest.is_empty()).ok_or(InvalidReturnTo::Malformed)?;
        if !seen.is_canonical(&origin) {
            return Err(InvalidReturnTo::Malformed);
        }
        if origin != self.own_origin && !self.allows(seen.scheme, seen.host, true) {
            return Err(InvalidReturnTo::Host);
        }
        Ok(Page::new(&origin, seen.host, target))
    }

    /// The same of a whole address.
    ///
    /// # Errors
    /// Why it is [`InvalidReturnTo`].
    pub fn page_at(&self, url: &str) -> Result<Page, InvalidReturnTo> {
        let (scheme, rest) = url.split_once("://").ok_or(InvalidReturnTo::Malformed)?;
        let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        self.page(scheme, host, target)
    }

    /// Where a browser that asked for `page` goes after the sign-in: there, or to the front of its site if the way
    /// there is too long for a cookie or can be read in several ways.
    pub fn back_to(&self, page: &Page) -> ReturnTo {
        let (path, query) = page.url().split_once('?').unwrap_or((page.url(), ""));
        // Browsers send these in a query as they are.
        let query = query.replace('\\', "%5C");
        let whole = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        self.parse(&whole).unwrap_or_else(|_| self.choose(Some(page.origin())))
    }

    /// Whether a script of this `Origin` may call us with the browser's credentials.
    pub fn allows_origin(&self, origin: &str) -> bool {
        let Some(seen) = Authority::split(origin).filter(|seen| seen.rest.is_empty()) else { return false };
        let Ok(url) = Url::parse(origin) else { return false };
        seen.agrees_with(&url).is_ok() && (url.origin() == self.own.origin() || self.allows_url(&url, false))
    }

    /// The hosts allowed beside our own.
    pub fn hosts(&self) -> &[AllowedHost] {
        &self.allow
    }

    fn allows_url(&self, url: &Url, external: bool) -> bool {
        url.host_str().is_some_and(|host| self.allows(url.scheme(), host, external))
    }

    fn allows(&self, scheme: &str, host: &str, external: bool) -> bool {
        let scheme_fits = match scheme {
            "https" => true,
            // Plain http only between loopback names of a development set-up.
            "http" => self.own.scheme() == "http" && is_loopback(host),
            _ => false,
        };
        scheme_fits
            && self
                .allow
                .iter()
                .filter(|a| external || !a.external)
                .any(|a| host == a.host || host.strip_suffix(a.host.as_str()).is_some_and(|sub| sub.ends_with('.')))
    }
}

/// Our own reading of a URL's start, strict where the WHATWG parser is lenient.
struct Authority<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
    rest: &'a str,
}

impl<'a> Authority<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (scheme, after) = text.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => {
                let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
                (host, Some(port.parse().ok().filter(|_| digits)?))
            }
            None => (authority, None),
        };
        let label = |l: &[u8]| !l.is_empty() && l.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        host.as_bytes().split(|b| *b == b'.').all(label).then_some(Self { scheme, host, port, rest })
    }

    /// Whether the WHATWG parser writes an origin as it is written here. It need not be asked about small letters, digits
    /// and hyphens without a port, unless they look like an address or Punycode: it would take many times as long as the
    /// rest of a validate's look at a page.
    fn is_canonical(&self, origin: &str) -> bool {
        let mut labels = self.host.as_bytes().split(|b| *b == b'.');
        let last_is_name = labels.clone().next_back().and_then(<[u8]>::first).is_some_and(u8::is_ascii_lowercase);
        let plain = |label: &[u8]| !label.starts_with(b"xn--") && !label.iter().any(u8::is_ascii_uppercase);
        if matches!(self.scheme, "https" | "http") && self.port.is_none() && last_is_name && labels.all(plain) {
            return true;
        }
        Url::parse(origin).is_ok_and(|url| url.as_str().strip_suffix('/') == Some(origin))
    }

    fn agrees_with(&self, url: &Url) -> Result<(), InvalidReturnTo> {
        let default = if url.scheme() == "https" { 443 } else { 80 };
        let same = self.scheme.eq_ignore_ascii_case(url.scheme())
            && url.host_str().is_some_and(|host| self.host.eq_ignore_ascii_case(host))
            && self.port.unwrap_or(default) == url.port().unwrap_or(default)
            && url.username().is_empty()
            && url.password().is_none();
        // A path that normalisation would move is a path that somebody hides behind.
        let path = self.rest.split(['?', '#']).next().unwrap_or_default();
        let dots = path.split('/').filter(|segment| segment.starts_with(['.', '%'])).any(|segment| {
            let plain = segment.replace("%2e", ".").replace("%2E", ".");
            plain == "." || plain == ".."
        });
        if same && !dots { Ok(()) } else { Err(InvalidReturnTo::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> ReturnToPolicy {
        let allow = |host: &str, external| AllowedHost { host: host.into(), external };
        ReturnToPolicy::new(
            Url::parse("https://auth.example.com").unwrap(),
            vec![allow("example.com", false), allow("partner.test", true)],
            Some(&Url::parse("https://cms.example.com/").unwrap()),
        )
    }

    #[test]
    fn pages_of_allowed_hosts_and_our_own_paths_pass() {
        for (raw, target) in [
            ("https://cms.example.com/a?b=c&d=e#f", "https://cms.example.com/a?b=c&d=e#f"),
            ("https://example.com", "https://example.com/"),
            ("https://CMS.Example.COM:8443/A", "https://cms.example.com:8443/A"),
            ("https://partner.test/x", "https://partner.test/x"),
            ("https://cms.example.com/caf%C3%A9?q=it's", "https://cms.example.com/caf%C3%A9?q=it%27s"),
            ("/auth/sessions?x=1", "https://auth.example.com/auth/sessions?x=1"),
        ] {
            assert_eq!(policy().parse(raw).map(|r| r.0).as_deref(), Ok(target), "{raw}");
        }
    }

    #[test]
    fn the_payloads_that_opened_peers_go_to_the_default() {
        let list = include_str!("../../tests/data/open_redirects.txt");
        let mut tried = 0;
        for raw in list.lines().filter(|l| !l.is_empty() && !l.starts_with("# ")) {
            let raw = raw.replace("<TAB>", "\t").replace("<LF>", "\n").replace("<CR>", "\r").replace("<NUL>", "\0");
            assert_eq!(policy().choose(Some(&raw)).as_str(), "https://cms.example.com/", "{raw:?}");
            tried += 1;
        }
        assert!(tried > 60, "the list was read");
        let long = format!("https://cms.example.com/{}", "a".repeat(MAX_LEN));
        assert_eq!(policy().parse(&long), Err(InvalidReturnTo::TooLong));
        let grows = format!("https://cms.example.com/?{}", "ж".repeat(900));
        assert_eq!(policy().parse(&grows), Err(InvalidReturnTo::TooLong), "three bytes for each of two");
    }

    #[test]
    fn a_development_origin_allows_http_between_loopback_names_only() {
        let dev = ReturnToPolicy::new(
            Url::parse("http://auth.app.localhost:8080").unwrap(),
            vec![
                AllowedHost { host: "app.localhost".into(), external: false },
                AllowedHost { host: "example.com".into(), external: false },
            ],
            None,
        );
        assert!(dev.parse("http://cms.app.localhost:8081/x").is_ok());
        assert_eq!(dev.parse("http://cms.example.com/x"), Err(InvalidReturnTo::Host));
        assert_eq!(dev.choose(None).as_str(), "http://auth.app.localhost:8080/");
        assert!(policy().parse("http://cms.example.com/x").is_err());
    }

    #[test]
    fn the_origin_of_a_page_is_written_as_a_browser_writes_it() {
        let pieces = [
            "https", "http", "HTTPS", "a", "b", "Z", "0", "9", "1", "0x1", "xn--", "-", "_", "127", ".", ".", "e",
            ":443", ":80", ":8443",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |from: &[&'static str]| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            from[usize::try_from(state >> 33).unwrap() % from.len()]
        };
        let mut canonical = 0;
        for _ in 0..20_000 {
            let host: String = (0..5).map(|_| draw(&pieces[3..])).collect();
            let origin = format!("{}://{host}", draw(&pieces[..3]));
            let Some(seen) = Authority::split(&origin).filter(|seen| seen.rest.is_empty()) else { continue };
            let parsed = Url::parse(&origin).is_ok_and(|url| url.as_str().strip_suffix('/') == Some(&origin));
            assert_eq!(seen.is_canonical(&origin), parsed, "{origin}");
            canonical += usize::from(parsed);
        }
        assert!(canonical > 1_000, "{canonical}");
    }

    #[test]
    fn scripts_of_siblings_may_call_and_strangers_may_not() {
        let p = policy();
        for yes in ["https://auth.example.com", "https://cms.example.com", "https://cms.example.com:8443"] {
            assert!(p.allows_origin(yes), "{yes}");
        }
        for no in [
            "null",
            "",
            "https://evilexample.com",
            "http://cms.example.com",
            "https://partner.test",
            "https://cms.example.com/",
            "https://a@example.com",
        ] {
            assert!(!p.allows_origin(no), "{no}");
        }
    }
}
