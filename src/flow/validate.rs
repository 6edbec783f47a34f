//! Validates the credentials of a request; called for every request of every sibling site.
//!
//! 1. A bearer token is one that our broker fetched, known by its hash, or is verified locally, by the rules of the issuer
//!    that it names; the result is kept under the token's hash, and refused if it was revoked or its session was ended
//!    here. A session is read from memory, else from the store.
//! 2. The policy is judged: who may be signed in at all, the rules for the page that a proxy asks about, and the
//!    caller's own requirements. A public page is for strangers, too; a program passes a page only where somebody thought of
//!    programs.
//! 3. What is asked of the user's authentication comes last (RFC 9470): signing in again can mend it.
//!
//! No provider call (but for a key never seen), no store write, nothing logged.

use super::{AccessDenied, Error, RelyingParty};
use crate::audit::{self, AuditEvent};
use crate::domain::clock::Timestamp;
use crate::domain::identity::{IdentityResponse, NOBODY};
use crate::domain::machine::{IssuedToken, token_hash};
use crate::domain::page::Page;
use crate::domain::page_rules::{Decision, PageRule};
use crate::domain::principal::{Principal, PrincipalKind, TokenIssuer};
use crate::domain::requirement::Requirement;
use crate::domain::session::SessionId;
use crate::domain::store_key::RevocationKey;
use crate::domain::subject::Subject;
use crate::provider::{self, Bearer, Provider};
use crate::store::OpenedSession;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Verified tokens kept at hand, about, and the bytes of their answers at most.
const BEARERS: usize = 20_000;
const BEARER_BYTES: u64 = 64 << 20;

