//! Every provider quirk, as data and small functions. Nothing outside this file knows Cognito.

use super::claims::Claims;
use super::error::Error;
use crate::config::Profile;
use crate::domain::clock::Timestamp;
use crate::domain::principal::{Principal, PrincipalKind};
use crate::domain::sign_in::SignInScreen;
use crate::domain::transaction::AuthorizationError;
use crate::domain::user::{LinkedIdentity, is_true, provider};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth2::AuthType;
use openidconnect::core::CoreClientAuthMethod;
use serde_json::Value;

use url::Url;

/// The host of Google's issuer.
const GOOGLE: &str = "accounts.google.com";

impl Profile {
    /// Whether tokens say what they are for in `token_use`.
    pub(super) fn has_token_use(self) -> bool {
        self == Self::Cognito
    }

    /// Whether access tokens are JWTs that we can and must verify at sign-in.
    pub(super) fn has_jwt_access_tokens(self) -> bool {
        self == Self::Cognito
    }

    /// Whether the userinfo endpoint knows more than the ID token. Cognito's ID token has it all.
    pub(super) fn uses_userinfo(self) -> bool {
        self == Self::Oidc
    }

    /// Whether an access token was made for no API in particular. Cognito's has no audience then. Keycloak's, which
    /// says `typ: Bearer` among its claims, has none either, or that of Keycloak's own account pages, which everybody
    /// there may use.
    pub(super) fn is_for_no_api(self, access: &Claims) -> bool {
        match self {
            Self::Cognito => access.audiences().is_empty(),
            Self::Oidc => {
                access.other_text("typ") == Some("Bearer") && access.audiences().iter().all(|aud| aud == "account")
            }
        }
    }

    /// How the client shows its secret at the token endpoint. Cognito's secrets may hold `+`, and whether
    /// it decodes HTTP Basic as RFC 6749 §2.3.1 says is not known: the body is safe.
    ///
    /// # Errors
    /// [`Error::Unusable`] where the provider takes it in neither way: it would only be exposed.
    pub(super) fn auth_type(self, supported: &[CoreClientAuthMethod]) -> Result<AuthType, Error> {
        use CoreClientAuthMethod::{ClientSecretBasic, ClientSecretPost};
        // Basic is what holds when the document says nothing (OpenID Connect Discovery §3).
        let basic = supported.is_empty() || supported.contains(&ClientSecretBasic);
        match basic || supported.contains(&ClientSecretPost) {
            true if basic && self != Self::Cognito => Ok(AuthType::BasicAuth),
            true => Ok(AuthType::RequestBody),
            false => {
                let offered: Vec<_> = supported.iter().map(AsRef::as_ref).collect();
                Err(Error::Unusable(format!(
                    "its token endpoint takes a client's secret neither as client_secret_basic nor as \
                     client_secret_post, only {}: allow one of the two for this client",
                    offered.join(", ").chars().take(100).collect::<String>().escape_debug()
                )))
            }
        }
    }

    /// Whether the provider gives refresh tokens only to those who ask for them (OIDC Core §11).
    pub(super) fn asks_consent_for(self, scopes: &[String]) -> bool {
        self == Self::Oidc && scopes.iter().any(|scope| scope == "offline_access")
    }

