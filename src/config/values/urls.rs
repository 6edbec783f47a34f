//! Web addresses: our own origin, and what every configured address has to be.

use std::fmt;

use url::Url;

use crate::config::diagnostic::{Mistake, shown};
use crate::domain::host::is_loopback;

/// Our own origin: scheme, host and port, nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    origin: String,
}

impl PublicUrl {
    /// The origin without a trailing slash: `https://auth-api.example.com`.
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    /// Host without port, lowercase; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// `true` unless the origin is plain http, which only loopback hosts can have.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The origin as a URL; its path is `/`.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The origin followed by `path`, which starts with a slash.
    pub fn join(&self, path: &str) -> String {
        [&self.origin, path].concat()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicUrl({})", self.origin)
    }
}

/// An absolute http(s) URL that we and a browser read alike, without credentials.
pub(in crate::config) fn web_url(text: &str) -> Result<Url, Mistake> {
    let instead = "Write an absolute address such as `https://example.com/`, in plain ASCII.";
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '\\' | '"' | '<' | '>' | '`' | '{' | '}' | '|' | '^');
    let parsed = Url::parse(text).ok().filter(|_| !text.contains(odd));
    let Some(url) = parsed else {
        return Err(Mistake::new(format!("{} is not a web address.", shown(text)), instead));
    };
    let scheme = text.get(..url.scheme().len() + 3).map(str::to_ascii_lowercase);
    if !matches!(scheme.as_deref(), Some("https://" | "http://")) || url.host_str().is_none() {
        return Err(Mistake::new(format!("{} does not start with `https://` and a host.", shown(text)), instead));
    }
    let authority = text.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if authority.contains('@') {
        return Err(Mistake::new(
            "The address has a user name or password before its host, which ends up in logs and browser histories.",
            "Leave out everything between `://` and the `@`, and the `@`.",
        ));
    }
    if authority.is_empty() || url.host_str().is_some_and(|host| host.ends_with('.')) {
        return Err(Mistake::new(
            format!("The host in {} is empty or ends in a dot, which browsers treat as another site.", shown(text)),
            instead,
        ));
    }
    Ok(url)
}

/// Like [`web_url`], and https unless the host is a loopback one. `danger` says what plain http would give away.
pub(in crate::config) fn secure_url(text: &str, danger: &str) -> Result<Url, Mistake> {
    let url = web_url(text)?;
    if url.scheme() == "https" || is_loopback(url.host_str().unwrap_or_default()) {
        return Ok(url);
    }
    Err(Mistake::new(
        format!("{} is plain http: {danger}", shown(text)),
        "Write `https://`; plain http is for `localhost`, names below it, 127.0.0.0/8 and `[::1]` only.",
    ))
}

/// `server.public_url`.
pub(in crate::config) fn public_url(text: &str) -> Result<PublicUrl, Mistake> {
    let url =
        secure_url(text, "browsers would send session cookies unprotected, and the provider refuses such callbacks.")?;
    let origin = url.origin().ascii_serialization();
    let rest =
        [(url.path() != "/", "a path"), (url.query().is_some(), "a query"), (url.fragment().is_some(), "a fragment")];
    if let Some((_, part)) = rest.iter().find(|(there, _)| *there) {
        return Err(Mistake::new(
            format!(
                "{} has {part}: our routes start at the root of the host, so links and callbacks would miss.",
                shown(text)
            ),
            format!("Write the origin alone: `{origin}`."),
        ));
    }
    Ok(PublicUrl { url, origin })
}

/// An address of the provider or of AWS.
pub(in crate::config) fn endpoint(text: &str) -> Result<Url, Mistake> {
    let url = secure_url(text, "codes and tokens would travel unprotected.")?;
    Mistake::unless(
        url.fragment().is_none(),
        format!("{} has a fragment, which is never sent to a server.", shown(text)),
        "Write the address without `#` and what follows it.",
    )?;
    Ok(url)
}
