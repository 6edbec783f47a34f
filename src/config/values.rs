//! Small values, each parsed once from text.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretSlice};

use super::problem::{Wrong, shown};

/// Secret bytes: redacted in `Debug`, wiped when dropped.
#[derive(Clone, Debug)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// Takes the bytes as they are; the length and quality rules are those of the key that holds them.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// Which provider's habits to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// AWS Cognito user pools.
    Cognito,
    /// Any provider that keeps to OpenID Connect.
    Oidc,
}

/// Which of the provider's tokens are handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposed {
    /// The ID token.
    pub id_token: bool,
    /// The access token.
    pub access_token: bool,
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

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One token name of `cookies.expose` and `gateway.forward_tokens`.
#[derive(Clone, Copy, Debug)]
pub(super) enum TokenName {
    Id,
    Access,
}

impl FromIterator<TokenName> for Exposed {
    fn from_iter<I: IntoIterator<Item = TokenName>>(names: I) -> Self {
        names.into_iter().fold(Exposed::default(), |exposed, name| match name {
            TokenName::Id => Exposed { id_token: true, ..exposed },
            TokenName::Access => Exposed { access_token: true, ..exposed },
        })
    }
}

pub(super) fn token_name(text: &str) -> Result<TokenName, Wrong> {
    match text {
        "id_token" => Ok(TokenName::Id),
        "access_token" => Ok(TokenName::Access),
        "refresh_token" => Err(Wrong::new(
            "The refresh token never leaves this service: whoever holds it can sign in as the user for weeks.",
            "Leave it out; a sibling service that needs fresh tokens calls `POST /refresh`.",
        )),
        _ => Err(Wrong::new(
            format!("{} is not a token that can be handed on.", shown(text)),
            "Write `id_token`, `access_token` or both, in lower case.",
        )),
    }
}

pub(super) fn header_style(text: &str) -> Result<HeaderStyle, Wrong> {
    match text {
        "x-auth" => Ok(HeaderStyle::XAuth),
        "x-auth-request" => Ok(HeaderStyle::XAuthRequest),
        "remote" => Ok(HeaderStyle::Remote),
        _ => Err(Wrong::new(
            format!("{} is not a style of headers.", shown(text)),
            "Write `x-auth`, `x-auth-request` for oauth2-proxy's names or `remote` for Authelia's, in lower case.",
        )),
    }
}

pub(super) fn group(text: &str) -> Result<String, Wrong> {
    if text.chars().count() <= 128 && !text.contains(char::is_whitespace) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot be the name of a group, so nobody would be in it.", shown(text)),
        "Write the name as the provider has it: at most 128 characters, none of them a space.",
    ))
}

pub(super) fn profile(text: &str) -> Result<Profile, Wrong> {
    match text {
        "cognito" => Ok(Profile::Cognito),
        "oidc" => Ok(Profile::Oidc),
        _ => Err(Wrong::new(
            format!("{} is not a provider profile.", shown(text)),
            "Write `cognito` for a Cognito user pool or `oidc` for any other OpenID Provider, in lower case.",
        )),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Wrong::new(
            format!("{} is not a log format.", shown(text)),
            "Write `text` for people or `json` for machines, in lower case.",
        )),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, Wrong> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let instead = "Write one of off, error, warn, info, debug, trace, or directives such as `info,auth_api=debug`.";
    // The filter takes any bare word for a target and would log everything of a target that does not exist.
    let typo = text.split(',').map(str::trim).find(|part| {
        let bare = part.chars().all(|c| c.is_ascii_alphanumeric());
        bare && !LEVELS.contains(&part.to_ascii_lowercase().as_str())
    });
    if let Some(part) = typo {
        return Err(Wrong::new(
            format!("{} is not a log level, so nothing of use would be logged.", shown(part)),
            instead,
        ));
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::new(format!("{} is not a log filter.", shown(text)), instead)),
    }
}

