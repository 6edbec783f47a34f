//! Where an issuer's endpoints are: its discovery document (OpenID Connect Discovery §4), and what the configuration
//! says in its place.

use super::error::Error;
use super::http::HttpClient;
use super::keys::RsaKey;
use crate::config::ProviderConfig;
use crate::domain::host::is_loopback;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};
use url::Url;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct AdditionalMetadata {
    revocation_endpoint: Option<Url>,
    end_session_endpoint: Option<Url>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for AdditionalMetadata {}

type ProviderDocument = ProviderMetadata<
    AdditionalMetadata,
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

/// The part of a discovery document that verifying tokens needs.
#[derive(Debug, Deserialize)]
struct KeysDocument {
    issuer: String,
    jwks_uri: Url,
}

/// Whose documents are read.
#[derive(Debug)]
pub(super) enum MetadataSource {
    /// The provider's, all of them. Addresses in it replace what discovery says.
    Provider(Box<ProviderConfig>),
    /// Those of an issuer that is asked for nothing but its keys.
    Keys {
        issuer: String,
        /// In place of what discovery says.
        jwks_uri: Option<Url>,
    },
}

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
    /// Whether every answer to a sign-in names the issuer (RFC 9207 §3).
    pub names_issuer: bool,
}

impl Endpoints {
    /// Those of an issuer that is asked for nothing else: whoever has it reads the keys alone.
    fn of_keys(jwks: Url) -> Self {
        Self {
            authorization: jwks.clone(),
            token: jwks.clone(),
            userinfo: None,
            revocation: None,
            end_session: None,
            jwks,
            auth_methods: vec![],
            names_issuer: false,
        }
    }
}

impl MetadataSource {
    fn issuer(&self) -> &str {
        match self {
            Self::Provider(config) => &config.issuer,
            Self::Keys { issuer, .. } => issuer,
        }
    }

    /// The discovery document (OpenID Connect Discovery §4).
    fn discovery_address(&self) -> Result<Url, Error> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer().trim_end_matches('/'));
        Url::parse(&address).map_err(|e| Error::Unusable(format!("{address}: {e}")))
    }

    /// A document may speak only for its own issuer.
    fn check_issuer(&self, address: &Url, named: &str) -> Result<(), Error> {
        if named == self.issuer() {
            return Ok(());
        }
        let key = match self {
            Self::Provider(_) => "provider.issuer",
            Self::Keys { .. } => "the `issuer` of the [[provider.bearer_issuer]]",
        };
        Err(Error::Unusable(format!(
            "{address} names the issuer `{named}`, the configuration `{}`: write {key} exactly as the document does",
            self.issuer()
        )))
    }

    /// Reads where the endpoints are.
    ///
    /// # Errors
    /// Why the document cannot be had.
    pub(super) async fn read(&self, http: &HttpClient) -> Result<Endpoints, Error> {
        match self {
            Self::Provider(config) => self.read_provider(config, http).await,
            Self::Keys { jwks_uri: Some(jwks), .. } => Ok(Endpoints::of_keys(jwks.clone())),
            Self::Keys { jwks_uri: None, .. } => {
                let address = self.discovery_address()?;
                let document = http.get("discovery", &address).await?;
                let document: KeysDocument = serde_json::from_slice(&document)
                    .map_err(|e| Error::Unusable(format!("{address} is no discovery document: {e}")))?;
                self.check_issuer(&address, &document.issuer)?;
                let endpoints = Endpoints::of_keys(document.jwks_uri);
                self.demand_tls(&endpoints)?;
                Ok(endpoints)
            }
        }
    }

    async fn read_provider(&self, o: &ProviderConfig, http: &HttpClient) -> Result<Endpoints, Error> {
        if let (Some(authorization), Some(token), Some(jwks)) =
            (&o.authorization_endpoint, &o.token_endpoint, &o.jwks_uri)
        {
            // All that sign-in needs is configured: a provider without discovery works too.
            return Ok(Endpoints {
                authorization: authorization.clone(),
                token: token.clone(),
                userinfo: o.userinfo_endpoint.clone(),
                revocation: o.revocation_endpoint.clone(),
                end_session: o.end_session_endpoint.clone(),
                jwks: jwks.clone(),
                auth_methods: vec![],
                names_issuer: false,
            });
        }
        let address = self.discovery_address()?;
        let document: ProviderDocument =
            serde_json::from_slice(&http.get("discovery", &address).await?).map_err(|e| {
                Error::Unusable(format!(
                    "{address} is no discovery document: {e}. A Cognito pool without a domain has no authorization \
                 endpoint: give the pool a domain"
                ))
            })?;
        self.check_issuer(&address, document.issuer().as_str())?;
        let extra = document.additional_metadata();
        let token = document.token_endpoint().map(|t| t.url().clone());
        let endpoints = Endpoints {
            authorization: o
                .authorization_endpoint
                .clone()
                .unwrap_or_else(|| document.authorization_endpoint().url().clone()),
            token: o
                .token_endpoint
                .clone()
                .or(token)
                .ok_or_else(|| Error::Unusable(format!("{address} names no token endpoint")))?,
            userinfo: o.userinfo_endpoint.clone().or_else(|| document.userinfo_endpoint().map(|u| u.url().clone())),
            revocation: o.revocation_endpoint.clone().or_else(|| extra.revocation_endpoint.clone()),
            end_session: o.end_session_endpoint.clone().or_else(|| extra.end_session_endpoint.clone()),
            jwks: o.jwks_uri.clone().unwrap_or_else(|| document.jwks_uri().url().clone()),
            auth_methods: document.token_endpoint_auth_methods_supported().cloned().unwrap_or_default(),
            names_issuer: extra.authorization_response_iss_parameter_supported == Some(true),
        };
        self.demand_tls(&endpoints)?;
        Ok(endpoints)
    }

    /// Secrets and codes go to no plain-http endpoint, whatever the document says.
    fn demand_tls(&self, endpoints: &Endpoints) -> Result<(), Error> {
        let development = Url::parse(self.issuer()).is_ok_and(|u| u.scheme() == "http");
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
