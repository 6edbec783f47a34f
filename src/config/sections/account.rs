//! `[account]`: people's own attributes.

use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{list, section};

section! {
    account: "A person's own attributes, as the user pool has them: GET and PATCH /auth/profile.";
    AccountConfig / RawAccount

    /// Attributes that people may change: "name", "custom:theme". The app client must allow to write them. Addresses
    /// and phone numbers cannot be among them, since nobody would verify them.
    /// Needs the scope aws.cognito.signin.user.admin, as reading does.
    writable: Vec<String> = list(attribute).default("");
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
