//! Speaks OpenID Connect with the provider. openidconnect and oauth2 stop at this door.
//!
//! Each step is a pair: a request that is made and an answer that is judged. An exchange takes only a
//! [`VerifiedCallback`](crate::domain::transaction::VerifiedCallback), and no token leaves here unverified.

mod aws;
mod bearer;
mod bearer_issuer;
mod claims;
mod discovery;
mod error;
mod http;
mod identity_pool;
mod invalid_token;
mod keys;
mod logout;
mod machine;
mod metadata;
mod probe;
mod profile;
mod prompt;
mod token;
mod user_pool;
mod userinfo;
mod verify;

pub use bearer::Bearer;
pub use bearer_issuer::BearerIssuers;
pub use discovery::Endpoints;
pub use error::Error;
pub use http::HttpClient;
#[cfg(test)]
pub(crate) use http::InProcess;
pub use invalid_token::InvalidToken;
pub use logout::LogoutNotice;
pub use token::RefreshFailure;
pub use user_pool::{AccountRefusal, SCOPE as USER_POOLS_SCOPE, UserOperation, endpoint as user_pools_endpoint};

use crate::config::{self, Config, IdentityPoolConfig};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::principal::Principal;
use crate::domain::token::{TokenMetadata, TokenSet};
use crate::domain::transaction::{AuthorizationError, ExpectedIssuer, Transaction};
use arc_swap::ArcSwap;
use discovery::MetadataSource;
use metadata::Metadata;
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier, Scope};
use profile::MappingRules;
use prompt::PromptSupport;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use url::Url;
use verify::ExpectedClaims;

/// A user whose tokens were verified.
#[derive(Debug)]
pub struct AuthenticatedUser {
    /// Who it is.
    pub principal: Principal,
    /// The tokens.
    pub token_set: TokenSet,
    /// What is known of them.
    pub tokens: TokenMetadata,
}

/// The OpenID Provider.
#[derive(Debug)]
pub struct Provider {
    profile: config::Profile,
    issuer: String,
    client_id: String,
    reloadable: ArcSwap<ReloadableSettings>,
    scopes: Vec<String>,
    accepted_clients: Vec<String>,
    accepted_audiences: Vec<String>,
    authorize_parameters: Vec<(String, String)>,
    rules: MappingRules,
    user_pools: Option<Url>,
    identity_pool: Option<IdentityPoolConfig>,
    redirect_uri: String,
    http: HttpClient,
    metadata: Arc<Metadata>,
    clock: Arc<dyn Clock>,
    prompt_support: PromptSupport,
    /// Whether the missing refresh token was logged already.
    said_unrefreshable: AtomicBool,
}

/// What a reload replaces.
#[derive(Debug)]
struct ReloadableSettings {
    client_secret: Option<SecretString>,
    /// Whether something asks for groups.
    groups_matter: bool,
}

impl ReloadableSettings {
    fn new(config: &Config) -> Self {
        Self { client_secret: config.provider.client_secret.clone(), groups_matter: config.groups_matter() }
    }
}

impl Provider {
    /// The provider that `config` names, asked by `http`; it returns browsers to `redirect_uri`. Reads nothing yet.
    pub fn new(http: HttpClient, config: &Config, redirect_uri: String, clock: Arc<dyn Clock>) -> Self {
        let (identity_pool, reloadable) = (config.identity_pool(), ReloadableSettings::new(config));
        let serving = config.machine.upstream_ids().map(str::to_owned);
        let config = &config.provider;
        let host = Url::parse(&config.issuer).ok().and_then(|u| u.host_str().map(str::to_owned));
        Self {
            profile: config.profile,
            issuer: config.issuer.clone(),
            client_id: config.client_id.clone(),
            reloadable: ArcSwap::from_pointee(reloadable),
            scopes: config.scopes.clone(),
            // Tokens of the machine clients that we serve are ours too.
            accepted_clients: config.accepted_clients.iter().cloned().chain(serving).collect(),
            accepted_audiences: config.accepted_audiences.clone(),
            authorize_parameters: config.authorize_parameters.clone(),
            said_unrefreshable: AtomicBool::new(false),
            rules: MappingRules {
                client_id: config.client_id.clone(),
                pool_id: config.issuer.rsplit('/').next().unwrap_or_default().to_owned(),
                issuer_host: host.unwrap_or_default(),
                trust_email_from: config.trust_email_from.clone(),
                groups_claim: config.groups_claim.clone(),
            },
            user_pools: user_pool::endpoint(config),
            identity_pool,
            redirect_uri,
            metadata: Arc::new(Metadata::new(
                MetadataSource::Provider(Box::new(config.clone())),
                http.clone(),
                clock.clone(),
            )),
            http,
            clock,
            prompt_support: PromptSupport::default(),
        }
    }

    /// Goes by what a reload may change in `config` from now on.
    pub fn reload(&self, config: &Config) {
        self.reloadable.store(Arc::new(ReloadableSettings::new(config)));
    }

