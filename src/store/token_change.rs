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

    /// What has to be written of the sealed new tokens: all of it while `keys_change`, or a part would stay under a key
    /// that is about to go.
    pub(super) fn parts(&self, sealed: &SealedTokens, keys_change: bool) -> SealedTokens {
        let Self::Replaced { old, new } = self else { return SealedTokens::default() };
        if keys_change {
            return sealed.clone();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(access: &str, refresh: Option<&str>) -> TokenSet {
        TokenSet { access: access.into(), id: "id".into(), refresh: refresh.map(Into::into) }
    }

    #[test]
    fn what_differs_is_written_and_everything_while_keys_change() {
        let sealed = SealedTokens { access: Some(vec![1]), refresh: Some(vec![2]) };
        let old = tokens("a", Some("r"));
        for (new, access, refresh) in [
            (tokens("a", Some("r")), false, false),
            (tokens("b", Some("r")), true, false),
            (tokens("a", Some("s")), false, true),
            (tokens("b", None), true, true),
        ] {
            let change = TokenChange::Replaced { old: &old, new: &new };
            let parts = change.parts(&sealed, false);
            assert_eq!((parts.access.is_some(), parts.refresh.is_some()), (access, refresh));
            assert_eq!(change.parts(&sealed, true), sealed, "no part stays under an older key");
        }
        assert_eq!(TokenChange::Kept.parts(&sealed, true), SealedTokens::default());
    }
}
