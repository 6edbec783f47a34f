//! What a user pool stores: users, app clients, resource servers, and what was issued to them. The times are the pool's,
//! in epoch seconds.

use super::challenges::ChallengeSessions;
use super::random;
use super::sent_codes::SentCodes;
use super::settings::{AppClient, PoolSettings, ResourceServer};
use super::token_trigger::TokenOverrides;
use super::users::PoolUser;
use std::collections::{HashMap, HashSet};

/// Seconds an authorization code may be redeemed.
const CODE_SECONDS: i64 = 300;
/// Seconds the `cognito` cookie signs in without a password. Fixed, as in a real pool.
pub(super) const SESSION_SECONDS: i64 = 3_600;

/// One authentication of a user at an app client; every token that descends from it carries these.
#[derive(Clone, Debug)]
pub(super) struct UserAuthentication {
    pub(super) client_id: String,
    pub(super) username: String,
    pub(super) scopes: Vec<String>,
    /// The resource that the access token is for (RFC 8707).
    pub(super) audience: Option<String>,
    /// What a pre-token trigger has changed.
    pub(super) overrides: TokenOverrides,
    pub(super) auth_time: i64,
    /// What is revoked when a refresh token is, or the user signs out globally.
    pub(super) origin_jti: String,
    pub(super) event_id: String,
}

impl UserAuthentication {
    pub(super) fn new(client_id: &str, username: &str, scopes: Vec<String>, auth_time: i64) -> Self {
        Self {
            client_id: client_id.to_owned(),
            username: username.to_owned(),
            scopes,
            audience: None,
            overrides: TokenOverrides::default(),
            auth_time,
            origin_jti: random::uuid(),
            event_id: random::uuid(),
        }
    }
}

/// What an authorization code stands for.
#[derive(Clone, Debug)]
pub(super) struct AuthorizationCode {
    pub(super) authentication: UserAuthentication,
    /// The user as the sign-in has read it: what a trigger changes meanwhile is in the next token.
    pub(super) user: PoolUser,
    pub(super) redirect_uri: String,
    pub(super) nonce: Option<String>,
    pub(super) code_challenge: Option<String>,
}

/// What a refresh token stands for.
#[derive(Clone, Debug)]
pub(super) struct IssuedRefreshToken {
    pub(super) authentication: UserAuthentication,
    /// Fixed at the authentication; a rotated token inherits it.
    expires_at: i64,
    /// The end of the grace period of a token that was rotated.
    superseded_at: Option<i64>,
}

/// The hosted UI's session with a browser, behind the `cognito` cookie.
#[derive(Clone, Debug)]
pub(super) struct HostedUiSession {
    pub(super) username: String,
    pub(super) provider: String,
    pub(super) auth_time: i64,
}

/// All of it.
pub(super) struct PoolData {
    pub(super) clients: HashMap<String, AppClient>,
    pub(super) users: Vec<PoolUser>,
    pub(super) newcomers: Vec<PoolUser>,
    pub(super) resource_servers: Vec<ResourceServer>,
    case_sensitive: bool,
    /// By code, with the end of its life.
    codes: HashMap<String, (AuthorizationCode, i64)>,
    /// The `origin_jti` behind each code that was redeemed.
    redeemed: HashMap<String, String>,
    refresh_tokens: HashMap<String, IssuedRefreshToken>,
    /// By cookie, with the end of its life.
    sessions: HashMap<String, (HostedUiSession, i64)>,
    revoked_origins: HashSet<String>,
    /// The identities of the identity pool's guests.
    guests: HashSet<String>,
    pub(super) sent_codes: SentCodes,
    pub(super) challenges: ChallengeSessions,
}

