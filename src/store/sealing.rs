//! Sessions into records and back.

use super::SealedSession;
use crate::domain::clock::Timestamp;
use crate::domain::seal::{KeyRing, Purpose};
use crate::domain::session::{Session, SessionId, SessionSummary};
use crate::domain::store_key::SessionKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The encoding of the sealed parts: the fields of [`Session`] and [`SessionSummary`] in their order, and of what they
/// are made of. Raise it when any of that changes.
const ENCODING: u8 = 6;

#[derive(Debug)]
pub(super) struct SessionSealer(pub(super) Arc<KeyRing>);

impl SessionSealer {
    /// The record of a session that was used at `now`.
    pub(super) fn seal(&self, id: &SessionId, session: &Session, now: Timestamp) -> SealedSession {
        let bound = bound(session.version, session.ends);
        SealedSession {
            version: session.version,
            ends: session.ends,
            last_used: now,
            sealed: self.0.seal(for_session(id, &bound), &encode(session)),
            summary: self.0.seal(for_summary(&id.key(), &bound), &encode(&session.summary())),
            listed: session.listed(),
        }
    }

    /// A record that does not open is nobody's session: the caller is not signed in by it.
    pub(super) fn session(&self, id: &SessionId, record: &SealedSession) -> Option<Session> {
        let bound = bound(record.version, record.ends);
        let plain = self.0.open(for_session(id, &bound), &record.sealed).ok();
        logged(plain.as_deref().and_then(|plain| decode(plain)))
    }

    pub(super) fn summary(&self, key: SessionKey, record: &SealedSession) -> Option<SessionSummary> {
        let bound = bound(record.version, record.ends);
        let plain = self.0.open(for_summary(&key, &bound), &record.summary).ok();
        logged(plain.as_deref().and_then(|plain| decode(plain)))
    }
}

fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(vec![ENCODING]);
    plain = postcard::to_extend(value, std::mem::take(&mut *plain)).expect("a session is plain data").into();
    plain
}

fn decode<T: DeserializeOwned>(plain: &[u8]) -> Option<T> {
    match plain.split_first() {
        Some((&ENCODING, value)) => postcard::from_bytes(value).ok(),
        _ => None,
    }
}

fn logged<T>(opened: Option<T>) -> Option<T> {
    if opened.is_none() {
        tracing::error!("session record unreadable: damaged, or sealed by a key that is no longer in cookies.keys");
    }
    opened
}

fn bound(version: u64, ends: Timestamp) -> [u8; 16] {
    let mut bound = [0; 16];
    bound[..8].copy_from_slice(&version.to_le_bytes());
    bound[8..].copy_from_slice(&ends.as_secs().to_le_bytes());
    bound
}

fn for_session<'a>(id: &'a SessionId, bound: &'a [u8]) -> Purpose<'a> {
    Purpose { label: "session", context: id.as_bytes(), bound }
}

fn for_summary<'a>(key: &'a SessionKey, bound: &'a [u8]) -> Purpose<'a> {
    Purpose { label: "card", context: &key.0, bound }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;
    use crate::domain::principal::tests::jane;
    use crate::domain::return_to::ReturnToPolicy;
    use crate::domain::seal::sha256;
    use crate::domain::session::{Device, SignInContext};
    use crate::domain::store_key::{IndexKey, RevocationKey};
    use crate::domain::token::{TokenIds, TokenSet};

    fn session() -> Session {
        let url = url::Url::parse("https://auth.example.com/").unwrap();
        let return_to = ReturnToPolicy::new(url, vec![], None).parse("/next").unwrap();
        let device = Device { agent: "a browser".into(), address: "192.0.2.1".into() };
        Session {
            principal: jane(),
            tokens: TokenSet {
                access: "an access token".into(),
                id: "an ID token".into(),
                refresh: Some("a refresh token".into()),
                expires_at: at(4),
                ids: TokenIds::new([RevocationKey([5; 32])], at(6)),
                provider_session: Some(IndexKey([7; 32])),
            },
            sign_in: SignInContext { tag: "a tag".into(), return_to, device },
            started: at(8),
            renewed: at(9),
            ends: at(10),
            version: 11,
        }
    }

    /// Fields have no names there: with another field before it, one would be taken for another.
    #[test]
    fn a_change_of_what_is_sealed_raises_the_encoding() {
        let session = session();
        let encoded = [encode(&session), encode(&session.summary())].map(|plain| sha256(&plain)[..4].to_vec());
        let known = [[219, 132, 119, 115], [142, 250, 204, 185]];
        assert_eq!(encoded, known, "raise ENCODING, and then write the new hashes here");
    }
}
