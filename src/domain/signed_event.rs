//! An event of the user pool on its way from a trigger to the service: signed, with its time, by a key that both have
//! (HMAC-SHA256, RFC 2104).

use super::clock::Timestamp;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::time::Duration;

/// The header with the signature: `t=<epoch seconds>,v1=<base64url>`.
pub const SIGNATURE_HEADER: &str = "x-auth-signature";

/// A signature of another time is none, either way.
const VALID_FOR: Duration = Duration::from_secs(300);

/// What is signed: nothing else that the key may ever be used for begins so.
fn message(at: &str, body: &[u8]) -> Vec<u8> {
    [b"auth-api user event\n", at.as_bytes(), b"\n", body].concat()
}

/// The header's value for a body that is sent at a time.
pub fn sign(key: &[u8], at: Timestamp, body: &[u8]) -> String {
    let at = at.as_secs().to_string();
    let tag = hmac::sign(&Key::new(HMAC_SHA256, key), &message(&at, body));
    format!("t={at},v1={}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

/// When a body was sent, if the header's value is that of one of these keys and of these minutes.
pub fn verify<'a>(
    keys: impl IntoIterator<Item = &'a [u8]>,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Option<Timestamp> {
    let (at, tag) = signature.strip_prefix("t=")?.split_once(",v1=")?;
    let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
    let message = message(at, body);
    let at = Timestamp::from_secs(at.parse().ok()?);
    let is_of = |key: &[u8]| hmac::verify(&Key::new(HMAC_SHA256, key), &message, &tag).is_ok();
    (now.abs_diff(at) <= VALID_FOR && keys.into_iter().any(is_of)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_body_key_and_time_alone() {
        let at = Timestamp::from_secs(1_795_160_654);
        let (old, new) = (b"an old key".as_slice(), b"a new key".as_slice());
        let signature = sign(old, at, b"{}");
        assert_eq!(verify([new, old], &signature, b"{}", at + VALID_FOR), Some(at));
        assert_eq!(verify([old], &signature, b"{}", at - VALID_FOR), Some(at));
        let late = at + VALID_FOR + Duration::from_secs(1);
        assert_eq!(verify([old], &signature, b"{}", late), None);
        assert_eq!(verify([new], &signature, b"{}", at), None);
        assert_eq!(verify([], &signature, b"{}", at), None);
        assert_eq!(verify([old], &signature, b"{ }", at), None);
        let moved = signature.replace("t=1795160654", "t=1795160655");
        for wrong in [moved.as_str(), "", "t=1795160654", "t=1795160654,v1=", "t=x,v1=AA", &signature[2..]] {
            assert_eq!(verify([old], wrong, b"{}", at), None, "{wrong}");
        }
    }
}
