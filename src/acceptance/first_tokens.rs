//! What the tokens of a sign-in look like. The product has accepted them.

use super::AcceptanceRun;
use super::report::{AnswerSheet, Verdict};
use super::wire::{claims, kid};
use crate::provider::AuthenticatedUser;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

/// What most proxies and servers take in one header, bytes.
const HEADER_MAX: usize = 7 << 10;

pub(super) async fn ask(run: &AcceptanceRun<'_>, user: &AuthenticatedUser, sheet: &mut AnswerSheet) {
    let tokens = &user.token_set;
    let (id_token, access_token) = (tokens.id.expose_secret(), tokens.access.expose_secret());
    let (id, access) = (claims(id_token), claims(access_token));

    const NAMES: [&str; 6] = ["nonce", "at_hash", "auth_time", "jti", "origin_jti", "event_id"];
    let (there, absent): (Vec<_>, Vec<_>) = NAMES.into_iter().partition(|name| id.contains_key(*name));
    let text = match absent.is_empty() {
        true => there.join(", "),
        false => format!("{}; not {}", there.join(", "), absent.join(", ")),
    };
    sheet.judge("sign_in.claims", id.contains_key("origin_jti"), Verdict::Differs, text);

    let (good, text) = groups(run, &id, &access);
    sheet.judge("sign_in.groups", good, Verdict::Differs, text);
    let text = if kid(id_token) == kid(access_token) { "with the same one" } else { "yes" };
    sheet.note("sign_in.keys", Verdict::AsExpected, text);
    let (good, text) = audience(run, &access);
    sheet.judge("sign_in.audience", good, Verdict::Differs, text);
    let refresh = tokens.refresh.as_ref().map(|token| token.expose_secret());
    let text = match refresh {
        Some(token) => format!("yes, of {} parts", token.split('.').count()),
        None => "no".to_owned(),
    };
    sheet.judge("sign_in.refresh_token", refresh.is_some(), Verdict::Differs, text);
    let refresh = refresh.map_or(0, str::len);
    let text =
        format!("ID token {} bytes, access token {}, refresh token {refresh}", id_token.len(), access_token.len());
    sheet.judge("sign_in.size", id_token.len().max(access_token.len()) < HEADER_MAX, Verdict::Differs, text);
}

/// Numbers and names of claims; no value of them.
fn groups(run: &AcceptanceRun<'_>, id: &Map<String, Value>, access: &Map<String, Value>) -> (bool, String) {
    let claim = run.config.provider.groups_claim.as_deref().unwrap_or("cognito:groups");
    let of = |claims: &Map<String, Value>| match claims.get(claim) {
        None => (true, "none".to_owned()),
        Some(Value::Array(groups)) if groups.iter().all(Value::is_string) => {
            (true, format!("{} in a list", groups.len()))
        }
        Some(_) => (claim != "cognito:groups", "no list of texts".to_owned()),
    };
    let ((in_id, of_id), (in_access, of_access)) = (of(id), of(access));
    let custom: Vec<_> = id.keys().filter(|name| name.starts_with("custom:")).map(String::as_str).collect();
    let custom = if custom.is_empty() { "none".to_owned() } else { custom.join(", ") };
    let text = format!("groups: {of_id} (ID token), {of_access} (access token); custom attributes: {custom}");
    (in_id && in_access, text)
}

fn audience(run: &AcceptanceRun<'_>, access: &Map<String, Value>) -> (bool, String) {
    let provider = &run.config.provider;
    let audiences: Vec<&str> = match access.get("aud") {
        None => return (true, "none".to_owned()),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
    };
    let known = |aud: &&str| *aud == provider.client_id || provider.accepted_audiences.iter().any(|known| known == aud);
    let requested =
        provider.authorize_parameters.iter().any(|(name, value)| name == "resource" && audiences.contains(&&**value));
    let whose = if requested { ": the resource of provider.authorize_parameters" } else { "" };
    match audiences.iter().any(known) {
        true => (true, format!("yes, an accepted one{whose}")),
        false => (false, format!("yes, and bearers with it are refused{whose}")),
    }
}
