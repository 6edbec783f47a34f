//! The token endpoint, and what its answers are worth (RFC 6749 §§4.1, 5 and 6, OIDC Core §§3.1.3, 5.3
//! and 12, RFC 7009).

use super::error::Error;
use super::metadata::{Endpoints, Known};
use super::profile::{self, Access};
use super::verify::{Claims, NonceRule, Rejected, Unverified};
use super::{Provider, Verified};
use crate::domain::session::{Mark, Session};
use crate::domain::token::{TokenNames, TokenSet};
use crate::domain::transaction::{Transaction, VerifiedCallback};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use oauth2::basic::{BasicErrorResponse, BasicErrorResponseType, BasicTokenType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EmptyExtraTokenFields, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, StandardRevocableToken,
    StandardTokenIntrospectionResponse, StandardTokenResponse, TokenResponse, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;

/// The token endpoint's answer with the ID token as it came (OIDC Core §3.1.3.3).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IdTokenField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

type Answer = StandardTokenResponse<IdTokenField, BasicTokenType>;
pub(super) type Client = oauth2::Client<
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

/// A renewal that failed.
#[derive(Debug)]
pub struct NotRefreshed {
    /// Why.
    pub error: Error,
    /// The new refresh token, if the provider gave one before something else turned out wrong: by now the
    /// old one may be dead.
    pub rotated: Option<SecretString>,
    /// Whether the old refresh token may be spent, with nothing to show for it.
    pub spent: bool,
}

impl From<Error> for NotRefreshed {
    fn from(error: Error) -> Self {
        Self { error, rotated: None, spent: false }
    }
}

impl Provider {
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
    /// [`NotRefreshed`]; [`Error::is_invalid_grant`] tells a dead session from a passing fault.
    pub async fn refresh(&self, session: &Session) -> Result<Verified, NotRefreshed> {
        let answer = self.ask_for_renewal(session).await?;
        let rotated = answer.refresh_token().map(|r| SecretString::from(r.secret().clone()));
        self.judge_renewal(session, &answer).await.map_err(|error| {
            // A token that came with somebody else's name may be somebody else's.
            let rotated = rotated.filter(|_| !matches!(error, Error::Token(Rejected::Subject)));
            NotRefreshed { error, rotated, spent: false }
        })
    }

    async fn ask_for_renewal(&self, session: &Session) -> Result<Answer, NotRefreshed> {
        let refresh = session.tokens.refresh.as_ref().ok_or_else(|| Error::Refused {
            code: "invalid_grant".into(),
            description: Some("this session has no refresh token".into()),
        })?;
        let known = self.metadata.known().await?;
        self.client(&known.endpoints)?
            .exchange_refresh_token(&RefreshToken::new(refresh.expose_secret().to_owned()))
            .request_async(&self.http.at("token"))
            .await
            .map_err(token_error)
            .map_err(|error| NotRefreshed { rotated: None, spent: error.may_have_been_done(), error })
    }

    async fn judge_renewal(&self, session: &Session, answer: &Answer) -> Result<Verified, Error> {
        let old_id = session.tokens.id.expose_secret();
        let mut verified = match answer.extra_fields().id_token.as_deref() {
            Some(id) => {
                let first = Unverified::parse(old_id)?;
                self.judge(answer, id, NonceRule::AbsentOr(first.nonce())).await?
            }
            None => {
                let mut tokens = self.tokens(answer, old_id);
                let mut principal = session.principal.clone();
                tokens.names.until = session.tokens.names.until;
                if let Some(access) = self.judge_access(&mut tokens, &principal.sub).await? {
                    principal.scopes = profile::scopes(access.scope.as_deref());
                    tokens.names.add(access.names(), access.exp);
                }
                principal.expires_at = tokens.expires_at;
                Verified { principal, tokens }
            }
        };
        if verified.principal.sub != session.principal.sub {
            return Err(Error::Token(Rejected::Subject));
        }
        let tokens = &mut verified.tokens;
        if tokens.refresh.is_none() {
            tokens.refresh.clone_from(&session.tokens.refresh);
        }
        tokens.provider_session = tokens.provider_session.or(session.tokens.provider_session);
        // The tokens before these may live a while yet.
        tokens.names.add(session.tokens.names.marks.iter().copied(), session.tokens.names.until);
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
    fn revocation(&self, url: &Url, endpoints: &Endpoints, token: &str) -> http::Result<oauth2::HttpRequest> {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut form = format!("token={}", encode(token));
        let mut request = http::Request::post(url.as_str()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
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

    /// Judges a token endpoint's answer as a whole: no part of it counts unless every part is good.
    async fn judge(&self, answer: &Answer, id: &str, nonce: NonceRule<'_>) -> Result<Verified, Error> {
        let mut tokens = self.tokens(answer, id);
        let raw_access = answer.access_token().secret();
        let token = Unverified::parse(id)?;
        let known: Arc<Known> = self.metadata.with_key(token.kid()).await?;
        let claims = token.id_token(&known.keys, self.expected(), nonce, Some(raw_access))?;
        let claims = self.with_userinfo(claims, known.endpoints.userinfo.as_ref(), raw_access).await?;
        tokens.names.add(claims.names(), claims.exp);
        tokens.provider_session = claims.sid().map(Mark::provider_session);
        let granted = match self.judge_access(&mut tokens, &claims.sub).await? {
            Some(access) => {
                tokens.names.add(access.names(), access.exp);
                profile::scopes(access.scope.as_deref())
            }
            None => match answer.scopes() {
                Some(scopes) => scopes.iter().map(|s| s.to_string()).collect(),
                None => self.scopes.clone(),
            },
        };
        let access = Access { scopes: granted, expires_at: Some(tokens.expires_at) };
        Ok(Verified { principal: self.profile.user(&claims, access, &self.rules), tokens })
    }

    /// Judges an access token that is a JWT: ours, and the same user's.
    async fn judge_access(&self, tokens: &mut TokenSet, sub: &str) -> Result<Option<Claims>, Error> {
        if !self.profile.has_jwt_access_tokens() {
            return Ok(None);
        }
        let access = Unverified::parse(tokens.access.expose_secret())?;
        let known = self.metadata.with_key(access.kid()).await?;
        let access = access.access_token(&known.keys, self.expected(), |client| client == self.client_id)?;
        if access.sub != sub {
            return Err(Error::Token(Rejected::Subject));
        }
        tokens.expires_at = tokens.expires_at.min(access.exp);
        Ok(Some(access))
    }

    /// Adds what only the userinfo endpoint tells: a strict provider keeps the claims of `email` and
    /// `profile` out of the code flow's ID token (OIDC Core §§5.3 and 5.4).
    async fn with_userinfo(&self, mut claims: Claims, endpoint: Option<&Url>, access: &str) -> Result<Claims, Error> {
        let Some(url) = endpoint.filter(|_| self.profile.asks_userinfo() && claims.lacks_a_profile()) else {
            return Ok(claims);
        };
        let request = http::Request::get(url.as_str())
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Bearer {access}"))
            .body(Vec::new())
            .map_err(|_| Error::Unusable("the access token is no b64token (RFC 6750 §2.1)".into()))?;
        let response = self.http.call("userinfo", request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(Error::Unusable(format!("the userinfo endpoint answered {}", response.status())));
        }
        let told = serde_json::from_slice(response.body())
            .map_err(|_| Error::Unusable("the userinfo endpoint's body is not the JSON of OIDC Core §5.3.2".into()))?;
        claims.add(told)?;
        Ok(claims)
    }

    fn tokens(&self, answer: &Answer, id: &str) -> TokenSet {
        // RFC 6749 §5.1 only recommends expires_in; an hour is Cognito's default.
        let lifetime = answer.expires_in().map_or(3_600, |d| d.as_secs());
        TokenSet {
            access: answer.access_token().secret().clone().into(),
            id: id.to_owned().into(),
            refresh: answer.refresh_token().map(|r| r.secret().clone().into()),
            expires_at: self.clock.now().saturating_add(lifetime),
            names: TokenNames::default(),
            provider_session: None,
        }
    }

    pub(super) fn client(&self, endpoints: &Endpoints) -> Result<Client, Error> {
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
                Error::unavailable(format!("the token endpoint said {code}"))
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
