//! Host names: loopback, and one within another.

use std::net::IpAddr;

/// A host that may be returned to, with its subdomains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// Lowercase ASCII, no port.
    pub host: String,
    /// Outside the cookie's domain on purpose: a redirect target, but no origin for CORS.
    pub external: bool,
}

impl AllowedHost {
    /// Whether `host` (lowercase) is this host or a subdomain of it.
    pub fn covers(&self, host: &str) -> bool {
        within(host, &self.host)
    }
}

/// Whether `host` equals `parent` or ends in it on a label boundary.
pub fn within(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && !parent.is_empty()
}

/// An IP address, in brackets or not.
pub fn ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Whether `host` is a name or address of this machine by definition (RFC 6761 §6.3): `localhost`, its
/// subdomains, 127.0.0.0/8 and `[::1]`.
pub fn is_loopback(host: &str) -> bool {
    ip(host).map_or_else(|| within(host, "localhost"), |address| address.is_loopback())
}
