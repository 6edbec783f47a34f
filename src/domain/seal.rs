//! Authenticated encryption of what leaves our hands: cookies and stored sessions.
//!
//! A sealed value opens only for the purpose, context and bound data it was sealed with. Each
//! purpose and context has a key of its own, derived by HKDF-SHA-256 (RFC 5869) from the first
//! key of the ring; the value is AES-256-GCM (RFC 5116) with a random 96-bit nonce.
//!
//! Layout: version (1 byte) · ring key id (4) · nonce (12) · ciphertext · tag (16).

use super::deployment::Deployment;
use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use std::sync::Arc;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// What a sealed value is for; nothing sealed for one purpose opens for another.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// A fixed name of the kind of value.
    pub label: &'static str,
    /// Selects the derived key: a session id, a cookie name.
    pub context: &'a [u8],
    /// Authenticated beside the value, not encrypted: the deployment, a version.
    pub bound: &'a [u8],
}

/// The server's secret keys: the first seals, every one opens.
#[derive(Debug)]
pub struct KeyRing {
    keys: ArcSwap<Vec<RingKey>>,
    deployment: Deployment,
}

#[derive(Clone)]
struct RingKey {
    id: [u8; KEY_ID_LEN],
    prk: Prk,
}

impl std::fmt::Debug for RingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RingKey(…)")
    }
}

/// The value was not sealed by this ring for this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sealed by these keys for this purpose")]
pub struct Unsealable;

/// An output length for HKDF.
struct OutputLength(usize);

impl KeyType for OutputLength {
    fn len(&self) -> usize {
        self.0
    }
}

impl KeyRing {
    /// A ring of `keys` in order of preference. Each should hold at least 32 bytes of entropy.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self { keys: ArcSwap::from_pointee(derived(keys)), deployment: Deployment::default() }
    }

    /// Takes `keys` in place of those before, for all that share this ring.
    pub fn replace<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) {
        self.keys.store(Arc::new(derived(keys)));
    }

    /// The same keys for one deployment: nothing that another has sealed opens.
    #[must_use]
    pub fn bound_to(self, deployment: Deployment) -> Self {
        Self { deployment, ..self }
    }

    /// The same keys for no deployment in particular.
    #[must_use]
    pub fn unbound(&self) -> Self {
        Self { keys: ArcSwap::new(self.keys.load_full()), deployment: Deployment::default() }
    }

    /// Whose it is.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Seals `plain` under the first key.
    ///
    /// # Panics
    /// If the ring is empty or the operating system gives no randomness.
    pub fn seal(&self, purpose: Purpose<'_>, plain: &[u8]) -> Vec<u8> {
        let keys = self.keys.load();
        let key = keys.first().expect("configuration demands a key");
        let nonce = random::<NONCE_LEN>();
        let mut sealed = Vec::with_capacity(HEADER_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        let mut body = plain.to_vec();
        key.derive(purpose, &self.deployment)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose.bound), &mut body)
            .expect("plain text is far below the limit of AES-GCM");
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens what [`KeyRing::seal`] made for the same purpose.
    ///
    /// # Errors
    /// [`Unsealable`] for anything else, without telling why.
    pub fn open(&self, purpose: Purpose<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let (header, body) = sealed.split_at_checked(HEADER_LEN).ok_or(Unsealable)?;
        let (version, header) = header.split_first().ok_or(Unsealable)?;
        let (id, nonce) = header.split_at(KEY_ID_LEN);
        if *version != VERSION {
            return Err(Unsealable);
        }
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.id == id).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = key
            .derive(purpose, &self.deployment)
            .open_in_place(nonce, Aad::from(purpose.bound), &mut body)
            .map_err(|_| Unsealable)?
            .len();
        body.truncate(plain);
        Ok(body)
    }
}

impl KeyRing {
    /// A keyed hash of `data`, another for each `label`: tells nothing about the data to who has not the key.
    ///
    /// # Panics
    /// If the ring is empty.
    pub fn tag(&self, label: &'static str, data: &[u8]) -> [u8; 32] {
        let keys = self.keys.load();
        let key = keys.first().expect("configuration demands a key");
        let mut tag = [0; 32];
        expand(
            &key.prk,
            &[b"tag\0", &sha256(self.deployment.key().as_bytes()), label.as_bytes(), b"\0", data],
            &mut tag,
        );
        tag
    }

    /// Whether there are keys that open and no longer seal.
    pub fn has_older_keys(&self) -> bool {
        self.keys.load().len() > 1
    }

    /// Whether the first key, the one that seals, sealed this.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let id = sealed.get(1..1 + KEY_ID_LEN);
        self.keys.load().first().is_some_and(|key| id == Some(&key.id))
    }
}

impl RingKey {
    fn derive(&self, purpose: Purpose<'_>, deployment: &Deployment) -> LessSafeKey {
        let mut key = Zeroizing::new([0; 32]);
        // The label is fixed text without NUL, so label and context cannot run into each other.
        let info = [purpose.label.as_bytes(), b"\0", &sha256(deployment.key().as_bytes()), purpose.context];
        expand(&self.prk, &info, key.as_mut());
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("32 bytes are an AES-256 key"))
    }
}

