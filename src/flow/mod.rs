//! The use cases: one file for each operation of the service.

mod account;
mod account_changes;
mod aws_credentials;
mod backchannel;
mod backoffs;
mod budget;
mod callback;
mod check_revoked;
mod directory;
mod error;
mod machine;
mod my_sessions;
mod per_user;
mod read_directory;
mod refresh;
mod refusals;
mod renew_ahead;
mod sign_in;
mod sign_out;
mod single_flight;
mod validate;

pub use account_changes::{AccountExport, Address, Passkey, RecentSession};
pub use callback::{CallbackOutcome, FailedCallback};
pub use directory::{ErasedPerson, PersonExport};
pub use error::{AccessDenied, Error};
pub use machine::{
    Broker, ClientCredentials, ClientStoreError, Introspection, MachineError, MachineTokenResponse, TokenRequest,
};
pub use my_sessions::{EndedSession, EndedSessions, OwnSession};
pub use renew_ahead::SEARCH_PERIOD as RENEWAL_SEARCH;
pub use sign_in::SignIn;
pub use sign_out::SignOutRedirect;
pub use validate::{Caller, CallerCredentials};

use crate::audit::{AuditLog, in_current_request};
use crate::config::Config;
use crate::directory::Directory;
use crate::domain::clock::Clock;
use crate::domain::machine::ClientRegistry;
use crate::domain::policy::Policy;
use crate::domain::return_to::ReturnToPolicy;
use crate::domain::session::SessionId;
use crate::provider::{BearerIssuers, Provider};
use crate::store::{self, OpenedSession, Sessions};
use crate::telemetry::{Metrics, in_current_spans};
use arc_swap::{ArcSwap, Guard};
use futures_util::future::join_all;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Session cookies of one request that are looked at.
pub const SESSIONS_MAX: usize = 3;

/// The relying party (OIDC Core §1.2): everything a flow needs, one method for each verb.
#[derive(Debug)]
pub struct RelyingParty {
    /// The OpenID Provider.
    pub provider: Provider,
    /// The further issuers of bearer tokens.
    pub bearer_issuers: BearerIssuers,
    /// The live sessions.
    pub sessions: Sessions,
    /// What is written down about people.
    pub directory: Option<Arc<Directory>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Who did what.
    pub audit: AuditLog,
    /// Tokens for machines.
    pub broker: Broker,
    rules: ArcSwap<Rules>,
    config: Arc<Config>,
    aws: aws_credentials::AwsCredentialsCache,
    revocation_checks: check_revoked::RevocationChecks,
    bearers: validate::BearerCache,
    exchanges: callback::CodeExchanges,
    renewals: refresh::Renewals,
    refusals: refusals::RenewalRefusals,
    backoffs: backoffs::RenewalBackoffs,
    budget: budget::ProviderBudget,
    schedule: renew_ahead::RenewalSchedule,
    reader_limits: read_directory::ReaderLimits,
    tasks: TaskTracker,
}

/// What a flow says about itself.
#[derive(Debug)]
pub struct Observability {
    /// To the operator, in numbers.
    pub metrics: Arc<Metrics>,
    /// To the auditor.
    pub audit: AuditLog,
}

/// What the operator decides about pages and people. A reload replaces it as a whole.
#[derive(Debug)]
pub struct Rules {
    /// Where browsers may be sent.
    pub return_to: ReturnToPolicy,
    /// Who may sign in, and who may see which page.
    pub policy: Policy,
}

impl Rules {
    fn new(config: &Config) -> Self {
        Self { return_to: config.return_to_policy(), policy: config.policy.rules(&config.provider) }
    }
}

/// How long a process has for a request to the provider before another one tries: longer than the provider and the
/// store may take.
fn lease_time(config: &Config) -> Duration {
    config.provider.timeout + 2 * config.session.store_timeout + Duration::from_secs(1)
}

/// How long a process that waits for what another one does rests after so many looks at the store.
fn poll_pause(looks: usize) -> Duration {
    Duration::from_millis([20, 50, 100].get(looks).copied().unwrap_or(250))
}

impl RelyingParty {
    /// Puts the parts together.
    pub fn new(
        provider: Provider,
        bearer_issuers: BearerIssuers,
        sessions: Sessions,
        clock: Arc<dyn Clock>,
        Observability { metrics, audit }: Observability,
        broker: Broker,
        config: Arc<Config>,
    ) -> Self {
        let budget = budget::ProviderBudget::new(&sessions, config.provider.requests_per_second);
        Self {
            provider,
            bearer_issuers,
            sessions,
            directory: None,
            reader_limits: read_directory::reader_limits(&config),
            clock,
            rules: ArcSwap::from_pointee(Rules::new(&config)),
            metrics,
            audit,
            broker,
            config,
            aws: aws_credentials::AwsCredentialsCache::default(),
            revocation_checks: check_revoked::RevocationChecks::default(),
            bearers: validate::BearerCache::default(),
            exchanges: callback::CodeExchanges::default(),
            renewals: refresh::Renewals::default(),
            refusals: refusals::RenewalRefusals::default(),
            backoffs: backoffs::RenewalBackoffs::default(),
            budget,
            schedule: renew_ahead::RenewalSchedule::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The same, which writes down people.
    #[must_use]
    pub fn with_directory(self, directory: Option<Arc<Directory>>) -> Self {
        Self { directory, ..self }
    }

    /// The rules of this moment.
    pub fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// Goes by what a reload may change in `config`, and by `clients`, from now on.
    pub async fn reload(&self, config: Arc<Config>, clients: ClientRegistry) {
        self.rules.store(Arc::new(Rules::new(&config)));
        self.provider.reload(&config);
        self.broker.reload(config, clients).await;
    }

    /// The live session among the ids that a browser sent: it may hold a stale or a planted one too. Of several of one
    /// user it is the newest.
    ///
    /// # Errors
    /// [`Error::AmbiguousSession`] for live sessions of several users, since one of them is planted, and for more ids
    /// than are looked at. [`Error::Store`].
    pub async fn session(&self, ids: &[SessionId]) -> Result<Option<Arc<OpenedSession>>, Error> {
        if let [id] = ids {
            return Ok(self.sessions.load(*id).await?);
        }
        if ids.len() > SESSIONS_MAX {
            return Err(Error::AmbiguousSession);
        }
        let (mut unknown, mut newest) = (None, None::<Arc<OpenedSession>>);
        // All at once: planted ones must cost no time.
        for loaded in Box::pin(join_all(ids.iter().map(|id| self.sessions.load(*id)))).await {
            match loaded {
                Ok(Some(opened)) => match &newest {
                    Some(other) if opened.principal().sub != other.principal().sub => {
                        return Err(Error::AmbiguousSession);
                    }
                    Some(other) if opened.started < other.started => {}
                    _ => newest = Some(opened),
                },
                Ok(None) => {}
                // Another one may be at hand.
                Err(error) => unknown = Some(error),
            }
        }
        match (newest, unknown) {
            (None, Some(error)) => Err(error.into()),
            (newest, _) => Ok(newest),
        }
    }

    /// Starts `job` and sees it through even if the client hangs up, which makes axum drop the handler
    /// that waits.
    fn run_to_completion<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let task = self.tasks.spawn(in_current_request(in_current_spans(job)));
        async move { task.await.unwrap_or_else(|_| Err(PANICKED)) }
    }

    /// Waits until nothing is under way that must not be lost: a rotated refresh token has to reach the store.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What a caller learns whose work panicked.
const PANICKED: Error = Error::Store(store::Error::Interrupted);
