//! Programs that fetch tokens for themselves (RFC 6749 §4.4): who they are, what they may ask for, what
//! they get.

use super::clock::Timestamp;
use super::principal::{MachineIdentity, Principal};
use super::seal::{random, same, sha256};
use super::store_key::RevocationKey;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Scopes (RFC 6749 §3.3), sorted and each once: two that mean the same are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scopes(Vec<String>);

/// A scope with a character that none can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope has a character that RFC 6749 §3.3 does not allow")]
pub struct MalformedScope;

impl Scopes {
    /// The scopes in `words`.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        let mut scopes: Vec<String> = words.into_iter().map(Into::into).collect();
        scopes.sort();
        scopes.dedup();
        Self(scopes)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every scope of `other` is among these.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|scope| self.0.binary_search(scope).is_ok())
    }

    /// These without those of `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|scope| other.0.binary_search(scope).is_err()).cloned().collect())
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromStr for Scopes {
    type Err = MalformedScope;

    /// Reads a `scope` parameter.
    fn from_str(text: &str) -> Result<Self, MalformedScope> {
        let scope = |word: &str| word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        let words = || text.split(' ').filter(|word| !word.is_empty());
        if words().all(scope) { Ok(Self::new(words())) } else { Err(MalformedScope) }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// The SHA-256 of a client's secret, written `sha256:` and base64url. Secrets are 256 random bits of ours,
/// so that nothing slower is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a secret.
    pub fn of(secret: &str) -> Self {
        Self(sha256(secret.as_bytes()))
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let decoded = BASE64_URL_SAFE_NO_PAD.decode_slice(text.strip_prefix("sha256:")?, &mut hash).ok()?;
        (decoded == hash.len()).then_some(Self(hash))
    }

    /// Whether both are of the same secret, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash(…)")
    }
}

/// A new secret: 256 random bits in base64url.
pub fn new_secret() -> SecretString {
    BASE64_URL_SAFE_NO_PAD.encode(random::<32>()).into()
}

/// A machine app client at the provider. Its secret never leaves us.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its id at the provider.
    pub client_id: String,
    /// Its secret there.
    pub secret: SecretString,
    /// Scopes that its tokens may have though nobody asked for them.
    pub unrequested: UnrequestedScopes,
    /// Whether the clients that it serves share tokens, which then are nobody's in particular.
    pub share: bool,
}

/// Which scopes a provider may grant without being asked for them (RFC 6749 §3.3).
#[derive(Debug, Clone)]
pub enum UnrequestedScopes {
    /// These.
    Only(Scopes),
    /// Any: the app client is the caller's own, and the answer tells what was granted.
    Any,
}

impl UnrequestedScopes {
    /// Whether all of `scopes` may be granted.
    pub fn allow(&self, scopes: &Scopes) -> bool {
        match self {
            Self::Only(allowed) => allowed.cover(scopes),
            Self::Any => true,
        }
    }
}

/// A client that is registered here.
#[derive(Debug, Clone)]
pub struct MachineClient {
    /// Its id here.
    pub id: String,
    /// Every one of them authenticates it: two while a secret is rotated.
    pub secrets: Vec<SecretHash>,
    /// Who answers for it: a person, a team.
    pub owner: String,
    /// The user on whose behalf it acts, by the provider's `sub`.
    pub on_behalf_of: Option<String>,
    /// What it may ask for.
    pub scopes: Scopes,
    /// The resources that it may name (RFC 8707 §2), compared character by character.
    pub resources: Vec<String>,
    /// The app client that serves it.
    pub upstream: Arc<Upstream>,
    /// How many tokens may be fetched for it in an hour, if not as many as for others.
    pub fetches_per_hour: Option<u32>,
    /// Whether it may do nothing for now.
    pub disabled: bool,
}

impl MachineClient {
    /// Whose the tokens are that are fetched for it.
    pub fn token_holder(&self) -> TokenHolder {
        match self.upstream.share {
            true => TokenHolder::Upstream { on_behalf_of: self.on_behalf_of.clone() },
            false => TokenHolder::Client(self.id.clone()),
        }
    }

