//! `[directory]`: people in a database of one's own.

use std::path::Path;
use std::time::Duration;

use crate::config::diagnostic::Mistake;
use crate::config::reader::{ConfigReader, Field};
use crate::config::sections::cookies::{Secret, strong_key};
use crate::config::spec::{choices, count, fine_duration, list, section, text, text_with_base};
use crate::config::values::postgres_url::PostgresUrl;
use crate::config::values::store_url::{StoreUrl, store_url};
use crate::config::values::{oauth, scalar};

section! {
    directory: "People in a database of your own: a row for each, which sign-ins, renewals and changes keep up to date.";
    DirectoryConfig / RawDirectory

    /// PostgreSQL 13 or later, written as for session.store; both may be in one database. Absent: nothing is written
    /// down about people. Applications join the view "directory" in that schema.
    url: Option<PostgresUrl> = text_with_base(directory_url)
        .optional("postgres://USER:PASSWORD@HOST:5432/DATABASE")
        .or_file("/run/secrets/directory-url", "A file that holds the address, instead of url: it can hold a password.");

    /// Longest wait for the database, from 50ms to 2s. A sign-in waits as long at most, and then goes on without it: the
    /// row is written later.
    timeout: Duration = fine_duration()
        .default("500ms")
        .within(
            Duration::from_millis(50)..=Duration::from_secs(2),
            "Under 50ms a busy database would count as lost; over 2s every sign-in would hang with it.",
            "Write a time from `50ms` to `2s`; `500ms` suits most.",
        );

    /// The scope, of a resource server, with which a program may read people at GET /users. Absent: nobody may.
    scope: Option<String> = text(oauth::scope)
        .optional("https://auth-api.example.com/users.read")
        .rule(|scope| needs_url(scope.is_some(), &url));

    /// What is told of a person there, beside the sub and the time of the last change: "username", "email" if it is
    /// verified, "groups", "name", "provider", "legacy_id", "attributes", "created", "last_seen".
    fields: Vec<DirectoryField> = choices(&FIELDS.map(|(name, _)| name), field).default("username,email,groups");

    /// Keys of at least 32 bytes that the triggers sign with what they tell of people (DIRECTORY_KEY there): any of them.
    trigger_keys: Vec<Secret> = list(trigger_key)
        .default("")
        .or_file("/run/secrets/directory-trigger-keys", "A file that holds the keys, one a line, instead of trigger_keys.")
        .rule(|keys: &Vec<Secret>| needs_url(!keys.is_empty(), &url));

    /// How many requests a second a program may make there, at each process. More are refused with 429.
    requests_per_second: u32 = count().default("50");
}

/// Something that is told of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryField {
    /// The name in the pool.
    Username,
    /// The verified address.
    Email,
    /// The groups.
    Groups,
    /// The display name.
    Name,
    /// The federated identity provider.
    Provider,
    /// The id in an older system.
    LegacyId,
    /// The further attributes.
    Attributes,
    /// When the person was first heard of.
    Created,
    /// When the person last signed in or had a session renewed.
    LastSeen,
}

const FIELDS: [(&str, DirectoryField); 9] = [
    ("username", DirectoryField::Username),
    ("email", DirectoryField::Email),
    ("groups", DirectoryField::Groups),
    ("name", DirectoryField::Name),
    ("provider", DirectoryField::Provider),
    ("legacy_id", DirectoryField::LegacyId),
    ("attributes", DirectoryField::Attributes),
    ("created", DirectoryField::Created),
    ("last_seen", DirectoryField::LastSeen),
];

fn field(text: &str) -> Result<DirectoryField, Mistake> {
    scalar::one_of(
        &FIELDS,
        text,
        "is nothing that the directory tells of a person.",
        "Write any of `username`, `email`, `groups`, `name`, `provider`, `legacy_id`, `attributes`, `created`, `last_seen`.",
    )
}

fn trigger_key(text: &str) -> Result<Secret, Mistake> {
    strong_key(text, "anybody can pretend to be a trigger")
}

fn needs_url(wanted: bool, url: &Field<Option<PostgresUrl>>) -> Result<(), Mistake> {
    Mistake::unless(
        !wanted || !matches!(url.valid(), Some(None)),
        "There is no directory.url, so this would have no effect.",
        "Write directory.url too, or remove this.",
    )
}

fn directory_url(text: &str, base: &Path) -> Result<PostgresUrl, Mistake> {
    match store_url(text, base) {
        Ok(StoreUrl::Postgres(url)) => Ok(url),
        Err(mistake) if text.starts_with("postgres") => Err(mistake),
        _ => Err(Mistake::new(
            "This is not the address of a PostgreSQL database.",
            "Write `postgres://USER:PASSWORD@HOST:5432/DATABASE`.",
        )),
    }
}
