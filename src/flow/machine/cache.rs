//! The tokens that this process has at hand.

use super::MachineError;
use crate::domain::backoff::{ExponentialBackoff, jittered};
use crate::domain::clock::Timestamp;
use crate::domain::machine::{MachineToken, Scopes, TokenHolder, TokenResponse, Upstream, UpstreamRequest};
use crate::domain::seal::{random, sha256_of};
use crate::domain::token::renewal_time;
use crate::flow::single_flight::SingleFlight;
use quick_cache::sync::Cache as Map;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Tokens kept at hand.
const MAX_TOKENS: usize = 50_000;
/// Wrong credentials remembered.
const MAX_INVALID: usize = 10_000;
/// For how long.
const INVALID_TTL: Duration = Duration::from_secs(5);
/// Bearers remembered that the broker has not fetched.
const MAX_UNKNOWN: usize = 10_000;
/// For how long.
const UNKNOWN_TTL: Duration = Duration::from_secs(5);

/// After this many consecutive first failures the provider is taken to be down, not single upstreams to be at fault.
const FAILURE_THRESHOLD: u64 = 8;

/// Requests at the provider at once: with one that takes 100 ms, about Cognito's quota of 150 a second.
const MAX_CONCURRENT: usize = 16;

/// A hash of everything that shapes a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenKey([u8; 32]);

/// Everything that shapes a token. The secret belongs to it: what was fetched with another one is another
/// caller's.
#[derive(Debug, Clone)]
pub(super) struct TokenRequestKey {
    pub(super) upstream: Arc<Upstream>,
    pub(super) requested: UpstreamRequest,
    pub(super) holder: TokenHolder,
}

impl TokenRequestKey {
    /// An unambiguous encoding of the whole key; it contains the client secret.
    pub(super) fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut encoded = zeroize::Zeroizing::new(Vec::with_capacity(512));
        self.encode_to(&mut |part| encoded.extend_from_slice(part));
        encoded
    }

    pub(super) fn key(&self) -> TokenKey {
        TokenKey(sha256_of(|each| self.encode_to(each)))
    }

    fn encode_to(&self, sink: &mut dyn FnMut(&[u8])) {
        let (upstream, UpstreamRequest { scopes, resource }) = (&self.upstream, &self.requested);
        let (kind, name) = match &self.holder {
            TokenHolder::Upstream { on_behalf_of: None } => (0, ""),
            TokenHolder::Upstream { on_behalf_of: Some(user) } => (1, user.as_str()),
            TokenHolder::Client(id) => (2, id.as_str()),
        };
        sink(&[kind, u8::from(resource.is_some())]);
        let mut text = |text: &str| {
            sink(&(text.len() as u64).to_le_bytes());
            sink(text.as_bytes());
        };
        text(&upstream.client_id);
        text(upstream.secret.expose_secret());
        text(name);
        text(resource.as_deref().unwrap_or_default());
        // The last, so that nothing has to say where they end.
        scopes.iter().for_each(&mut text);
    }

    /// The credentials alone.
    pub(super) fn credentials(upstream: &Arc<Upstream>) -> TokenKey {
        let requested = UpstreamRequest { scopes: Scopes::default(), resource: None };
        let holder = TokenHolder::Upstream { on_behalf_of: None };
        TokenRequestKey { upstream: upstream.clone(), requested, holder }.key()
    }
}

/// A token at hand.
pub(super) struct CachedToken {
    pub(super) token: MachineToken,
    /// What is answered (RFC 6749 §5.1), made once, up to the life that is left.
    pub(super) json_head: String,
    /// What the provider granted though it was not asked for.
    pub(super) unrequested: Scopes,
    /// When it is renewed in the background: between 75 and 90 % of its life.
    renew_at: Timestamp,
    renewing: AtomicBool,
}

impl std::fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CachedToken(…)")
    }
}

impl CachedToken {
    pub(super) fn new(token: MachineToken) -> Arc<Self> {
        let [jitter] = random();
        let life = token.expires_at.since(token.issued_at);
        let renew_at = token.issued_at + renewal_time(life, jitter);
        let (access_token, scope) = (token.expose(), &token.scopes.to_string());
        let response = TokenResponse { access_token, token_type: "Bearer", scope, expires_in: 0 };
        let mut json_head = serde_json::to_string(&response).expect("a token response is plain data");
        json_head.truncate(json_head.len() - "0}".len());
        let unrequested = token.unrequested();
        Arc::new(Self { token, json_head, unrequested, renew_at, renewing: AtomicBool::new(false) })
    }

