//! `/users`: the directory of people, for programs, and for the triggers that tell of people.

use super::Web;
use super::error;
use super::gateway::{self, Authorization};
use super::openapi::{UserEventProblems, UserListProblems, UserProblems};
use super::refusal::Refusal;
use super::request_id::RequestId;
use crate::config::DirectoryField;
use crate::directory::ChangePosition;
use crate::domain::clock::Timestamp;
use crate::domain::person::{DirectoryEntry, Person, PersonKey};
use crate::domain::seal::sha256;
use crate::domain::signed_event::SIGNATURE_HEADER;
use crate::flow::{CallerCredentials, Error};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// No address or `sub` is longer, bytes.
const KEY_MAX: usize = 2_048;

/// A person. `directory.fields` says which members there are.
#[derive(Debug, Serialize, ToSchema)]
struct DirectoryUser {
    /// The stable identifier at the provider.
    sub: String,
    /// The name that the provider knows the person by.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The verified e-mail address; null if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Option<String>>,
    /// The groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Option<String>>,
    /// The federated identity provider, or `COGNITO`.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Option<String>>,
    /// The id in an older system.
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy_id: Option<Option<String>>,
    /// The further attributes, by their names in the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<String, String>>,
    /// When the person was first heard of, epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    created: Option<Timestamp>,
    /// When the person last signed in or had a session renewed, epoch seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    last_seen: Option<Option<Timestamp>>,
    /// When something of it changed last, epoch seconds. `last_seen` alone is no change.
    #[schema(value_type = u64)]
    updated: Timestamp,
    /// True for a person who was erased, in the list of changes: nothing else is known then. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    deleted: bool,
}

impl DirectoryUser {
    fn new(entry: DirectoryEntry, fields: &[DirectoryField]) -> Self {
        let legacy_id = entry.person.legacy_id().map(str::to_owned);
        let DirectoryEntry { person, created, updated, last_seen, deleted } = entry;
        let Person { sub, username, email, email_verified, name, groups, provider, attributes, .. } = person;
        let told = |field| deleted.is_none() && fields.contains(&field);
        let email = email.filter(|_| email_verified == Some(true));
        Self {
            sub,
            username: told(DirectoryField::Username).then_some(username),
            email: told(DirectoryField::Email).then_some(email),
            groups: told(DirectoryField::Groups).then(|| groups.unwrap_or_default()),
            name: told(DirectoryField::Name).then_some(name),
            provider: told(DirectoryField::Provider).then_some(provider),
            legacy_id: told(DirectoryField::LegacyId).then_some(legacy_id),
            attributes: told(DirectoryField::Attributes).then_some(attributes),
            created: told(DirectoryField::Created).then_some(created),
            last_seen: told(DirectoryField::LastSeen).then_some(last_seen),
            updated,
            deleted: deleted.is_some(),
        }
    }
}

/// People, and how to go on.
#[derive(Debug, Serialize, ToSchema)]
struct DirectoryUserList {
    /// At most one of an address; at most a hundred of those that changed, in the order of their changes.
    users: Vec<DirectoryUser>,
    /// Of those that changed: send it as `cursor` to be told what changed after these, now or later. Opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// Of those that changed: whether there are more at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
}

/// One person
///
/// For programs with a token of their own that has the scope `directory.scope`. Who is unknown and who was erased are
/// the same 404.
#[utoipa::path(
    get, path = "/users/{sub}", operation_id = "user", tag = "machine", security(("bearer" = [])),
    params(("sub" = String, Path, description = "The stable identifier at the provider."), super::openapi::ConditionalHeader),
    responses(
        (status = 200, description = "What is known.", body = DirectoryUser, headers(("ETag" = String))),
        (status = 304, description = "It has not changed since the answer with that ETag."),
        UserProblems,
    )
)]
pub(super) async fn user(
    State(web): State<Arc<Web>>,
    sub: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    id: RequestId,
) -> Response {
    let answer = async {
        let Ok(Path(sub)) = sub else { return Err(Error::NoSuchUser) };
        let found = web.rp.read_person(bearer(&headers), &PersonKey::Sub(key(sub)?)).await?;
        Ok(DirectoryUser::new(found.ok_or(Error::NoSuchUser)?, &web.directory_fields))
    };
    match answer.await {
        Ok(user) => json(&headers, &user),
        Err(error) => error::problem(error, &id, None),
    }
}

/// People by address, or those that changed
///
/// With `email`, whose verified address that is, in small or capital letters: nobody or one. With `updated_since` or a
/// `cursor` of an earlier answer, those that changed, oldest change first, a hundred at once. A change is told some three
/// seconds after it was made; none is left out. Who was erased is told as `deleted`, with the `sub` alone.
#[utoipa::path(
    get, path = "/users", operation_id = "users", tag = "machine", security(("bearer" = [])),
    params(super::openapi::UserListParameters, super::openapi::ConditionalHeader),
    responses(
        (status = 200, description = "Who was found.", body = DirectoryUserList, headers(("ETag" = String))),
        (status = 304, description = "It has not changed since the answer with that ETag."),
        UserListProblems,
    )
)]
pub(super) async fn users(
    State(web): State<Arc<Web>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    id: RequestId,
) -> Response {
    let answer = async {
        match UserQuery::parse(query.as_deref().unwrap_or_default())? {
            UserQuery::Email(email) => {
                let found = web.rp.read_person(bearer(&headers), &PersonKey::Email(email)).await?;
                let users = found.into_iter().map(|entry| DirectoryUser::new(entry, &web.directory_fields)).collect();
                Ok::<_, Error>(DirectoryUserList { users, cursor: None, more: None })
            }
            UserQuery::ChangedAfter(position) => {
                let (changed, are_more) = web.rp.read_changes(bearer(&headers), &position).await?;
                let last = changed.last().map_or(&position, |(position, _)| position);
                let cursor = Some(encode_cursor(last));
                let users = changed.into_iter().map(|(_, entry)| DirectoryUser::new(entry, &web.directory_fields));
                Ok(DirectoryUserList { users: users.collect(), cursor, more: Some(are_more) })
            }
        }
    };
    match answer.await {
        Ok(list) => json(&headers, &list),
        Err(error) => error::problem(error, &id, None),
    }
}

