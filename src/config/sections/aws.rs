//! `[aws]`: AWS credentials from an identity pool.

use url::Url;

use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{flag, section, text};
use crate::config::values::{oauth, urls};

section! {
    aws: "AWS credentials for people who are signed in, from a Cognito identity pool: POST /auth/aws-credentials.";
    AwsConfig / RawAws

    /// The id of the identity pool. Absent: nobody gets credentials.
    identity_pool: Option<String> = text(identity_pool_id).optional("eu-west-1:11111111-2222-3333-4444-555555555555");

    /// The role that everybody gets, among those that the pool may give. Absent: as the pool's rules say.
    role_arn: Option<String> = text(role_arn)
        .optional("arn:aws:iam::111122223333:role/app")
        .rule(|role| needs_pool(role.is_some(), &identity_pool));

    /// Whether strangers get the pool's credentials for guests. Each request of a stranger is another guest.
    guest: bool = flag().default("false").rule(|guest| needs_pool(*guest, &identity_pool));

    /// What the user pool is called there, if not the issuer without https://.
    login: Option<String> = text(oauth::client_id)
        .optional("cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI")
        .rule(|login| needs_pool(login.is_some(), &identity_pool));

    /// Where the identity pools API is, if not where the pool's region says.
    endpoint: Option<Url> = text(urls::endpoint).optional("https://cognito-identity.eu-west-1.amazonaws.com/");
}

/// Where people get AWS credentials.
#[derive(Clone, Debug)]
pub struct IdentityPoolConfig {
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

impl AwsConfig {
    /// The identity pool for the users of `issuer`.
    pub fn pool(&self, issuer: &str) -> Option<IdentityPoolConfig> {
        let id = self.identity_pool.clone()?;
        let region = id.split(':').next().unwrap_or_default();
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        let usual = || Url::parse(&format!("https://cognito-identity.{region}.amazonaws.com{china}/")).ok();
        let login = || issuer.split_once("://").map_or(issuer, |(_, rest)| rest).to_owned();
        Some(IdentityPoolConfig {
            endpoint: self.endpoint.clone().or_else(usual)?,
            login: self.login.clone().unwrap_or_else(login),
            role_arn: self.role_arn.clone(),
            guests: self.guest,
            id,
        })
    }
}

pub(in crate::config) fn identity_pool_id(text: &str) -> Result<String, Mistake> {
    let region =
        |r: &str| r.contains('-') && r.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let uuid = |id: &str| id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    match text.split_once(':') {
        Some((r, id)) if region(r) && uuid(id) => Ok(text.to_owned()),
        _ => Err(Mistake::new(
            format!("{} is not the id of an identity pool; a user pool's id is another one.", shown(text)),
            "Copy it from the identity pool: `eu-west-1:11111111-2222-3333-4444-555555555555`.",
        )),
    }
}

fn role_arn(text: &str) -> Result<String, Mistake> {
    let graphic = text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic());
    Mistake::text_if(
        text,
        graphic && text.starts_with("arn:") && text.contains(":role/"),
        format!("{} is not the ARN of a role.", shown(text)),
        "Write it as IAM shows it: `arn:aws:iam::111122223333:role/app`.",
    )
}

fn needs_pool(wanted: bool, pool: &Field<Option<String>>) -> Result<(), Mistake> {
    Mistake::unless(
        !wanted || !matches!(pool.valid(), Some(None)),
        "There is no aws.identity_pool, so this would have no effect.",
        "Write aws.identity_pool too, or remove this.",
    )
}
