//! Renewal of a session's tokens (RFC 6749 §6), without signing users out on transient failures.
//!
//! 1. Tokens with enough life left are good as they are, unless the caller insists; what was renewed a
//!    moment ago is good for everybody, or callers who came together would each cost a renewal.
//! 2. One renewal of a session at a time: in this process, who comes while one is under way gets its
//!    result; across processes, whoever holds the session's lease renews, and the others wait for what
//!    it writes. It runs as a task of its own, so that a caller who goes away cannot lose a rotated
//!    refresh token.
//! 3. With the lease in hand the session is read again: no refresh token is spent that was replaced.
//! 4. The provider is asked, within what all processes together may ask ([`ProviderBudget`](super::budget)). Only
//!    its own `invalid_grant`, or a bare refusal that it keeps to for an hour, and no newer version in the store,
//!    ends the session; any other fault leaves it as it was, and nobody asks again for a while, which grows with
//!    each failure of this session.
//! 5. The result is written with compare-and-set. A session that was ended meanwhile stays ended, and
//!    what we just got is revoked. A new refresh token is written down even if what came with it is not
//!    believed, since the old one may be dead by then. Who may not be signed in any more is signed out.
//!
//! A refresh token can be spent with nothing to show for it: by a process that died at work, by an
//! answer that never came, by a store that lost its successor. If the provider then says `invalid_grant`, that may be our own doing. Such a
//! session goes on without a refresh token, for [`ORPHANED_TTL`] at most.

use super::single_flight::{Flight, SingleFlight};
use super::{Error, PANICKED, RelyingParty, lease_time, poll_pause};
use crate::audit::SessionEndedBy;
use crate::domain::backoff::next_second;
use crate::domain::session::{Session, SessionId};
use crate::domain::store_key::SessionKey;
use crate::domain::token::{TokenMetadata, TokenSet};
use crate::provider::{self, AuthenticatedUser, RefreshFailure};
use crate::store::{FencingToken, LeaseOutcome, LeaseRelease, OpenedSession, Priority, SessionUpdate, TokenChange};
use crate::telemetry::traces::TARGET;
use secrecy::SecretString;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::instrument;

/// Tokens renewed less than this ago are not renewed again.
const MIN_RENEWAL_AGE: Duration = Duration::from_secs(5);
/// `Retry-After` if the provider sent none.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(2);
/// When a renewal is tried again that was refused while nobody knows whether the store has lost writes.
const RECOVERY_PAUSE: Duration = Duration::from_secs(5);
/// How long a renewal waits for a permit of the shared rate limit.
const MAX_PERMIT_WAIT: Duration = Duration::from_secs(15);
/// Pauses before a renewed session is written again.
const STORE_RETRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
/// How long a session lasts whose refresh token was lost by a fault.
const ORPHANED_TTL: Duration = Duration::from_secs(86_400);

/// The renewals under way in this process, and what makes each urgent.
pub(super) type Renewals = SingleFlight<SessionKey, Result<Arc<OpenedSession>, Error>, Arc<Notify>>;

/// The right to renew a session now.
struct RenewalLease {
    opened: Arc<OpenedSession>,
    fencing_token: FencingToken,
    /// Whether the one before us may have spent the refresh token.
    abandoned: bool,
}

impl RelyingParty {
    /// Renews the tokens of the session among `ids` if less than the margin is left or `force` is set.
    ///
    /// # Errors
    /// [`Error::Anonymous`] without an id, [`Error::InvalidCredentials`] without a live session, [`Error::SessionEnded`] when the
    /// provider or the policy ended it, [`Error::NotRenewed`] and [`Error::Store`] with the session as it was.
    pub async fn refresh(self: &Arc<Self>, ids: &[SessionId], force: bool) -> Result<Arc<OpenedSession>, Error> {
        if ids.is_empty() {
            return Err(Error::Anonymous);
        }
        let opened = self.session(ids).await?.ok_or_else(|| Error::InvalidCredentials("the session is over".into()))?;
        let now = self.clock.now();
        let fresh = match force {
            true => now.since(opened.renewed) < MIN_RENEWAL_AGE && opened.version > 1,
            false => opened.remaining(now) >= self.config.session.refresh_margin,
        };
        // Who may not be signed in any more, as far as we know, may be so by now at the provider.
        match (self.admit(&opened), opened.renewable) {
            (Ok(()), _) if fresh => Ok(opened),
            (_, false) => self.keep_unrenewable(opened).await,
            (_, true) => {
                // Who insists has time: there is life left.
                let runs_out = opened.remaining(now) < self.config.session.refresh_margin;
                let priority = if runs_out { Priority::Interactive } else { Priority::Background };
                self.renewal(&opened, priority).await
            }
        }
    }