/// A user signed in or signed up at the pool
///
/// For the triggers of the user pool, which sign the event with a key of `directory.trigger_keys`. The row is written, or
/// will be.
#[utoipa::path(
    post, path = "/users", operation_id = "userEvent", tag = "provider", security(()),
    params(super::openapi::SignatureHeader),
    request_body(content = inline(super::openapi::UserEvent), content_type = "application/json"),
    responses((status = 204, description = "It is written, or will be."), UserEventProblems)
)]
pub(super) async fn user_event(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    id: RequestId,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(body) = body else {
        return error::problem(Refusal::Body("the event is too large, or incomplete"), &id, None);
    };
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match web.rp.record_event(signature, &body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error::problem(error, &id, None),
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum UserQuery {
    Email(String),
    ChangedAfter(ChangePosition),
}

impl UserQuery {
    fn parse(query: &str) -> Result<Self, Error> {
        let (mut email, mut updated_since, mut cursor) = (None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "email" => &mut email,
                "updated_since" => &mut updated_since,
                "cursor" => &mut cursor,
                _ => return Err(Error::InvalidQuery("the query takes email, or updated_since and cursor")),
            };
            if place.replace(value).is_some() {
                return Err(Error::InvalidQuery("a parameter of the query is there twice"));
            }
        }
        match (email, updated_since, cursor) {
            (Some(email), None, None) if email.contains('@') => Ok(Self::Email(key(email.into_owned())?)),
            (Some(_), None, None) => Err(Error::InvalidQuery("email is not an e-mail address")),
            (None, Some(_) | None, Some(cursor)) => {
                let position = decode_cursor(&cursor).ok_or(Error::InvalidQuery("cursor is not one of ours"))?;
                Ok(Self::ChangedAfter(position))
            }
            (None, Some(since), None) => {
                // Until the year 9999, which is as far as the database counts.
                let since = since.parse::<u64>().ok().filter(|seconds| *seconds <= 253_402_300_799);
                let since = since.ok_or(Error::InvalidQuery("updated_since is not a time in epoch seconds"))?;
                Ok(Self::ChangedAfter(ChangePosition { updated_us: since * 1_000_000, sub: String::new() }))
            }
            _ => Err(Error::InvalidQuery("send either email, or updated_since, or the cursor of an earlier answer")),
        }
    }
}

/// Text that the database can compare.
fn key(text: String) -> Result<String, Error> {
    match text.len() <= KEY_MAX && !text.contains('\0') {
        true => Ok(text),
        false => Err(Error::NoSuchUser),
    }
}

fn encode_cursor(position: &ChangePosition) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{} {}", position.updated_us, position.sub))
}

fn decode_cursor(text: &str) -> Option<ChangePosition> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (updated_us, sub) = text.split_once(' ')?;
    let updated_us = updated_us.parse().ok().filter(|us| *us <= 253_402_300_799_999_999)?;
    Some(ChangePosition { updated_us, sub: key(sub.to_owned()).ok()? })
}

/// Programs show a token; a browser's cookies count for nothing here.
fn bearer(headers: &HeaderMap) -> CallerCredentials<'_> {
    match gateway::bearer(headers) {
        Authorization::Bearer(token) => CallerCredentials::Bearer(token),
        Authorization::Ambiguous => CallerCredentials::Unreadable,
        Authorization::None => CallerCredentials::None,
    }
}

/// The answer, unless the caller has the same (RFC 9110 §13.1.2).
fn json(headers: &HeaderMap, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&sha256(&body)[..16]));
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let is_known = known
        .flat_map(|line| line.split(','))
        .any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(CONTENT_TYPE, "application/json")], body).into_response(),
    };
    let answer = response.headers_mut();
    // Kept by who asked alone, and asked about each time.
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_about_one_thing() {
        let position = ChangePosition { updated_us: 1_795_160_654_000_001, sub: "a b".into() };
        let cursor = encode_cursor(&position);
        assert_eq!(UserQuery::parse(&format!("cursor={cursor}")).unwrap(), UserQuery::ChangedAfter(position.clone()));
        let both = format!("updated_since=5&cursor={cursor}");
        assert_eq!(UserQuery::parse(&both).unwrap(), UserQuery::ChangedAfter(position));
        assert_eq!(UserQuery::parse("email=j%40x").unwrap(), UserQuery::Email("j@x".into()));
        let since = ChangePosition { updated_us: 5_000_000, sub: String::new() };
        assert_eq!(UserQuery::parse("updated_since=5").unwrap(), UserQuery::ChangedAfter(since));
        for wrong in [
            "",
            "email=",
            "email=jane",
            "email=a@b&email=c@d",
            "email=a@b&updated_since=5",
            "email=a@b&cursor=NSA",
            "updated_since=",
            "updated_since=-1",
            "updated_since=now",
            "updated_since=99999999999999999999",
            "updated_since=253402300800",
            "cursor=",
            "cursor=%00",
            "cursor=x!",
            "limit=5",
            "q=jane",
            "group=admins",
        ] {
            assert!(matches!(UserQuery::parse(wrong), Err(Error::InvalidQuery(_))), "{wrong}");
        }
    }
}
