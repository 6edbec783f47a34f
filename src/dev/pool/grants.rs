//! What the pool remembers: directory, app clients, codes, refresh tokens, hosted-UI sessions.

use std::collections::{HashMap, HashSet};

use super::clients::{AppClient, ResourceServer};
use super::random;
use super::settings::PoolSettings;
use super::users::PoolUser;

/// Seconds a code may be redeemed.
const CODE_SECONDS: i64 = 300;
/// Seconds the `cognito` cookie signs in without a password. Fixed, as in a real pool.
pub(super) const SESSION_SECONDS: i64 = 3_600;

/// One act of signing in; every token that descends from it carries these.
#[derive(Clone, Debug)]
pub(super) struct UserAuthentication {
    pub(super) client_id: String,
    pub(super) username: String,
    pub(super) scopes: Vec<String>,
    pub(super) auth_time: i64,
    pub(super) origin_jti: String,
    pub(super) event_id: String,
}

impl UserAuthentication {
    pub(super) fn new(client_id: &str, username: &str, scopes: Vec<String>, auth_time: i64) -> Self {
        Self {
            client_id: client_id.to_owned(),
            username: username.to_owned(),
            scopes,
            auth_time,
            origin_jti: random::uuid(),
            event_id: random::uuid(),
        }
    }

    pub(super) fn has_scope(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope == name)
    }
}

/// What a code stands for.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) sign_in: UserAuthentication,
    pub(super) redirect_uri: String,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) expires_at: i64,
}

impl Code {
    pub(super) fn lifetime_from(now: i64) -> i64 {
        now.saturating_add(CODE_SECONDS)
    }
}

/// What a refresh token stands for.
#[derive(Clone, Debug)]
pub(super) struct IssuedRefreshToken {
    pub(super) sign_in: UserAuthentication,
    /// End of life, fixed at sign-in; a rotated token inherits it.
    pub(super) expires_at: i64,
    /// Set once rotated: the end of the grace period.
    pub(super) superseded_at: Option<i64>,
}

/// The hosted UI's own session, behind the `cognito` cookie.
#[derive(Clone, Debug)]
pub(super) struct HostedUiSession {
    pub(super) username: String,
    pub(super) provider: String,
    pub(super) auth_time: i64,
    pub(super) expires_at: i64,
}

/// All of it. Times passed in are the pool's own.
#[derive(Debug)]
pub(super) struct PoolData {
    pub(super) clients: HashMap<String, AppClient>,
    pub(super) users: Vec<PoolUser>,
    pub(super) newcomers: Vec<PoolUser>,
    pub(super) resource_servers: Vec<ResourceServer>,
    codes: HashMap<String, Code>,
    /// The sign-ins of codes that were redeemed.
    redeemed: HashMap<String, String>,
    refresh_tokens: HashMap<String, IssuedRefreshToken>,
    sessions: HashMap<String, HostedUiSession>,
    revoked_origins: HashSet<String>,
}

impl PoolData {
    pub(super) fn new(settings: &PoolSettings) -> Self {
        Self {
            clients: settings.clients.iter().map(|client| (client.id.clone(), client.clone())).collect(),
            users: settings.users.clone(),
            newcomers: settings.newcomers.clone(),
            resource_servers: settings.resource_servers.clone(),
            codes: HashMap::new(),
            redeemed: HashMap::new(),
            refresh_tokens: HashMap::new(),
            sessions: HashMap::new(),
            revoked_origins: HashSet::new(),
        }
    }

    pub(super) fn user(&self, username: &str) -> Option<&PoolUser> {
        self.users.iter().find(|user| user.username == username)
    }

    /// Makes a newcomer a user, unless somebody holds the identity by now, whose name is returned.
    pub(super) fn sign_up(&mut self, newcomer: PoolUser) -> Option<String> {
        self.newcomers.retain(|one| one.username != newcomer.username);
        let identity = newcomer.identities.first()?.clone();
        let held = self.identity_mut(&identity.provider, &identity.user_id).map(|user| user.username.clone());
        if held.is_none() {
            self.users.push(newcomer);
        }
        held
    }

    /// The user who holds an identity at a provider.
    pub(super) fn identity_mut(&mut self, provider: &str, user_id: &str) -> Option<&mut PoolUser> {
        let held =
            |user: &PoolUser| user.identities.iter().any(|one| one.provider == provider && one.user_id == user_id);
        self.users.iter_mut().find(|user| held(user))
    }

    pub(super) fn user_mut(&mut self, username: &str) -> Option<&mut PoolUser> {
        self.users.iter_mut().find(|user| user.username == username)
    }

