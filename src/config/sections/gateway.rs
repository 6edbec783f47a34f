//! `[gateway]`: what `/validate` answers.

use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{choice, flag, section};
use crate::config::values::tokens::{Exposed, tokens};

section! {
    gateway: "What `/validate` answers to sibling services.";
    GatewayConfig / RawGateway

    /// Names under which /validate says who it is, beside X-Auth-Subject and its like: "x-auth" for no others,
    /// "x-auth-request" for oauth2-proxy's X-Auth-Request-User, -Email, -Groups and -Preferred-Username, "remote" for
    /// Authelia's Remote-User, -Groups, -Name and -Email. The proxy has to copy them and to drop the client's own.
    header_style: HeaderStyle = choice(
        &[("x-auth", HeaderStyle::XAuth), ("x-auth-request", HeaderStyle::XAuthRequest), ("remote", HeaderStyle::Remote)],
        "is not a style of headers.",
        "Write `x-auth`, `x-auth-request` for oauth2-proxy's names or `remote` for Authelia's, in lower case.",
    )
        .default("x-auth");

    /// Tokens that /validate answers as X-Auth-Id-Token and X-Auth-Access-Token: "id_token", "access_token".
    /// Proxies in between need room for headers of several kilobytes.
    forward_tokens: Exposed = tokens().default("");

    /// Whether preflights (CORS) of the hosts in return_to.allow are let through to the sites behind a proxy. Anybody can
    /// send one, and a site that answers OPTIONS as it answers GET then shows its pages to strangers.
    preflights: bool = flag().default("false");
}

/// Under which names `/validate` says who it is, beside our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderStyle {
    /// No others.
    XAuth,
    /// oauth2-proxy's `X-Auth-Request-…`.
    XAuthRequest,
    /// Authelia's `Remote-…`.
    Remote,
}
