//! The token of the forms of the account page: another page cannot know it, so it cannot send a form for somebody.

use crate::domain::seal::{KeyRing, same};
use crate::store::OpenedSession;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

const LABEL: &str = "form of the account page";

/// The token of the forms of a session.
pub(super) fn form_token(ring: &KeyRing, opened: &OpenedSession) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(ring.tag(LABEL, opened.id.as_bytes()))
}

/// Whether `sent` is the token of the session. After a change of the cookie keys it is not, and the form is shown again.
pub(super) fn is_form_token(ring: &KeyRing, opened: &OpenedSession, sent: &str) -> bool {
    same(sent.as_bytes(), form_token(ring, opened).as_bytes())
}
