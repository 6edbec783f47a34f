//! Time-based one-time passwords (RFC 6238: SHA-1, steps of 30 seconds, six digits), and the authenticator app of a
//! user who has one, a "software token" in Cognito's words.

use super::messages::ApiError;
use super::random;
use aws_lc_rs::hmac;
use url::form_urlencoded::byte_serialize;

const STEP_SECONDS: i64 = 30;

/// A user's authenticator app. The default is none.
#[derive(Clone, Debug, Default)]
pub(super) struct SoftwareToken {
    /// The secret of an app that has not shown a code yet.
    associated: Option<Vec<u8>>,
    verified: Option<Vec<u8>>,
    pub(super) enabled: bool,
    pub(super) preferred: bool,
    /// The time step of the last code: codes of it and before are used up.
    last_step: i64,
}

impl SoftwareToken {
    /// A new secret in base32 (RFC 4648 §6). The one before stays good until the new one is verified.
    pub(super) fn associate(&mut self) -> String {
        base32(self.associated.insert(random::bytes(20)))
    }

    /// The secret that waits for its first code, or a new one.
    pub(super) fn associated(&mut self) -> String {
        base32(self.associated.get_or_insert_with(|| random::bytes(20)))
    }

    pub(super) const fn is_verified(&self) -> bool {
        self.verified.is_some()
    }

    /// Takes the first code of a new app, which proves that the app has the secret.
    pub(super) fn verify(&mut self, code: &str, now: i64) -> Result<(), ApiError> {
        let step = self.associated.as_ref().and_then(|secret| step_of(secret, code, now));
        let mismatch = "Code mismatch and fail enable Software Token MFA";
        self.last_step = step.ok_or_else(|| ApiError::new("EnableSoftwareTokenMFAException", mismatch))?;
        self.verified = self.associated.take();
        Ok(())
    }

    /// Takes a code at a sign-in.
    pub(super) fn check(&mut self, code: &str, now: i64) -> Result<(), ApiError> {
        let step = self.verified.as_ref().and_then(|secret| step_of(secret, code, now));
        let step = step.ok_or_else(|| ApiError::new("CodeMismatchException", "Invalid code received for user"))?;
        if step <= self.last_step {
            return Err(ApiError::new("ExpiredCodeException", "Your software token has already been used once."));
        }
        self.last_step = step;
        Ok(())
    }

    /// Makes it the factor that is asked for.
    pub(super) fn prefer(&mut self) {
        (self.enabled, self.preferred) = (true, true);
    }
}

/// The address that an authenticator app reads out of a QR code.
pub(super) fn otpauth_uri(issuer: &str, account: &str, secret: &str) -> String {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let (issuer, account) = (encode(issuer), encode(account));
    format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}")
}

/// The time step of a code: now, or the one before or after.
fn step_of(secret: &[u8], code: &str, now: i64) -> Option<i64> {
    let present = now.div_euclid(STEP_SECONDS);
    (present - 1..=present + 1).find(|step| code_at(secret, *step) == code)
}

/// HOTP (RFC 4226 §5.3) of the time step.
fn code_at(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let hash = tag.as_ref();
    let offset = usize::from(hash.last().copied().unwrap_or_default() & 0x0f);
    let number = hash.iter().skip(offset).take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let group = |five: &[u8]| {
        let bits = five.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        (0..8).rev().map(move |at| char::from(ALPHABET[(bits >> (5 * at)) as usize & 31]))
    };
    // Secrets are whole groups of five bytes, so nothing is padded.
    bytes.chunks_exact(5).flat_map(group).collect()
}
