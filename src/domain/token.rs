//! The tokens that the provider issued for a session, and what is known of them without having them.

use super::clock::Timestamp;
use super::store_key::{IndexKey, RevocationKey};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the token endpoint answered (RFC 6749 §5.1, OIDC Core §3.1.3.3), already verified. Most of a session's bytes, and
/// needed only to renew it, to call the provider for its user, and to hand tokens on.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// The access token.
    pub access: SecretString,
    /// The ID token as it came.
    pub id: SecretString,
    /// The refresh token, where the provider gave one. It never leaves the service.
    pub refresh: Option<SecretString>,
}

/// What is known of a session's tokens without having them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenMetadata {
    /// When the access token runs out.
    pub expires_at: Timestamp,
    /// Whether there is a refresh token.
    pub renewable: bool,
    /// The ids by which the tokens are revoked.
    pub ids: TokenIds,
    /// The provider's own session (`sid`), where it says.
    pub provider_session: Option<IndexKey>,
}

/// The ids of all tokens of a session that may still be valid, including those from before the last renewal, so that
/// they can be revoked when the session ends.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenIds(Vec<TokenId>);

/// The id by which a token is revoked: its `origin_jti`, else its `jti`, else its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenId {
    /// The name.
    pub key: RevocationKey,
    /// When the last token of this name runs out.
    expires_at: Timestamp,
}

impl TokenId {
    /// A verifier's clock may be behind by this much.
    const LEEWAY: Duration = Duration::from_secs(120);

    /// Until when it has to be refused: no verifier accepts it any longer.
    pub fn refused_until(&self) -> Timestamp {
        self.expires_at + Self::LEEWAY
    }
}

impl TokenIds {
    /// A provider whose tokens outlive a thousand renewals would make records of any size. The names of those that
    /// run out first go.
    const MAX_IDS: usize = 1_000;

    /// Names that are to be refused together, of a token that runs out at `expires_at`.
    pub fn new(keys: impl IntoIterator<Item = RevocationKey>, expires_at: Timestamp) -> Self {
        let mut ids = Self::default();
        keys.into_iter().for_each(|key| ids.add(key, expires_at));
        ids
    }

    /// Adds the name of a token that runs out at `expires_at`.
    pub fn add(&mut self, key: RevocationKey, expires_at: Timestamp) {
        match self.0.iter_mut().find(|id| id.key == key) {
            Some(id) => id.expires_at = id.expires_at.max(expires_at),
            None => self.0.push(TokenId { key, expires_at }),
        }
    }

    /// Adds those of `older` whose tokens may still be accepted at `now`.
    pub fn add_alive(&mut self, older: &Self, now: Timestamp) {
        for id in older.iter().filter(|id| now <= id.refused_until()) {
            self.add(id.key, id.expires_at);
        }
        if self.0.len() > Self::MAX_IDS {
            self.0.sort_by_key(|id| std::cmp::Reverse(id.expires_at));
            self.0.truncate(Self::MAX_IDS);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TokenId> {
        self.0.iter()
    }
}

impl TokenMetadata {
    /// The life left in the access token at `now`.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.expires_at.since(now)
    }
}

/// The least remaining life of a token when its renewal is due: the renewal may start late and be slow.
const RENEWAL_SLACK: Duration = Duration::from_secs(15);

/// When tokens that live for `life` are renewed: after 75 to 90 % of it, spread by `jitter`, and some seconds before
/// the end.
pub fn renewal_time(life: Duration, jitter: u8) -> Duration {
    let (slack, life) = (life.saturating_sub(RENEWAL_SLACK).as_secs(), life.as_secs());
    // Never before half of the life, so that a short-lived token is not renewed in a loop.
    let last = (life / 10 * 9 + life % 10 * 9 / 10).min(slack).max(life / 2);
    let first = last / 6 * 5;
    let spread = u128::from(last - first) * u128::from(jitter) / 255;
    Duration::from_secs(first + u64::try_from(spread).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::clock::at;
    use super::*;

    fn keys(ids: &TokenIds) -> Vec<RevocationKey> {
        ids.iter().map(|id| id.key).collect()
    }

    #[test]
    fn names_are_kept_while_their_tokens_may_be_accepted_and_no_longer() {
        let [first, second, third] = ["1", "2", "3"].map(RevocationKey::token);
        let mut ids = TokenIds::new([second], at(2_000));
        ids.add_alive(&TokenIds::new([first], at(1_000)), at(1_120));
        assert_eq!(keys(&ids), [second, first]);
        let mut newer = TokenIds::new([third], at(3_000));
        newer.add_alive(&ids, at(1_121));
        assert_eq!(keys(&newer), [third, second], "the first one ran out");
    }

    #[test]
    fn a_name_of_many_tokens_lasts_as_long_as_the_last_of_them() {
        let key = RevocationKey::token("sign-in");
        let mut ids = TokenIds::new([key, key], at(5_000));
        ids.add_alive(&TokenIds::new([key], at(9_000)), at(0));
        let until: Vec<_> = ids.iter().map(TokenId::refused_until).collect();
        assert_eq!(until, [at(9_120)]);
    }

    #[test]
    fn nothing_grows_for_ever() {
        let mut ids = TokenIds::new((0..1_000).map(|nth| RevocationKey::token(&nth.to_string())), at(1_000_000));
        for nth in 1_000..1_030 {
            let mut newer = TokenIds::new([RevocationKey::token(&nth.to_string())], at(1_000_000 + nth));
            newer.add_alive(&ids, at(0));
            ids = newer;
        }
        assert_eq!(ids.iter().count(), TokenIds::MAX_IDS);
        assert_eq!(ids.iter().filter(|id| id.expires_at > at(1_000_000)).count(), 30, "the newest stay");
    }

    #[test]
    fn tokens_are_renewed_late_in_their_life_and_never_at_the_last_renewal_time() {
        for (life, first, last) in [(3_600, 2_700, 3_240), (60, 35, 45), (300, 225, 270), (20, 5, 10), (0, 0, 0)] {
            let [life, first, last] = [life, first, last].map(Duration::from_secs);
            assert_eq!((renewal_time(life, 0), renewal_time(life, 255)), (first, last), "{life:?}");
            assert!((0..=255).all(|jitter| (first..=last).contains(&renewal_time(life, jitter))), "{life:?}");
        }
        assert!(renewal_time(Duration::from_secs(u64::MAX), 255) < Duration::from_secs(u64::MAX));
    }
}
