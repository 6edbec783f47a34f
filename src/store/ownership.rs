//! Whose records a shared store has: those of one deployment, sealed with its keys.

use super::Error;
use crate::domain::seal::{KeyRing, Purpose};

const OWNER_PREFIX: &str = "the session store of";

/// Where a shared store keeps the records of one deployment.
pub(super) struct Place<'a> {
    /// What is sealed beside the name: another kind of store cannot have it.
    pub(super) bound: &'static [u8],
    /// ``under the prefix `x` `` and the like.
    pub(super) place: &'a str,
    /// What to change in `session.store` for another place.
    pub(super) parameter: &'static str,
}

impl Place<'_> {
    fn purpose(&self) -> Purpose<'_> {
        Purpose { label: "store", context: b"mark", bound: self.bound }
    }

    /// What says that the place is ours.
    pub(super) fn seal(&self, ring: &KeyRing) -> Vec<u8> {
        ring.unbound().seal(self.purpose(), owner(ring).as_bytes())
    }

    /// Whether `sealed` says that the place is ours, and is to be sealed anew, after a change of the keys.
    ///
    /// # Errors
    /// It is another's.
    pub(super) fn is_outdated(&self, ring: &KeyRing, sealed: &[u8]) -> Result<bool, Error> {
        let (place, parameter) = (self.place, self.parameter);
        let begin = format!(
            "write another ?{parameter}= in session.store to begin with an empty store (everybody signs in again)"
        );
        let Ok(found) = ring.unbound().open(self.purpose(), sealed) else {
            return Err(Error::OtherDeployment(format!(
                "sessions {place} are sealed by other cookies.keys. Add the old key at the end of the list, or {begin}"
            )));
        };
        let own = owner(ring);
        if *found != own.as_bytes() {
            return Err(Error::OtherDeployment(format!(
                "{place} is {}, and this is {own}. Give the old values back, or {begin}",
                String::from_utf8_lossy(&found)
            )));
        }
        Ok(!ring.unbound().is_current(sealed))
    }
}

fn owner(ring: &KeyRing) -> String {
    format!("{OWNER_PREFIX}: {}", ring.deployment())
}
