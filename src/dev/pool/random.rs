//! Random values: authorization codes, ids, session cookies, and refresh tokens that look like Cognito's.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(super) fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // A machine without randomness cannot run a user pool at all, and no request can cause it.
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes
}

/// `length` random bytes in base64url without padding.
pub(super) fn text(length: usize) -> String {
    URL_SAFE_NO_PAD.encode(bytes(length))
}

/// Six digits.
pub(super) fn digits() -> String {
    let number = bytes(4).iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("{:06}", number % 1_000_000)
}

/// A version 4 UUID: codes, `jti`, `event_id`, request ids.
pub(super) fn uuid() -> String {
    let mut raw = bytes(16);
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    uuid_text(&raw)
}

/// The first 16 bytes in the text form of a UUID.
pub(super) fn uuid_text(raw: &[u8]) -> String {
    let hex: String = raw.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// An opaque token in the outer shape of Cognito's refresh token: a compact JWE of five parts and about 1.8 kB.
/// It holds nothing; the pool looks it up.
pub(super) fn refresh_token() -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"cty":"JWT","enc":"A256GCM","alg":"RSA-OAEP"}"#);
    format!("{header}.{}.{}.{}.{}", text(256), text(12), text(1060), text(16))
}
