//! The browser behind a request, as far as it shows: what it calls itself and where it comes from.

use super::Web;
use super::listen::UnixPeer;
use crate::domain::session::Device;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::Extensions;
use axum::http::header::{HeaderMap, HeaderName, USER_AGENT};
use axum::http::request::Parts;
use ipnet::IpNet;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A longer name of a browser is cut, characters.
const AGENT_MAX: usize = 256;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Address(IpAddr),
    /// A trusted proxy: only who may open the file connects.
    UnixSocket,
    /// A request that came over no connection.
    Unknown,
}

impl FromRequestParts<Arc<Web>> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

impl Peer {
    /// Whom a request came from.
    pub(super) fn of(extensions: &Extensions) -> Self {
        match extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(addr)) => Self::Address(addr.ip().to_canonical()),
            None if extensions.get::<ConnectInfo<UnixPeer>>().is_some() => Self::UnixSocket,
            None => Self::Unknown,
        }
    }

    /// Whether its word about others counts.
    pub(super) fn is_trusted(self, proxies: &[IpNet]) -> bool {
        match self {
            Self::Address(peer) => proxies.iter().any(|network| network.contains(&peer)),
            Self::UnixSocket => true,
            Self::Unknown => false,
        }
    }

    /// The browser that sent `headers`, whose `X-Forwarded-For` counts if a trusted proxy sent it.
    pub(super) fn device(self, headers: &HeaderMap, trusted: &[IpNet]) -> Device {
        let agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes())).unwrap_or_default();
        Device {
            agent: agent.chars().filter(|c| !c.is_control()).take(AGENT_MAX).collect(),
            address: self.address(headers, trusted).map(|address| address.to_string()).unwrap_or_default(),
        }
    }

    /// Where the visitor comes from. Each proxy adds whom it was asked by at the end of `X-Forwarded-For`. Read from
    /// there, the first that is no trusted proxy is the visitor; everything before it is that one's own claim.
    pub(super) fn address(self, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
        let peer = match self {
            Self::Address(peer) => Some(peer),
            Self::UnixSocket | Self::Unknown => None,
        };
        if !self.is_trusted(trusted) {
            return peer;
        }
        let mut farthest = peer;
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        for line in lines.into_iter().rev() {
            for item in line.as_bytes().rsplit(|b| *b == b',') {
                let Some(addr) = std::str::from_utf8(item).ok().and_then(address) else { return peer };
                if !Self::Address(addr).is_trusted(trusted) {
                    return Some(addr);
                }
                farthest = Some(addr);
            }
        }
        // All of them ours: the one farthest away is a visitor from our own network.
        farthest
    }
}

/// An address, with a port or not: some proxies add one.
fn address(item: &str) -> Option<IpAddr> {
    let item = item.trim_matches([' ', '\t']);
    let bare = item.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(item);
    let addr = bare.parse::<IpAddr>().ok().or_else(|| item.parse::<SocketAddr>().ok().map(|addr| addr.ip()))?;
    Some(addr.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn seen(peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let trusted = ["10.0.0.0/8", "192.168.0.7/32", "fd00::/8"].map(|net| net.parse().unwrap());
        let peer = match peer {
            "unix" => Peer::UnixSocket,
            address => Peer::Address(address.parse::<IpAddr>().unwrap().to_canonical()),
        };
        peer.device(&headers, &trusted).address
    }

    #[test]
    fn only_a_trusted_proxys_word_counts_and_only_about_whom_it_was_asked_by() {
        let cases: &[(&str, &[&[u8]], &str)] = &[
            ("203.0.113.5", &[], "203.0.113.5"),
            ("203.0.113.5", &[b"198.51.100.1"], "203.0.113.5"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &[b"198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.1.1", &[b"::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:203.0.113.5", &[b"198.51.100.1"], "203.0.113.5"),
            ("10.1.1.1", &[b"1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.1.1.1", &[b"1.2.3.4, 198.51.100.1 ,\t10.2.2.2"], "198.51.100.1"),
            ("10.1.1.1", &[b"1.2.3.4", b"198.51.100.1", b"192.168.0.7,10.2.2.2"], "198.51.100.1"),
            ("10.1.1.1", &[b"1.2.3.4, garbage, 198.51.100.1"], "198.51.100.1"),
            ("10.1.1.1", &[b"198.51.100.1, garbage"], "10.1.1.1"),
            ("10.1.1.1", &[b"198.51.100.1,"], "10.1.1.1"),
            ("10.1.1.1", &[b"198.51.100.1", b""], "10.1.1.1"),
            ("10.1.1.1", &[b"\xff"], "10.1.1.1"),
            ("10.1.1.1", &[b"unknown"], "10.1.1.1"),
            ("10.1.1.1", &[b"198.51.100.1:4711"], "198.51.100.1"),
            ("10.1.1.1", &[b"[2001:db8::1]:4711"], "2001:db8::1"),
            ("fd00::1", &[b"[2001:db8::1]"], "2001:db8::1"),
            ("fd00::1", &[b"2001:DB8::1"], "2001:db8::1"),
            ("10.1.1.1", &[b"10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            ("192.168.0.8", &[b"198.51.100.1"], "192.168.0.8"),
            ("unix", &[], ""),
            ("unix", &[b"garbage"], ""),
            ("unix", &[b"unix:"], ""),
            ("unix", &[b"198.51.100.1"], "198.51.100.1"),
            ("unix", &[b"1.2.3.4, 198.51.100.1, 10.2.2.2"], "198.51.100.1"),
            ("unix", &[b"10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(seen(peer, lines), *expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_browsers_name_is_cut_and_without_control_characters() {
        let agent = |value: &[u8]| {
            let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_bytes(value).unwrap())]);
            Peer::Unknown.device(&headers, &[]).agent
        };
        assert_eq!(agent(b"Firefox/1\t(\xc2\x9bX)"), "Firefox/1(X)");
        assert_eq!(agent("ä".repeat(300).as_bytes()), "ä".repeat(256));
        assert_eq!(agent(b"\xff"), "\u{fffd}");
        assert_eq!(Peer::Unknown.device(&HeaderMap::new(), &[]), Device::default());
    }
}