    /// Makes `principal`, which the provider's token speaks for, this client.
    pub fn identify(&self, principal: &mut Principal) {
        let id = std::mem::replace(&mut principal.client_id, self.id.clone());
        principal.username.clone_from(&self.id);
        let machine = &mut principal.machine;
        machine.upstream_client_id = Some(id);
        machine.owner = Some(self.owner.clone());
        machine.on_behalf_of.clone_from(&self.on_behalf_of);
    }

    /// Whether [`MachineClient::identify`] would leave `machine` as it is.
    pub fn is_described_by(&self, machine: &MachineIdentity) -> bool {
        machine.owner.as_ref() == Some(&self.owner) && machine.on_behalf_of == self.on_behalf_of
    }

    /// Whether it may name this resource.
    pub fn may_name(&self, resource: &str) -> bool {
        self.resources.iter().any(|own| own == resource)
    }

    /// Whether `secret` is one of its own, in a time that does not depend on which.
    pub fn has_secret(&self, secret: &SecretHash) -> bool {
        self.secrets.iter().fold(false, |found, own| found | own.matches(secret))
    }
}

/// The registered clients by id.
pub type ClientRegistry = HashMap<String, Arc<MachineClient>>;

/// Whether a text can name a resource: an absolute URI without a fragment (RFC 8707 §2).
pub fn is_resource(text: &str) -> bool {
    url::Url::parse(text).is_ok() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

// A token is written only into a record that is sealed right after.
mod exposed {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose_secret())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::from)
    }
}

/// A token that was fetched for a machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineToken {
    /// The token.
    #[serde(with = "exposed")]
    access: SecretString,
    /// What was granted.
    pub scopes: Scopes,
    /// When it was fetched.
    pub issued_at: Timestamp,
    /// When it runs out.
    pub expires_at: Timestamp,
    /// What it is good for when somebody shows it.
    pub issued: IssuedToken,
}

/// RFC 6749 §5.1.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenResponse<'a> {
    /// The token.
    pub(crate) access_token: &'a str,
    /// `Bearer`.
    pub(crate) token_type: &'static str,
    /// What was granted: a provider may add default scopes of its own.
    pub(crate) scope: &'a str,
    /// Seconds of life that it has left.
    // The last member: it alone changes from one answer to the next.
    pub(crate) expires_in: u64,
}

/// What is known of a token that was fetched here, without the token: found by its SHA-256, whatever its format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssuedToken {
    /// Whom it speaks for.
    pub principal: Principal,
    /// What was asked for.
    pub requested: UpstreamRequest,
    /// Whose it is.
    pub holder: TokenHolder,
    /// What it is refused by once it was revoked.
    pub revocation_keys: Vec<RevocationKey>,
}

/// Whose a token is that was fetched here. The provider knows the upstream only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenHolder {
    /// A registered client's, by its id.
    Client(String),
    /// The upstream's: of a caller's own app client, or of clients that share.
    Upstream {
        /// The user on whose behalf all who share it act.
        on_behalf_of: Option<String>,
    },
}

impl TokenHolder {
    /// The registered client whose it is.
    pub fn client(&self) -> Option<&str> {
        match self {
            Self::Client(id) => Some(id),
            Self::Upstream { .. } => None,
        }
    }
}

/// What the provider was asked for. It may have granted more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpstreamRequest {
    /// The scopes; none for all that the app client may have.
    pub scopes: Scopes,
    /// The resource (RFC 8707).
    pub resource: Option<String>,
}

