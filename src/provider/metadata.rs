//! Discovery and keys: read once, kept while the provider is down, read again when a token names a
//! key we have not seen.

use super::error::Error;
use super::http::HttpClient;
use super::keys::{Keys, RsaKey};
use crate::config;
use crate::domain::clock::Clock;
use crate::domain::host::is_loopback;
use crate::domain::seal::sha256;
use arc_swap::ArcSwapOption;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Mutex;
use url::Url;

/// Seconds between two reads of the JWKS that unknown keys may cause.
const UNKNOWN_KEY_PAUSE: u64 = 10;
/// Seconds between two attempts at a provider that does not answer.
const FAILURE_PAUSE: u64 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Additional {
    revocation_endpoint: Option<Url>,
    end_session_endpoint: Option<Url>,
}

impl AdditionalProviderMetadata for Additional {}

type Document = ProviderMetadata<
    Additional,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    RsaKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Where the provider's endpoints are.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// RFC 6749 §3.1.
    pub authorization: Url,
    /// RFC 6749 §3.2.
    pub token: Url,
    /// OIDC Core §5.3.
    pub userinfo: Option<Url>,
    /// RFC 7009.
    pub revocation: Option<Url>,
    /// OIDC RP-initiated logout; for Cognito its own form of it.
    pub end_session: Option<Url>,
    /// RFC 7517.
    pub jwks: Url,
    /// Whether the token endpoint knows HTTP Basic, and whether it knows the secret in the body.
    pub auth_methods: Vec<CoreClientAuthMethod>,
}

/// What we know of the provider.
#[derive(Debug)]
pub struct Known {
    /// The endpoints.
    pub endpoints: Arc<Endpoints>,
    /// The keys.
    pub keys: Arc<Keys>,
}

#[derive(Debug, Default)]
struct Attempts {
    failed: Option<(u64, Error)>,
    unknown_key: Option<u64>,
}

/// The cached metadata of one provider.
#[derive(Debug)]
pub struct Metadata {
    issuer: String,
    overrides: config::EndpointOverrides,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    known: ArcSwapOption<Known>,
    // Held across a read, so that there is never more than one.
    attempts: Mutex<Attempts>,
}

impl Metadata {
    pub(super) fn new(provider: &config::Provider, http: HttpClient, clock: Arc<dyn Clock>) -> Self {
        Self {
            issuer: provider.issuer.clone(),
            overrides: provider.endpoints.clone(),
            http,
            clock,
            known: ArcSwapOption::empty(),
            attempts: Mutex::default(),
        }
    }

    /// What was read, if anything was.
    pub fn current(&self) -> Option<Arc<Known>> {
        self.known.load_full()
    }

    /// Which reading of the keys is current.
    pub fn generation(&self) -> Option<u64> {
        self.known.load().as_ref().map(|known| known.keys.generation)
    }

    /// What is known, read now if it never was.
    ///
    /// # Errors
    /// Why the provider's documents cannot be had.
    pub async fn known(&self) -> Result<Arc<Known>, Error> {
        if let Some(known) = self.current() {
            return Ok(known);
        }
        let mut attempts = self.attempts.lock().await;
        if let Some(known) = self.current() {
            return Ok(known);
        }
        let now = self.clock.now();
        if let Some((at, error)) = &attempts.failed
            && now.abs_diff(*at) < FAILURE_PAUSE
        {
            return Err(error.clone());
        }
        self.read(&mut attempts).await
    }

    /// Reads everything again; what was known stays if that fails.
    ///
    /// # Errors
    /// Why the provider's documents cannot be had.
    pub async fn renew(&self) -> Result<Arc<Known>, Error> {
        let mut attempts = self.attempts.lock().await;
        self.read(&mut attempts).await
    }

