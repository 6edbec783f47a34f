//! How sessions, and what belongs to them, are encoded in a record's sealed parts and in memory.

use crate::domain::encoding;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Stands before the sealed parts. They change as [`crate::domain::encoding`] says and no other way, nor does the dictionary
/// of the tokens' claims; with another number here, the release before would take every session for a damaged one.
const ENCODING: u8 = 8;

pub(super) fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    encoding::encode_after(ENCODING, value)
}

pub(super) fn decode<T: DeserializeOwned>(plain: &[u8]) -> Option<T> {
    match plain.split_first() {
        Some((&ENCODING, value)) => encoding::decode(value),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::domain::clock::at;
    use crate::domain::principal::tests::jane;
    use crate::domain::return_to::ReturnToPolicy;
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
}