impl MachineToken {
    /// The token `access`, fetched at `issued_at`, which a verifier may know by `token_ids` too.
    pub fn new(
        access: SecretString,
        issued_at: Timestamp,
        principal: Principal,
        requested: UpstreamRequest,
        holder: TokenHolder,
        token_ids: Vec<RevocationKey>,
    ) -> Self {
        let hash = token_hash(access.expose_secret());
        let revocation_keys = std::iter::once(RevocationKey::machine_token(&hash)).chain(token_ids).collect();
        let scopes = Scopes::new(principal.scopes.iter().cloned());
        let expires_at = principal.expires_at;
        let issued = IssuedToken { principal, requested, holder, revocation_keys };
        Self { access, scopes, issued_at, expires_at, issued }
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        self.access.expose_secret()
    }

    /// Its [`token_hash`].
    pub fn hash(&self) -> [u8; 32] {
        token_hash(self.expose())
    }

    /// Scopes that were granted though others were asked for.
    pub fn unrequested(&self) -> Scopes {
        let requested = &self.issued.requested.scopes;
        if requested.is_empty() { Scopes::default() } else { self.scopes.without(requested) }
    }

    /// The life left at `now`.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.expires_at.since(now)
    }
}

/// What a fetched token is known by.
pub fn token_hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;
    use crate::domain::encoding::releases::written;
    use crate::domain::encoding::{decode, encode};
    use crate::domain::principal::tests::jane;

    #[test]
    fn tokens_that_any_release_has_fetched_are_used() {
        let issued = IssuedToken {
            principal: jane(),
            requested: UpstreamRequest { scopes: Scopes::new(["api/read"]), resource: Some("https://api.test".into()) },
            holder: TokenHolder::Upstream { on_behalf_of: Some("34c8".into()) },
            revocation_keys: vec![RevocationKey([5; 32])],
        };
        let scopes = Scopes::new(["api/read"]);
        let now = MachineToken { access: "a token".into(), scopes, issued_at: at(1), expires_at: at(2), issued };
        for bytes in written("machine_token", &encode(&now)) {
            let read: MachineToken = decode(&bytes).unwrap();
            assert_eq!(read.access.expose_secret(), "a token");
            assert_eq!(format!("{read:?}"), format!("{now:?}"));
        }
    }

    #[test]
    fn scopes_that_mean_the_same_are_the_same() {
        let scopes = |text: &str| text.parse::<Scopes>();
        assert_eq!(scopes("b a  b"), scopes("a b"));
        assert!(scopes("").unwrap().is_empty());
        assert!(scopes("a b c").unwrap().cover(&scopes("c a").unwrap()));
        assert!(!scopes("a b").unwrap().cover(&scopes("a ab").unwrap()));
        for bad in ["a\"b", "a\\b", "é", "a\tb", "a\nb"] {
            assert_eq!(scopes(bad), Err(MalformedScope), "{bad:?}");
        }
    }

    #[test]
    fn what_was_granted_beyond_the_question_is_told_apart() {
        let scopes = |text: &str| text.parse::<Scopes>().unwrap();
        assert_eq!(scopes("a b c").without(&scopes("b d")), scopes("a c"));
        let only = UnrequestedScopes::Only(scopes("email profile"));
        assert!(only.allow(&scopes("email")) && only.allow(&Scopes::default()));
        assert!(!only.allow(&scopes("email admin")) && UnrequestedScopes::Any.allow(&scopes("admin")));
    }

    #[test]
    fn a_resource_is_an_absolute_uri_without_a_fragment() {
        for good in ["https://api.example.com", "urn:example:orders", "https://api.example.com/a?b=c"] {
            assert!(is_resource(good), "{good}");
        }
        for bad in ["", "api", "/a", "https://a.test/#b", "https://a.test/ b", "https://é.test/", "https://a.test/\n"]
        {
            assert!(!is_resource(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written_and_shows_nothing() {
        let hash = SecretHash::of("a secret");
        assert_eq!(SecretHash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "sha256:", "sha256:AAAA", "md5:AAAA", &hash.to_string()[7..], "a secret"] {
            assert_eq!(SecretHash::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{hash:?}"), "SecretHash(…)");
        assert_ne!(new_secret().expose_secret(), new_secret().expose_secret());
    }
}
