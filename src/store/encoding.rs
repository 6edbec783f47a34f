//! How sessions, and what belongs to them, are encoded in a record's sealed parts and in memory.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// The encoding of the sealed parts: the fields of [`Session`](crate::domain::session::Session) and
/// [`SessionSummary`](crate::domain::session::SessionSummary) in their order, and of what they are made of, and the dictionary
/// of the tokens' claims. Raise it when any of that changes.
const ENCODING: u8 = 8;

pub(super) fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(vec![ENCODING]);
    plain = postcard::to_extend(value, std::mem::take(&mut *plain)).expect("a session is plain data").into();
    plain
}

pub(super) fn decode<T: DeserializeOwned>(plain: &[u8]) -> Option<T> {
    match plain.split_first() {
        Some((&ENCODING, value)) => postcard::from_bytes(value).ok(),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::compression::DICTIONARY;
    use super::*;
    use crate::domain::clock::at;
    use crate::domain::principal::tests::jane;
    use crate::domain::return_to::ReturnToPolicy;
    use crate::domain::seal::sha256;
    use crate::domain::session::{Device, Session, SignInContext};
    use crate::domain::store_key::{IndexKey, RevocationKey};
    use crate::domain::token::{TokenIds, TokenMetadata};

    pub(in crate::store) fn session() -> Session {
        let url = url::Url::parse("https://auth.example.com/").unwrap();
        let return_to = ReturnToPolicy::new(url, vec![], None).parse("/next").unwrap();
        let device = Device { agent: "a browser".into(), address: "192.0.2.1".into() };
        Session {
            principal: jane(),
            tokens: TokenMetadata {
                expires_at: at(4),
                renewable: true,
                ids: TokenIds::new([RevocationKey([5; 32])], at(6)),
                provider_session: Some(IndexKey([7; 32])),
            },
            sign_in: SignInContext { tag: "a tag".into(), return_to, device },
            started: at(8),
            renewed: at(9),
            ends: at(10),
            version: 11,
            refresh_version: 12,
        }
    }

    /// Fields have no names there: with another field before it, one would be taken for another.
    #[test]
    fn a_change_of_what_is_sealed_raises_the_encoding() {
        let session = session();
        let dictionary = Zeroizing::new(DICTIONARY.into());
        let encoded = [encode(&session), encode(&session.summary()), dictionary];
        let encoded = encoded.map(|plain| sha256(&plain)[..4].to_vec());
        let known = [[132, 149, 239, 177], [29, 79, 250, 246], [192, 208, 146, 240]];
        assert_eq!(encoded, known, "raise ENCODING, and then write the new hashes here");
    }
}