    /// The issuer, exactly as configured.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who has to have sent the answer to a sign-in.
    ///
    /// # Errors
    /// As [`Provider::authorize_url`]: whether the provider says its name is not known then.
    pub async fn expected_issuer(&self) -> Result<ExpectedIssuer<'_>, Error> {
        let snapshot = self.metadata.snapshot().await?;
        Ok(ExpectedIssuer { issuer: &self.issuer, iss_required: snapshot.endpoints.names_issuer })
    }

    /// Where its endpoints are.
    ///
    /// # Errors
    /// As [`Provider::authorize_url`].
    pub async fn endpoints(&self) -> Result<Arc<Endpoints>, Error> {
        Ok(self.metadata.snapshot().await?.endpoints.clone())
    }

    /// Whether discovery and keys were read at least once.
    pub fn has_metadata(&self) -> bool {
        self.metadata.current().is_some()
    }

    /// Why the last reading of discovery and keys failed, if it did.
    pub fn metadata_failure(&self) -> Option<Error> {
        self.metadata.last_failure()
    }

    /// When the keys were last read, changed or not.
    pub fn keys_fetched(&self) -> Option<Timestamp> {
        self.metadata.keys_fetched()
    }

    /// Reads discovery and keys again; what was known stays if that fails.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub async fn renew_metadata(&self) -> Result<(), Error> {
        self.metadata.renew().await.map(|_| ())
    }

    /// Where the provider's logout page is: pages that post towards it must allow it.
    pub fn logout_origin(&self) -> Option<String> {
        let snapshot = self.metadata.current()?;
        snapshot.endpoints.end_session.as_ref().map(|url| url.origin().ascii_serialization())
    }

    /// The address that begins a sign-in at the provider: code flow with PKCE S256, state and nonce
    /// (OIDC Core §3.1.2.1, RFC 7636). `login_hint` pre-fills the user name.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the provider was never read.
    pub async fn authorize_url(&self, transaction: &Transaction, login_hint: Option<&str>) -> Result<Url, Error> {
        let snapshot = self.metadata.snapshot().await?;
        let client = self.client(&snapshot.endpoints)?;
        let verifier = PkceCodeVerifier::new(transaction.verifier().expose_secret().to_owned());
        let state = transaction.state();
        let mut request = client
            .authorize_url(move || CsrfToken::new(state))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", transaction.nonce());
        let operators = self.authorize_parameters.iter();
        let operators: Vec<_> =
            operators.filter(|(name, _)| !(transaction.reauthenticate && name == "prompt")).collect();
        // None of it can override what the operator sends.
        for (name, value) in self.visitor_parameters(transaction, login_hint) {
            if operators.iter().all(|(operators, _)| operators != name) {
                request = request.add_extra_param(name, value);
            }
        }
        for (name, value) in operators {
            request = request.add_extra_param(name.clone(), value.clone());
        }
        let (mut url, _) = request.url();
        if transaction.reauthenticate {
            return Ok(self.reauthentication_url(url, snapshot.endpoints.end_session.as_ref()).await);
        }
        self.profile.lead_to(transaction.intent.screen, &mut url);
        Ok(url)
    }

    /// What the visitor asks for, as the provider calls it.
    fn visitor_parameters(
        &self,
        transaction: &Transaction,
        login_hint: Option<&str>,
    ) -> impl Iterator<Item = (&'static str, String)> {
        let intent = &transaction.intent;
        let is_cognito = self.profile == config::Profile::Cognito;
        let parameters = [
            (self.profile.provider_parameter(), intent.provider.clone()),
            (is_cognito.then_some("idp_identifier"), intent.idp_identifier.clone()),
            (Some("login_hint"), login_hint.map(str::to_owned)),
            (Some(self.profile.language_parameter()), intent.lang.clone()),
            (Some("prompt"), self.prompt(transaction)),
            (Some("max_age"), intent.authentication.max_age.map(|age| age.as_secs().to_string())),
            (Some("acr_values"), intent.authentication.acr_values_text()),
            (Some("resource"), intent.resource.clone()),
        ];
        parameters.into_iter().filter_map(|(name, value)| Some((name?, value?)))
    }

    /// The address that ends the provider's own browser session and returns to `after`, if there is one.
    pub async fn logout_url(&self, id_token: Option<&SecretString>, after: &str) -> Option<Url> {
        let snapshot = self.metadata.snapshot().await.ok()?;
        let end_session = snapshot.endpoints.end_session.as_ref()?;
        let id_token = id_token.map(ExposeSecret::expose_secret);
        Some(self.profile.logout_url(end_session, &self.client_id, after, id_token))
    }

    /// Whether a refusal is the user's own: they turned back.
    pub fn is_cancellation(&self, refusal: &AuthorizationError) -> bool {
        self.profile.is_cancellation(refusal)
    }

    /// Whether a refusal is Cognito's passing one, which deserves one retry.
    pub fn is_linking_quirk(&self, refusal: &AuthorizationError) -> bool {
        self.profile.is_linking_quirk(refusal)
    }

    /// Which reading of the provider's keys is current.
    pub fn keys_generation(&self) -> Option<u64> {
        self.metadata.generation()
    }

    fn expected(&self) -> ExpectedClaims<'_> {
        ExpectedClaims {
            issuer: &self.issuer,
            client_id: &self.client_id,
            now: self.clock.now(),
            token_use: self.profile.has_token_use(),
        }
    }
}