    /// A session without a refresh token, because the provider gave none or it was lost, has its own end. Who may not be
    /// signed in any more is signed out.
    async fn keep_unrenewable(&self, opened: Arc<OpenedSession>) -> Result<Arc<OpenedSession>, Error> {
        match self.admit(&opened) {
            Ok(()) => Ok(opened),
            Err(_) => {
                self.sessions.end(opened.id).await?;
                Err(Error::SessionEnded)
            }
        }
    }

    /// The renewal of this session that is under way, or a new one.
    pub(super) fn renewal(
        self: &Arc<Self>,
        opened: &Arc<OpenedSession>,
        priority: Priority,
    ) -> Flight<Result<Arc<OpenedSession>, Error>> {
        let (renewal, hurry) = self.renewals.join(opened.id.key(), &self.tasks, Err(PANICKED), || {
            let (this, opened, hurry) = (self.clone(), opened.clone(), Arc::new(Notify::new()));
            let hurry_signal = hurry.clone();
            let work = async move {
                let result = this.renew(&opened, priority, &hurry_signal).await;
                this.note_outcome(&opened, &result);
                this.metrics.refresh(match &result {
                    Ok(_) => "renewed",
                    Err(Error::SessionEnded) => "ended_by_provider",
                    Err(Error::InvalidCredentials(_)) => "ended_meanwhile",
                    Err(Error::NotRenewed(_)) => "provider_failed",
                    Err(_) => "store_failed",
                });
                result
            };
            (work, hurry)
        });
        // Joined or not: a permit is kept, so a renewal that has not begun to wait learns of it too.
        if priority != Priority::Background {
            hurry.notify_one();
        }
        renewal
    }

    #[instrument(target = TARGET, name = "renewal", skip_all)]
    async fn renew(
        self: &Arc<Self>,
        opened: &OpenedSession,
        priority: Priority,
        hurry: &Notify,
    ) -> Result<Arc<OpenedSession>, Error> {
        self.budget.tokens.check_backoff().map_err(|left| Error::NotRenewed(cooling_down(left)))?;
        let lease = match self.acquire_lease(opened.id, opened.version).await? {
            Ok(lease) => lease,
            Err(renewed_by_another) => return Ok(renewed_by_another),
        };
        // Its tokens were lost meanwhile. Whoever puts them back puts back its own end, too: it has to be read again.
        if !lease.opened.renewable {
            self.release(opened.id, lease.fencing_token, unused_release(lease.abandoned)).await;
            return self.keep_unrenewable(lease.opened).await;
        }
        if let Err(left) = self.wait_for_permit(&lease, priority, hurry).await {
            self.release(opened.id, lease.fencing_token, unused_release(lease.abandoned)).await;
            return Err(Error::NotRenewed(cooling_down(left)));
        }
        let tokens = match self.sessions.tokens(&lease.opened).await {
            Ok(Some(tokens)) => tokens,
            Ok(None) => return self.handle_lost_tokens(lease).await,
            Err(error) => {
                self.release(opened.id, lease.fencing_token, unused_release(lease.abandoned)).await;
                return Err(error.into());
            }
        };
        let is_dead = |error: &provider::Error| {
            error.is_invalid_grant() || self.refusals.record_failure(opened.id.key(), error, self.clock.now())
        };
        let session = lease.opened.session();
        let renewing = self.provider.refresh(&session, &tokens);
        let result = self.while_extending_lease(&lease, renewing).await;
        self.budget.tokens.note(result.as_ref().err().map(|failed| &failed.error)).await;
        match result {
            Ok(renewed) => {
                self.refusals.forget(opened.id.key());
                self.store_renewed(&lease, &tokens, renewed).await
            }
            Err(RefreshFailure { error, .. }) if is_dead(&error) => {
                self.handle_invalid_grant(&lease, &tokens, &error).await
            }
            Err(RefreshFailure { error, rotated, spent }) => {
                let (kept, spent) = match rotated {
                    Some(refresh) => (self.store_rotated_token(&lease, &tokens, refresh).await, true),
                    None => (false, spent),
                };
                let pause = self.note_failure(&lease.opened, Some(&error), spent && !kept);
                if !kept {
                    self.release_with_cooldown(&lease, pause, spent).await;
                }
                Err(Error::NotRenewed(error))
            }
        }
    }

