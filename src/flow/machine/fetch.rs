//! Fetching a token: one at a time for each, in this process and across all that share a store.

use super::MachineError;
use super::budget::BudgetKey;
use super::cache::{CachedToken, TokenKey, TokenRequestKey};
use crate::domain::machine::MachineToken;
use crate::domain::untrusted::UntrustedText;
use crate::flow::single_flight::Flight;
use crate::flow::{RelyingParty, lease_time};
use crate::provider;
use crate::store::{FetchLease, FetchOutcome, Priority};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a token whose answer made no sense is left alone, seconds.
const ODD: u64 = 5;
/// How long a fetch waits until all processes together have asked little enough.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a process that waits for another's fetch looks.
const LOOK: Duration = Duration::from_millis(30);

impl RelyingParty {
    /// The fetch of this token that is under way, or a new one at the cost of `payer`. Only a token issued after
    /// `than` will do.
    pub(super) fn fetch(
        self: &Arc<Self>,
        key: TokenKey,
        shape: TokenRequestKey,
        than: u64,
        payer: BudgetKey,
    ) -> Flight<Result<Arc<CachedToken>, MachineError>> {
        let panicked = Err(MachineError::Unavailable(1));
        let start = || {
            let this = self.clone();
            let work = async move {
                let fetched = this.fetch_now(&shape, than, &payer).await;
                if let Ok(entry) = &fetched {
                    this.broker.cache.tokens.insert(key, entry.clone());
                }
                fetched
            };
            (work, ())
        };
        self.broker.cache.flights.join(key, &self.tasks, panicked, start).0
    }

    async fn fetch_now(
        &self,
        shape: &TokenRequestKey,
        mut than: u64,
        payer: &BudgetKey,
    ) -> Result<Arc<CachedToken>, MachineError> {
        let name = shape.name();
        let patience = Instant::now() + 2 * lease_time(&self.broker.config);
        loop {
            let (margin, lease) = (self.broker.config.machine.cache_margin.as_secs(), lease_time(&self.broker.config));
            let place = match self.broker.tokens.turn(&name, than, margin, lease).await {
                // Revoked at another process.
                Ok(FetchOutcome::Fetched(token))
                    if self.sessions.is_revoked(&token.issued.revocation_keys).await.unwrap_or(false) =>
                {
                    than = token.issued_at;
                    continue;
                }
                Ok(FetchOutcome::Fetched(token)) => {
                    self.remember_issued(token.hash(), token.issued.clone());
                    return Ok(CachedToken::new(*token));
                }
                Ok(FetchOutcome::Ours(place)) => Some(place),
                Ok(FetchOutcome::Paused(left)) => return Err(MachineError::Unavailable(left.as_secs() + 1)),
                Ok(FetchOutcome::Theirs) if Instant::now() < patience => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Ok(FetchOutcome::Theirs) => None,
                Err(error) => {
                    // Without the store each process fetches its own: dearer, and nobody has to wait.
                    tracing::warn!(%error, "a machine token is fetched without the store");
                    None
                }
            };
            let asked = self.ask_for_token(shape, payer).await;
            if let Ok(token) = &asked {
                self.note_issued(token).await;
            }
            if let Some(place) = place {
                self.share(place, &asked).await;
            }
            return asked.map(CachedToken::new);
        }
    }

    async fn share(&self, place: FetchLease, asked: &Result<MachineToken, MachineError>) {
        let pause = |seconds: u64| Some(Duration::from_secs(seconds.min(5)));
        let shared = match asked {
            Ok(token) => self.broker.tokens.put(place, token).await.map(|_| ()),
            Err(MachineError::Unavailable(seconds)) => self.broker.tokens.leave(place, pause(*seconds)).await,
            Err(MachineError::TokenType) => self.broker.tokens.leave(place, pause(ODD)).await,
            Err(_) => self.broker.tokens.leave(place, None).await,
        };
        if let Err(error) = shared {
            tracing::warn!(%error, "a machine token could not be shared");
        }
    }

