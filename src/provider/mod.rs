//! Speaks OpenID Connect with the provider. openidconnect, oauth2 and reqwest stop at this door.
//!
//! Each step is a pair: a request that is made and an answer that is judged. An exchange takes only a
//! [`VerifiedCallback`](crate::domain::transaction::VerifiedCallback), and no token leaves here unverified.

mod aws;
mod error;
mod http;
mod identity_pool;
mod keys;
mod logout;
mod machine;
mod metadata;
mod probe;
mod profile;
mod token;
mod user_pool;
mod verify;

pub use error::Error;
pub use http::HttpClient;
pub use logout::LogoutNotice;
pub use token::NotRefreshed;
pub use user_pool::SCOPE as USER_POOLS_SCOPE;
pub use verify::Rejected;

use crate::config;
use crate::domain::clock::Clock;
use crate::domain::principal::Principal;
use crate::domain::session::Mark;
use crate::domain::token::TokenSet;
use crate::domain::transaction::{ProviderRefusal, Transaction};
use crate::telemetry::Metrics;
use identity_pool::IdentityPool;
use metadata::Metadata;
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier, Scope};
use profile::{Access, Rules};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use url::Url;
use verify::{Expected, NonceRule, Unverified};

/// What a visitor may ask of the provider's sign-in page. None of it can override what we send.
#[derive(Debug, Default, Clone)]
pub struct Hints {
    /// Pre-fills the user name.
    pub login_hint: Option<String>,
    /// The page's language.
    pub lang: Option<String>,
    /// OIDC Core §3.1.2.1.
    pub prompt: Option<String>,
}

impl Hints {
    /// Whether the visitor wants to choose an account, and not the one that the provider has at hand.
    pub fn wants_account_choice(&self) -> bool {
        self.prompt.as_deref().unwrap_or_default().split_ascii_whitespace().any(|word| word == "select_account")
    }
}

/// A user whose tokens were verified.
#[derive(Debug)]
pub struct Verified {
    /// Who it is.
    pub principal: Principal,
    /// The tokens.
    pub tokens: TokenSet,
}

/// A bearer token that was verified.
#[derive(Debug)]
pub struct Bearer {
    /// Who it speaks for.
    pub principal: Principal,
    /// What it is refused by when its session has ended or it was revoked.
    pub names: Vec<Mark>,
    /// The reading of the keys that it was verified with; see [`Provider::keys_generation`].
    pub generation: u64,
}

/// The OpenID Provider.
#[derive(Debug)]
pub struct Provider {
    profile: config::Profile,
    issuer: String,
    client_id: String,
    client_secret: Option<SecretString>,
    scopes: Vec<String>,
    accepted_clients: Vec<String>,
    rules: Rules,
    user_pools: Option<Url>,
    identity_pool: Option<IdentityPool>,
    redirect_uri: String,
    http: HttpClient,
    metadata: Arc<Metadata>,
    clock: Arc<dyn Clock>,
}

impl Provider {
    /// The provider that `config` names; it returns browsers to `redirect_uri`. Reads nothing yet.
    ///
    /// # Errors
    /// If this machine's TLS set-up cannot be loaded.
    pub fn new(
        config: &config::Provider,
        redirect_uri: String,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let http = HttpClient::new(config.timeout, metrics)?;
        let host = Url::parse(&config.issuer).ok().and_then(|u| u.host_str().map(str::to_owned));
        Ok(Self {
            profile: config.profile,
            issuer: config.issuer.clone(),
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            scopes: config.scopes.clone(),
            accepted_clients: config.accepted_clients.clone(),
            rules: Rules {
                client_id: config.client_id.clone(),
                pool_id: config.issuer.rsplit('/').next().unwrap_or_default().to_owned(),
                issuer_host: host.unwrap_or_default(),
                trust_email_from: config.trust_email_from.clone(),
            },
            user_pools: match (&config.user_pools_endpoint, config.profile) {
                (Some(url), _) => Some(url.clone()),
                (None, config::Profile::Cognito) => user_pool::endpoint(&config.issuer),
                (None, config::Profile::Oidc) => None,
            },
            identity_pool: config.identity_pool.clone().map(|pool| IdentityPool {
                id: pool.id,
                url: pool.endpoint,
                login: pool.login,
                role_arn: pool.role_arn,
                guests: pool.guests,
            }),
            redirect_uri,
            metadata: Arc::new(Metadata::new(config, http.clone(), clock.clone())),
            http,
            clock,
        })
    }

