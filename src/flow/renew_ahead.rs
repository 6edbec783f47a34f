//! Renewal ahead of time, in the background: whoever is at work finds fresh tokens and never waits.
//!
//! Every few seconds, the sessions that this process has at hand and that were used lately are looked
//! through. Each is due at its own moment between 75 and 90 % of its tokens' life, another one in every
//! process. While the provider is away the search rests, longer each time.

use super::{Error, RelyingParty};
use crate::domain::seal::random;
use crate::domain::session::SessionKey;
use crate::provider;
use crate::store::Live;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions not used for this long renew when they are asked to, seconds.
const LATELY: u64 = 10 * 60;
/// Renewals at once: with a provider that takes 100 ms, below Cognito's quota of 120 a second.
const AT_ONCE: usize = 8;
/// How long the search rests after a failure, and at most, seconds.
const REST: (u64, u64) = (5, 60);

/// The sessions whose last renewal is in doubt: they are tried again soon.
#[derive(Debug, Default)]
pub(super) struct Soon(Mutex<HashMap<SessionKey, Arc<Live>>>);

impl Soon {
    pub(super) fn note(&self, live: &Arc<Live>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(live.id.key(), live.clone());
    }

    fn take(&self) -> Vec<Arc<Live>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect()
    }
}

/// When to look again while the provider is away, and which moments are this process's own.
#[derive(Debug)]
pub(super) struct Rhythm {
    salt: u8,
    /// Epoch seconds.
    not_before: AtomicU64,
    rest: AtomicU64,
}

impl Default for Rhythm {
    fn default() -> Self {
        let mut salt = [0];
        random(&mut salt);
        Self { salt: salt[0], not_before: AtomicU64::new(0), rest: AtomicU64::new(REST.0) }
    }
}

impl Rhythm {
    /// Epoch seconds.
    fn due(&self, live: &Live) -> u64 {
        let session = &live.session;
        // A provider may say that they never run out.
        let life = session.tokens.expires_at.min(session.ends).saturating_sub(session.renewed);
        let jitter = u64::from(live.id.key().0[0] ^ self.salt);
        session.renewed + life * 75 / 100 + life * 15 * jitter / (100 * 255)
    }

    fn failed(&self, now: u64) {
        let rest = self.rest.load(Ordering::Relaxed);
        self.not_before.store(now + rest, Ordering::Relaxed);
        self.rest.store((2 * rest).min(REST.1), Ordering::Relaxed);
    }
}

impl RelyingParty {
    /// Renews the sessions that are due.
    pub async fn renew_ahead(self: &Arc<Self>) {
        let now = self.clock.now();
        if now < self.rhythm.not_before.load(Ordering::Relaxed) {
            return;
        }
        let at_hand = self.sessions.at_hand().into_iter().filter(|live| {
            live.session.tokens.refresh.is_some()
                && now >= self.rhythm.due(live)
                && now.saturating_sub(live.seen()) <= LATELY
        });
        let due: Vec<_> = self.soon.take().into_iter().chain(at_hand).collect();
        let mut results = futures_util::stream::iter(due)
            .map(async |live| (self.renewal(&live).await, live))
            .buffer_unordered(AT_ONCE);
        while let Some((result, live)) = results.next().await {
            match result {
                Ok(_) => self.rhythm.rest.store(REST.0, Ordering::Relaxed),
                // Another process failed a moment ago: the provider was not asked.
                Err(Error::NotRenewed(provider::Error::Unavailable { untouched: true, .. })) => {}
                Err(Error::NotRenewed(error)) => {
                    tracing::warn!(%error, "a session could not be renewed ahead of time");
                    return self.rhythm.failed(now);
                }
                Err(Error::Store(error)) => {
                    tracing::warn!(%error, "a session could not be renewed ahead of time");
                    self.soon.note(&live);
                    return;
                }
                Err(_) => {}
            }
        }
    }
}
