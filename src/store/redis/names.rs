//! The names of keys, and what stands in a record.
//!
//! ```text
//! PREFIX:s:{SESSION}  the record        PREFIX:m:{MARK}  a mark
//! PREFIX:u:{SESSION}  its last use      PREFIX:i:{MARK}  the sessions listed under it
//! PREFIX:l:{SESSION}  its lease         PREFIX:h:{NAME}  written to measure how soon it is told
//! PREFIX:d:{SESSION}  its tombstone     PREFIX:mark      sealed with our keys
//! PREFIX:t:{SESSION}  its tokens        PREFIX:r:{LIMIT} a rate limit
//! PREFIX:q:{LIMIT}:PROCESS  the last answer of a rate limit to a process
//! ```
//!
//! The last use has a key of its own so that writing it triggers no invalidation, and the tokens have theirs so that
//! who only asks who somebody is reads no tokens. Both kinds of tokens share one: a key takes 150 bytes. The hash tag in
//! braces decides the slot in a cluster, so that all keys of one session are on one server.

use crate::domain::clock::Timestamp;
use crate::domain::store_key::IndexKey;
use crate::domain::store_key::{RevocationKey, SessionKey};
use crate::store::{SealedSession, SealedTokens};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The prefix of a deployment.
#[derive(Debug)]
pub(super) struct Names(pub(super) String);

/// The keys of one session.
pub(super) struct SessionNames {
    pub(super) record: String,
    pub(super) used: String,
    pub(super) lease: String,
    pub(super) tombstone: String,
    pub(super) tokens: String,
}

/// What a key that changed stands for.
#[derive(Debug, PartialEq)]
pub(super) enum ChangedKey {
    Session(SessionKey),
    Tombstone(SessionKey),
    Token(RevocationKey),
    /// The whole key.
    Canary(String),
}

impl Names {
    /// The record's key and that of its last use.
    pub(super) fn record(&self, key: SessionKey) -> [String; 2] {
        let mut tag = [0; 43];
        let _ = BASE64_URL_SAFE_NO_PAD.encode_slice(key.0, &mut tag);
        let tag = std::str::from_utf8(&tag).unwrap_or_default();
        ["s", "u"].map(|kind| [&self.0, ":", kind, ":{", tag, "}"].concat())
    }

    pub(super) fn session(&self, key: SessionKey) -> SessionNames {
        let tag = BASE64_URL_SAFE_NO_PAD.encode(key.0);
        let [record, used] = self.record(key);
        let name = |kind| format!("{}:{kind}:{{{tag}}}", self.0);
        SessionNames { record, used, lease: name('l'), tombstone: name('d'), tokens: name('t') }
    }

    pub(super) fn revocation(&self, revocation_key: RevocationKey) -> String {
        format!("{}:m:{{{}}}", self.0, BASE64_URL_SAFE_NO_PAD.encode(revocation_key.0))
    }

    pub(super) fn index(&self, index_key: IndexKey) -> String {
        format!("{}:i:{{{}}}", self.0, BASE64_URL_SAFE_NO_PAD.encode(index_key.0))
    }

    /// A pattern for the records of all sessions (KEYS, SCAN). What it means something else by is escaped.
    pub(super) fn all_records(&self) -> String {
        let is_special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '\\' | '^');
        let escaped = self.0.chars().flat_map(|c| is_special(c).then_some('\\').into_iter().chain([c]));
        escaped.chain(":s:{*}".chars()).collect()
    }

    pub(super) fn canary(&self, name: &str) -> String {
        format!("{}:h:{{{name}}}", self.0)
    }

    pub(super) fn rate_limit(&self, name: &str) -> String {
        format!("{}:r:{{{name}}}", self.0)
    }

    pub(super) fn last_answer(&self, name: &str, process: &str) -> String {
        format!("{}:q:{{{name}}}:{process}", self.0)
    }

    pub(super) fn owner_key(&self) -> String {
        format!("{}:mark", self.0)
    }

    /// The prefixes of the keys whose changes the servers push. Of the canaries, `process` has its own pushed only: with
    /// many processes, those of the others would be most of what is pushed.
    pub(super) fn tracked_prefixes(&self, process: &str) -> [String; 4] {
        ["s:".to_owned(), "d:".to_owned(), "m:".to_owned(), format!("h:{{{process}-")]
            .map(|kind| format!("{}:{kind}", self.0))
    }

    /// `None` for a key that is not ours, or whose changes are of no interest.
    pub(super) fn parse(&self, name: &[u8]) -> Option<ChangedKey> {
        let name = std::str::from_utf8(name).ok()?;
        let (kind, tag) = name.strip_prefix(&self.0)?.strip_prefix(':')?.split_once(':')?;
        if kind == "h" {
            return Some(ChangedKey::Canary(name.to_owned()));
        }
        let mut bytes = [0; 32];
        let tag = tag.strip_prefix('{')?.strip_suffix('}')?;
        BASE64_URL_SAFE_NO_PAD.decode_slice(tag, &mut bytes).ok().filter(|length| *length == 32)?;
        match kind {
            "s" => Some(ChangedKey::Session(SessionKey(bytes))),
            "d" => Some(ChangedKey::Tombstone(SessionKey(bytes))),
            "m" => Some(ChangedKey::Token(RevocationKey(bytes))),
            _ => None,
        }
    }
}