    /// The issuer, exactly as configured.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether discovery and keys were read at least once.
    pub fn is_known(&self) -> bool {
        self.metadata.current().is_some()
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
        let known = self.metadata.current()?;
        known.endpoints.end_session.as_ref().map(|url| url.origin().ascii_serialization())
    }

    /// The address that begins a sign-in at the provider: code flow with PKCE S256, state and nonce
    /// (OIDC Core §3.1.2.1, RFC 7636).
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the provider was never read.
    pub async fn authorize_url(&self, transaction: &Transaction, hints: &Hints) -> Result<Url, Error> {
        let known = self.metadata.known().await?;
        let client = self.client(&known.endpoints)?;
        let verifier = PkceCodeVerifier::new(transaction.verifier().expose_secret().to_owned());
        let state = transaction.state();
        let mut request = client
            .authorize_url(move || CsrfToken::new(state))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", transaction.nonce());
        if let (Some(name), Some(provider)) = (self.profile.provider_parameter(), &transaction.provider) {
            request = request.add_extra_param(name, provider.clone());
        }
        let language = self.profile.language_parameter();
        for (name, hint) in [("login_hint", &hints.login_hint), (language, &hints.lang), ("prompt", &hints.prompt)] {
            if let Some(hint) = hint {
                request = request.add_extra_param(name, hint.clone());
            }
        }
        Ok(request.url().0)
    }

    /// The address that ends the provider's own browser session and returns to `after`, if there is one.
    pub async fn logout_url(&self, id_token: Option<&SecretString>, after: &str) -> Option<Url> {
        let known = self.metadata.known().await.ok()?;
        let end_session = known.endpoints.end_session.as_ref()?;
        let id_token = id_token.map(ExposeSecret::expose_secret);
        Some(self.profile.logout_url(end_session, &self.client_id, after, id_token))
    }

    /// The logout that comes before an account can be chosen, if it takes one.
    pub async fn logout_before_account_choice(&self, after: &str) -> Option<Url> {
        if self.profile.asks_for_an_account() { None } else { self.logout_url(None, after).await }
    }

    /// The `prompt` that lets people choose another account.
    pub fn account_choice(&self) -> &'static str {
        self.profile.account_choice(&self.rules.issuer_host)
    }

    /// Whether a refusal is the user's own: they turned back.
    pub fn is_cancellation(&self, refusal: &ProviderRefusal) -> bool {
        self.profile.is_cancellation(refusal)
    }

    /// Whether a refusal is Cognito's passing one, which deserves one retry.
    pub fn is_linking_quirk(&self, refusal: &ProviderRefusal) -> bool {
        self.profile.is_linking_quirk(refusal)
    }

    /// Which reading of the provider's keys is current.
    pub fn keys_generation(&self) -> Option<u64> {
        self.metadata.generation()
    }

    /// Verifies a bearer token: an access token of an accepted client, or of `own`, or an ID token for our client,
    /// by its `token_use`, never either.
    ///
    /// # Errors
    /// [`Error::Token`] for a bad token; others while the provider was never read.
    pub async fn verify_bearer(&self, token: &str, own: Option<&str>) -> Result<Bearer, Error> {
        let token = Unverified::parse(token)?;
        let known = self.metadata.with_key(token.kid()).await?;
        let (principal, names) = if token.is_access_token(self.profile.has_token_use()) {
            let claims = token
                .access_token(&known.keys, self.expected(), |client| self.accepts(client) || own == Some(client))?;
            (self.profile.bearer(&claims, &self.rules), claims.all_names())
        } else {
            let claims = token.id_token(&known.keys, self.expected(), NonceRule::Any, None)?;
            (self.profile.user(&claims, Access::default(), &self.rules), claims.all_names())
        };
        Ok(Bearer { principal, names, generation: known.keys.generation })
    }

    /// The last second at which a token that runs out at `expires_at` is accepted.
    pub fn accepted_until(expires_at: u64) -> u64 {
        expires_at.saturating_add(verify::LEEWAY)
    }

    /// Whether tokens of this client are accepted: ours, those of `provider.accepted_clients` and of the upstreams.
    pub fn accepts(&self, client: &str) -> bool {
        client == self.client_id || self.accepted_clients.iter().any(|c| c == client)
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            issuer: &self.issuer,
            client_id: &self.client_id,
            now: self.clock.now(),
            token_use: self.profile.has_token_use(),
        }
    }
}
