//! What a renewal changes of the tokens, and what it therefore writes.

use super::SealedTokens;
use crate::domain::token::TokenSet;
use secrecy::{ExposeSecret, SecretString};

/// What a write does to a session's tokens.
#[derive(Debug, Clone, Copy)]
pub enum TokenChange<'a> {
    /// They stay as they are.
    Kept,
    /// What differs is written.
    Replaced {
        /// The tokens of the expected version.
        old: &'a TokenSet,
        /// Those of the new one.
        new: &'a TokenSet,
    },
}

impl TokenChange<'_> {
    /// Whether there is another refresh token than before, or none any more.
    pub(super) fn brings_refresh_token(&self) -> bool {
        match self {
            Self::Kept => false,
            Self::Replaced { old, new } => match (&old.refresh, &new.refresh) {
                (Some(old), Some(new)) => !is_same(old, new),
                (old, new) => old.is_some() || new.is_some(),
            },
        }
    }

    /// What has to be written of the sealed new tokens.
    pub(super) fn parts(&self, sealed: &SealedTokens) -> SealedTokens {
        let Self::Replaced { old, new } = self else { return SealedTokens::default() };
        let same_access = is_same(&old.access, &new.access) && is_same(&old.id, &new.id);
        SealedTokens {
            access: sealed.access.clone().filter(|_| !same_access),
            refresh: sealed.refresh.clone().filter(|_| self.brings_refresh_token()),
        }
    }
}

fn is_same(old: &SecretString, new: &SecretString) -> bool {
    old.expose_secret() == new.expose_secret()
}