/// `VERSION ENDS SEEN WRITE ` for the scripts, then lengths and bytes. The id of the write holds no space.
pub(super) fn encode(record: &SealedSession, write: &str) -> Vec<u8> {
    let mut bytes = format!("{} {} {} {write} ", record.version, record.ends, record.last_used).into_bytes();
    for part in [&record.sealed, &record.summary] {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    for index_key in &record.listed {
        bytes.extend_from_slice(&index_key.0);
    }
    bytes
}

/// A record and its last use as far as that was written apart from it; `None` if it is none of ours.
pub(super) fn decode(bytes: &[u8], used: Option<u64>) -> Option<SealedSession> {
    let mut parts = bytes.splitn(5, |b| *b == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
    let (version, ends, last_used) = (number()?, Timestamp::from_secs(number()?), number()?);
    let _write = parts.next()?;
    let mut rest = parts.next()?;
    let mut part = || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        rest = after;
        Some(part.to_vec())
    };
    let (sealed, summary) = (part()?, part()?);
    let (index_keys, left) = rest.as_chunks::<32>();
    let listed = index_keys.iter().copied().map(IndexKey).collect();
    let last_used = Timestamp::from_secs(last_used.max(used.unwrap_or_default()));
    let tokens = SealedTokens::default();
    left.is_empty().then_some(SealedSession { version, ends, last_used, sealed, summary, listed, tokens })
}

/// `LENGTH ` of the first part, and both; empty if they are not complete.
pub(super) fn encode_tokens(tokens: &SealedTokens) -> Vec<u8> {
    let (Some(access), Some(refresh)) = (&tokens.access, &tokens.refresh) else { return vec![] };
    [access.len().to_string().as_bytes(), b" ", access, refresh].concat()
}

/// Neither if they are none of ours.
pub(super) fn decode_tokens(bytes: Option<Vec<u8>>) -> SealedTokens {
    let parts = || {
        let bytes = bytes.as_deref()?;
        let (length, rest) = bytes.split_at(bytes.iter().position(|b| *b == b' ')?);
        let length = std::str::from_utf8(length).ok()?.parse().ok()?;
        rest[1..].split_at_checked(length).map(|(access, refresh)| (access.to_vec(), refresh.to_vec()))
    };
    let (access, refresh) = parts().unzip();
    SealedTokens { access, refresh }
}

#[cfg(test)]
mod tests {
    use super::super::slot_map::slot;
    use super::*;
    use crate::domain::clock::at;
    use crate::domain::encoding::releases::written;
    use crate::domain::seal::KeyRing;
    use crate::domain::session::SessionId;
    use crate::domain::token::TokenSet;
    use crate::store::encoding::tests::session;
    use crate::store::sealing::SessionSealer;
    use secrecy::ExposeSecret;
    use std::sync::Arc;

    /// `{"alg":"RS256","kid":"k"}` and `{"sub":"34c8","cognito:groups":["editors"],"token_use":"access"}`, with a signature.
    const JWS: &str = concat!(
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.",
        "eyJzdWIiOiIzNGM4IiwiY29nbml0bzpncm91cHMiOlsiZWRpdG9ycyJdLCJ0b2tlbl91c2UiOiJhY2Nlc3MifQ.c2ln"
    );

    #[test]
    fn names_lead_back_to_what_they_name() {
        let names = Names("a-b".into());
        let (key, revocation_key) = (SessionKey([7; 32]), RevocationKey([9; 32]));
        let session = names.session(key);
        assert_eq!(names.parse(session.record.as_bytes()), Some(ChangedKey::Session(key)));
        assert_eq!(names.parse(session.tombstone.as_bytes()), Some(ChangedKey::Tombstone(key)));
        assert_eq!(names.parse(names.revocation(revocation_key).as_bytes()), Some(ChangedKey::Token(revocation_key)));
        let canary = names.canary("x-1");
        assert_eq!(names.parse(canary.as_bytes()), Some(ChangedKey::Canary(canary.clone())));
        let index = names.index(IndexKey([9; 32]));
        for other in [session.used.as_bytes(), index.as_bytes(), b"a-bc:s:{x}", b"a-b:s:{x}", b"a-b:s:", b"\xff"] {
            assert_eq!(names.parse(other), None);
        }
        let others = [&session.used, &session.lease, &session.tombstone, &session.tokens];
        assert!(others.iter().all(|name| slot(name) == slot(&session.record)));
    }

    #[test]
    fn a_pattern_means_one_prefix_whatever_is_in_it() {
        assert_eq!(Names("a-b".into()).all_records(), "a-b:s:{*}");
        assert_eq!(Names(r"*[a]?\^".into()).all_records(), r"\*\[a\]\?\\\^:s:{*}");
    }

    #[test]
    fn sessions_and_tokens_of_every_release_are_read() {
        let ring = Arc::new(KeyRing::new([b"a key of this test, 32 bytes long".as_slice()]));
        let sealer = SessionSealer { ring, keep_device: None };
        let (id, session) = (SessionId::from_bytes([3; 16]), session());
        let tokens = TokenSet { access: JWS.into(), id: JWS.into(), refresh: Some("eyJh.a.aXY.Y3Q.dGFn".into()) };
        let record = sealer.seal(&id, &session, at(9));
        for bytes in written("redis_record", &encode(&record, "w")) {
            let read = decode(&bytes, None).unwrap();
            assert_eq!((read.version, read.ends, read.last_used), (session.version, session.ends, at(9)));
            assert_eq!(read.listed, session.listed());
            assert_eq!(format!("{:?}", sealer.session(&id, &read).unwrap()), format!("{session:?}"));
        }
        for bytes in written("redis_tokens", &encode_tokens(&sealer.seal_tokens(&id, &tokens, 12))) {
            let read = sealer.tokens(&id, &decode_tokens(Some(bytes)), 12).unwrap();
            assert_eq!((read.access.expose_secret(), read.id.expose_secret()), (JWS, JWS));
            assert_eq!(read.refresh.unwrap().expose_secret(), tokens.refresh.as_ref().unwrap().expose_secret());
        }
    }

    #[test]
    fn tokens_survive_and_broken_ones_are_none() {
        let tokens = SealedTokens { access: Some(b"1 2".to_vec()), refresh: Some(b"3".to_vec()) };
        let bytes = encode_tokens(&tokens);
        assert_eq!((&*bytes, decode_tokens(Some(bytes.clone()))), (&b"3 1 23"[..], tokens.clone()));
        let none = SealedTokens::default();
        assert_eq!(encode_tokens(&SealedTokens { refresh: None, ..tokens }), b"");
        for broken in [None, Some(vec![]), Some(b" ".to_vec()), Some(b"x 1".to_vec()), Some(b"3 12".to_vec())] {
            assert_eq!(decode_tokens(broken), none);
        }
    }

    #[test]
    fn a_record_survives_and_a_broken_one_is_none() {
        let record = SealedSession {
            version: 3,
            ends: at(u64::MAX),
            last_used: at(5),
            sealed: b"a b c ".to_vec(),
            summary: vec![],
            listed: vec![IndexKey([1; 32]), IndexKey([2; 32])],
            tokens: SealedTokens::default(),
        };
        let bytes = encode(&record, "w");
        assert_eq!(decode(&bytes, None).as_ref(), Some(&record));
        assert_eq!(decode(&bytes, Some(9)).unwrap().last_used, at(9));
        assert_eq!(decode(&bytes, Some(1)).unwrap().last_used, at(5));
        for cut in 0..bytes.len() {
            // Whole marks can be missing without anything being wrong.
            let whole = cut + 64 == bytes.len() || cut + 32 == bytes.len();
            assert_eq!(decode(&bytes[..cut], None).is_some(), whole, "cut at {cut}");
        }
    }
}