    /// The parameter that picks an identity provider on the sign-in page, if there is one.
    pub(super) fn provider_parameter(self) -> Option<&'static str> {
        (self == Self::Cognito).then_some("identity_provider")
    }

    /// The `prompt` that shows the page for new accounts (Initiating User Registration via OpenID Connect 1.0).
    pub(super) fn sign_up_prompt(self) -> Option<&'static str> {
        (self == Self::Oidc).then_some("create")
    }

    /// Cognito's pages for new accounts and for new passwords, which take the parameters of a sign-in and go on with it.
    pub(super) fn lead_to(self, screen: SignInScreen, authorize: &mut Url) {
        let page = match screen {
            SignInScreen::SignIn => return,
            SignInScreen::SignUp => "signup",
            SignInScreen::NewPassword => "forgotPassword",
        };
        if let Some(path) = authorize.path().strip_suffix("/oauth2/authorize").filter(|_| self == Self::Cognito) {
            authorize.set_path(&format!("{path}/{page}"));
        }
    }

    /// The parameter that picks the sign-in page's language.
    pub(super) fn language_parameter(self) -> &'static str {
        match self {
            Self::Cognito => "lang",
            Self::Oidc => "ui_locales",
        }
    }

    /// The address that ends the provider's own session and returns to `after`.
    pub(super) fn logout_url(self, end_session: &Url, client_id: &str, after: &str, id_token: Option<&str>) -> Url {
        let mut url = end_session.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", client_id);
        match self {
            // Not OIDC RP-initiated logout: exactly these two.
            Self::Cognito => query.append_pair("logout_uri", after),
            Self::Oidc => {
                if let Some(id_token) = id_token {
                    query.append_pair("id_token_hint", id_token);
                }
                query.append_pair("post_logout_redirect_uri", after)
            }
        };
        drop(query);
        url
    }

    /// Whether the sign-in page is known to heed `prompt`. Of Cognito's, managed login does and the classic hosted UI
    /// does not.
    pub(super) fn heeds_prompt(self) -> bool {
        self == Self::Oidc
    }

    /// The `prompt` that makes the user authenticate. Google, which never asks again for a password, knows
    /// `select_account` alone.
    pub(super) fn reauthentication(self, issuer_host: &str) -> &'static str {
        match self {
            Self::Oidc if issuer_host == GOOGLE => "select_account",
            Self::Cognito | Self::Oidc => "login",
        }
    }

    /// The `prompt` that leads to another account. Managed login hands both words on. `login` is the one that every
    /// provider must know (OIDC Core §3.1.2.1), but for Google.
    pub(super) fn account_choice(self, issuer_host: &str) -> &'static str {
        match self {
            Self::Cognito => "select_account login",
            Self::Oidc => self.reauthentication(issuer_host),
        }
    }

    /// Whether the user turned back: RFC 6749's code for it, and those of identity providers (Apple, LinkedIn) that
    /// Cognito hands on, as a code or within a description. A miss only costs a calmer tone.
    pub(super) fn is_cancellation(self, refusal: &AuthorizationError) -> bool {
        const CODES: [&str; 4] = ["access_denied", "user_cancelled_authorize", "user_cancelled_login", "user_denied"];
        let text = refusal.description.as_deref().unwrap_or_default();
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        CODES.contains(&refusal.code.as_str())
            || self == Self::Cognito && refusal.code == "invalid_request" && words.any(|word| CODES.contains(&word))
    }

    /// Cognito's answer to the first sign-in of a federated user that a trigger has just linked to a
    /// native one. The second attempt succeeds. The text is not guaranteed, so a miss only costs the
    /// user a click.
    pub(super) fn is_linking_quirk(self, refusal: &AuthorizationError) -> bool {
        let text = refusal.description.as_deref().unwrap_or_default().to_ascii_lowercase();
        self == Self::Cognito && text.contains("already found an entry for username")
    }

    /// The user that a verified ID token speaks for, with what its access token adds.
    pub(super) fn user(
        self,
        id: &Claims,
        access: AccessTokenClaims,
        rules: &MappingRules,
        vouched: EmailTrust<'_>,
    ) -> Principal {
        let username = match self {
            Self::Cognito => id.other_text("cognito:username"),
            Self::Oidc => id.other_text("preferred_username"),
        };
        let username = username.unwrap_or(&id.sub).to_owned();
        let provider = match self {
            Self::Cognito => {
                let identities = id.other.get("identities").map(LinkedIdentity::list).unwrap_or_default();
                provider(&username, &identities).to_owned()
            }
            Self::Oidc => rules.issuer_host.clone(),
        };
        let trusted = rules.trust_email_from.contains(&provider) && vouched.covers(id.email.as_deref());
        let vouched = id.email_verified.as_ref().is_some_and(is_true) || trusted;
        Principal {
            kind: PrincipalKind::User,
            sub: id.sub.clone(),
            username,
            email_verified: vouched && id.email.is_some(),
            email: id.email.clone(),
            name: id.name.clone().or_else(|| id.other_text("given_name").map(str::to_owned)),
            groups: self.groups(id, rules),
            scopes: access.scopes,
            client_id: rules.client_id.clone(),
            provider: Some(provider),
            attributes: attributes(id),
            auth_time: id.auth_time(),
            acr: id.acr(),
            amr: id.amr(),
            issued_at: id.iat,
            expires_at: access.expires_at.unwrap_or(id.exp),
            ..Principal::default()
        }
    }

    /// The user or machine that a verified access token speaks for. Cognito's knows an e-mail address only where a
    /// pre-token trigger has put it there.
    pub(super) fn bearer(self, access: &Claims, rules: &MappingRules) -> Principal {
        let username = access.username.as_deref().or(match self {
            Self::Cognito => None,
            Self::Oidc => access.other_text("preferred_username"),
        });
        let kind = if self.is_machine(access) { PrincipalKind::Machine } else { PrincipalKind::User };
        // A program does not authenticate as a user does, whatever its token says.
        let user = (kind == PrincipalKind::User).then_some(access);
        Principal {
            kind,
            sub: access.sub.clone(),
            username: username.unwrap_or(&access.sub).to_owned(),
            email_verified: access.email.is_some() && access.email_verified.as_ref().is_some_and(is_true),
            email: access.email.clone(),
            name: access.name.clone(),
            groups: self.groups(access, rules),
            scopes: scopes(access.scope.as_deref()),
            client_id: access.client().unwrap_or_default().to_owned(),
            attributes: attributes(access),
            auth_time: user.and_then(Claims::auth_time),
            acr: user.and_then(Claims::acr),
            amr: user.map(Claims::amr).unwrap_or_default(),
            issued_at: access.iat,
            expires_at: access.exp,
            ..Principal::default()
        }
    }

    /// Whether a token was issued to a client for itself. Only what no person can have says so.
    pub(super) fn is_machine(self, claims: &Claims) -> bool {
        let only_audience = claims.audiences().first().filter(|_| claims.audiences().len() == 1);
        let client = claims.client().or(only_audience.map(String::as_str)).unwrap_or_default();
        if client.is_empty() || claims.username.is_some() {
            return false;
        }
        // RFC 9068 §2.2, and Cognito.
        if claims.sub == client {
            return true;
        }
        self == Self::Oidc && (is_service_account(claims, client) || is_dex_client(&claims.sub, client))
    }

    /// Whether the claim that holds the groups is missing.
    pub(super) fn lacks_groups(self, claims: &Claims, rules: &MappingRules) -> bool {
        claims.at(self.groups_claim(rules)).is_none()
    }

    fn groups_claim(self, rules: &MappingRules) -> &str {
        match (&rules.groups_claim, self) {
            (Some(claim), _) => claim.as_str(),
            (None, Self::Cognito) => "cognito:groups",
            (None, Self::Oidc) => "groups",
        }
    }

    /// Groups without the one that Cognito makes for every federated provider, `<pool>_<Provider>`.
    fn groups(self, claims: &Claims, rules: &MappingRules) -> Vec<String> {
        let claim = claims.at(self.groups_claim(rules));
        let all: Vec<&str> = match claim {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            // Zitadel's roles: each with the organizations that granted it.
            Some(Value::Object(roles)) => roles.keys().map(String::as_str).collect(),
            _ => vec![],
        };
        let automatic = |group: &str| {
            self == Self::Cognito && group.strip_prefix(rules.pool_id.as_str()).is_some_and(|g| g.starts_with('_'))
        };
        all.into_iter().filter(|g| !g.is_empty() && !automatic(g)).map(str::to_owned).collect()
    }
}

