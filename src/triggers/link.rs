//! A federated identity becomes a second way in for a user, before it is signed up as a user of its own.
//!
//! Whoever gets this wrong gives accounts away. So: the provider vouches for the e-mail address, exactly one native
//! user has it, who is confirmed and whose address is verified, and there is no doubt about whose identity it is. Without
//! such a user, exactly one federated user has it, and that user's provider vouches for it too.

use super::settings::TriggerSettings;
use super::vouched_email;
use crate::domain::user::User;
use crate::outbound::aws_json::AwsError;
use serde_json::{Value, json};

/// An identity that may be linked to the user with an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRequest {
    /// The provider's name as the pool spells it.
    pub provider: String,
    /// The user's id there.
    pub user_id: String,
    /// The address that the provider vouches for.
    pub email: String,
}

/// The identity in a `PreSignUp_ExternalProvider` event.
///
/// # Errors
/// Why it is not to be linked, for the log.
pub fn wanted(event: &Value, settings: &TriggerSettings) -> Result<LinkRequest, &'static str> {
    let user = User::from_trigger(event).map_err(|_| "the event has no user")?;
    let (provider, user_id) = identity(&user, settings.providers())?;
    let email = vouched_email(&user, &provider, &settings.trusted_providers);
    let email = email.ok_or("the provider does not vouch for the e-mail address")?.to_owned();
    Ok(LinkRequest { provider, user_id, email })
}

/// The attribute that a provider's subject may be mapped to, spelled as it is there.
const PROVIDER_SUBJECT: &str = "custom:provider_subject";

/// Takes `<provider>_<id>` apart. Both may hold underscores, and a pool whose names do not depend on capitals has both in
/// small letters. The pool may have providers that nobody named here, so an id with an underscore could be theirs: then
/// the event has to say.
pub(super) fn identity<'a>(
    user: &User,
    known: impl Iterator<Item = &'a str>,
) -> Result<(String, String), &'static str> {
    let (username, told) = (user.username.as_str(), user.identities.as_slice());
    let of = |name: &str| {
        let (start, rest) = username.split_at_checked(name.len())?;
        let id = rest.strip_prefix('_').filter(|id| !id.is_empty())?;
        start.eq_ignore_ascii_case(name).then(|| (name.to_owned(), id.to_owned(), start == name))
    };
    // Where the event takes the name apart itself, no other way counts.
    let told_apart = if let [one] = told { Some((one.provider.as_str(), one.user_id.as_str())) } else { None };
    let subject = user.attribute(PROVIDER_SUBJECT);
    let agrees = |name: &str, id: &str| {
        told_apart.is_none_or(|told| told == (name, id))
            && subject.is_none_or(|subject| subject.eq_ignore_ascii_case(id))
    };
    let mut fitting: Vec<_> = known.filter_map(of).filter(|(name, id, _)| agrees(name, id)).collect();
    fitting.sort();
    fitting.dedup();
    match fitting.as_slice() {
        [(provider, id, exact)] => {
            // It is the id, or it would not agree; and it has its capitals.
            if let Some(subject) = subject {
                return Ok((provider.clone(), subject.to_owned()));
            }
            if told_apart.is_none() && id.contains('_') {
                return Err("the id has an underscore: it may belong to a provider with a longer name");
            }
            // Small letters in the name may mean small letters in the id, and that is another person's.
            if !exact && id.contains(|c: char| !c.is_ascii_digit()) {
                return Err("the provider's name is in small letters, and so may be the id: map its subject to \
                    custom:provider_subject");
            }
            Ok((provider.clone(), id.clone()))
        }
        [] => Err("the provider is not known: name it in LINK_PROVIDERS"),
        _ => Err("the user name fits several providers"),
    }
}

/// The user whom the identity is linked to, out of those that ListUsers found: the one native user with the address, or
/// without one, the one federated user. Whether the user may sign in does not matter: somebody who is disabled shall not
/// come back through another door.
pub fn destination<'a>(users: &'a [User], wanted: &LinkRequest, settings: &TriggerSettings) -> Option<&'a User> {
    let only = |fitting: &[&'a User]| if let [one] = fitting { Some(*one) } else { None };
    let native: Vec<&User> = users.iter().filter(|user| is_native(user, &wanted.email)).collect();
    if !native.is_empty() {
        return only(&native);
    }
    let federated = only(&federated(users, &wanted.email, settings).collect::<Vec<_>>())?;
    // Another identity there with the same address: the provider has given the address to somebody else.
    let other = federated.identities.iter().any(|identity| identity.provider == wanted.provider);
    (!other).then_some(federated)
}

fn is_native(user: &User, email: &str) -> bool {
    user.status.as_deref() == Some("CONFIRMED")
        && user.is_native()
        && user.verified_email().is_some_and(|one| one.eq_ignore_ascii_case(email))
}

/// The federated users with an e-mail address, for which a provider vouches that somebody has named here.
pub fn federated<'a>(users: &'a [User], email: &str, settings: &TriggerSettings) -> impl Iterator<Item = &'a User> {
    users.iter().filter(move |user| {
        let provider = user.provider();
        user.status.as_deref() == Some("EXTERNAL_PROVIDER")
            && settings.providers().any(|name| name == provider)
            && vouched_email(user, provider, &settings.trusted_providers)
                .is_some_and(|one| one.eq_ignore_ascii_case(email))
    })
}

/// AdminLinkProviderForUser. A federated user is named by the id at the provider, a native one by the user name.
pub fn request(pool: &str, destination: &User, wanted: &LinkRequest) -> Value {
    let own = destination.identities.iter().find(|identity| identity.provider == destination.provider());
    let (provider, name) =
        own.map_or(("Cognito", &destination.username), |identity| (&identity.provider, &identity.user_id));
    json!({
        "UserPoolId": pool,
        "DestinationUser": { "ProviderName": provider, "ProviderAttributeValue": name },
        "SourceUser": {
            "ProviderName": wanted.provider,
            "ProviderAttributeName": "Cognito_Subject",
            "ProviderAttributeValue": wanted.user_id,
        },
    })
}

/// Whether a failure says that it was done before: Cognito asks again when it thinks that we were late.
pub fn is_repeat(failure: &AwsError) -> bool {
    let AwsError::Refused { code, message } = failure else { return false };
    code == "AliasExistsException"
        || code == "InvalidParameterException" && message.as_deref().is_some_and(|text| text.contains("already linked"))
}
