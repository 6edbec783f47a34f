//! `[account]`: what people may do with their own account.

use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{choices, list, section, text};
use crate::config::values::urls::secure_url;
use url::Url;

section! {
    account: "A person's own account: the page /auth/account, and GET and PATCH /auth/profile.";
    AccountConfig / RawAccount

    /// Attributes that people may change: "name", "custom:theme". The app client must allow to write them. Addresses
    /// and phone numbers cannot be among them, since nobody would verify them.
    /// Needs the scope aws.cognito.signin.user.admin, as reading does.
    writable: Vec<String> = list(attribute).default("");

    /// What the account page offers beyond name and sessions, as the user pool allows it: `email` and `phone_number` (a new
    /// one counts with the code that is sent there: the pool must keep the old one until then), `authenticator_app`,
    /// `passkeys`, `deletion`. Each needs the scope aws.cognito.signin.user.admin.
    offers: Vec<AccountOffer> = choices(
        &["email", "phone_number", "authenticator_app", "passkeys", "deletion"],
        account_offer,
    ).default("");

    /// The provider's own page where people manage their account, linked on ours. For Keycloak: the address of the realm
    /// and `/account`.
    provider_page: Option<Url> = text(provider_page).optional("https://keycloak.example.com/realms/main/account");
}

/// Something that people may do on the account page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountOffer {
    /// Another e-mail address.
    Email,
    /// Another phone number.
    PhoneNumber,
    /// An authenticator app as second factor.
    AuthenticatorApp,
    /// Passkeys.
    Passkeys,
    /// Deletion of the account.
    Deletion,
}

fn account_offer(text: &str) -> Result<AccountOffer, Mistake> {
    Ok(match text {
        "email" => AccountOffer::Email,
        "phone_number" => AccountOffer::PhoneNumber,
        "authenticator_app" => AccountOffer::AuthenticatorApp,
        "passkeys" => AccountOffer::Passkeys,
        "deletion" => AccountOffer::Deletion,
        _ => {
            return Err(Mistake::new(
                format!("The account page cannot offer {}.", shown(text)),
                "Write some of email, phone_number, authenticator_app, passkeys, deletion.",
            ));
        }
    })
}

fn provider_page(text: &str) -> Result<Url, Mistake> {
    secure_url(text, "anybody on the way could ask people for their password there.")
}

fn attribute(text: &str) -> Result<String, Mistake> {
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
        return Err(Mistake::new(
            format!("People may not set {} themselves: it says who they are, and nobody would verify it.", shown(text)),
            "Leave it out; people change addresses where they are verified, in an application of your own.",
        ));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-');
    Mistake::text_if(
        text,
        text.len() <= 32 && text.bytes().all(plain),
        format!("{} cannot be the name of an attribute.", shown(text)),
        "Write it as the user pool has it: `name`, `given_name`, `custom:theme`.",
    )
}
