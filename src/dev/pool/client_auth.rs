//! Who is asking at the token and revocation endpoints: HTTP Basic, form fields, or a public client's bare id.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::clients::AppClient;
use super::params::Params;
use super::state::PoolState;

/// The client, if it is one of the pool's and proved it. A client with a secret must always send it.
pub(super) fn authenticate(pool: &PoolState, headers: &HeaderMap, form: &Params) -> Option<AppClient> {
    let (id, secret) = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (id, secret) = basic(value.to_str().ok()?)?;
            // The header decides; a body that names somebody else is a mistake.
            if form.get("client_id").is_some_and(|named| named != id) {
                return None;
            }
            (id, Some(secret))
        }
        None => (form.get("client_id")?.to_owned(), form.get("client_secret").map(str::to_owned)),
    };
    let client = pool.world().clients.get(&id).cloned()?;
    let proved = match (&client.secret, &secret) {
        (Some(_), Some(secret)) => {
            // RFC 6749 2.3.1 has both halves form-encoded; whether Cognito decodes is not known, so both forms pass.
            client.knows_secret(secret) || client.knows_secret(&form_decoded(secret))
        }
        (Some(_), None) => false,
        (None, secret) => secret.as_ref().is_none_or(String::is_empty),
    };
    proved.then_some(client)
}

fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id), secret.to_owned()))
}

fn form_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