pub(super) fn flag(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Wrong::new(format!("{} is neither true nor false.", shown(text)), "Write `true` or `false`.")),
    }
}

/// A whole number from one to a million.
pub(super) fn count(text: &str) -> Result<u32, Wrong> {
    text.parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or_else(|| {
        Wrong::new(
            format!("{} is not a whole number from 1 to 1000000.", shown(text)),
            "Write how often something may happen, in digits.",
        )
    })
}

/// A whole number up to a million; 0 is no limit.
pub(super) fn limit(text: &str) -> Result<Option<usize>, Wrong> {
    let limit = text.parse::<usize>().ok().filter(|limit| *limit <= 1_000_000);
    limit.map(|limit| (limit > 0).then_some(limit)).ok_or_else(|| {
        Wrong::new(
            format!("{} is not a whole number from 0 to 1000000.", shown(text)),
            "Write how many there may be, in digits, or `0` for any number.",
        )
    })
}

/// US dollars.
pub(super) fn price(text: &str) -> Result<f64, Wrong> {
    text.parse().ok().filter(|price| (0.0..=1_000.0).contains(price)).ok_or_else(|| {
        Wrong::new(
            format!("{} is not a price in US dollars for 1,000 tokens.", shown(text)),
            "Write a number from 0 to 1000, with a point: `2.25`.",
        )
    })
}

/// [`duration`], or milliseconds: `250ms`.
pub(super) fn fine_duration(text: &str) -> Result<Duration, Wrong> {
    match text.strip_suffix("ms").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).map(str::parse) {
        Some(Ok(ms)) => Ok(Duration::from_millis(ms)),
        _ => duration(text),
    }
}

/// `90s`, `5m`, `12h`, `30d`, `0s`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let instead = "Write a whole number and one unit of s, m, h or d: `90s`, `5m`, `12h`, `30d`.";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "" => {
            return Err(Wrong::new(format!("{} has no unit, so it could mean seconds or days.", shown(text)), instead));
        }
        _ => {
            return Err(Wrong::new(format!("{} is not a duration.", shown(text)), instead));
        }
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::new(format!("{} is not a duration.", shown(text)), instead));
    }
    // A hundred years is beyond every use and keeps later arithmetic on times far from overflow.
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|s| *s <= 36_500 * 86_400) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(Wrong::new(format!("{} is longer than a hundred years.", shown(text)), instead)),
    }
}

pub(super) fn socket_addr(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|p| p.parse::<u16>().is_ok()).unwrap_or("8080");
        Wrong::new(
            format!("{} is not an address to listen on: that takes an IP address and a port.", shown(text)),
            format!("Write `127.0.0.1:{port}` for this machine only or `0.0.0.0:{port}` for every interface."),
        )
    })
}

/// One entry of `server.trusted_proxies`: an address, or a network in CIDR notation.
pub(super) fn proxy(text: &str) -> Result<IpNet, Wrong> {
    let instead = "Write an address, `10.0.0.7`, or a network, `10.0.0.0/8`.";
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let Ok(net) = parsed else {
        return Err(Wrong::new(format!("{} is neither an IP address nor a network of them.", shown(text)), instead));
    };
    if net.prefix_len() == 0 {
        return Err(Wrong::new(
            format!("{} is everybody, which would let anybody claim any address.", shown(text)),
            "Write only the networks that your own proxies connect from.",
        ));
    }
    if matches!(net.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(Wrong::new(
            format!(
                "{} is an IPv4 address written as IPv6; visitors are compared as IPv4, so it would never fit.",
                shown(text)
            ),
            instead,
        ));
    }
    if net.addr() != net.network() {
        return Err(Wrong::new(
            format!("{} is an address within a network; it could mean either.", shown(text)),
            format!("Write `{}` for the network or `{}` for the address.", net.trunc(), net.addr()),
        ));
    }
    Ok(net)
}

/// `""` switches the ops listener off.
pub(super) fn ops_addr(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    if text.is_empty() { Ok(None) } else { socket_addr(text).map(Some) }
}
