//! `[[provider.bearer_issuer]]`: further issuers whose access tokens count as bearers.

use url::Url;

use super::each;
use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::Field;
use crate::config::spec::KeySpec;
use crate::config::table::{TableReader, tables};
use crate::config::values::issuer::{self, Profile};
use crate::config::values::{oauth, scalar, urls};
use crate::domain::principal::PrincipalKind;

/// A further issuer whose access tokens count as bearers, and what it may say. Somebody else may administer it, so
/// whatever is not listed here it does not say.
#[derive(Clone, Debug)]
pub struct BearerIssuerConfig {
    /// The issuer, character by character as in its tokens.
    pub issuer: String,
    /// Its habits.
    pub profile: Profile,
    /// Where its keys are, if not where its discovery document says.
    pub jwks_uri: Option<Url>,
    /// The clients whose access tokens count: at least one.
    pub accepted_clients: Vec<String>,
    /// The audiences of tokens that were made for an API.
    pub accepted_audiences: Vec<String>,
    /// Whose tokens count: at least one kind.
    pub kinds: Vec<PrincipalKind>,
    /// The groups that it may put somebody in.
    pub groups: Vec<String>,
    /// The claim that holds them, if it is not the profile's.
    pub groups_claim: Option<String>,
    /// The scopes that it may grant.
    pub scopes: Vec<String>,
}

/// The issuers beside `provider`, each once.
pub(super) fn bearer_issuers<'a>(provider: &'a Field<String>) -> KeySpec<'a, Vec<BearerIssuerConfig>> {
    let mut issuers = Vec::new();
    tables(move |table| {
        let found = bearer_issuer(table)?;
        if provider.valid() == Some(&found.issuer) {
            let what = "This is provider.issuer, whose tokens count already, and by other rules.";
            return table
                .judge("issuer", Err(Mistake::new(what, "Name its further clients in provider.accepted_clients.")));
        }
        if issuers.contains(&found.issuer) {
            let what = format!(
                "The issuer {} is configured twice, and only one of the two could count.",
                shown(&found.issuer)
            );
            return table.judge("issuer", Err(Mistake::new(what, "Make the two blocks one.")));
        }
        issuers.push(found.issuer.clone());
        Some(found)
    })
}

fn bearer_issuer(table: &mut TableReader<'_>) -> Option<BearerIssuerConfig> {
    table.called("issuer");
    let issuer = table.text("issuer", issuer::issuer);
    let profile = table.text_or("profile", Profile::Cognito, |text| {
        scalar::one_of(issuer::PROFILES, text, issuer::NO_PROFILE, issuer::PROFILE_ADVICE)
    });
    let jwks_uri = table.text_or("jwks_uri", None, |text| urls::endpoint(text).map(Some));
    let accepted_clients = table.list("accepted_clients", |clients| each(clients, oauth::client_id));
    let accepted_audiences = table.list_or_empty("accepted_audiences", |audiences| each(audiences, oauth::audience));
    let kinds = table.optional_list("kinds", |kinds| each(kinds, kind));
    let groups = table.list_or_empty("groups", |groups| each(groups, oauth::group));
    let groups_claim = table.text_or("groups_claim", None, |claim| oauth::claim(claim).map(Some));
    let scopes = table.list_or_empty("scopes", |scopes| each(scopes, oauth::scope));
    let (issuer, profile) = (issuer?, profile?);
    table.judge("issuer", issuer::check(&issuer, profile))?;
    Some(BearerIssuerConfig {
        issuer,
        profile,
        jwks_uri: jwks_uri?,
        accepted_clients: accepted_clients?,
        accepted_audiences: accepted_audiences?,
        // Machines have no accounts that could be taken for those of our users.
        kinds: kinds.map(|kinds| if kinds.is_empty() { vec![PrincipalKind::Machine] } else { kinds })?,
        groups: groups?,
        groups_claim: groups_claim?,
        scopes: scopes?,
    })
}

fn kind(text: &str) -> Result<PrincipalKind, Mistake> {
    const KINDS: [(&str, PrincipalKind); 2] = [("machine", PrincipalKind::Machine), ("user", PrincipalKind::User)];
    scalar::one_of(
        &KINDS,
        text,
        "is no kind of principal.",
        "Write `machine` for programs, `user` for people, or both.",
    )
}
