//! The provider's tokens that are handed on.

use crate::config::diagnostic::{Mistake, shown};
use crate::config::spec::{KeySpec, choices};

/// Which of the provider's tokens are handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposed {
    /// The ID token.
    pub id_token: bool,
    /// The access token.
    pub access_token: bool,
}

impl Exposed {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.id_token || self.access_token
    }
}

/// The name of one.
#[derive(Clone, Copy, Debug)]
enum TokenName {
    Id,
    Access,
}

impl FromIterator<TokenName> for Exposed {
    fn from_iter<I: IntoIterator<Item = TokenName>>(names: I) -> Self {
        names.into_iter().fold(Exposed::default(), |exposed, name| match name {
            TokenName::Id => Exposed { id_token: true, ..exposed },
            TokenName::Access => Exposed { access_token: true, ..exposed },
        })
    }
}

/// A list of such tokens.
pub(in crate::config) fn tokens<'a>() -> KeySpec<'a, Exposed> {
    choices(&["id_token", "access_token"], token_name)
}

fn token_name(text: &str) -> Result<TokenName, Mistake> {
    match text {
        "id_token" => Ok(TokenName::Id),
        "access_token" => Ok(TokenName::Access),
        "refresh_token" => Err(Mistake::new(
            "The refresh token never leaves this service: whoever holds it can sign in as the user for weeks.",
            "Leave it out; a sibling service that needs fresh tokens calls `POST /refresh`.",
        )),
        _ => Err(Mistake::new(
            format!("{} is not a token that can be handed on.", shown(text)),
            "Write `id_token`, `access_token` or both, in lower case.",
        )),
    }
}
