//! The token endpoint, and what its answers are worth (RFC 6749 §§4.1, 5 and 6, OIDC Core §§3.1.3, 5.3
//! and 12, RFC 7009).

use super::claims::Claims;
use super::discovery::Endpoints;
use super::error::Error;
use super::invalid_token::InvalidToken;
use super::profile::{self, AccessTokenClaims, EmailTrust};
use super::verify::{NonceRule, UnverifiedToken};
use super::{AuthenticatedUser, Provider};
use crate::domain::session::Session;
use crate::domain::store_key::{IndexKey, RevocationKey};
use crate::domain::token::{TokenIds, TokenMetadata, TokenSet};
use crate::domain::transaction::{Transaction, VerifiedCallback};
use crate::telemetry::traces::TARGET;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use oauth2::basic::{BasicErrorResponse, BasicErrorResponseType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EmptyExtraTokenFields, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, StandardRevocableToken,
    StandardTokenIntrospectionResponse, StandardTokenResponse, TokenResponse, TokenType, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::instrument;
use url::Url;

/// The token endpoint's answer with the ID token as it came (OIDC Core §3.1.3.3).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IdTokenField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

/// The one type of token that we know how to use, in any case of letters: one of another type must not be used as
/// this one (RFC 6749 §7.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BearerTokenType {
    Bearer,
}

impl TokenType for BearerTokenType {}

type TokenEndpointAnswer = StandardTokenResponse<IdTokenField, BearerTokenType>;
pub(super) type OAuthClient = oauth2::Client<
    BasicErrorResponse,
    TokenEndpointAnswer,
    StandardTokenIntrospectionResponse<EmptyExtraTokenFields, BearerTokenType>,
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
pub struct RefreshFailure {
    /// Why.
    pub error: Error,
    /// The new refresh token, if the provider gave one before something else turned out wrong: by now the
    /// old one may be dead.
    pub rotated: Option<SecretString>,
    /// Whether the old refresh token may be spent, with nothing to show for it.
    pub spent: bool,
}

impl From<Error> for RefreshFailure {
    fn from(error: Error) -> Self {
        Self { error, rotated: None, spent: false }
    }
}