    /// A native user by username, or by verified e-mail as an alias.
    pub(super) fn native_user(&self, typed: &str) -> Option<&PoolUser> {
        let native = || self.users.iter().filter(|user| user.password.is_some());
        native().find(|user| user.username == typed).or_else(|| {
            native().find(|user| {
                user.attributes.get("email_verified").is_some_and(|verified| verified == "true")
                    && user.attributes.get("email").is_some_and(|email| email.eq_ignore_ascii_case(typed))
            })
        })
    }

    pub(super) fn issue_code(&mut self, code: Code, now: i64) -> String {
        self.codes.retain(|_, kept| kept.expires_at > now);
        let text = random::uuid();
        self.codes.insert(text.clone(), code);
        text
    }

    /// Takes a code out for good, so that whatever happens next it is spent.
    pub(super) fn burn_code(&mut self, text: &str, now: i64) -> Option<Code> {
        let code = self.codes.remove(text).filter(|code| code.expires_at > now)?;
        self.redeemed.insert(text.to_owned(), code.sign_in.origin_jti.clone());
        Some(code)
    }

    /// Revokes all that was issued for a code which comes a second time (RFC 6749 §4.1.2).
    pub(super) fn revoke_redeemed(&mut self, text: &str) {
        self.revoked_origins.extend(self.redeemed.get(text).cloned());
    }

    pub(super) fn issue_refresh_token(&mut self, sign_in: UserAuthentication, expires_at: i64) -> String {
        let text = random::refresh_token();
        self.refresh_tokens.insert(text.clone(), IssuedRefreshToken { sign_in, expires_at, superseded_at: None });
        text
    }

    pub(super) fn refresh_grant(&self, text: &str, now: i64) -> Option<IssuedRefreshToken> {
        self.refresh_tokens.get(text).filter(|grant| self.is_live(grant, now)).cloned()
    }

    /// Replaces a refresh token. A token already in its grace period keeps the end it was given first.
    pub(super) fn rotate_refresh_token(&mut self, text: &str, now: i64, grace_seconds: i64) -> Option<String> {
        let grant = self.refresh_tokens.get_mut(text)?;
        grant.superseded_at.get_or_insert(now.saturating_add(grace_seconds.max(0)));
        let (sign_in, expires_at) = (grant.sign_in.clone(), grant.expires_at);
        Some(self.issue_refresh_token(sign_in, expires_at))
    }

    /// Revokes a refresh token and everything of the same sign-in. `false` if the pool never issued it.
    pub(super) fn revoke(&mut self, text: &str, client_id: &str) -> bool {
        let Some(grant) = self.refresh_tokens.get(text).filter(|grant| grant.sign_in.client_id == client_id) else {
            return false;
        };
        self.revoked_origins.insert(grant.sign_in.origin_jti.clone());
        true
    }

    pub(super) fn sign_out_everywhere(&mut self, username: &str) {
        for grant in self.refresh_tokens.values().filter(|grant| grant.sign_in.username == username) {
            self.revoked_origins.insert(grant.sign_in.origin_jti.clone());
        }
        self.codes.retain(|_, code| code.sign_in.username != username);
    }

    pub(super) fn is_revoked_origin(&self, origin_jti: &str) -> bool {
        self.revoked_origins.contains(origin_jti)
    }

    pub(super) fn is_revoked(&self, text: &str) -> bool {
        self.refresh_tokens.get(text).is_some_and(|grant| self.is_revoked_origin(&grant.sign_in.origin_jti))
    }

    pub(super) fn live_refresh_tokens(&self, now: i64) -> usize {
        self.refresh_tokens.values().filter(|grant| self.is_live(grant, now)).count()
    }

    fn is_live(&self, grant: &IssuedRefreshToken, now: i64) -> bool {
        grant.expires_at > now
            && grant.superseded_at.is_none_or(|end| end > now)
            && !self.is_revoked_origin(&grant.sign_in.origin_jti)
    }

    pub(super) fn open_session(&mut self, username: &str, provider: &str, now: i64) -> String {
        self.sessions.retain(|_, session| session.expires_at > now);
        let cookie = random::text(24);
        let session = HostedUiSession {
            username: username.to_owned(),
            provider: provider.to_owned(),
            auth_time: now,
            expires_at: now.saturating_add(SESSION_SECONDS),
        };
        self.sessions.insert(cookie.clone(), session);
        cookie
    }

    pub(super) fn session(&self, cookie: &str, now: i64) -> Option<&HostedUiSession> {
        self.sessions.get(cookie).filter(|session| session.expires_at > now)
    }

    pub(super) fn close_session(&mut self, cookie: &str) {
        self.sessions.remove(cookie);
    }
}
