//! Why a token is not accepted.

use crate::domain::untrusted::UntrustedText;

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not a signed JWT in compact form, or claims of the wrong type.
    #[error("it is not a signed JWT with the claims of one: {}", UntrustedText::new(.0))]
    Malformed(String),
    /// Anything but RS256.
    #[error("it is not signed with RS256")]
    Algorithm,
    /// Signed by a key that the provider does not publish.
    #[error("the provider publishes no such key")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the signature is wrong")]
    Signature,
    /// From another issuer.
    #[error("it is from another issuer")]
    Issuer,
    /// For another client.
    #[error("it is meant for another client")]
    Audience,
    /// Out of its time.
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat` lie in the future.
    #[error("it is not valid yet")]
    NotYetValid,
    /// The nonce is not this sign-in's.
    #[error("the nonce is wrong")]
    Nonce,
    /// `at_hash` does not fit the access token.
    #[error("at_hash does not fit the access token")]
    AccessTokenHash,
    /// An access token where an ID token is due, or the reverse.
    #[error("it is a token for another use")]
    TokenUse,
    /// Made for an API that is not ours.
    #[error("it is meant for an audience that is not in the accepted_audiences of its issuer")]
    ForeignAudience,
    /// Issued to a client that is not accepted.
    #[error("it was issued to a client that is not in the accepted_clients of its issuer")]
    Client,
    /// A person's where only programs' are accepted, or the reverse.
    #[error("it speaks for a kind of principal that is not in the kinds of its issuer")]
    Kind,
    /// A `sub`, a user name or a client's id that is longer than any.
    #[error("its sub, its user name or its client is too long")]
    TooLong,
    /// The subject changed.
    #[error("it speaks for another user")]
    Subject,
}