    /// Asks the provider, unless it is to be left alone or the client has no budget left.
    async fn ask_for_token(&self, shape: &TokenRequestKey, payer: &BudgetKey) -> Result<MachineToken, MachineError> {
        let (cache, budget, now) = (&self.broker.cache, &self.broker.budget, self.clock.now());
        // Never closed.
        let _turn = cache.at_once.acquire().await;
        if let Some(left) = cache.left(&shape.upstream, self.clock.now()) {
            return Err(MachineError::Unavailable(left));
        }
        if let Err(left) = self.budget.machines.permit(Priority::Interactive, PATIENCE).await {
            return Err(MachineError::Unavailable(left.as_secs() + 1));
        }
        // Whoever's secret is not known to be right cannot use up what is the real client's.
        let charged = payer.credentials.is_none_or(|credentials| cache.is_good(credentials, now));
        if charged {
            budget.check(&payer.client, now)?;
            budget.spend(&payer.client, now);
        }
        let asked = self.provider.client_credentials(&shape.upstream, &shape.scopes, shape.resource.as_deref()).await;
        self.metrics.machine_call(asked.is_ok());
        self.budget.machines.note(asked.as_ref().err()).await;
        // What cannot be used was issued all the same.
        let billed = !matches!(asked, Err(provider::Error::Unavailable { .. } | provider::Error::Refused { .. }));
        match (charged, billed) {
            (true, false) => budget.refund(&payer.client),
            (false, true) => budget.spend(&payer.client, now),
            _ => {}
        }
        match asked {
            Ok(token) => {
                cache.answered(&shape.upstream);
                judge(shape, token)
            }
            Err(provider::Error::Unavailable { detail, retry_after, .. }) => {
                let pause = cache.failed(&shape.upstream, now, retry_after);
                tracing::warn!(
                    detail = UntrustedText::up_to(300, detail).as_str(),
                    pause,
                    "no machine token could be fetched"
                );
                Err(MachineError::Unavailable(pause))
            }
            Err(provider::Error::Refused { code, description }) => {
                cache.answered(&shape.upstream);
                let description = description.unwrap_or_default();
                tracing::warn!(
                    client = UntrustedText::new(&shape.upstream.client_id).as_str(),
                    code = UntrustedText::new(&code).as_str(),
                    description = UntrustedText::new(description).as_str(),
                    "the provider refused a machine token"
                );
                Err(refused(&code))
            }
            Err(error @ provider::Error::TokenType(_)) => {
                cache.answered(&shape.upstream);
                tracing::error!(client = shape.upstream.client_id, %error, "a machine token was not handed out");
                Err(MachineError::TokenType)
            }
            Err(error) => {
                let reason = UntrustedText::up_to(300, error);
                tracing::error!(reason = reason.as_str(), "the provider's machine token cannot be used");
                // Not of all: what one caller sent may be why.
                Err(MachineError::Unavailable(ODD))
            }
        }
    }
}

/// A token is handed out for the scopes that were asked for. Cognito drops those that an app client may not have,
/// without a word; others add some of their own, which is fine only where the registration says so.
fn judge(shape: &TokenRequestKey, token: MachineToken) -> Result<MachineToken, MachineError> {
    let missing = shape.scopes.without(&token.scopes);
    if !missing.is_empty() {
        return Err(MachineError::InvalidScope(format!("the provider does not grant this client: {missing}")));
    }
    let unrequested = token.unrequested();
    if shape.upstream.unrequested.allow(&unrequested) {
        return Ok(token);
    }
    tracing::warn!(
        client = shape.upstream.client_id,
        unrequested = unrequested.to_string(),
        "the provider granted scopes that were not asked for: name them in `default_scopes` of the [[machine.upstream]], \
         or take them off the app client there"
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
