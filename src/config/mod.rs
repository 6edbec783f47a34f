//! Text to one typed configuration: every value is parsed once into a type that cannot be wrong, and every mistake
//! is reported at once.
//!
//! ```text
//! TOML file ─┐
//! env ───────┼─ load (what was written) ─ sections (each value parsed) ─ check (rules between sections) ─ Config
//! *_FILE ────┘
//! ```
//!
//! To add a key: one entry in its section. The reference, the JSON schema, the name of its environment variable and
//! the suggestions for misspelt names come from there.

mod check;
mod diagnostic;
mod files;
mod from_stack;
mod key;
mod load;
mod reader;
mod reference;
mod reload;
mod schema;
mod sections;
mod spec;
mod stored_clients;
mod suggest;
mod table;
mod values;

pub use diagnostic::{Diagnostic, Problems};
pub use from_stack::from_stack;
pub use load::{Sources, load};
pub use reference::{reference, reloadable};
pub use reload::{ConfigWatch, Reload, WatchedFiles};
pub use schema::schema;
pub use sections::account::{AccountConfig, AccountOffer};
pub use sections::aws::{AwsConfig, IdentityPoolConfig};
pub use sections::bearer_issuer::BearerIssuerConfig;
pub use sections::client::{ClientMetadata, NewClient, new_client};
pub use sections::cookies::{CookiesConfig, Secret};
pub use sections::directory::{DirectoryConfig, DirectoryField};
pub use sections::gateway::{GatewayConfig, HeaderStyle};
pub use sections::machine::MachineConfig;
pub use sections::pages::{PageImage, PagesConfig, Support};
pub use sections::policy::PolicyConfig;
pub use sections::provider::ProviderConfig;
pub use sections::return_to::ReturnToConfig;
pub use sections::server::ServerConfig;
pub use sections::session::SessionConfig;
pub use sections::telemetry::{AuditStream, LogFormat, TelemetryConfig};
pub use sections::validate::ValidateConfig;
pub use values::colors::PageColors;
pub use values::issuer::Profile;
pub use values::listen::ListenAddress;
pub use values::postgres_url::{PostgresServers, PostgresTls, PostgresUrl};
pub use values::redis_url::{RedisServers, RedisUrl};
pub use values::server_address::HostPort;
pub use values::store_url::StoreUrl;
pub use values::tokens::Exposed;
pub use values::urls::PublicUrl;

use crate::domain::host::AllowedHost;
use crate::domain::machine::ClientRegistry;
use crate::domain::page_rules::PageRule;
use crate::domain::return_to::ReturnToPolicy;
use check::shared_clients;
use key::ConfigKey;
use reader::ConfigReader;

/// Declares the sections in the order of the reference.
macro_rules! sections {
    ($( $(#[doc = $doc:literal])+ $section:ident: $config:ident, $raw:ident; )*) => {
        /// Everything the service can be told. `Debug` shows no secret.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( $(#[doc = $doc])+ pub $section: $config, )*
        }

        /// The same as it was read, right or wrong.
        struct RawConfig {
            $( $section: sections::$section::$raw, )*
        }

        impl RawConfig {
            /// Names and introductions.
            const SECTIONS: &[(&str, &str)] = &[$( sections::$section::$raw::SECTION ),*];

            fn read(reader: &mut ConfigReader) -> Self {
                Self { $( $section: sections::$section::$raw::read(reader), )* }
            }

            /// `None` if something is wrong.
            fn take(self) -> Option<Config> {
                Some(Config { $( $section: self.$section.take()?, )* })
            }
        }
    };
}

sections! {
    /// Where we listen and under which origin browsers know us.
    server: ServerConfig, RawServer;
    /// The OpenID Provider and our app client there.
    provider: ProviderConfig, RawProvider;
    /// The cookies we set and the keys that seal them.
    cookies: CookiesConfig, RawCookies;
    /// Where sessions are kept and how long they live.
    session: SessionConfig, RawSession;
    /// Where a browser may be sent after sign-in and sign-out.
    return_to: ReturnToConfig, RawReturnTo;
    /// Who may sign in, and who may see which page.
    policy: PolicyConfig, RawPolicy;
    /// What `/validate` hands to a sibling service.
    gateway: GatewayConfig, RawGateway;
    /// Tokens for programs.
    machine: MachineConfig, RawMachine;
    /// How sessions keep up with the provider.
    validate: ValidateConfig, RawValidate;
    /// People's own attributes.
    account: AccountConfig, RawAccount;
    /// People in a database of one's own.
    directory: DirectoryConfig, RawDirectory;
    /// Where people get AWS credentials.
    aws: AwsConfig, RawAws;
    /// The pages that people see.
    pages: PagesConfig, RawPages;
    /// Logs.
    telemetry: TelemetryConfig, RawTelemetry;
}

impl RawConfig {
    /// Every key, in the order of the reference: what is asked for when nothing is written.
    fn keys() -> Vec<ConfigKey> {
        let mut reader = ConfigReader::default();
        Self::read(&mut reader);
        reader.keys
    }
}

impl Config {
    /// The hosts that may be returned to: those of `return_to.allow`, or else the domain of the session cookie.
    pub fn return_hosts(&self) -> Vec<AllowedHost> {
        let own = self.cookies.domain.as_deref().unwrap_or(self.server.public_url.host());
        let own = || vec![AllowedHost { host: own.to_owned(), external: false }];
        self.return_to.allow.clone().unwrap_or_else(own)
    }

    /// Where browsers may be sent, and which pages a proxy may ask about.
    pub fn return_to_policy(&self) -> ReturnToPolicy {
        let own = self.server.public_url.url().clone();
        ReturnToPolicy::new(own, self.return_hosts(), self.return_to.default.as_ref())
    }

    /// Every registered client, those of the files as they are now.
    ///
    /// # Errors
    /// Every mistake in the files; or that a rule for pages names a client whose tokens do not say whose they are.
    pub fn clients(&self) -> Result<ClientRegistry, Vec<Diagnostic>> {
        let clients = self.machine.read_clients()?;
        match shared_clients(&self.policy, &clients) {
            diagnostics if diagnostics.is_empty() => Ok(clients),
            diagnostics => Err(diagnostics),
        }
    }

    /// Where people get AWS credentials.
    pub fn identity_pool(&self) -> Option<IdentityPoolConfig> {
        self.aws.pool(&self.provider.issuer)
    }

    /// Whether something asks for groups, as far as the configuration tells.
    pub fn groups_matter(&self) -> bool {
        self.provider.groups_claim.is_some()
            || self.provider.scopes.iter().any(|scope| scope == "groups")
            || !self.policy.groups.is_empty()
            || self.policy.site.iter().any(PageRule::asks_for_groups)
    }
}
