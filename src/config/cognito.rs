//! What only Cognito has: identity pools, attributes that people change, questions in between.

use std::time::Duration;

use url::Url;

use super::draft::Draft;
use super::problem::{Wrong, shown};
use super::values::{self, Profile};

/// The scope without which the user pools API answers nobody.
pub(super) const SCOPE: &str = "aws.cognito.signin.user.admin";

/// Where people get AWS credentials.
#[derive(Clone, Debug)]
pub struct IdentityPool {
    /// Its id: region and UUID.
    pub id: String,
    /// The identity pools API.
    pub endpoint: Url,
    /// What the user pool is called there.
    pub login: String,
    /// The role that everybody gets, if the pool's own rules are not to decide.
    pub role_arn: Option<String>,
    /// Whether strangers get credentials, too.
    pub guests: bool,
}

pub(super) fn assemble(
    id: Option<String>,
    issuer: &str,
    role_arn: Option<String>,
    login: Option<String>,
    endpoint: Option<Url>,
    guests: bool,
) -> Option<IdentityPool> {
    let id = id?;
    let region = id.split(':').next().unwrap_or_default();
    let usual = || Url::parse(&format!("https://cognito-identity.{region}.amazonaws.com/")).ok();
    let login = login.unwrap_or_else(|| issuer.split_once("://").map_or(issuer, |(_, rest)| rest).to_owned());
    Some(IdentityPool { endpoint: endpoint.or_else(usual)?, login, role_arn, guests, id })
}

pub(super) fn check_revoked(text: &str) -> Result<Option<Duration>, Wrong> {
    match text {
        "never" => Ok(None),
        "interval" => Ok(Some(Duration::from_secs(15 * 60))),
        text => match values::duration(text) {
            Ok(time) if (60..=86_400).contains(&time.as_secs()) => Ok(Some(time)),
            _ => Err(Wrong::new(
                format!("{} is not how often to ask: under a minute it would use up Cognito's quota.", shown(text)),
                "Write `never`, `interval` for every 15 minutes, or a time from `1m` to `24h`.",
            )),
        },
    }
}

pub(super) fn writable(text: &str) -> Result<String, Wrong> {
    const FIXED: [&str; 8] = [
        "sub",
        "identities",
        "email",
        "email_verified",
        "phone_number",
        "phone_number_verified",
        "username",
        // The triggers write it, and whose it is decides what somebody is in the legacy system.
        "custom:legacy_id",
    ];
    if FIXED.contains(&text) || text.starts_with("cognito:") || text.starts_with("dev:") {
        return Err(Wrong::new(
            format!("People may not set {} themselves: it says who they are, and nobody would verify it.", shown(text)),
            "Leave it out; people change addresses where they are verified, in an application of your own.",
        ));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-');
    if text.len() <= 32 && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot be the name of an attribute.", shown(text)),
        "Write it as the user pool has it: `name`, `given_name`, `custom:theme`.",
    ))
}

pub(super) fn identity_pool(text: &str) -> Result<String, Wrong> {
    let region =
        |r: &str| r.contains('-') && r.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let uuid = |id: &str| id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    match text.split_once(':') {
        Some((r, id)) if region(r) && uuid(id) => Ok(text.to_owned()),
        _ => Err(Wrong::new(
            format!("{} is not the id of an identity pool; a user pool's id is another one.", shown(text)),
            "Copy it from the identity pool: `eu-west-1:11111111-2222-3333-4444-555555555555`.",
        )),
    }
}

pub(super) fn role_arn(text: &str) -> Result<String, Wrong> {
    let graphic = text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic());
    if graphic && text.starts_with("arn:") && text.contains(":role/") {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} is not the ARN of a role.", shown(text)),
        "Write it as IAM shows it: `arn:aws:iam::111122223333:role/app`.",
    ))
}

/// What needs Cognito, and its scope.
pub(super) fn check(draft: &Draft, report: &mut impl FnMut(&str, Result<(), Wrong>)) {
    let wanted = [
        (&draft.check_revoked.at, draft.check_revoked.good().is_some_and(Option::is_some)),
        (&draft.writable.at, draft.writable.good().is_some_and(|names| !names.is_empty())),
    ];
    for (at, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        report(at, scope(draft));
    }
    for at in [&draft.role_arn, &draft.aws_login].into_iter().filter(|field| field.good().is_some()).map(|f| &f.at) {
        report(at, pool(draft));
    }
    if draft.guest.good() == Some(&true) {
        report(&draft.guest.at, pool(draft));
    }
    for handed_on in [&draft.expose, &draft.forward_tokens] {
        if handed_on.good().is_some_and(|tokens| tokens.access_token) {
            report(&handed_on.at, harmless(draft));
        }
    }
    if draft.identity_pool.good().is_some() && draft.profile.good() == Some(&Profile::Oidc) {
        let wrong = Wrong::new(
            "Identity pools are Cognito's, and provider.profile is another one.",
            "Remove it, or write `cognito` in provider.profile.",
        );
        report(&draft.identity_pool.at, Err(wrong));
    }
}

fn scope(draft: &Draft) -> Result<(), Wrong> {
    if draft.profile.good() == Some(&Profile::Oidc) {
        return Err(Wrong::new(
            "This asks Cognito's user pools API, and provider.profile is another one.",
            "Remove it, or write `cognito` in provider.profile.",
        ));
    }
    match draft.scopes.good() {
        Some(scopes) if !scopes.iter().any(|scope| scope == SCOPE) => Err(Wrong::new(
            format!("Without the scope `{SCOPE}` Cognito would refuse every such question."),
            format!("Add `{SCOPE}` to provider.scopes, and allow it in the app client."),
        )),
        _ => Ok(()),
    }
}

/// Whether siblings may have access tokens: with [`SCOPE`] they could change people's accounts.
fn harmless(draft: &Draft) -> Result<(), Wrong> {
    match draft.scopes.good() {
        Some(scopes) if scopes.iter().any(|scope| scope == SCOPE) => Err(Wrong::new(
            format!(
                "Who holds an access token with the scope `{SCOPE}` can change the user's account: attributes, \
                 password, second factors. Every sibling would get one."
            ),
            format!("Leave `access_token` out here, or `{SCOPE}` out of provider.scopes."),
        )),
        _ => Ok(()),
    }
}

fn pool(draft: &Draft) -> Result<(), Wrong> {
    match draft.identity_pool.known() {
        Some(None) => Err(Wrong::new(
            "There is no aws.identity_pool, so this would have no effect.",
            "Write aws.identity_pool too, or remove this.",
        )),
        _ => Ok(()),
    }
}