/// Users.
impl PoolData {
    pub(super) fn new(settings: PoolSettings) -> Self {
        let case_sensitive = settings.case_sensitive;
        let flattened = |mut user: PoolUser| {
            if !case_sensitive && user.is_federated() {
                user.username = user.username.to_ascii_lowercase();
            }
            user
        };
        Self {
            clients: settings.clients.into_iter().map(|client| (client.id.clone(), client)).collect(),
            users: settings.users.into_iter().map(flattened).collect(),
            newcomers: settings.newcomers.into_iter().map(flattened).collect(),
            resource_servers: settings.resource_servers,
            case_sensitive,
            codes: HashMap::new(),
            redeemed: HashMap::new(),
            refresh_tokens: HashMap::new(),
            sessions: HashMap::new(),
            revoked_origins: HashSet::new(),
            guests: HashSet::new(),
            sent_codes: SentCodes::default(),
            challenges: ChallengeSessions::default(),
        }
    }

    /// The identity of a new guest.
    pub(super) fn add_guest(&mut self) -> String {
        let identity = format!("eu-west-1:{}", random::uuid());
        self.guests.insert(identity.clone());
        identity
    }

    pub(super) fn is_guest(&self, identity: &str) -> bool {
        self.guests.contains(identity)
    }

    fn same_name(&self, one: &str, other: &str) -> bool {
        if self.case_sensitive { one == other } else { one.eq_ignore_ascii_case(other) }
    }

    pub(super) fn user(&self, username: &str) -> Option<&PoolUser> {
        self.users.iter().find(|user| self.same_name(&user.username, username))
    }

    pub(super) fn enabled_user(&self, username: &str) -> Option<&PoolUser> {
        self.user(username).filter(|user| user.enabled)
    }

    pub(super) fn user_mut(&mut self, username: &str) -> Option<&mut PoolUser> {
        let at = self.users.iter().position(|user| self.same_name(&user.username, username))?;
        self.users.get_mut(at)
    }

    /// A native user by username, or by verified e-mail as an alias.
    pub(super) fn native_user(&self, typed: &str) -> Option<&PoolUser> {
        let native = || self.users.iter().filter(|user| user.password.is_some());
        let has_alias = |user: &&PoolUser| user.verified_email().is_some_and(|email| self.same_name(email, typed));
        native().find(|user| self.same_name(&user.username, typed)).or_else(|| native().find(has_alias))
    }

    /// The user who has an identity at a provider, as the only one or as a linked one.
    pub(super) fn user_with_identity(&self, provider: &str, user_id: &str) -> Option<&PoolUser> {
        self.users.iter().find(|user| user.has_identity(provider, user_id))
    }

    /// Adds a user, unless the name is taken.
    pub(super) fn add_user(&mut self, user: PoolUser) -> bool {
        let free = self.user(&user.username).is_none();
        if free {
            self.users.push(user);
        }
        free
    }

    /// Deletes a user, and everything by which somebody could still be that user.
    pub(super) fn delete_user(&mut self, username: &str) {
        self.sign_out_globally(username);
        self.users.retain(|user| user.username != username);
        self.sessions.retain(|_, (session, _)| session.username != username);
        self.sent_codes.forget(username);
        self.challenges.forget(username);
    }

    /// Makes a newcomer a user, unless the identity has been linked to a user by now, whose name is returned.
    pub(super) fn sign_up(&mut self, newcomer: &PoolUser) -> Option<String> {
        self.newcomers.retain(|other| other.username != newcomer.username);
        let identity = newcomer.identities.first()?;
        let linked = self.user_with_identity(&identity.provider, &identity.user_id).map(|user| user.username.clone());
        if linked.is_none() {
            self.users.push(newcomer.clone());
        }
        linked
    }
}

/// Authorization codes and refresh tokens.
impl PoolData {
    pub(super) fn issue_code(&mut self, code: AuthorizationCode, now: i64) -> String {
        self.codes.retain(|_, (_, expires_at)| *expires_at > now);
        let text = random::uuid();
        self.codes.insert(text.clone(), (code, now.saturating_add(CODE_SECONDS)));
        text
    }

    /// Takes a code out for good: whatever happens next, it is spent.
    pub(super) fn redeem_code(&mut self, text: &str, now: i64) -> Option<AuthorizationCode> {
        let (code, _) = self.codes.remove(text).filter(|(_, expires_at)| *expires_at > now)?;
        self.redeemed.insert(text.to_owned(), code.authentication.origin_jti.clone());
        Some(code)
    }

