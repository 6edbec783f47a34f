//! Speaks OpenID Connect with the provider. openidconnect, oauth2 and reqwest stop at this door.
//!
//! Each step is a pair: a request that is made and an answer that is judged. An exchange takes only a
//! [`VerifiedCallback`], and no token leaves here unverified.

mod error;
mod http;
mod keys;
mod metadata;
mod profile;
mod verify;

pub use error::Error;
pub use verify::Rejected;

use crate::config;
use crate::domain::clock::Clock;
use crate::domain::principal::Principal;
use crate::domain::session::Session;
use crate::domain::token::TokenSet;
use crate::domain::transaction::{ProviderRefusal, Transaction, VerifiedCallback};
use crate::telemetry::Metrics;
use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
pub use http::HttpClient;
use metadata::{Endpoints, Known, Metadata};
use oauth2::basic::{BasicErrorResponse, BasicErrorResponseType, BasicTokenType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointNotSet,
    EndpointSet, ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError,
    Scope, StandardRevocableToken, StandardTokenIntrospectionResponse, StandardTokenResponse, TokenResponse, TokenUrl,
};
use profile::{Access, Rules};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;
use verify::{Expected, NonceRule, Unverified};

/// The token endpoint's answer with the ID token as it came (OIDC Core §3.1.3.3).
#[derive(Debug, Serialize, Deserialize)]
struct IdTokenField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

