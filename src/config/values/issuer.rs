//! The issuer of tokens: compared byte by byte with `iss`, and the value people get wrong most often.

use url::Url;

use super::urls::secure_url;
use crate::config::diagnostic::{Mistake, shown};
use crate::domain::host::is_loopback;

/// Which provider's habits to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// AWS Cognito user pools.
    Cognito,
    /// Any provider that keeps to OpenID Connect.
    Oidc,
}

/// Their names, and what to say about any other.
pub(in crate::config) const PROFILES: &[(&str, Profile)] = &[("cognito", Profile::Cognito), ("oidc", Profile::Oidc)];
pub(in crate::config) const NO_PROFILE: &str = "is not a provider profile.";
pub(in crate::config) const PROFILE_ADVICE: &str =
    "Write `cognito` for a Cognito user pool or `oidc` for any other OpenID Provider, in lower case.";

const COGNITO_FORM: &str = "Write `https://cognito-idp.REGION.amazonaws.com/POOL_ID`, for example \
    `https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI`; the pool id is on the user pool's overview page.";

/// What holds for every profile. The text is kept as written.
pub(in crate::config) fn issuer(text: &str) -> Result<String, Mistake> {
    let url = secure_url(text, "tokens could be signed by anyone on the way.")?;
    if let Some((issuer, _)) = text.split_once("/.well-known/") {
        return Err(Mistake::new(
            format!("{} is the address of a document below the issuer, not the issuer.", shown(text)),
            format!("Write {}.", shown(issuer)),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Mistake::new(
            format!("{} has a query or a fragment, which no issuer has, so no token would match.", shown(text)),
            "Write the issuer as it stands in the provider's discovery document.",
        ));
    }
    Ok(text.to_owned())
}

/// What holds for one profile.
pub(in crate::config) fn check(text: &str, profile: Profile) -> Result<(), Mistake> {
    let url = Url::parse(text).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    if host.ends_with(".amazoncognito.com") {
        return Err(Mistake::new(
            format!(
                "{} is the domain of the hosted UI; tokens name another issuer, so every one would be refused.",
                shown(text)
            ),
            COGNITO_FORM,
        ));
    }
    if profile == Profile::Oidc {
        return Ok(());
    }
    if text.ends_with('/') {
        return Err(Mistake::new(
            format!("{} ends in a slash and Cognito's issuer does not, so every token would be refused.", shown(text)),
            format!("Write {}.", shown(text.trim_end_matches('/'))),
        ));
    }
    if is_loopback(host) {
        return Ok(());
    }
    let Some((region, pool)) = region_and_pool(text) else {
        return Err(Mistake::new(
            format!("{} is not an issuer of Cognito, so every token would be refused.", shown(text)),
            format!("{COGNITO_FORM} For another provider set provider.profile to `oidc`."),
        ));
    };
    match pool.split_once('_') {
        Some((pool_region, id))
            if pool_region == region && !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            Ok(())
        }
        Some((pool_region, id)) if pool_region != region && !id.is_empty() => Err(Mistake::new(
            format!(
                "The host is in region {} and the user pool in {}, so the pool would not be found.",
                shown(region),
                shown(pool_region)
            ),
            COGNITO_FORM,
        )),
        _ => Err(Mistake::new(format!("{} is not the id of a user pool.", shown(pool)), COGNITO_FORM)),
    }
}

fn region_and_pool(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("https://")?;
    let rest = rest.strip_prefix("issuer-").unwrap_or(rest).strip_prefix("cognito-idp.")?;
    let (host, pool) = rest.split_once('/')?;
    let region = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!region.is_empty() && region.chars().all(plain)).then_some((region, pool))
}
