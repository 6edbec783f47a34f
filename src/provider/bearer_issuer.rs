//! Further issuers whose access tokens count as bearers: verified with their own keys, by their own rules, and heard only
//! in what the configuration lists.
//!
//! Somebody else may administer such an issuer. So of a token nothing is taken over but who it speaks for, its times, and
//! listed groups and scopes: no address, no attribute, no time of authentication, and no id by which a session or a token
//! of the provider could be revoked.

use super::bearer::{Bearer, BearerKind};
use super::claims::Claims;
use super::discovery::MetadataSource;
use super::error::Error;
use super::http::HttpClient;
use super::invalid_token::InvalidToken;
use super::metadata::Metadata;
use super::profile::MappingRules;
use super::verify::{ExpectedClaims, UnverifiedToken};
use crate::config::{BearerIssuerConfig, ProviderConfig};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::finding::Finding;
use crate::domain::principal::{Principal, TokenIssuer};
use crate::telemetry::traces::TARGET;
use std::sync::Arc;
use tracing::instrument;

/// No `sub` is longer (OIDC Core §2), bytes.
const SUBJECT_MAX: usize = 255;
/// Nor is a user name or a client's id that is to stand in a header.
const NAME_MAX: usize = 512;

/// The issuers of `[[provider.bearer_issuer]]`.
#[derive(Debug)]
pub struct BearerIssuers(Vec<BearerIssuer>);

#[derive(Debug)]
struct BearerIssuer {
    iss: Arc<str>,
    config: BearerIssuerConfig,
    rules: MappingRules,
    metadata: Arc<Metadata>,
    clock: Arc<dyn Clock>,
}

impl BearerIssuers {
    /// Those of `config`, asked for their keys by `http`. Reads nothing yet.
    pub fn new(http: &HttpClient, config: &ProviderConfig, clock: &Arc<dyn Clock>) -> Self {
        let issuers = config.bearer_issuer.iter();
        Self(issuers.map(|config| BearerIssuer::new(http, config, clock)).collect())
    }

    /// Verifies an access token of one of them. `None`: it says that it is of none of them.
    ///
    /// # Errors
    /// [`Error::Token`] for a bad token; others while its issuer's keys were never read.
    pub async fn verify(&self, token: &str) -> Option<Result<Bearer, Error>> {
        if self.0.is_empty() {
            return None;
        }
        // What cannot be read is nobody's.
        let token = UnverifiedToken::parse(token).ok()?;
        let issuer = self.get(&token.claims().iss)?;
        Some(issuer.verify(token).await)
    }

    /// Which reading of the keys of `iss` is current.
    pub fn keys_generation(&self, iss: &str) -> Option<u64> {
        self.get(iss)?.metadata.generation()
    }

    /// Reads the keys of `iss` again; what was known stays if that fails.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub async fn renew(&self, iss: &str) -> Result<(), Error> {
        match self.get(iss) {
            Some(issuer) => issuer.metadata.renew().await.map(drop),
            None => Ok(()),
        }
    }

    /// Those whose keys cannot be had at the moment, and why.
    pub fn degraded(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter_map(|issuer| {
            let never = || issuer.metadata.current().is_none().then(|| "its keys were never read".to_owned());
            Some((&*issuer.iss, issuer.metadata.last_failure().map(|error| error.to_string()).or_else(never)?))
        })
    }

    /// When the keys of each were last read, changed or not; without those whose keys never were.
    pub fn keys_fetched(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.0.iter().filter_map(|issuer| Some((&*issuer.iss, issuer.metadata.keys_fetched()?)))
    }

    /// Asks each for its documents.
    pub async fn probe(&self) -> Vec<Finding> {
        let asked = self.0.iter().map(async |issuer| match issuer.metadata.renew().await {
            Ok(_) => Finding::Good(format!("bearer issuer {}: its keys are published", issuer.iss)),
            Err(error) => Finding::Bad(format!("bearer issuer {}: {error}", issuer.iss)),
        });
        futures_util::future::join_all(asked).await
    }

    fn get(&self, iss: &str) -> Option<&BearerIssuer> {
        self.0.iter().find(|issuer| *issuer.iss == *iss)
    }
}

impl BearerIssuer {
    fn new(http: &HttpClient, config: &BearerIssuerConfig, clock: &Arc<dyn Clock>) -> Self {
        let source = MetadataSource::Keys { issuer: config.issuer.clone(), jwks_uri: config.jwks_uri.clone() };
        Self {
            iss: config.issuer.as_str().into(),
            rules: MappingRules {
                client_id: String::new(),
                pool_id: config.issuer.rsplit('/').next().unwrap_or_default().to_owned(),
                issuer_host: String::new(),
                trust_email_from: vec![],
                groups_claim: config.groups_claim.clone(),
            },
            config: config.clone(),
            metadata: Arc::new(Metadata::new(source, http.clone(), clock.clone())),
            clock: clock.clone(),
        }
    }

    #[instrument(target = TARGET, name = "token verification", skip_all)]
    async fn verify(&self, token: UnverifiedToken<'_>) -> Result<Bearer, Error> {
        let config = &self.config;
        let token_use = config.profile.has_token_use();
        if token.kind(token_use)? != BearerKind::AccessToken {
            return Err(InvalidToken::TokenUse.into());
        }
        let snapshot = self.metadata.with_untrusted_key(token.kid()).await?;
        let expected = ExpectedClaims {
            issuer: &self.iss,
            // No client of ours is there: nothing is compared with it in an access token.
            client_id: "",
            now: self.clock.now(),
            token_use,
        };
        let accepted = |client: &str| config.accepted_clients.iter().any(|one| one == client);
        let claims = token.access_token(&snapshot.keys, expected, accepted)?;
        let for_us = claims.audiences().iter().any(|aud| config.accepted_audiences.contains(aud));
        if !for_us && !config.profile.is_for_no_api(&claims) {
            return Err(InvalidToken::ForeignAudience.into());
        }
        let principal = self.principal(&claims)?;
        Ok(Bearer { principal, names: vec![], generation: snapshot.keys.generation })
    }

    /// What a verified token says that counts.
    fn principal(&self, claims: &Claims) -> Result<Principal, InvalidToken> {
        let said = self.config.profile.bearer(claims, &self.rules);
        if !self.config.kinds.contains(&said.kind) {
            return Err(InvalidToken::Kind);
        }
        let names = [&said.sub, &said.username, &said.client_id];
        if said.sub.len() > SUBJECT_MAX || names.iter().any(|name| name.len() > NAME_MAX) {
            return Err(InvalidToken::TooLong);
        }
        let listed =
            |list: Vec<String>, allowed: &[String]| list.into_iter().filter(|one| allowed.contains(one)).collect();
        Ok(Principal {
            issuer: TokenIssuer::Further(self.iss.clone()),
            kind: said.kind,
            sub: said.sub,
            username: said.username,
            groups: listed(said.groups, &self.config.groups),
            scopes: listed(said.scopes, &self.config.scopes),
            client_id: said.client_id,
            provider: Some(self.config.issuer.clone()),
            issued_at: said.issued_at,
            expires_at: said.expires_at,
            ..Principal::default()
        })
    }
}