    /// What is known, with the key `kid` if the provider publishes it. Unknown keys cause at most one
    /// read in ten seconds, however many tokens name them.
    ///
    /// # Errors
    /// As [`Metadata::known`]. That the key is still unknown is no error here.
    pub async fn with_key(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<Known>, Error> {
        let known = self.known().await?;
        if known.keys.knows(kid) {
            return Ok(known);
        }
        // A task of its own: a caller who hangs up must not cut off the one read that all wait for.
        let (this, kid, fallback) = (self.clone(), kid.map(str::to_owned), known.clone());
        let read = tokio::spawn(async move { this.look_for(kid.as_deref(), known).await });
        Ok(read.await.unwrap_or(fallback))
    }

    async fn look_for(&self, kid: Option<&str>, known: Arc<Known>) -> Arc<Known> {
        let mut attempts = self.attempts.lock().await;
        let known = self.known.load_full().unwrap_or(known);
        let now = self.clock.now();
        let lately = attempts.unknown_key.is_some_and(|at| now.abs_diff(at) < UNKNOWN_KEY_PAUSE);
        if known.keys.knows(kid) || lately {
            return known;
        }
        attempts.unknown_key = Some(now);
        match self.read_keys(&known.endpoints.jwks, Some(&known.keys)).await {
            Ok(keys) => {
                let known = Arc::new(Known { endpoints: known.endpoints.clone(), keys });
                self.known.store(Some(known.clone()));
                known
            }
            Err(error) => {
                tracing::warn!(%error, "the JWKS cannot be read again; the known keys stay");
                known
            }
        }
    }

    async fn read(&self, attempts: &mut Attempts) -> Result<Arc<Known>, Error> {
        let result = async {
            let endpoints = self.read_endpoints().await?;
            let current = self.current();
            let keys = self.read_keys(&endpoints.jwks, current.as_deref().map(|known| &known.keys)).await?;
            Ok(Arc::new(Known { endpoints: Arc::new(endpoints), keys }))
        }
        .await;
        match &result {
            Ok(known) => {
                attempts.failed = None;
                self.known.store(Some(known.clone()));
            }
            Err(error) => attempts.failed = Some((self.clock.now(), Error::clone(error))),
        }
        result
    }

    /// The keys as they are published now; the same reading as before if they have not changed, so that
    /// what was verified with it stays verified.
    async fn read_keys(&self, url: &Url, before: Option<&Arc<Keys>>) -> Result<Arc<Keys>, Error> {
        let document = self.http.get("jwks", url).await?;
        let digest = sha256(&document);
        if let Some(same) = before.filter(|keys| keys.digest == digest) {
            return Ok(same.clone());
        }
        let generation = before.map_or(1, |keys| keys.generation + 1);
        Keys::parse(&document, digest, generation).map(Arc::new).map_err(Error::Unusable)
    }

    async fn read_endpoints(&self) -> Result<Endpoints, Error> {
        let o = &self.overrides;
        if let (Some(authorization), Some(token), Some(jwks)) = (&o.authorization, &o.token, &o.jwks_uri) {
            // All that sign-in needs is configured: a provider without discovery works too.
            return Ok(Endpoints {
                authorization: authorization.clone(),
                token: token.clone(),
                userinfo: o.userinfo.clone(),
                revocation: o.revocation.clone(),
                end_session: o.end_session.clone(),
                jwks: jwks.clone(),
                auth_methods: vec![],
            });
        }
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let address = Url::parse(&address).map_err(|e| Error::Unusable(format!("{address}: {e}")))?;
        let document: Document = serde_json::from_slice(&self.http.get("discovery", &address).await?).map_err(|e| {
            Error::Unusable(format!(
                "{address} is no discovery document: {e}. A Cognito pool without a domain has no authorization \
                 endpoint: give the pool a domain"
            ))
        })?;
        if document.issuer().as_str() != self.issuer {
            return Err(Error::Unusable(format!(
                "{address} names the issuer `{}`, the configuration `{}`: write provider.issuer exactly as the document does",
                document.issuer().as_str(),
                self.issuer
            )));
        }
        let extra = document.additional_metadata();
        let token = document.token_endpoint().map(|t| t.url().clone());
        let endpoints = Endpoints {
            authorization: o.authorization.clone().unwrap_or_else(|| document.authorization_endpoint().url().clone()),
            token: o
                .token
                .clone()
                .or(token)
                .ok_or_else(|| Error::Unusable(format!("{address} names no token endpoint")))?,
            userinfo: o.userinfo.clone().or_else(|| document.userinfo_endpoint().map(|u| u.url().clone())),
            revocation: o.revocation.clone().or_else(|| extra.revocation_endpoint.clone()),
            end_session: o.end_session.clone().or_else(|| extra.end_session_endpoint.clone()),
            jwks: o.jwks_uri.clone().unwrap_or_else(|| document.jwks_uri().url().clone()),
            auth_methods: document.token_endpoint_auth_methods_supported().cloned().unwrap_or_default(),
        };
        self.demand_tls(&endpoints)?;
        Ok(endpoints)
    }

    /// Secrets and codes go to no plain-http endpoint, whatever the document says.
    fn demand_tls(&self, endpoints: &Endpoints) -> Result<(), Error> {
        let development = Url::parse(&self.issuer).is_ok_and(|u| u.scheme() == "http");
        let e = endpoints;
        let needed = [Some(&e.authorization), Some(&e.token), Some(&e.jwks)];
        let all = needed.into_iter().chain([e.userinfo.as_ref(), e.revocation.as_ref(), e.end_session.as_ref()]);
        for url in all.flatten() {
            let loopback = development && url.scheme() == "http" && url.host_str().is_some_and(is_loopback);
            if url.scheme() != "https" && !loopback {
                return Err(Error::Unusable(format!("the endpoint {url} is not https")));
            }
        }
        Ok(())
    }
}
