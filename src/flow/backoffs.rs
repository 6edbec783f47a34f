//! The sessions whose renewal failed last: each is left alone by itself, longer each time, and delays nobody else.

use super::{Error, RelyingParty};
use crate::domain::backoff::{ExponentialBackoff, jittered, next_second};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::SessionKey;
use crate::provider;
use crate::store::OpenedSession;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The pauses of one session.
const PAUSES: ExponentialBackoff = ExponentialBackoff { first: Duration::from_secs(2), most: Duration::from_secs(300) };
/// How long after its pause a failure is remembered.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// The sessions whose renewal failed, and when to retry each.
#[derive(Debug, Default)]
pub(super) struct RenewalBackoffs(Mutex<BTreeMap<SessionKey, RenewalBackoff>>);

#[derive(Debug)]
struct RenewalBackoff {
    /// The last pause, without what was added by chance.
    pause: Duration,
    until: Timestamp,
    /// Whether its renewal is in doubt: then it is tried again, due or not.
    in_doubt: Option<Arc<OpenedSession>>,
}

/// What to do after a failure.
pub(super) struct RenewalFailure {
    /// How long to leave the session alone.
    pub(super) pause: Duration,
    /// Whether it had not failed just before.
    pub(super) is_first: bool,
}

impl RenewalBackoffs {
    fn all(&self) -> MutexGuard<'_, BTreeMap<SessionKey, RenewalBackoff>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failure at `now`; `retry_after` is the provider's `Retry-After`.
    pub(super) fn failed(
        &self,
        key: SessionKey,
        retry_after: Option<Duration>,
        in_doubt: Option<Arc<OpenedSession>>,
        now: Timestamp,
    ) -> RenewalFailure {
        let mut all = self.all();
        let before = all.get(&key).map(|before| before.pause);
        let own = PAUSES.following(before);
        let pause = jittered(own).max(retry_after.unwrap_or_default()).min(PAUSES.most);
        let until = now + next_second(pause);
        all.insert(key, RenewalBackoff { pause: own, until, in_doubt });
        RenewalFailure { pause, is_first: before.is_none() }
    }

    /// Notes that another process failed and wants `left` more.
    pub(super) fn failed_elsewhere(&self, key: SessionKey, left: Duration, now: Timestamp) {
        let mut all = self.all();
        let backoff = all.entry(key).or_insert(RenewalBackoff { pause: PAUSES.first, until: now, in_doubt: None });
        // Where it grew, it goes on from here.
        backoff.pause = backoff.pause.max(left).min(PAUSES.most);
        backoff.until = now + next_second(left);
    }

    /// It was renewed, or is over.
    pub(super) fn forget(&self, key: SessionKey) {
        self.all().remove(&key);
    }

    /// Whether it failed last time.
    pub(super) fn has_failed(&self, key: SessionKey) -> bool {
        self.all().contains_key(&key)
    }

    /// Whether it is left alone at `now`.
    pub(super) fn is_backing_off(&self, key: SessionKey, now: Timestamp) -> bool {
        self.all().get(&key).is_some_and(|backoff| now < backoff.until)
    }

    /// Those in doubt whose pause is over. Failures of long ago are forgotten.
    pub(super) fn in_doubt(&self, now: Timestamp) -> Vec<Arc<OpenedSession>> {
        let mut all = self.all();
        all.retain(|_, backoff| now < backoff.until + FORGET_AFTER);
        all.values().filter(|backoff| now >= backoff.until).filter_map(|backoff| backoff.in_doubt.clone()).collect()
    }
}

impl RelyingParty {
    /// Notes that a session could not be renewed, and returns for how long to leave it alone. One in doubt is tried
    /// again then: within the provider's grace period the old token still works.
    pub(super) fn note_failure(
        &self,
        opened: &Arc<OpenedSession>,
        error: Option<&provider::Error>,
        in_doubt: bool,
    ) -> Duration {
        let retry_after = match error {
            Some(provider::Error::Unavailable { retry_after, .. }) => *retry_after,
            _ => None,
        };
        let (now, in_doubt) = (self.clock.now(), in_doubt.then(|| opened.clone()));
        let failed = self.backoffs.failed(opened.id.key(), retry_after, in_doubt, now);
        // Foreign text in part.
        let reason = error.map_or_else(|| "the store failed".to_owned(), ToString::to_string);
        let reason: String = reason.chars().take(200).flat_map(char::escape_debug).collect();
        if failed.is_first {
            tracing::warn!(%reason, pause = failed.pause.as_secs(), "session renewal failed");
            self.schedule.failed(now);
        } else {
            tracing::debug!(%reason, pause = failed.pause.as_secs(), "session renewal failed again");
        }
        failed.pause
    }

    /// Applies the outcome of a renewal to the back-off of the session and to the schedule of all.
    pub(super) fn note_outcome(&self, opened: &Arc<OpenedSession>, result: &Result<Arc<OpenedSession>, Error>) {
        match result {
            Ok(_) | Err(Error::SessionEnded) => {
                self.backoffs.forget(opened.id.key());
                self.schedule.note_success();
            }
            Err(Error::InvalidCredentials(_)) => self.backoffs.forget(opened.id.key()),
            // Noted where it was known whose fault it was.
            Err(Error::NotRenewed(_)) => {}
            Err(error) => {
                tracing::debug!(%error, "session renewal failed: store unavailable");
                self.note_failure(opened, None, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;

    #[test]
    fn a_pause_doubles_until_it_works_again() {
        let (backoffs, key, mut now) = (RenewalBackoffs::default(), SessionKey([1; 32]), at(1_000));
        let mut last = Duration::ZERO;
        for nth in 0..12 {
            let failed = backoffs.failed(key, None, None, now);
            assert_eq!(failed.is_first, nth == 0);
            let own = PAUSES.after(nth);
            assert!(failed.pause >= own && failed.pause <= (own * 5 / 4).min(PAUSES.most), "{nth}: {:?}", failed.pause);
            assert!(failed.pause >= last && backoffs.is_backing_off(key, now));
            last = failed.pause;
            now = now + next_second(failed.pause);
            assert!(!backoffs.is_backing_off(key, now) && backoffs.has_failed(key));
        }
        backoffs.forget(key);
        assert!(backoffs.failed(key, None, None, now).pause < Duration::from_secs(3));
        let failure = backoffs.failed(key, Some(Duration::from_secs(90)), None, now);
        assert_eq!(failure.pause, Duration::from_secs(90), "what the provider says is kept to");
        assert_eq!(backoffs.failed(key, Some(PAUSES.most * 9), None, now).pause, PAUSES.most, "but not for ever");
    }

    #[test]
    fn what_another_process_waits_for_is_waited_for_here_and_grows_on() {
        let (backoffs, key) = (RenewalBackoffs::default(), SessionKey([1; 32]));
        backoffs.failed_elsewhere(key, Duration::from_secs(60), at(1_000));
        assert!(backoffs.is_backing_off(key, at(1_060)) && !backoffs.is_backing_off(key, at(1_061)));
        let failed = backoffs.failed(key, None, None, at(1_061));
        assert!(!failed.is_first && failed.pause >= Duration::from_secs(120), "{:?}", failed.pause);
        backoffs.in_doubt(at(1_061 + 1_000));
        assert!(!backoffs.has_failed(key), "not remembered for ever");
    }
}
