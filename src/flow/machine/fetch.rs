//! Fetching a token: one at a time for each, in this process and across all that share a store.

use super::MachineError;
use super::budget::BudgetKey;
use super::cache::{CachedToken, TokenKey, TokenRequestKey};
use crate::domain::backoff::next_second;
use crate::domain::clock::Timestamp;
use crate::domain::machine::MachineToken;
use crate::domain::untrusted::UntrustedText;
use crate::flow::single_flight::Flight;
use crate::flow::{RelyingParty, lease_time};
use crate::provider;
use crate::store::{FetchLease, FetchOutcome, Priority};
use crate::telemetry::traces::TARGET;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::instrument;

/// How long a token that could not be fetched is left alone at most, and one whose answer made no sense.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long a fetch waits for a permit of the shared rate limit.
const MAX_PERMIT_WAIT: Duration = Duration::from_secs(5);
/// How often a process that waits for another's fetch looks.
const POLL_PAUSE: Duration = Duration::from_millis(30);

impl RelyingParty {
    /// The fetch of this token that is under way, or a new one at the cost of `budget_key`. Only a token issued after
    /// `issued_after` will do.
    pub(super) fn fetch(
        self: &Arc<Self>,
        key: TokenKey,
        request_key: TokenRequestKey,
        issued_after: Timestamp,
        budget_key: BudgetKey,
    ) -> Flight<Result<Arc<CachedToken>, MachineError>> {
        let panicked = Err(MachineError::Unavailable(Duration::from_secs(1)));
        let start = || {
            let this = self.clone();
            let work = async move {
                let fetched = this.fetch_now(&request_key, issued_after, &budget_key).await;
                if let Ok(entry) = &fetched {
                    this.broker.cache.tokens.insert(key, entry.clone());
                }
                fetched
            };
            (work, ())
        };
        self.broker.cache.flights.join(key, &self.tasks, panicked, start).0
    }

    #[instrument(target = TARGET, name = "machine token fetch", skip_all)]
    async fn fetch_now(
        &self,
        request_key: &TokenRequestKey,
        mut issued_after: Timestamp,
        budget_key: &BudgetKey,
    ) -> Result<Arc<CachedToken>, MachineError> {
        let name = request_key.encode();
        let deadline = Instant::now() + 2 * lease_time(&self.broker.config);
        loop {
            let (margin, lease) = (self.broker.config.machine.cache_margin, lease_time(&self.broker.config));
            let fetch_lease = match self.broker.tokens.lease_fetch(&name, issued_after, margin, lease).await {
                // Revoked at another process.
                Ok(FetchOutcome::Fetched(token))
                    if self.sessions.is_revoked(&token.issued.revocation_keys).await.unwrap_or(false) =>
                {
                    issued_after = token.issued_at;
                    continue;
                }
                Ok(FetchOutcome::Fetched(token)) => {
                    self.remember_issued(token.hash(), token.issued.clone());
                    return Ok(CachedToken::new(*token));
                }
                Ok(FetchOutcome::Leased(fetch_lease)) => Some(fetch_lease),
                Ok(FetchOutcome::Paused(left)) => return Err(MachineError::Unavailable(next_second(left))),
                Ok(FetchOutcome::Held) if Instant::now() < deadline => {
                    tokio::time::sleep(POLL_PAUSE).await;
                    continue;
                }
                Ok(FetchOutcome::Held) => None,
                Err(error) => {
                    // Without the store each process fetches its own: dearer, and nobody has to wait.
                    tracing::warn!(%error, "machine token lookup failed: store unavailable, fetching without it");
                    None
                }
            };
            let mut result = self.ask_for_token(request_key, budget_key).await;
            if let Ok(token) = &result
                && let Err(error) = self.note_issued(token).await
            {
                result = Err(error);
            }
            if let Some(fetch_lease) = fetch_lease {
                self.share(fetch_lease, &result).await;
            }
            return result.map(CachedToken::new);
        }
    }

    async fn share(&self, fetch_lease: FetchLease, result: &Result<MachineToken, MachineError>) {
        let shared = match result {
            Ok(token) => self.broker.tokens.put(fetch_lease, token).await.map(|_| ()),
            Err(MachineError::Unavailable(pause)) => {
                self.broker.tokens.release(fetch_lease, Some((*pause).min(MAX_PAUSE))).await
            }
            Err(MachineError::TokenType | MachineError::SharedToken) => {
                self.broker.tokens.release(fetch_lease, Some(MAX_PAUSE)).await
            }
            Err(_) => self.broker.tokens.release(fetch_lease, None).await,
        };
        if let Err(error) = shared {
            tracing::warn!(%error, "machine token write failed: other processes fetch their own");
        }
    }