impl Provider {
    /// Spends the code and judges what comes back (RFC 6749 §4.1.3, OIDC Core §3.1.3).
    ///
    /// # Errors
    /// Any [`Error`]; the code is then burned and the sign-in must begin anew.
    #[instrument(target = TARGET, name = "code exchange", skip_all)]
    pub async fn exchange(&self, callback: VerifiedCallback) -> Result<(AuthenticatedUser, Transaction), Error> {
        let (code, transaction) = callback.into_parts();
        let snapshot = self.metadata.snapshot().await?;
        let answer = self
            .client(&snapshot.endpoints)?
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(transaction.verifier().expose_secret().to_owned()))
            .request_async(&self.http.for_endpoint("token"))
            .await
            .map_err(token_error)?;
        let id = answer.extra_fields().id_token.as_deref();
        let id = id.ok_or_else(|| Error::Unusable("it holds no ID token; is `openid` among the scopes?".into()))?;
        let verified = self.judge(&answer, id, NonceRule::Exactly(&transaction.nonce()), EmailTrust::Now).await?;
        if !verified.tokens.renewable && !self.said_unrefreshable.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "refresh token missing: the provider issued no refresh token, so sessions keep the claims of their sign-in \
                 until they end: add `offline_access` to provider.scopes, or what the provider asks for to \
                 provider.authorize_parameters (Google: `access_type=offline`)"
            );
        }
        Ok((verified, transaction))
    }

    /// Renews a session's tokens (RFC 6749 §6, OIDC Core §12). What the provider leaves out is kept.
    ///
    /// # Errors
    /// [`RefreshFailure`]; [`Error::is_invalid_grant`] tells a dead session from a passing fault.
    pub async fn refresh(&self, session: &Session, tokens: &TokenSet) -> Result<AuthenticatedUser, RefreshFailure> {
        let answer = self.ask_for_renewal(tokens.refresh.as_ref()).await?;
        let rotated = refresh_token(&answer);
        // Whose it is comes first: somebody else's may be wrong in other ways, too, and must not be kept for that.
        let claimed = self.claimed_subject(&answer);
        if let Ok(Some(sub)) = &claimed
            && *sub != session.principal.sub
        {
            return Err(Error::Token(InvalidToken::Subject).into());
        }
        let judged = match &claimed {
            Err(rejected) => Err(rejected.clone().into()),
            Ok(_) => self.judge_renewal(session, tokens, &answer).await,
        };
        let known_whose = claimed.is_ok_and(|claimed| claimed.is_some());
        judged.map_err(|error| match error {
            Error::Token(InvalidToken::Subject) => error.into(),
            error if known_whose => RefreshFailure { error, rotated, spent: false },
            error => RefreshFailure { error, spent: rotated.is_some(), rotated: None },
        })
    }

    /// Whose tokens these are by their own word, unverified. `None` where they say nothing that we can read.
    fn claimed_subject(&self, answer: &TokenEndpointAnswer) -> Result<Option<String>, InvalidToken> {
        let token = match id_token(answer) {
            Some(id) => id,
            None if self.profile.has_jwt_access_tokens() => answer.access_token().secret(),
            None => return Ok(None),
        };
        Ok(Some(UnverifiedToken::parse(token)?.into_claims().sub))
    }

    async fn ask_for_renewal(&self, refresh: Option<&SecretString>) -> Result<TokenEndpointAnswer, RefreshFailure> {
        let refresh = refresh.ok_or_else(|| Error::Refused {
            code: "invalid_grant".into(),
            description: Some("this session has no refresh token".into()),
        })?;
        let snapshot = self.metadata.snapshot().await?;
        self.client(&snapshot.endpoints)?
            .exchange_refresh_token(&RefreshToken::new(refresh.expose_secret().to_owned()))
            .request_async(&self.http.for_endpoint("token"))
            .await
            .map_err(token_error)
            .map_err(|error| RefreshFailure { rotated: None, spent: error.may_have_been_done(), error })
    }

    async fn judge_renewal(
        &self,
        session: &Session,
        old: &TokenSet,
        answer: &TokenEndpointAnswer,
    ) -> Result<AuthenticatedUser, Error> {
        let vouched = EmailTrust::For(session.principal.verified_email());
        let mut verified = match id_token(answer) {
            Some(id) => {
                let first = UnverifiedToken::parse(old.id.expose_secret())?;
                self.judge(answer, id, NonceRule::AbsentOr(first.nonce()), vouched).await?
            }
            None => self.judge_without_id_token(session, &old.id, answer, vouched).await?,
        };
        if verified.principal.sub != session.principal.sub {
            return Err(Error::Token(InvalidToken::Subject));
        }
        verified.principal.keep_authentication(&session.principal);
        if verified.token_set.refresh.is_none() {
            verified.token_set.refresh.clone_from(&old.refresh);
        }
        let tokens = &mut verified.tokens;
        tokens.renewable = verified.token_set.refresh.is_some();
        tokens.provider_session = tokens.provider_session.or(session.tokens.provider_session);
        tokens.ids.add_alive(&session.tokens.ids, self.clock.now());
        Ok(verified)
    }

    /// A renewal may give no ID token (OIDC Core §12.2): the user is the same one, as userinfo knows her now.
    async fn judge_without_id_token(
        &self,
        session: &Session,
        old_id: &SecretString,
        answer: &TokenEndpointAnswer,
        vouched: EmailTrust<'_>,
    ) -> Result<AuthenticatedUser, Error> {
        let (token_set, mut tokens) = self.tokens(answer, old_id.expose_secret())?;
        let mut principal = session.principal.clone();
        if let Some(access) = self.judge_access(&token_set.access, &mut tokens, &principal.sub).await? {
            principal.scopes = profile::scopes(access.scope.as_deref());
        } else if let Some(scopes) = granted_scopes(answer) {
            principal.scopes = scopes;
        }
        principal.expires_at = tokens.expires_at;
        let snapshot = self.metadata.snapshot().await?;
        let claims = UnverifiedToken::parse(old_id.expose_secret())?.into_claims();
        if let Some(claims) = self.renewed_claims(claims, &snapshot, answer.access_token().secret()).await? {
            let access = AccessTokenClaims { scopes: principal.scopes, expires_at: Some(principal.expires_at) };
            principal = self.profile.user(&claims, access, &self.rules, vouched);
        }
        Ok(AuthenticatedUser { principal, tokens, token_set })
    }

    /// Revokes a refresh token (RFC 7009). A provider without the endpoint has nothing to revoke.
    ///
    /// # Errors
    /// Any [`Error`]; the caller's sign-out goes on.
    pub async fn revoke(&self, refresh: &SecretString) -> Result<(), Error> {
        let snapshot = self.metadata.snapshot().await?;
        let Some(url) = &snapshot.endpoints.revocation else { return Ok(()) };
        let request = self.revocation(url, &snapshot.endpoints, refresh.expose_secret());
        let response = self.http.call("revocation", request?).await?;
        // RFC 7009 §2.2: the body of a 200 means nothing. Cognito's is empty.
        match response.status().as_u16() {
            200 => Ok(()),
            status => Err(Error::Unusable(format!("the revocation endpoint answered {status}"))),
        }
    }

    /// A revocation request (RFC 7009 §2.1). The oauth2 crate has one too, which refuses plain http even
    /// on loopback.
    fn revocation(&self, url: &Url, endpoints: &Endpoints, token: &str) -> Result<oauth2::HttpRequest, Error> {
        let auth_type = self.auth_type(endpoints)?;
        let settings = self.reloadable.load();
        client_form(url, auth_type, &self.client_id, settings.client_secret.as_ref(), &[("token", token)])
    }

    /// Judges a token endpoint's answer as a whole: no part of it counts unless every part is good.
    #[instrument(target = TARGET, name = "token verification", skip_all)]
    async fn judge(
        &self,
        answer: &TokenEndpointAnswer,
        id: &str,
        nonce: NonceRule<'_>,
        vouched: EmailTrust<'_>,
    ) -> Result<AuthenticatedUser, Error> {
        let (token_set, mut tokens) = self.tokens(answer, id)?;
        let raw_access = answer.access_token().secret();
        let token = UnverifiedToken::parse(id)?;
        let snapshot = self.metadata.with_key(token.kid()).await?;
        let claims = token.id_token(&snapshot.keys, self.expected(), nonce, Some(raw_access))?;
        tokens.ids.add(claims.own_name(id), claims.exp);
        tokens.provider_session = claims.sid().map(IndexKey::provider_session);
        let scopes = match self.judge_access(&token_set.access, &mut tokens, &claims.sub).await? {
            Some(access) => profile::scopes(access.scope.as_deref()),
            None => granted_scopes(answer).unwrap_or_else(|| self.scopes.clone()),
        };
        let claims = self.with_userinfo(claims, &snapshot, raw_access).await?;
        let access = AccessTokenClaims { scopes, expires_at: Some(tokens.expires_at) };
        let principal = self.profile.user(&claims, access, &self.rules, vouched);
        Ok(AuthenticatedUser { principal, tokens, token_set })
    }

    /// Judges an access token that is a JWT: ours, and the same user's. Notes what any other is called.
    async fn judge_access(
        &self,
        access: &SecretString,
        tokens: &mut TokenMetadata,
        sub: &str,
    ) -> Result<Option<Claims>, Error> {
        let raw = access.expose_secret();
        if !self.profile.has_jwt_access_tokens() {
            // A bearer that is none of these is never accepted.
            let (name, ends) = match UnverifiedToken::parse(raw) {
                Ok(token) => (token.claims().own_name(raw), token.claims().exp),
                Err(_) => (RevocationKey::whole_token(raw), tokens.expires_at),
            };
            tokens.ids.add(name, ends);
            return Ok(None);
        }
        let access = UnverifiedToken::parse(raw)?;
        let snapshot = self.metadata.with_key(access.kid()).await?;
        let access = access.access_token(&snapshot.keys, self.expected(), |client| client == self.client_id)?;
        if access.sub != sub {
            return Err(Error::Token(InvalidToken::Subject));
        }
        tokens.ids.add(access.own_name(raw), access.exp);
        tokens.expires_at = tokens.expires_at.min(access.exp);
        Ok(Some(access))
    }

    fn tokens(&self, answer: &TokenEndpointAnswer, id: &str) -> Result<(TokenSet, TokenMetadata), Error> {
        let access = answer.access_token().secret();
        if access.is_empty() {
            return Err(Error::Unusable("its access token is empty".into()));
        }
        let tokens =
            TokenSet { access: access.clone().into(), id: id.to_owned().into(), refresh: refresh_token(answer) };
        let metadata = TokenMetadata {
            expires_at: self.clock.now() + lifetime(answer.expires_in()),
            renewable: tokens.refresh.is_some(),
            ids: TokenIds::default(),
            provider_session: None,
        };
        Ok((tokens, metadata))
    }

    /// How we say who we are. A public client has no secret to show.
    fn auth_type(&self, endpoints: &Endpoints) -> Result<AuthType, Error> {
        match self.reloadable.load().client_secret {
            Some(_) => self.profile.auth_type(&endpoints.auth_methods),
            None => Ok(AuthType::RequestBody),
        }
    }

    pub(super) fn client(&self, endpoints: &Endpoints) -> Result<OAuthClient, Error> {
        let redirect = RedirectUrl::new(self.redirect_uri.clone()).map_err(|e| Error::Unusable(e.to_string()))?;
        let client = oauth2::Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorization.clone()))
            .set_token_uri(TokenUrl::from_url(endpoints.token.clone()))
            .set_redirect_uri(redirect)
            .set_auth_type(self.auth_type(endpoints)?);
        Ok(match &self.reloadable.load().client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
            None => client,
        })
    }
}