type Answer = StandardTokenResponse<IdTokenField, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    Answer,
    StandardTokenIntrospectionResponse<EmptyExtraTokenFields, BasicTokenType>,
    StandardRevocableToken,
    oauth2::basic::BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

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
    redirect_uri: String,
    http: HttpClient,
    metadata: Metadata,
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
            redirect_uri,
            metadata: Metadata::new(config, http.clone(), clock.clone()),
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
        for (name, hint) in [("login_hint", &hints.login_hint), ("lang", &hints.lang), ("prompt", &hints.prompt)] {
            if let Some(hint) = hint {
                request = request.add_extra_param(name, hint.clone());
            }
        }
        Ok(request.url().0)
    }

    /// Spends the code and judges what comes back (RFC 6749 §4.1.3, OIDC Core §3.1.3).
    ///
    /// # Errors
    /// Any [`Error`]; the code is then burned and the sign-in must begin anew.
    pub async fn exchange(&self, callback: VerifiedCallback) -> Result<(Verified, Transaction), Error> {
        let (code, transaction) = callback.into_parts();
        let known = self.metadata.known().await?;
        let answer = self
            .client(&known.endpoints)?
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(transaction.verifier().expose_secret().to_owned()))
            .request_async(&self.http.at("token"))
            .await
            .map_err(token_error)?;
        let id = answer.extra_fields().id_token.clone();
        let id = id.ok_or_else(|| Error::Unusable("it holds no ID token; is `openid` among the scopes?".into()))?;
        let verified = self.judge(&answer, &id, NonceRule::Exactly(&transaction.nonce())).await?;
        Ok((verified, transaction))
    }

    /// Renews a session's tokens (RFC 6749 §6, OIDC Core §12). What the provider leaves out is kept.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::is_invalid_grant`] tells a dead session from a passing fault.
    pub async fn refresh(&self, session: &Session) -> Result<Verified, Error> {
        let old = &session.tokens;
        let refresh = old.refresh.as_ref().ok_or_else(|| Error::Refused {
            code: "invalid_grant".into(),
            description: Some("this session has no refresh token".into()),
        })?;
        let known = self.metadata.known().await?;
        let answer = self
            .client(&known.endpoints)?
            .exchange_refresh_token(&RefreshToken::new(refresh.expose_secret().to_owned()))
            .request_async(&self.http.at("token"))
            .await
            .map_err(token_error)?;
        let old_id = old.id.expose_secret();
        let mut verified = match answer.extra_fields().id_token.clone() {
            Some(id) => {
                let first = Unverified::parse(old_id)?;
                self.judge(&answer, &id, NonceRule::AbsentOr(first.nonce())).await?
            }
            None => {
                let tokens = self.tokens(&answer, old_id);
                let mut principal = session.principal.clone();
                principal.expires_at = tokens.expires_at;
                Verified { principal, tokens }
            }
        };
        if verified.principal.sub != session.principal.sub {
            return Err(Error::Token(Rejected::Subject));
        }
        if verified.tokens.refresh.is_none() {
            verified.tokens.refresh = Some(refresh.clone());
        }
        Ok(verified)
    }

    /// Revokes a refresh token (RFC 7009). A provider without the endpoint has nothing to revoke.
    ///
    /// # Errors
    /// Any [`Error`]; the caller's sign-out goes on.
    pub async fn revoke(&self, refresh: &SecretString) -> Result<(), Error> {
        let known = self.metadata.known().await?;
        let Some(url) = &known.endpoints.revocation else { return Ok(()) };
        let request = self.revocation(url, &known.endpoints, refresh.expose_secret());
        let response = self.http.call("revocation", request.map_err(|e| Error::Unusable(e.to_string()))?).await?;
        // RFC 7009 §2.2: the body of a 200 means nothing. Cognito's is empty.
        match response.status().as_u16() {
            200 => Ok(()),
            status => Err(Error::Unusable(format!("the revocation endpoint answered {status}"))),
        }
    }

    /// A revocation request (RFC 7009 §2.1). The oauth2 crate has one too, which refuses plain http even
    /// on loopback.
    fn revocation(&self, url: &Url, endpoints: &Endpoints, token: &str) -> ::http::Result<oauth2::HttpRequest> {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut form = format!("token={}", encode(token));
        let mut request = ::http::Request::post(url.as_str()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let secret = self.client_secret.as_ref().map(|secret| encode(secret.expose_secret()));
        match (self.profile.auth_type(&endpoints.auth_methods), secret) {
            (AuthType::BasicAuth, Some(secret)) => {
                let pair = BASE64_STANDARD.encode(format!("{}:{secret}", encode(&self.client_id)));
                request = request.header(AUTHORIZATION, format!("Basic {pair}"));
            }
            (_, secret) => {
                form += &format!("&client_id={}", encode(&self.client_id));
                form.extend(secret.map(|secret| format!("&client_secret={secret}")));
            }
        }
        request.body(form.into_bytes())
    }

    /// The address that ends the provider's own browser session and returns to `after`, if there is one.
    pub async fn logout_url(&self, id_token: Option<&SecretString>, after: &str) -> Option<Url> {
        let known = self.metadata.known().await.ok()?;
        let end_session = known.endpoints.end_session.as_ref()?;
        let id_token = id_token.map(ExposeSecret::expose_secret);
        Some(self.profile.logout_url(end_session, &self.client_id, after, id_token))
    }

    /// Whether a refusal is Cognito's passing one, which deserves one retry.
    pub fn is_linking_quirk(&self, refusal: &ProviderRefusal) -> bool {
        self.profile.is_linking_quirk(refusal)
    }

    /// Which reading of the provider's keys is current.
    pub fn keys_generation(&self) -> Option<u64> {
        self.metadata.current().map(|known| known.keys.generation)
    }

    /// Verifies a bearer token: an access token of an accepted client or an ID token for our client,
    /// by its `token_use`, never either.
    ///
    /// # Errors
    /// [`Error::Token`] for a bad token; others while the provider was never read.
    pub async fn verify_bearer(&self, token: &str) -> Result<Bearer, Error> {
        let token = Unverified::parse(token)?;
        let known = self.metadata.with_key(token.kid()).await?;
        let principal = if token.is_access_token(self.profile.has_token_use()) {
            let claims = token.access_token(&known.keys, self.expected(), |client| self.accepts(client))?;
            self.profile.bearer(&claims, &self.rules)
        } else {
            let claims = token.id_token(&known.keys, self.expected(), NonceRule::Any, None)?;
            self.profile.user(&claims, Access::default(), &self.rules)
        };
        Ok(Bearer { principal, generation: known.keys.generation })
    }

    /// The last second at which a token that runs out at `expires_at` is accepted.
    pub fn accepted_until(expires_at: u64) -> u64 {
        expires_at.saturating_add(verify::LEEWAY)
    }

    fn accepts(&self, client: &str) -> bool {
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

    /// Judges a token endpoint's answer as a whole: no part of it counts unless every part is good.
    async fn judge(&self, answer: &Answer, id: &str, nonce: NonceRule<'_>) -> Result<Verified, Error> {
        let mut tokens = self.tokens(answer, id);
        let raw_access = answer.access_token().secret();
        let token = Unverified::parse(id)?;
        let known: Arc<Known> = self.metadata.with_key(token.kid()).await?;
        let claims = token.id_token(&known.keys, self.expected(), nonce, Some(raw_access))?;
        let mut granted = match answer.scopes() {
            Some(scopes) => scopes.iter().map(|s| s.to_string()).collect(),
            None => self.scopes.clone(),
        };
        if self.profile.has_jwt_access_tokens() {
            let access = Unverified::parse(raw_access)?;
            let known = self.metadata.with_key(access.kid()).await?;
            let access = access.access_token(&known.keys, self.expected(), |client| client == self.client_id)?;
            if access.sub != claims.sub {
                return Err(Error::Token(Rejected::Subject));
            }
            granted = profile::scopes(access.scope.as_deref());
            tokens.expires_at = tokens.expires_at.min(access.exp);
        }
        let access = Access { scopes: granted, expires_at: Some(tokens.expires_at) };
        Ok(Verified { principal: self.profile.user(&claims, access, &self.rules), tokens })
    }

    fn tokens(&self, answer: &Answer, id: &str) -> TokenSet {
        // RFC 6749 §5.1 only recommends expires_in; an hour is Cognito's default.
        let lifetime = answer.expires_in().map_or(3_600, |d| d.as_secs());
        TokenSet {
            access: answer.access_token().secret().clone().into(),
            id: id.to_owned().into(),
            refresh: answer.refresh_token().map(|r| r.secret().clone().into()),
            expires_at: self.clock.now().saturating_add(lifetime),
        }
    }

    fn client(&self, endpoints: &Endpoints) -> Result<Client, Error> {
        let redirect = RedirectUrl::new(self.redirect_uri.clone()).map_err(|e| Error::Unusable(e.to_string()))?;
        let client = oauth2::Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorization.clone()))
            .set_token_uri(TokenUrl::from_url(endpoints.token.clone()))
            .set_redirect_uri(redirect)
            .set_auth_type(self.profile.auth_type(&endpoints.auth_methods));
        Ok(match &self.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
            None => client,
        })
    }
}

fn token_error(error: RequestTokenError<Error, BasicErrorResponse>) -> Error {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(e) => match e.error() {
            BasicErrorResponseType::Extension(code) if code == "temporarily_unavailable" || code == "server_error" => {
                Error::Unavailable { detail: format!("the token endpoint said {code}"), retry_after: None }
            }
            code => Error::Refused { code: code.as_ref().to_owned(), description: e.error_description().cloned() },
        },
        // The body may hold tokens: say only where it stopped making sense.
        RequestTokenError::Parse(e, _) => {
            Error::Unusable(format!("the token endpoint's body is not the JSON of RFC 6749 §5.1, at `{}`", e.path()))
        }
        RequestTokenError::Other(what) => Error::Unusable(format!("the token endpoint: {what}")),
    }
}