    /// Asks the provider, unless it is to be left alone or the client has no budget left.
    async fn ask_for_token(
        &self,
        request_key: &TokenRequestKey,
        budget_key: &BudgetKey,
    ) -> Result<MachineToken, MachineError> {
        let (cache, budget, now) = (&self.broker.cache, &self.broker.budget, self.clock.now());
        // Never closed.
        let _turn = cache.permits.acquire().await;
        if let Some(left) = cache.left(&request_key.upstream, self.clock.now()) {
            return Err(MachineError::Unavailable(left));
        }
        if let Err(left) = self.budget.machines.acquire(Priority::Interactive, MAX_PERMIT_WAIT).await {
            return Err(MachineError::Unavailable(next_second(left)));
        }
        // Whoever's secret is not known to be right cannot use up what is the real client's.
        let charged = budget_key.credentials.is_none_or(|credentials| cache.is_valid(credentials, now));
        if charged {
            budget.check(budget_key, now)?;
            budget.spend(budget_key, now);
        }
        let result = self
            .provider
            .client_credentials(&request_key.upstream, request_key.requested.clone(), request_key.holder.clone())
            .await;
        self.metrics.machine_call(result.is_ok());
        self.budget.machines.note(result.as_ref().err()).await;
        // What cannot be used was issued all the same.
        let billed = !matches!(result, Err(provider::Error::Unavailable { .. } | provider::Error::Refused { .. }));
        match (charged, billed) {
            (true, false) => budget.refund(&budget_key.client),
            (false, true) => budget.spend(budget_key, now),
            _ => {}
        }
        self.judge_fetch(request_key, result, now)
    }

    /// The token, or what its absence means to the caller and to the provider's back-off.
    fn judge_fetch(
        &self,
        request_key: &TokenRequestKey,
        result: Result<MachineToken, provider::Error>,
        now: Timestamp,
    ) -> Result<MachineToken, MachineError> {
        let cache = &self.broker.cache;
        match result {
            Ok(token) => {
                cache.answered(&request_key.upstream);
                check_granted_scopes(request_key, token)
            }
            Err(provider::Error::Unavailable { detail, retry_after, .. }) => {
                let pause = cache.failed(&request_key.upstream, now, retry_after);
                tracing::warn!(
                    reason = UntrustedText::up_to(300, detail).as_str(),
                    pause = pause.as_secs(),
                    "machine token fetch failed: provider unavailable"
                );
                Err(MachineError::Unavailable(pause))
            }
            Err(provider::Error::Refused { code, description }) => {
                cache.answered(&request_key.upstream);
                let description = description.unwrap_or_default();
                tracing::warn!(
                    client = UntrustedText::new(&request_key.upstream.client_id).as_str(),
                    code = UntrustedText::new(&code).as_str(),
                    description = UntrustedText::new(description).as_str(),
                    "machine token fetch failed: refused by the provider"
                );
                Err(refused(&code))
            }
            Err(error @ provider::Error::TokenType(_)) => {
                cache.answered(&request_key.upstream);
                tracing::error!(client = request_key.upstream.client_id, %error, "machine token rejected: token_type is not Bearer");
                Err(MachineError::TokenType)
            }
            Err(error) => {
                let reason = UntrustedText::up_to(300, error);
                tracing::error!(reason = reason.as_str(), "machine token rejected: unusable token response");
                // Not of all: what one caller sent may be why.
                Err(MachineError::Unavailable(MAX_PAUSE))
            }
        }
    }
}

/// A token is handed out for the scopes that were asked for. Cognito drops those that an app client may not have,
/// without a word; others add some of their own, which is fine only where the registration says so.
fn check_granted_scopes(request_key: &TokenRequestKey, token: MachineToken) -> Result<MachineToken, MachineError> {
    let missing = request_key.requested.scopes.without(&token.scopes);
    if !missing.is_empty() {
        return Err(MachineError::InvalidScope(format!("the provider does not grant this client: {missing}")));
    }
    let unrequested = token.unrequested();
    if request_key.upstream.unrequested.allow(&unrequested) {
        return Ok(token);
    }
    tracing::warn!(
        client = request_key.upstream.client_id,
        unrequested = unrequested.to_string(),
        "machine token rejected: unrequested scopes granted; name them in `default_scopes` of the [[machine.upstream]], \
         or remove them from the provider's app client"
    );
    Err(MachineError::unrequested(&unrequested))
}

/// Cognito says `invalid_grant` for a scope that exists and is not the client's, and for a client without
/// the grant.
fn refused(code: &str) -> MachineError {
    match code {
        "invalid_client" => MachineError::InvalidClient,
        "invalid_scope" | "invalid_grant" => MachineError::InvalidScope(
            "the provider does not know one of the scopes, or does not grant it to this client".into(),
        ),
        "invalid_target" => MachineError::InvalidTarget("the provider does not issue tokens for this resource"),
        "unauthorized_client" => {
            MachineError::UnauthorizedClient("the app client may not use the client_credentials grant")
        }
        _ => MachineError::InvalidRequest("the provider does not accept the request"),
    }
}