/// A form of a client that shows its secret, if it has one (RFC 6749 §2.3.1).
pub(super) fn client_form(
    url: &Url,
    auth_type: AuthType,
    id: &str,
    secret: Option<&SecretString>,
    form: &[(&str, &str)],
) -> Result<oauth2::HttpRequest, Error> {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let mut request = http::Request::post(url.as_str()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    match (auth_type, secret.map(ExposeSecret::expose_secret)) {
        (AuthType::BasicAuth, Some(secret)) => {
            let pair = BASE64_STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
            request = request.header(AUTHORIZATION, format!("Basic {pair}"));
        }
        (_, secret) => {
            body.append_pair("client_id", id);
            body.extend_pairs(secret.map(|secret| ("client_secret", secret)));
        }
    }
    request.body(body.finish().into_bytes()).map_err(|e| Error::Unusable(e.to_string()))
}

/// What an answer holds; empty is absent.
fn id_token(answer: &TokenEndpointAnswer) -> Option<&str> {
    answer.extra_fields().id_token.as_deref().filter(|id| !id.is_empty())
}

fn refresh_token(answer: &TokenEndpointAnswer) -> Option<SecretString> {
    let refresh = answer.refresh_token().map(|refresh| refresh.secret().clone());
    refresh.filter(|refresh| !refresh.is_empty()).map(SecretString::from)
}

fn granted_scopes(answer: &TokenEndpointAnswer) -> Option<Vec<String>> {
    let scopes = answer.scopes()?.iter().map(|scope| scope.to_string());
    Some(scopes.filter(|scope| !scope.is_empty()).collect())
}

/// RFC 6749 §5.1 only recommends `expires_in`; an hour is Cognito's default.
pub(super) fn lifetime(expires_in: Option<Duration>) -> Duration {
    expires_in.unwrap_or(Duration::from_secs(3_600))
}

pub(super) fn token_error(error: RequestTokenError<Error, BasicErrorResponse>) -> Error {
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