    /// Waits until it is this process's turn, or another one has renewed the session since version `seen`.
    #[instrument(target = TARGET, name = "renewal lease", skip_all)]
    async fn acquire_lease(
        &self,
        id: SessionId,
        version: u64,
    ) -> Result<Result<RenewalLease, Arc<OpenedSession>>, Error> {
        let deadline = Instant::now() + 2 * lease_time(&self.config);
        let mut attempts = 0;
        loop {
            let leased = self.sessions.lease(id, lease_time(&self.config)).await?;
            if leased == LeaseOutcome::Gone {
                return Err(ended());
            }
            let opened = match (self.sessions.reload(id).await, leased) {
                (Ok(opened), _) => opened.ok_or_else(ended)?,
                (Err(error), LeaseOutcome::Taken { fencing_token, abandoned }) => {
                    self.release(id, fencing_token, unused_release(abandoned)).await;
                    return Err(error.into());
                }
                (Err(error), _) => return Err(error.into()),
            };
            if opened.version != version {
                if let LeaseOutcome::Taken { fencing_token, abandoned } = leased {
                    self.release(id, fencing_token, unused_release(abandoned)).await;
                }
                return Ok(Err(opened));
            }
            match leased {
                // Another process may be about to put back a newer refresh token than this one.
                LeaseOutcome::Taken { fencing_token, abandoned } if self.sessions.is_recovering() => {
                    self.release(id, fencing_token, unused_release(abandoned)).await;
                }
                LeaseOutcome::Taken { fencing_token, abandoned } => {
                    return Ok(Ok(RenewalLease { opened, fencing_token, abandoned }));
                }
                LeaseOutcome::Paused(left) => {
                    self.backoffs.failed_elsewhere(id.key(), left, self.clock.now());
                    return Err(Error::NotRenewed(cooling_down(left)));
                }
                LeaseOutcome::Held | LeaseOutcome::Gone => {}
            }
            if Instant::now() > deadline {
                return Err(Error::NotRenewed(cooling_down(DEFAULT_RETRY_AFTER)));
            }
            tokio::time::sleep(poll_pause(attempts)).await;
            attempts += 1;
        }
    }

    /// Waits until the provider may be asked; whoever joins in a hurry makes it urgent.
    #[instrument(target = TARGET, name = "renewal permit", skip_all)]
    async fn wait_for_permit(&self, lease: &RenewalLease, priority: Priority, hurry: &Notify) -> Result<(), Duration> {
        let budget = &self.budget.tokens;
        let waiting = async {
            tokio::select! {
                biased;
                permit = budget.acquire(priority, MAX_PERMIT_WAIT) => permit,
                () = hurry.notified(), if priority == Priority::Background => {
                    budget.acquire(Priority::Interactive, MAX_PERMIT_WAIT).await
                }
            }
        };
        let began = Instant::now();
        self.while_extending_lease(lease, waiting).await?;
        if began.elapsed() < lease_time(&self.config) / 3 {
            return Ok(());
        }
        // Whoever took it meanwhile may have spent the refresh token.
        let ours = self.sessions.extend(lease.opened.id, lease.fencing_token, lease_time(&self.config)).await;
        if ours.is_ok_and(|ours| ours) { Ok(()) } else { Err(DEFAULT_RETRY_AFTER) }
    }