fn derived<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Vec<RingKey> {
    let salt = Salt::new(HKDF_SHA256, b"auth-api key ring v1");
    let keys = keys.into_iter().map(|key| {
        let prk = salt.extract(key);
        let mut id = [0; KEY_ID_LEN];
        expand(&prk, &[b"key id"], &mut id);
        RingKey { id, prk }
    });
    keys.collect()
}

fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) {
    prk.expand(info, OutputLength(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("the lengths asked for are far below HKDF's limit");
}

/// Bytes from the operating system's random generator.
///
/// # Panics
/// If there is none: without randomness nothing here is safe.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(test)]
    if seeded::fill(&mut bytes) {
        return bytes;
    }
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// Randomness reproducible from a seed, for the single-threaded simulation.
#[cfg(test)]
pub(crate) mod seeded {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From here on everything random in this thread follows from `seed`; with `None` nothing does.
    pub(crate) fn seed(seed: Option<u64>) {
        STATE.set(seed);
    }

    /// The next number, by SplitMix64, if this thread has a seed.
    pub(crate) fn next() -> Option<u64> {
        let state = STATE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(Some(state));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(mixed ^ (mixed >> 31))
    }

    pub(super) fn fill(out: &mut [u8]) -> bool {
        for bytes in out.chunks_mut(8) {
            let Some(next) = next() else { return false };
            bytes.copy_from_slice(&next.to_le_bytes()[..bytes.len()]);
        }
        true
    }
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data).as_ref());
    out
}

/// The same of parts that are given one after the other, without putting them together first.
pub fn sha256_of(give: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    give(&mut |part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Compares in a time that does not depend on where two values differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::encoding::releases::written;

    const OLD: &[u8] = b"an old key of thirty-two bytes!!";
    const NEW: &[u8] = b"a new key of thirty-two bytes!!!";

    fn purpose<'a>(label: &'static str, context: &'a [u8], bound: &'a [u8]) -> Purpose<'a> {
        Purpose { label, context, bound }
    }

    #[test]
    fn what_releases_have_sealed_opens() {
        let deployment = Deployment::default();
        let ring = KeyRing::new([NEW, OLD]).bound_to(deployment);
        let purpose = purpose("session", b"context", b"bound");
        for sealed in written("sealed", &KeyRing::new([OLD]).seal(purpose, b"plain")) {
            assert_eq!(ring.open(purpose, &sealed).unwrap().as_slice(), b"plain");
        }
    }

    #[test]
    fn a_value_opens_only_for_the_purpose_it_was_sealed_for() {
        let ring = KeyRing::new([NEW]);
        let sealed = ring.seal(purpose("tx", b"name", b"site"), b"value");
        assert_eq!(*ring.open(purpose("tx", b"name", b"site"), &sealed).unwrap(), b"value");
        for wrong in [purpose("t", b"xname", b"site"), purpose("tx", b"nam", b"site"), purpose("tx", b"name", b"sit")] {
            assert_eq!(ring.open(wrong, &sealed).unwrap_err(), Unsealable);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let ring = KeyRing::new([NEW]);
        let sealed = ring.seal(purpose("tx", b"", b""), b"value");
        for i in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[i] ^= 1;
            assert!(ring.open(purpose("tx", b"", b""), &bad).is_err(), "byte {i}");
            assert!(ring.open(purpose("tx", b"", b""), &sealed[..i]).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn a_rotated_ring_opens_old_values_and_seals_with_the_new_key() {
        let old = KeyRing::new([OLD]);
        let both = KeyRing::new([NEW, OLD]);
        let p = purpose("tx", b"", b"");
        assert!(both.open(p, &old.seal(p, b"value")).is_ok());
        assert!(old.open(p, &both.seal(p, b"value")).is_err());
        assert!(both.is_current(&both.seal(p, b"value")) && !both.is_current(&old.seal(p, b"value")));
        let sealed = old.seal(p, b"value");
        old.replace([NEW, OLD]);
        assert!(old.open(p, &sealed).is_ok() && old.open(p, &both.seal(p, b"value")).is_ok());
        assert!(both.is_current(&old.seal(p, b"value")));
    }

    #[test]
    fn the_same_value_never_seals_to_the_same_bytes() {
        let ring = KeyRing::new([NEW]);
        let p = purpose("tx", b"", b"");
        assert_ne!(ring.seal(p, b"value"), ring.seal(p, b"value"));
    }

    #[test]
    fn what_another_deployment_sealed_does_not_open() {
        let ring = |client_id| KeyRing::new([NEW]).bound_to(Deployment::new("https://pool", client_id, "https://us"));
        let sealed = ring("web").seal(purpose("test", b"context", b""), b"plain");
        assert_eq!(&**ring("web").open(purpose("test", b"context", b""), &sealed).unwrap(), b"plain");
        assert!(
            ring("other").open(purpose("test", b"context", b""), &sealed).is_err()
                && ring("web").unbound().open(purpose("test", b"context", b""), &sealed).is_err()
        );
        assert_ne!(ring("web").tag("x", b"y"), ring("other").tag("x", b"y"));
    }
}
