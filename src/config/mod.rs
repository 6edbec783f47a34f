//! Text to one typed configuration: every value is parsed once into a type that cannot be wrong, and every mistake
//! is reported at once.
//!
//! ```text
//! TOML file ─┐
//! env ───────┼─ load (what was written) ─ draft (each value parsed) ─ check (rules between values) ─ Config
//! *_FILE ────┘        └ keys: the one table of what exists, which `reference` prints
//! ```
//!
//! To add a key: one entry in `keys`, one line in `draft`, one field here.

mod authorize_parameters;
mod block;
mod cautions;
mod check;
mod client_block;
mod cognito;
mod credentials;
mod draft;
mod files;
mod from_stack;
mod hosts;
mod issuer;
mod keys;
mod load;
mod machine;
mod pages;
mod policy;
mod problem;
mod reader;
mod reference;
mod sites;
mod store_url;
mod suggest;
mod urls;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

pub use crate::domain::policy::Policy;
pub use client_block::{NewClient, new_client};
pub use cognito::IdentityPool;
pub use from_stack::from_stack;
pub use hosts::AllowedHost;
pub use load::{Sources, load};
pub use machine::Machine;
pub use pages::{Pages, Support};
pub use problem::Problem;
pub use reference::reference;
pub use store_url::{HostPort, RedisServers, RedisUrl, StoreUrl};
pub use urls::PublicUrl;
pub use values::{Exposed, HeaderStyle, LogFormat, Profile, Secret};

/// Everything the service can be told. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where we listen and under which origin browsers know us.
    pub server: Server,
    /// The OpenID Provider and our app client there.
    pub provider: Provider,
    /// The cookies we set and the keys that seal them.
    pub cookies: Cookies,
    /// Where sessions are kept and how long they live.
    pub session: Session,
    /// Where a browser may be sent after sign-in and sign-out.
    pub return_to: ReturnTo,
    /// Who may sign in, and who may see which page.
    pub policy: Policy,
    /// What `/validate` hands to a sibling service.
    pub gateway: Gateway,
    /// Tokens for programs.
    pub machine: Machine,
    /// How sessions keep up with the provider.
    pub validate: Validate,
    /// People's own attributes.
    pub profile: Profiles,
    /// The pages that people see.
    pub pages: Pages,
    /// Logs.
    pub telemetry: Telemetry,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Address of the public listener.
    pub listen: SocketAddr,
    /// Address of the listener for `/livez`, `/readyz` and `/metrics`; `None` when switched off.
    pub ops_listen: Option<SocketAddr>,
    /// Our own origin, the only source of our own links.
    pub public_url: PublicUrl,
    /// Longest a `/validate` takes.
    pub validate_timeout: Duration,
    /// Proxies whose word about visitors and pages is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate and key of the public listener; `None` when something in front of us ends TLS.
    pub tls: Option<Tls>,
}

/// The PEM files of the public listener. Both could be read when the configuration was loaded.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// Private key.
    pub key_file: PathBuf,
}

/// `[provider]`
#[derive(Clone, Debug)]
pub struct Provider {
    /// Which provider's habits to expect.
    pub profile: Profile,
    /// The issuer exactly as written: it is compared with `iss` byte by byte.
    pub issuer: String,
    /// Our app client's id.
    pub client_id: String,
    /// Our app client's secret; `None` for a public client.
    pub client_secret: Option<SecretString>,
    /// Scopes asked for at sign-in; `openid` is among them.
    pub scopes: Vec<String>,
    /// Further client ids whose access tokens are accepted as bearer tokens.
    pub accepted_clients: Vec<String>,
    /// Audiences of access tokens that are accepted beside our client's id.
    pub accepted_audiences: Vec<String>,
    /// Further parameters of the way to the sign-in page: names and values.
    pub authorize_parameters: Vec<(String, String)>,
    /// The claim that holds groups, if not the profile's own; see [`reference()`].
    pub groups_claim: Option<String>,
    /// Whether something asks for groups, as far as the configuration tells.
    pub groups_matter: bool,
    /// Identity providers whose e-mail addresses count as verified.
    pub trust_email_from: Vec<String>,
    /// Longest wait for one answer of the provider, one second to one minute.
    pub timeout: Duration,
    /// What all processes together may ask in a second, of each kind.
    pub requests_per_second: u32,
    /// Addresses to use instead of the discovered ones.
    pub endpoints: EndpointOverrides,
    /// Where the user pools API is, if not beside the issuer.
    pub user_pools_endpoint: Option<Url>,
    /// `[aws]`: where people get AWS credentials.
    pub identity_pool: Option<IdentityPool>,
}

/// Provider addresses that replace what discovery says. Absent ones are discovered.
#[derive(Clone, Debug, Default)]
pub struct EndpointOverrides {
    /// `provider.authorization_endpoint`
    pub authorization: Option<Url>,
    /// `provider.token_endpoint`
    pub token: Option<Url>,
    /// `provider.userinfo_endpoint`
    pub userinfo: Option<Url>,
    /// `provider.revocation_endpoint`
    pub revocation: Option<Url>,
    /// `provider.end_session_endpoint`
    pub end_session: Option<Url>,
    /// `provider.jwks_uri`
    pub jwks_uri: Option<Url>,
}

/// `[cookies]`
#[derive(Clone, Debug)]
pub struct Cookies {
    /// Parent domain that shares the session cookie: lowercase, no leading dot. `None`: our own host only.
    pub domain: Option<String>,
    /// Key ring, never empty: the first seals, all open.
    pub keys: Vec<Secret>,
    /// Tokens that are also set as cookies.
    pub expose: Exposed,
}

/// `[session]`
#[derive(Clone, Debug)]
pub struct Session {
    /// Where sessions are kept.
    pub store: StoreUrl,
    /// Longest wait for one answer of the store.
    pub store_timeout: Duration,
    /// How old an answer from this process's memory may be.
    pub max_stale: Duration,
    /// Absolute lifetime of a session.
    pub max_age: Duration,
    /// Lifetime without use; `None` for no idle timeout.
    pub idle: Option<Duration>,
    /// How long people may take at the provider's pages.
    pub sign_in_timeout: Duration,
    /// `/refresh` renews tokens with less than this left.
    pub refresh_margin: Duration,
    /// Sessions of one user; `None` for any number.
    pub per_user: Option<usize>,
}

/// `[return_to]`
#[derive(Clone, Debug)]
pub struct ReturnTo {
    /// Where to go when a request names no place or a forbidden one.
    pub default: Option<Url>,
    /// Hosts that may be returned to, with their subdomains.
    pub allow: Vec<AllowedHost>,
}

/// `[gateway]`
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Names of headers beside our own.
    pub header_style: HeaderStyle,
    /// Tokens that `/validate` answers in headers.
    pub forward_tokens: Exposed,
    /// Whether preflights pass to the sites behind a proxy.
    pub preflights: bool,
}

/// `[validate]`
#[derive(Clone, Debug)]
pub struct Validate {
    /// How often the provider is asked about those at work; `None`: never.
    pub check_revoked: Option<Duration>,
}

/// `[profile]`
#[derive(Clone, Debug)]
pub struct Profiles {
    /// Attributes that people may change.
    pub writable: Vec<String>,
}

/// `[telemetry]`
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Log filter: a level, or `target=level` directives separated by commas.
    pub log: String,
    /// How a log line looks.
    pub format: LogFormat,
}