/// Keycloak's user that stands for a client. A person can have taken such a name, but never without a session.
fn is_service_account(claims: &Claims, client: &str) -> bool {
    let named = claims.other_text("preferred_username").and_then(|name| name.strip_prefix("service-account-"));
    let in_a_session = ["sid", "session_state"].iter().any(|name| claims.other.contains_key(*name));
    // It writes user names in small letters.
    named.is_some_and(|name| name.eq_ignore_ascii_case(client)) && !in_a_session
}

/// Dex's subject of a client: a protocol buffer with the user's id in its first field, and without the second one,
/// which names the connector that every person comes by.
fn is_dex_client(sub: &str, client: &str) -> bool {
    let Ok(length) = u8::try_from(client.len()) else { return false };
    let subject = [&[0x0a, length], client.as_bytes()].concat();
    length < 0x80 && BASE64_URL_SAFE_NO_PAD.decode(sub).is_ok_and(|decoded| decoded == subject)
}

/// Whether `provider.trust_email_from` vouches for an address. The identity provider named there told it when the
/// user signed in; later the user may have written another one at the pool.
#[derive(Debug, Clone, Copy)]
pub(super) enum EmailTrust<'a> {
    /// At the sign-in itself.
    Now,
    /// At a renewal: for the address that was verified before.
    For(Option<&'a str>),
    /// For no bearer token: nobody saw its sign-in.
    Never,
}

impl EmailTrust<'_> {
    fn covers(self, email: Option<&str>) -> bool {
        match self {
            Self::Now => true,
            Self::For(before) => before.is_some() && before == email,
            Self::Never => false,
        }
    }
}

/// What the access token adds to an ID token.
#[derive(Debug, Default)]
pub(super) struct AccessTokenClaims {
    pub(super) scopes: Vec<String>,
    pub(super) expires_at: Option<Timestamp>,
}

/// What the mapping needs of the configuration.
#[derive(Debug)]
pub(super) struct MappingRules {
    pub(super) client_id: String,
    pub(super) pool_id: String,
    pub(super) issuer_host: String,
    pub(super) trust_email_from: Vec<String>,
    pub(super) groups_claim: Option<String>,
}

/// RFC 6749 §3.3: words between spaces.
pub(super) fn scopes(scope: Option<&str>) -> Vec<String> {
    scope.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

fn attributes(claims: &Claims) -> Vec<(String, String)> {
    let custom = claims.other.iter().filter(|(name, _)| name.starts_with("custom:"));
    custom
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}