    /// Keeps the lease while something takes its time.
    async fn while_extending_lease<T>(&self, lease: &RenewalLease, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut keep =
            tokio::time::interval_at(Instant::now() + lease_time(&self.config) / 3, lease_time(&self.config) / 3);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = keep.tick() => {
                    // Lost or not, the answer counts: compare-and-set decides whose is kept.
                    if let Err(error) = self.sessions.extend(lease.opened.id, lease.fencing_token, lease_time(&self.config)).await {
                        tracing::warn!(%error, "renewal lease extension failed");
                    }
                }
            }
        }
    }

    /// Writes a renewed session.
    async fn store_renewed(
        self: &Arc<Self>,
        lease: &RenewalLease,
        old_tokens: &TokenSet,
        renewed: AuthenticatedUser,
    ) -> Result<Arc<OpenedSession>, Error> {
        let (old, id) = (lease.opened.session(), lease.opened.id);
        if let Err(missing) = self.rules().policy.admit(&renewed.principal) {
            self.sessions.end(id).await?;
            self.revoke_later(renewed.token_set.refresh);
            tracing::info!(sub = %old.principal.sub, %missing, "session ended: user no longer admitted by policy");
            self.record_ended(&old.principal.sub, id.key().handle(), SessionEndedBy::Policy);
            return Err(Error::SessionEnded);
        }
        let session = Session {
            principal: renewed.principal,
            tokens: renewed.tokens,
            version: old.version + 1,
            renewed: self.clock.now(),
            ..old
        };
        match self.update(lease, &session, old_tokens, &renewed.token_set).await? {
            SessionUpdate::Done(opened) => Ok(self.record_renewed(opened)),
            SessionUpdate::Stale => self.sessions.reload(id).await?.ok_or_else(ended),
            SessionUpdate::Gone => {
                self.revoke_later(renewed.token_set.refresh);
                Err(ended())
            }
        }
    }

    /// The provider says that the refresh token is dead.
    async fn handle_invalid_grant(
        &self,
        lease: &RenewalLease,
        old_tokens: &TokenSet,
        error: &provider::Error,
    ) -> Result<Arc<OpenedSession>, Error> {
        let (old, id) = (lease.opened.session(), lease.opened.id);
        let now = self.sessions.reload(id).await?.ok_or_else(ended)?;
        if now.version != old.version {
            return Ok(now);
        }
        let Ok(lost_writes) = self.sessions.has_lost_writes().await else {
            // No failure of the session or of the provider: nothing grows.
            self.release_with_cooldown(lease, RECOVERY_PAUSE, false).await;
            return Err(Error::NotRenewed(cooling_down(RECOVERY_PAUSE)));
        };
        if !lease.abandoned && !lost_writes {
            // A process that was suspended beyond its lease may be refused because the next holder has used the token.
            if !self.sessions.end_unchanged(&lease.opened, lease.fencing_token).await? {
                let now = self.sessions.reload(id).await?.ok_or_else(ended)?;
                let renewed = now.version != old.version;
                return if renewed { Ok(now) } else { Err(Error::NotRenewed(cooling_down(DEFAULT_RETRY_AFTER))) };
            }
            tracing::info!(sub = %old.principal.sub, %error, "session ended: refresh token rejected by the provider");
            self.record_ended(&old.principal.sub, id.key().handle(), SessionEndedBy::ProviderRefusal);
            return Err(Error::SessionEnded);
        }
        tracing::warn!(
            sub = %old.principal.sub,
            "refresh token lost: consumed by an interrupted renewal; session kept without one for a day"
        );
        let token_set = TokenSet { refresh: None, ..old_tokens.clone() };
        let tokens = TokenMetadata { renewable: false, ..old.tokens.clone() };
        let ends = old.ends.min(self.clock.now() + ORPHANED_TTL);
        let session = Session { tokens, ends, version: old.version + 1, ..old.clone() };
        match self.update(lease, &session, old_tokens, &token_set).await? {
            SessionUpdate::Done(opened) => Ok(opened),
            SessionUpdate::Stale | SessionUpdate::Gone => self.sessions.reload(id).await?.ok_or_else(ended),
        }
    }

    /// The store has the session and not its tokens: they were evicted, or are sealed with a key that is gone.
    async fn handle_lost_tokens(&self, lease: RenewalLease) -> Result<Arc<OpenedSession>, Error> {
        let (old, id) = (lease.opened.session(), lease.opened.id);
        if !self.sessions.has_lost_tokens(&lease.opened).await.unwrap_or(false) {
            self.release_with_cooldown(&lease, RECOVERY_PAUSE, false).await;
            return Err(Error::NotRenewed(cooling_down(RECOVERY_PAUSE)));
        }
        tracing::warn!(sub = %old.principal.sub, "tokens lost: session kept until its access token runs out");
        let session = Session { version: old.version + 1, ..old.without_tokens() };
        let written = self.sessions.update(id, old.version, &session, TokenChange::Kept, Some(lease.fencing_token));
        match written.await? {
            SessionUpdate::Done(opened) if self.clock.now() < session.ends => self.keep_unrenewable(opened).await,
            SessionUpdate::Done(_) => Err(Error::SessionEnded),
            SessionUpdate::Stale | SessionUpdate::Gone => self.sessions.reload(id).await?.ok_or_else(ended),
        }
    }

    /// Stores a rotated refresh token whose token response failed verification. `false` if it is lost.
    async fn store_rotated_token(
        self: &Arc<Self>,
        lease: &RenewalLease,
        old_tokens: &TokenSet,
        refresh: SecretString,
    ) -> bool {
        let old = lease.opened.session();
        let token_set = TokenSet { refresh: Some(refresh.clone()), ..old_tokens.clone() };
        let session = Session { version: old.version + 1, ..old.clone() };
        match self.update(lease, &session, old_tokens, &token_set).await {
            Ok(SessionUpdate::Gone) => self.revoke_later(Some(refresh)),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "refresh token lost: rotated token not stored");
                return false;
            }
        }
        true
    }

    /// Releases the lease with a cool-down, so that no process retries for a while.
    async fn release_with_cooldown(&self, lease: &RenewalLease, pause: Duration, spent: bool) {
        let after =
            if spent || lease.abandoned { LeaseRelease::OutcomeUnknown(pause) } else { LeaseRelease::CoolDown(pause) };
        self.release(lease.opened.id, lease.fencing_token, after).await;
    }

    async fn release(&self, id: SessionId, fencing_token: FencingToken, after: LeaseRelease) {
        if let Err(error) = self.sessions.release(id, fencing_token, after).await {
            tracing::warn!(%error, "renewal lease release failed: it expires by itself");
        }
    }

    /// Writes a session, more than once if the store hiccups: a rotated token cannot be had again.
    async fn update(
        &self,
        lease: &RenewalLease,
        session: &Session,
        old: &TokenSet,
        new: &TokenSet,
    ) -> Result<SessionUpdate, Error> {
        let (id, expected) = (lease.opened.id, lease.opened.version);
        let change = TokenChange::Replaced { old, new };
        for pause in STORE_RETRIES {
            match self.sessions.update(id, expected, session, change, Some(lease.fencing_token)).await {
                // Stale also if the write that seemed to fail was done: the caller reads what is there.
                Ok(updated) => return Ok(updated),
                Err(error) => tracing::warn!(%error, "renewed session write failed: retrying"),
            }
            tokio::time::sleep(pause).await;
        }
        Ok(self.sessions.update(id, expected, session, change, Some(lease.fencing_token)).await?)
    }
}

/// How to release a lease under which no request was sent.
fn unused_release(abandoned: bool) -> LeaseRelease {
    if abandoned { LeaseRelease::OutcomeUnknown(Duration::ZERO) } else { LeaseRelease::Free }
}

fn ended() -> Error {
    Error::InvalidCredentials("the session was ended".into())
}

fn cooling_down(left: Duration) -> provider::Error {
    provider::Error::Unavailable {
        detail: "a renewal failed a moment ago".into(),
        retry_after: Some(next_second(left)),
        untouched: true,
        throttled: false,
    }
}