    /// Revokes everything that was issued for a code which comes a second time (RFC 6749 §4.1.2).
    pub(super) fn revoke_redeemed(&mut self, text: &str) {
        self.revoked_origins.extend(self.redeemed.get(text).cloned());
    }

    pub(super) fn issue_refresh_token(&mut self, authentication: UserAuthentication, expires_at: i64) -> String {
        let text = random::refresh_token();
        self.refresh_tokens
            .insert(text.clone(), IssuedRefreshToken { authentication, expires_at, superseded_at: None });
        text
    }

    /// A refresh token that may be used.
    pub(super) fn refresh_token(&self, text: &str, now: i64) -> Option<IssuedRefreshToken> {
        self.refresh_tokens.get(text).filter(|token| self.is_usable(token, now)).cloned()
    }

    /// Replaces a refresh token. One that is in its grace period already keeps the end it was given first.
    pub(super) fn rotate_refresh_token(&mut self, text: &str, now: i64, grace_seconds: i64) -> Option<String> {
        let token = self.refresh_tokens.get_mut(text)?;
        token.superseded_at.get_or_insert(now.saturating_add(grace_seconds.max(0)));
        let (authentication, expires_at) = (token.authentication.clone(), token.expires_at);
        Some(self.issue_refresh_token(authentication, expires_at))
    }

    /// Revokes a refresh token of this client, and all tokens of the same authentication.
    pub(super) fn revoke(&mut self, text: &str, client_id: &str) {
        let token = self.refresh_tokens.get(text).filter(|token| token.authentication.client_id == client_id);
        self.revoked_origins.extend(token.map(|token| token.authentication.origin_jti.clone()));
    }

    /// Revokes all refresh tokens of a user. Hosted UI sessions live on.
    pub(super) fn sign_out_globally(&mut self, username: &str) {
        // A token may have it with other capitals.
        let stored = self.user(username).map(|user| user.username.clone());
        let username = stored.as_deref().unwrap_or(username);
        let authentications = self.refresh_tokens.values().map(|token| &token.authentication);
        let of_user = authentications.filter(|authentication| authentication.username == username);
        self.revoked_origins.extend(of_user.map(|authentication| authentication.origin_jti.clone()));
        self.codes.retain(|_, (code, _)| code.authentication.username != username);
    }

    pub(super) fn is_revoked_origin(&self, origin_jti: &str) -> bool {
        self.revoked_origins.contains(origin_jti)
    }

    pub(super) fn is_revoked(&self, text: &str) -> bool {
        let token = self.refresh_tokens.get(text);
        token.is_some_and(|token| self.is_revoked_origin(&token.authentication.origin_jti))
    }

    /// Whether a refresh token has been rotated, and its grace period is over.
    pub(super) fn is_superseded(&self, text: &str, now: i64) -> bool {
        self.refresh_tokens.get(text).and_then(|token| token.superseded_at).is_some_and(|end| end <= now)
    }

    pub(super) fn usable_refresh_tokens(&self, now: i64) -> usize {
        self.refresh_tokens.values().filter(|token| self.is_usable(token, now)).count()
    }

    fn is_usable(&self, token: &IssuedRefreshToken, now: i64) -> bool {
        token.expires_at > now
            && token.superseded_at.is_none_or(|end| end > now)
            && !self.is_revoked_origin(&token.authentication.origin_jti)
    }
}

/// Hosted UI sessions.
impl PoolData {
    /// The value of the new session's cookie.
    pub(super) fn open_session(&mut self, session: HostedUiSession, now: i64) -> String {
        self.sessions.retain(|_, (_, expires_at)| *expires_at > now);
        let cookie = random::text(24);
        self.sessions.insert(cookie.clone(), (session, now.saturating_add(SESSION_SECONDS)));
        cookie
    }

    pub(super) fn session(&self, cookie: &str, now: i64) -> Option<&HostedUiSession> {
        self.sessions.get(cookie).filter(|(_, expires_at)| *expires_at > now).map(|(session, _)| session)
    }

    pub(super) fn close_session(&mut self, cookie: &str) {
        self.sessions.remove(cookie);
    }
}
