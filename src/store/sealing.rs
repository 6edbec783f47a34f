//! Sessions and their tokens into records and back.

use super::encoding::{decode, encode};
use super::stored_tokens::{decode_tokens, encode_tokens};
use super::{SealedSession, SealedTokens};
use crate::domain::clock::Timestamp;
use crate::domain::seal::{KeyRing, Purpose};
use crate::domain::session::{Device, Session, SessionId, SessionSummary};
use crate::domain::store_key::SessionKey;
use crate::domain::token::TokenSet;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct SessionSealer {
    pub(super) ring: Arc<KeyRing>,
    /// How long after its start a session is written with the device that it was started from.
    pub(super) keep_device: Option<Duration>,
}

impl SessionSealer {
    /// The record of a session that was used at `now`, without tokens.
    pub(super) fn seal(&self, id: &SessionId, session: &Session, now: Timestamp) -> SealedSession {
        let (bound, mut summary) = (bound(session.version, session.ends), session.summary());
        if self.keep_device.is_some_and(|time| now.since(session.started) >= time) {
            summary.device = Device::default();
        }
        SealedSession {
            version: session.version,
            ends: session.ends,
            last_used: now,
            sealed: self.ring.seal(for_session(id, &bound), &encode(&session.without_summary())),
            summary: self.ring.seal(for_summary(&id.key(), &bound), &encode(&summary)),
            listed: session.listed(),
            tokens: SealedTokens::default(),
        }
    }

    pub(super) fn seal_tokens(&self, id: &SessionId, tokens: &TokenSet, refresh_version: u64) -> SealedTokens {
        let pair = encode_tokens(&[tokens.access.expose_secret(), tokens.id.expose_secret()]);
        let refresh = encode_tokens(tokens.refresh.as_ref().map(ExposeSecret::expose_secret).as_slice());
        SealedTokens {
            access: Some(self.ring.seal(for_tokens(id), &pair)),
            refresh: Some(self.ring.seal(for_refresh(&id.key(), &refresh_version.to_le_bytes()), &refresh)),
        }
    }

    /// `None` if a part is missing or does not open, or the refresh token is of another version.
    pub(super) fn tokens(&self, id: &SessionId, sealed: &SealedTokens, refresh_version: u64) -> Option<TokenSet> {
        let plain = self.ring.open(for_tokens(id), sealed.access.as_ref()?).ok();
        let pair = plain.as_deref().and_then(|plain| decode_tokens(plain)?.try_into().ok());
        let [access, id_token]: [SecretString; 2] = logged(pair)?;
        let refresh = self.open_refresh(&id.key(), sealed.refresh.as_ref()?, refresh_version)?;
        Some(TokenSet { access, id: id_token, refresh })
    }

    /// The refresh token of a session whose id is not known.
    pub(super) fn refresh(
        &self,
        key: &SessionKey,
        sealed: &SealedTokens,
        refresh_version: u64,
    ) -> Option<SecretString> {
        self.open_refresh(key, sealed.refresh.as_ref()?, refresh_version)?
    }

    fn open_refresh(&self, key: &SessionKey, sealed: &[u8], version: u64) -> Option<Option<SecretString>> {
        // Not logged: a store that has lost the newest write has the refresh token before it.
        let plain = self.ring.open(for_refresh(key, &version.to_le_bytes()), sealed).ok()?;
        Some(logged(decode_tokens(&plain))?.pop())
    }

    /// A record that does not open is nobody's session: the caller is not signed in by it.
    pub(super) fn session(&self, id: &SessionId, record: &SealedSession) -> Option<Session> {
        let bound = bound(record.version, record.ends);
        let plain = self.ring.open(for_session(id, &bound), &record.sealed).ok();
        let rest: Session = logged(plain.as_deref().and_then(|plain| decode(plain)))?;
        Some(rest.with_summary(self.summary(id.key(), record)?))
    }

    pub(super) fn summary(&self, key: SessionKey, record: &SealedSession) -> Option<SessionSummary> {
        let bound = bound(record.version, record.ends);
        let plain = self.ring.open(for_summary(&key, &bound), &record.summary).ok();
        logged(plain.as_deref().and_then(|plain| decode(plain)))
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

fn for_tokens(id: &SessionId) -> Purpose<'_> {
    Purpose { label: "tokens", context: id.as_bytes(), bound: &[] }
}

fn for_refresh<'a>(key: &'a SessionKey, version: &'a [u8]) -> Purpose<'a> {
    Purpose { label: "refresh", context: &key.0, bound: version }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::tests::session;
    use super::*;
    use crate::domain::clock::at;

    fn sealer(keep_device: Option<Duration>) -> SessionSealer {
        let ring = Arc::new(KeyRing::new([b"a key of this test, 32 bytes long".as_slice()]));
        SessionSealer { ring, keep_device }
    }

    #[test]
    fn an_old_session_is_written_without_address_and_agent() {
        let (sealer, id, session) = (sealer(Some(Duration::from_secs(10))), SessionId::random(), session());
        let device = |seconds: u64| {
            let record = sealer.seal(&id, &session, session.started + Duration::from_secs(seconds));
            sealer.session(&id, &record).unwrap().sign_in.device
        };
        assert_eq!((device(9), device(10)), (session.sign_in.device.clone(), Device::default()));
    }

    #[test]
    fn a_session_is_stored_in_two_parts_and_comes_back_whole() {
        let sealer = sealer(None);
        let (id, mut session) = (SessionId::random(), session());
        for verified in [true, false] {
            session.principal.email_verified = verified;
            let record = sealer.seal(&id, &session, at(0));
            let (opened, summary) = (sealer.session(&id, &record).unwrap(), sealer.summary(id.key(), &record).unwrap());
            assert_eq!(format!("{opened:?}"), format!("{session:?}"));
            assert_eq!(format!("{summary:?}"), format!("{:?}", session.summary()));
            let other = sealer.seal(&id, &Session { version: 12, ..session.clone() }, at(0));
            assert!(
                sealer.session(&id, &SealedSession { summary: other.summary, ..record }).is_none(),
                "of another write"
            );
        }
    }

    #[test]
    fn every_token_comes_back_as_it_was() {
        let sealer = sealer(None);
        let id = SessionId::random();
        for token in [
            "",
            ".",
            "opaque",
            "a+b/c=",
            "eyJh.eyJz.c2ln",
            "eyJh..aXY.Y3Q.dGFn",
            "QQ",
            "QR",
            "ä.b",
            "QUJD.",
            "Q.Q.Q",
            "e30.e30.e30",
            "..",
        ] {
            let tokens = TokenSet { access: token.into(), id: token.into(), refresh: Some(token.into()) };
            let sealed = sealer.seal_tokens(&id, &tokens, 7);
            let opened = sealer.tokens(&id, &sealed, 7).unwrap();
            let refresh = sealer.refresh(&id.key(), &sealed, 7).unwrap();
            assert!(sealer.tokens(&id, &sealed, 8).is_none(), "a refresh token of another version");
            let texts = [&opened.access, &opened.id, opened.refresh.as_ref().unwrap(), &refresh];
            assert!(texts.iter().all(|text| text.expose_secret() == token), "{token}");
            let without = SealedTokens { refresh: None, ..sealed };
            assert!(sealer.tokens(&id, &without, 7).is_none());
        }
    }
}