/// What a caller shows, already sorted out by precedence.
#[derive(Debug)]
pub enum CallerCredentials<'a> {
    /// A token in `Authorization: Bearer` (RFC 6750 §2.1).
    Bearer(&'a str),
    /// The exposed ID token's cookie.
    ExposedIdToken(&'a str),
    /// The session cookie's values.
    Session(&'a [SessionId]),
    /// Something that is no credential: two `Authorization` lines, a cookie that is no id.
    Unreadable,
    /// Nothing.
    None,
}

/// Who a caller is.
#[derive(Debug)]
pub enum Caller {
    /// A browser's session.
    Session(Arc<OpenedSession>),
    /// A bearer token.
    Bearer(Arc<VerifiedBearer>),
    /// A stranger on a public page.
    Nobody,
}

/// A bearer token that was verified.
#[derive(Debug)]
pub struct VerifiedBearer {
    principal: Principal,
    identity: IdentityResponse,
    revocation_keys: Vec<RevocationKey>,
    /// The keys that it was verified with; `None` for one that our broker fetched, which needs none.
    generation: Option<u64>,
    issued: Option<IssuedToken>,
}

impl VerifiedBearer {
    /// One that our broker fetched.
    pub(super) fn of_broker(principal: Principal, issued: IssuedToken) -> Self {
        let identity = IdentityResponse::new(&principal, None);
        let revocation_keys = issued.revocation_keys.clone();
        Self { principal, identity, revocation_keys, generation: None, issued: Some(issued) }
    }

    /// One that was verified with its issuer's keys.
    fn of_issuer(verified: Result<Bearer, provider::Error>) -> Result<Arc<Self>, Error> {
        let verified = verified.map_err(|error| match error {
            provider::Error::Token(rejected) => Error::InvalidCredentials(rejected.to_string()),
            unavailable @ provider::Error::Unavailable { .. } => unavailable.into(),
            // Without keys there is no safe answer, whatever keeps us from them.
            other => provider::Error::unavailable(other.to_string()).into(),
        })?;
        let identity = IdentityResponse::new(&verified.principal, None);
        let (principal, revocation_keys, generation) = (verified.principal, verified.names, Some(verified.generation));
        Ok(Arc::new(Self { principal, identity, revocation_keys, generation, issued: None }))
    }

    /// What our broker noted when it fetched it; `None` for anybody else's.
    pub(super) fn issued(&self) -> Option<&IssuedToken> {
        self.issued.as_ref()
    }

    /// Who it speaks for.
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When its user authenticated at the provider, at the latest; `None` for programs, and users of others.
    fn authenticated_at(&self) -> Option<Timestamp> {
        let Principal { kind, issuer, auth_time, issued_at, .. } = &self.principal;
        let is_user = *kind == PrincipalKind::User && *issuer == TokenIssuer::Provider;
        is_user.then(|| auth_time.unwrap_or(*issued_at))
    }

    /// The revocation keys that invalidate it.
    pub(super) fn revocation_keys(&self) -> &[RevocationKey] {
        &self.revocation_keys
    }
}

/// Verified bearer tokens by the SHA-256 of the token. A token has one issuer, which its principal names, and each issuer
/// one rule for tokens; requirements are judged afterwards, so an entry holds nothing that depends on the caller.
#[derive(Debug)]
pub(super) struct BearerCache(Cache<[u8; 32], Arc<VerifiedBearer>, BearerWeighter>);

#[derive(Debug, Clone)]
struct BearerWeighter;

impl Weighter<[u8; 32], Arc<VerifiedBearer>> for BearerWeighter {
    fn weight(&self, _: &[u8; 32], bearer: &Arc<VerifiedBearer>) -> u64 {
        // The answer says everything that the principal holds.
        2 * bearer.identity.bytes() + 512
    }
}

impl Default for BearerCache {
    fn default() -> Self {
        Self(Cache::with_weighter(BEARERS, BEARER_BYTES, BearerWeighter))
    }
}

impl BearerCache {
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<Arc<VerifiedBearer>> {
        self.0.get(hash)
    }

    pub(super) fn insert(&self, hash: [u8; 32], bearer: Arc<VerifiedBearer>) {
        self.0.insert(hash, bearer);
    }
}

impl Caller {
    /// The answer's contents.
    pub fn identity(&self) -> &IdentityResponse {
        match self {
            Self::Session(opened) => &opened.identity,
            Self::Bearer(bearer) => &bearer.identity,
            Self::Nobody => &NOBODY,
        }
    }

    fn subject(&self) -> Option<&dyn Subject> {
        match self {
            Self::Session(opened) => Some(&opened.identity),
            Self::Bearer(bearer) => Some(&bearer.principal),
            Self::Nobody => None,
        }
    }
}

impl RelyingParty {
    /// Tells who shows `credentials`, if `requirement` (the raw query) and the rules for `page` allow them.
    ///
    /// # Errors
    /// [`Error::InvalidRequirement`], [`Error::Anonymous`], [`Error::InvalidCredentials`], [`Error::Denied`], [`Error::NotAdmitted`],
    /// [`Error::InsufficientAuthentication`], or, with no safe answer, [`Error::Store`] and [`Error::Provider`].
    pub async fn validate(
        &self,
        credentials: CallerCredentials<'_>,
        requirement: Option<&str>,
        page: Option<&Page>,
    ) -> Result<Caller, Error> {
        let requirement = requirement.filter(|query| !query.is_empty());
        let requirement = requirement.map(|query| Requirement::parse(query, self.provider.issuer())).transpose()?;
        let rules = self.rules();
        let policy = &rules.policy;
        let decision = page.filter(|_| !policy.sites.is_empty()).map(|page| (page, policy.sites.judge(page)));
        let who = match (self.identify(credentials).await, &decision) {
            (Ok(who), _) => who,
            (Err(_), Some((_, Decision::Public(_)))) if requirement.is_none() => return Ok(Caller::Nobody),
            (Err(error), _) => return Err(error),
        };
        let Some(subject) = who.subject() else { return Ok(who) };
        let denied = |missing, rule: Option<&PageRule>| {
            let page = decision.as_ref().map(|(page, _)| page.url().split('?').next().unwrap_or_default().to_owned());
            let rule = rule.map(ToString::to_string);
            let client = subject.registered_client().map(str::to_owned);
            let issuer = subject.issuer().further().map(str::to_owned);
            Box::new(AccessDenied { sub: subject.sub().into_owned(), issuer, client, page, rule, missing })
        };
        let for_everybody = matches!(decision, Some((_, Decision::Public(_)))) && requirement.is_none();
        match policy.admit(subject) {
            // Who has named no further issuer is told of nobody there.
            Ok(()) if for_everybody && *subject.issuer() != TokenIssuer::Provider => return Ok(Caller::Nobody),
            Ok(()) => {}
            Err(_) if for_everybody => return Ok(Caller::Nobody),
            Err(missing) => return Err(Error::NotAdmitted(denied(missing, None))),
        }
        match (&decision, page) {
            (Some((_, decision)), _) => decision.check(subject, requirement.as_ref()),
            // Without rules it is a page all the same.
            (None, Some(_)) => Decision::Members(vec![]).check(subject, requirement.as_ref()),
            (None, None) if requirement.is_some() => Ok(()),
            (None, None) => Requirement::default().check_issuer(subject).map_err(|missing| (None, missing)),
        }
        .map_err(|(site, missing)| Error::Denied(denied(missing, site)))?;
        if let Some(requirement) = &requirement {
            requirement.check(subject).map_err(|missing| Error::Denied(denied(missing, None)))?;
        }
        // Last: nobody is asked to authenticate for what they may not see.
        let rules = decision.iter().flat_map(|(_, decision)| decision.authentication());
        let asked = rules.chain(requirement.as_ref().map(|requirement| &requirement.authentication));
        let unmet = asked.filter(|asked| !asked.is_empty() && !asked.is_met(subject, self.clock.now())).cloned();
        match unmet.reduce(|all, one| all.and(&one)) {
            None => Ok(who),
            Some(unmet) => Err(Error::InsufficientAuthentication(unmet)),
        }
    }

    /// Whether the user of `opened` may still be signed in: the policy may be stricter than at the sign-in.
    ///
    /// # Errors
    /// [`Error::NotAdmitted`].
    pub fn admit(&self, opened: &OpenedSession) -> Result<(), Error> {
        let denied = |missing| AccessDenied {
            sub: opened.identity.sub().into_owned(),
            issuer: None,
            client: None,
            page: None,
            rule: None,
            missing,
        };
        self.rules().policy.admit(&opened.identity).map_err(|missing| Error::NotAdmitted(Box::new(denied(missing))))
    }

    /// Records who was refused what, if `error` says so.
    pub fn record_denial(&self, error: &Error) {
        let (Error::Denied(denied) | Error::NotAdmitted(denied)) = error else { return };
        self.audit.record(&AuditEvent::Denied {
            sub: audit::text(&denied.sub),
            issuer: denied.issuer.as_ref().map(audit::text),
            client: denied.client.as_ref().map(audit::text),
            page: denied.page.as_ref().map(audit::text),
            rule: denied.rule.as_ref().map(audit::text),
            missing: audit::text(&denied.missing),
        });
    }

    async fn identify(&self, credentials: CallerCredentials<'_>) -> Result<Caller, Error> {
        match credentials {
            CallerCredentials::Session(ids) => match self.session(ids).await? {
                Some(opened) => Ok(Caller::Session(opened)),
                None => Err(Error::InvalidCredentials("the session is over".into())),
            },
            CallerCredentials::Bearer(token) => self.bearer(token).await.map(Caller::Bearer),
            CallerCredentials::ExposedIdToken(token) => match self.bearer(token).await? {
                bearer if bearer.principal.issuer == TokenIssuer::Provider => Ok(Caller::Bearer(bearer)),
                // A sibling site can plant a cookie.
                _ => Err(Error::InvalidCredentials("the cookie holds a token of another issuer".into())),
            },
            CallerCredentials::Unreadable => Err(Error::InvalidCredentials("they cannot be read".into())),
            CallerCredentials::None => Err(Error::Anonymous),
        }
    }

    pub(super) async fn bearer(&self, token: &str) -> Result<Arc<VerifiedBearer>, Error> {
        let hash = token_hash(token);
        // Keys may have been withdrawn since: then the token is judged anew.
        let generation = |bearer: &VerifiedBearer| match &bearer.principal.issuer {
            TokenIssuer::Provider => self.provider.keys_generation(),
            TokenIssuer::Further(iss) => self.bearer_issuers.keys_generation(iss),
        };
        let is_current =
            |bearer: &Arc<VerifiedBearer>| bearer.generation.is_none() || generation(bearer) == bearer.generation;
        let bearer = match self.bearers.get(&hash).filter(is_current) {
            Some(bearer) if self.clock.now() < Provider::accepted_until(bearer.principal.expires_at) => bearer,
            Some(_) => return Err(Error::InvalidCredentials("the token has expired".into())),
            // Boxed, so that the way that is nearly always taken carries nothing of it along.
            None => Box::pin(self.judge_bearer(token, &hash)).await?,
        };
        self.unless_ended(self.as_registered(bearer, &hash)?).await
    }

    /// A token that this process has not seen yet: our broker's, else one that stands up to verification.
    async fn judge_bearer(&self, token: &str, hash: &[u8; 32]) -> Result<Arc<VerifiedBearer>, Error> {
        let issued = self.issued_bearer(hash).await;
        if let Ok(Some(bearer)) = issued {
            return Ok(bearer);
        }
        let verified = match self.bearer_issuers.verify(token).await {
            Some(verified) => VerifiedBearer::of_issuer(verified),
            None => self.verify(token, None).await,
        };
        match (verified, issued) {
            (Ok(bearer), issued) => {
                // Unless it may be a registered client's: then the store has to say so first.
                if issued.is_ok() {
                    self.bearers.insert(*hash, bearer.clone());
                }
                Ok(bearer)
            }
            // While the store cannot say that it is not ours, nobody calls it dead.
            (Err(Error::InvalidCredentials(_)), Err(unknown)) => Err(unknown),
            (Err(error), _) => Err(error),
        }
    }

    /// Verifies a token of the provider for a client that is accepted, or for `own`.
    pub(super) async fn verify(&self, token: &str, own: Option<&str>) -> Result<Arc<VerifiedBearer>, Error> {
        VerifiedBearer::of_issuer(self.provider.verify_bearer(token, own).await)
    }

    /// A token is good only while it is not revoked and the session that it came with is not ended.
    async fn unless_ended(&self, bearer: Arc<VerifiedBearer>) -> Result<Arc<VerifiedBearer>, Error> {
        let ended = self.sessions.is_revoked(&bearer.revocation_keys).await?
            || match bearer.authenticated_at() {
                Some(time) => self.sessions.were_all_ended_since(time).await?,
                None => false,
            };
        match ended {
            true => Err(Error::InvalidCredentials("the token was revoked, or its session was ended".into())),
            false => Ok(bearer),
        }
    }
}
