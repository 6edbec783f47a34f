//! AWS credentials of a signed-in user.

use super::clock::Timestamp;
use secrecy::SecretString;

/// Temporary credentials of an identity pool's role. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct AwsCredentials {
    /// The user's identity in the pool.
    pub identity_id: String,
    /// AWS's names for the three parts.
    pub access_key_id: String,
    /// See there.
    pub secret_access_key: SecretString,
    /// See there.
    pub session_token: SecretString,
    /// When they run out.
    pub expires_at: Timestamp,
}