    /// Whether the caller is the one to renew it now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now >= self.renew_at && !self.renewing.swap(true, Ordering::Relaxed)
    }

    /// A renewal failed: the next caller may try.
    pub(super) fn renewal_failed(&self) {
        self.renewing.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct MachineTokenCache {
    pub(super) tokens: Map<TokenKey, Arc<CachedToken>>,
    /// Credentials that the provider has accepted, and until when that counts.
    valid: Map<TokenKey, Timestamp>,
    /// Credentials that it has refused, and until when that is remembered.
    invalid: Map<TokenKey, Timestamp>,
    /// Hashes of bearers that are not the broker's, and until when that is remembered.
    unknown: Map<[u8; 32], Timestamp>,
    pub(super) flights: SingleFlight<TokenKey, Result<Arc<CachedToken>, MachineError>>,
    /// Those that the provider fails, each by itself.
    upstream_backoffs: Map<TokenKey, Arc<ProviderBackoff>>,
    /// When it fails all of them.
    backoff: ProviderBackoff,
    /// First failures since an answer.
    consecutive_failures: AtomicU64,
    /// Requests at the provider.
    pub(super) permits: Semaphore,
}

impl Default for MachineTokenCache {
    fn default() -> Self {
        Self {
            tokens: Map::new(MAX_TOKENS),
            valid: Map::new(MAX_TOKENS),
            invalid: Map::new(MAX_INVALID),
            unknown: Map::new(MAX_UNKNOWN),
            flights: SingleFlight::default(),
            upstream_backoffs: Map::new(MAX_TOKENS),
            backoff: ProviderBackoff::default(),
            consecutive_failures: AtomicU64::new(0),
            permits: Semaphore::new(MAX_CONCURRENT),
        }
    }
}

impl MachineTokenCache {
    pub(super) fn note_valid(&self, credentials: TokenKey, until: Timestamp) {
        self.valid.insert(credentials, until);
    }

    pub(super) fn is_valid(&self, credentials: TokenKey, now: Timestamp) -> bool {
        self.valid.get(&credentials).is_some_and(|until| now < until)
    }

    pub(super) fn note_invalid(&self, credentials: TokenKey, now: Timestamp) {
        self.valid.remove(&credentials);
        self.invalid.insert(credentials, now + INVALID_TTL);
    }

    pub(super) fn note_unknown(&self, bearer: [u8; 32], now: Timestamp) {
        self.unknown.insert(bearer, now + UNKNOWN_TTL);
    }

    pub(super) fn is_unknown(&self, bearer: &[u8; 32], now: Timestamp) -> bool {
        self.unknown.get(bearer).is_some_and(|until| now < until)
    }

    /// How long the provider has to be left alone about the tokens of an upstream.
    pub(super) fn left(&self, upstream: &Arc<Upstream>, now: Timestamp) -> Option<Duration> {
        let own =
            self.upstream_backoffs.get(&TokenRequestKey::credentials(upstream)).and_then(|backoff| backoff.left(now));
        self.backoff.left(now).max(own)
    }

    /// Notes that the provider failed an upstream and returns for how long to leave it alone. One delays no
    /// other, unless nothing gets through.
    pub(super) fn failed(&self, upstream: &Arc<Upstream>, now: Timestamp, retry_after: Option<Duration>) -> Duration {
        let credentials = TokenRequestKey::credentials(upstream);
        let backoff = self.upstream_backoffs.get(&credentials).unwrap_or_default();
        let is_first = backoff.failures.load(Ordering::Relaxed) == 0;
        let pause = backoff.failed(now, retry_after);
        self.upstream_backoffs.insert(credentials, backoff);
        if is_first && self.consecutive_failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURE_THRESHOLD {
            return self.backoff.failed(now, None).max(pause);
        }
        pause
    }

    /// Notes that the provider answered.
    pub(super) fn answered(&self, upstream: &Arc<Upstream>) {
        self.consecutive_failures.store(0, Ordering::Relaxed);
        self.backoff.answered();
        self.upstream_backoffs.remove(&TokenRequestKey::credentials(upstream));
    }

    pub(super) fn is_invalid(&self, credentials: TokenKey, now: Timestamp) -> bool {
        self.invalid.get(&credentials).is_some_and(|until| now < until)
    }
}

/// While the provider answers 429 or not at all, it is left alone, longer each time.
#[derive(Debug, Default)]
pub(super) struct ProviderBackoff {
    /// A [`Timestamp`].
    until: AtomicU64,
    failures: AtomicU32,
}

impl ProviderBackoff {
    const PAUSES: ExponentialBackoff =
        ExponentialBackoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
    /// The most that anybody has to wait.
    const MAX_PAUSE: Duration = Duration::from_secs(60);

    /// How long it has to be left alone.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = Timestamp::from_secs(self.until.load(Ordering::Relaxed)).since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Notes a failure and returns the pause, in whole seconds: what the provider said, or a back-off.
    pub(super) fn failed(&self, now: Timestamp, retry_after: Option<Duration>) -> Duration {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        let own = Duration::from_secs(jittered(Self::PAUSES.after(failures)).as_secs());
        let pause = retry_after.unwrap_or(own).clamp(Duration::from_secs(1), Self::MAX_PAUSE);
        self.until.fetch_max((now + pause).as_secs(), Ordering::Relaxed);
        pause
    }

    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }
}
