//! How we say who a credential speaks for: one JSON object and nine header values.

use super::clock::Timestamp;
use super::principal::{MachineIdentity, Principal, PrincipalKind, TokenIssuer};
use super::subject::{Authentication, Subject};
use bytes::Bytes;
use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use serde::Serialize;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// A principal as we answer it, made once for each session version or verified token so that a
/// validate only hands out shared bytes. One allocation holds all of them: the JSON, and behind it those values of headers
/// that do not stand in it as they are.
#[derive(Debug, Clone)]
pub struct IdentityResponse {
    texts: Bytes,
    json_length: u32,
    /// Where each value begins and ends: of [`IDENTITY_HEADERS`] in their order, then [`DISPLAY_NAME`], [`PLAIN_GROUPS`] and
    /// [`JSON_LENGTH`].
    places: [(u32, u32); JSON_LENGTH + 1],
}

/// Which of [`IdentityResponse::header`] is the subject, and so on.
const SUBJECT: usize = 0;
const USERNAME: usize = 1;
const EMAIL: usize = 2;
const GROUPS: usize = 3;
const SCOPES: usize = 4;
/// Which is the display name.
pub const DISPLAY_NAME: usize = IDENTITY_HEADERS.len();
/// The groups as others separate them: by commas alone, with spaces as they are.
pub const PLAIN_GROUPS: usize = DISPLAY_NAME + 1;
/// How many bytes the JSON has.
pub const JSON_LENGTH: usize = PLAIN_GROUPS + 1;

/// Whom nobody knows: a stranger on a public page.
pub static NOBODY: LazyLock<IdentityResponse> = LazyLock::new(|| {
    let texts = std::iter::repeat_n(String::new(), JSON_LENGTH);
    IdentityResponse::from_parts(b"{\"active\":false}".to_vec(), texts)
});

/// A header that says something of a principal.
#[derive(Debug, Clone, Copy)]
pub struct IdentityHeader {
    /// Its name, in small letters.
    pub name: &'static str,
    /// What stands in it.
    pub description: &'static str,
    value: fn(&Principal) -> String,
}

/// The identity headers. Every one is in every 200, empty if unknown, so that a proxy
/// which copies them never lets one of the client's own through.
pub const IDENTITY_HEADERS: [IdentityHeader; 9] = [
    IdentityHeader {
        name: "x-auth-subject",
        description: "The stable identifier, `sub`.",
        value: |principal| encode(&principal.sub, VALUE),
    },
    IdentityHeader {
        name: "x-auth-username",
        description: "The name at the provider; for a machine, its client id.",
        value: |principal| encode(&principal.username, VALUE),
    },
    IdentityHeader {
        name: "x-auth-email",
        description: "The e-mail address. Empty unless it is verified.",
        value: |principal| encode(principal.verified_email().unwrap_or_default(), VALUE),
    },
    IdentityHeader {
        name: "x-auth-groups",
        description: "The groups, separated by commas, each percent-encoded.",
        value: |principal| list(&principal.groups, ITEM, ","),
    },
    IdentityHeader {
        name: "x-auth-scopes",
        description: "The scopes, separated by spaces.",
        value: |principal| list(&principal.scopes, ITEM, " "),
    },
    IdentityHeader {
        name: "x-auth-client-id",
        description: "The app client that the token was issued to, or the registered client.",
        value: |principal| encode(&principal.client_id, VALUE),
    },
    IdentityHeader {
        name: "x-auth-kind",
        description: "`user` or `machine`: a person or a program.",
        value: |principal| match principal.kind {
            PrincipalKind::User => "user".to_owned(),
            PrincipalKind::Machine => "machine".to_owned(),
        },
    },
    IdentityHeader {
        name: "x-auth-provider",
        description: "The identity provider, `COGNITO` for a user of the pool itself. Empty for an access token, which \
            does not say. For a token of a further issuer: that issuer's URL.",
        value: |principal| encode(principal.provider.as_deref().unwrap_or_default(), VALUE),
    },
    IdentityHeader {
        name: "x-auth-expires",
        description: "When the token runs out, epoch seconds.",
        value: |principal| principal.expires_at.to_string(),
    },
];

/// Who a credential speaks for. More members may come: ignore those you do not know.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "active": true, "kind": "user", "sub": "34c84488-e0e1-70ae-d2ee-991ad1a898c8", "username": "jane",
    "email": "jane@example.com", "email_verified": true, "name": "Jane Doe", "groups": ["editors"],
    "scopes": ["openid", "email"], "client_id": "6o7h1example", "provider": "Google",
    "attributes": {"custom:legacy_id": "42"}, "auth_time": 1795160654, "acr": null, "amr": [], "issued_at": 1795160654, "expires_at": 1795164254,
    "session_expires_at": 1797752654
}))]
pub(crate) struct ActiveIdentity<'a> {
    #[schema(schema_with = always_true)]
    active: bool,
    #[serde(flatten)]
    further: Option<FurtherIdentity<'a>>,
    #[serde(flatten)]
    principal: &'a Principal,
    #[serde(flatten)]
    machine: Option<&'a MachineIdentity>,
    /// When the session ends, epoch seconds; null for a bearer token.
    #[schema(required, value_type = Option<u64>)]
    session_expires_at: Option<Timestamp>,
}

/// What is told of a token of a further issuer only.
#[derive(Serialize, ToSchema)]
pub(crate) struct FurtherIdentity<'a> {
    /// The issuer, one of `[[provider.bearer_issuer]]`: `sub`, `username` and `client_id` are its own, and mean nothing
    /// without it.
    iss: &'a str,
}

/// A stranger on a public page, or a token that is not good.
#[derive(Serialize, ToSchema)]
pub(crate) struct Inactive {
    #[schema(schema_with = always_false)]
    pub(crate) active: bool,
}

/// The schema of a member that is always true.
pub(crate) fn always_true() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).build()
}

fn always_false() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build()
}

impl IdentityResponse {
    /// The answer for `principal`, whose session (if it is one) ends at `session_ends`.
    pub fn new(principal: &Principal, session_ends: Option<Timestamp>) -> Self {
        let answer = ActiveIdentity {
            active: true,
            further: principal.issuer.further().map(|iss| FurtherIdentity { iss }),
            principal,
            machine: principal.machine(),
            session_expires_at: session_ends,
        };
        let json = serde_json::to_vec(&answer).expect("a principal is plain data");
        let headers = IDENTITY_HEADERS.into_iter().map(|header| (header.value)(principal));
        let name = encode(principal.name.as_deref().unwrap_or_default(), VALUE);
        let groups = list(&principal.groups, COMMAS, ",");
        Self::from_parts(json, headers.chain([name, groups]))
    }

    fn from_parts(json: Vec<u8>, texts: impl Iterator<Item = String>) -> Self {
        let (length, mut all) = (json.len(), json);
        let mut places = [(0, 0); JSON_LENGTH + 1];
        for (place, text) in places.iter_mut().zip(texts.chain([length.to_string()])) {
            let start = memchr::memmem::find(&all, text.as_bytes()).unwrap_or_else(|| {
                all.extend_from_slice(text.as_bytes());
                all.len() - text.len()
            });
            *place = (start as u32, (start + text.len()) as u32);
        }
        all.shrink_to_fit();
        Self { texts: all.into(), json_length: length as u32, places }
    }

    /// The JSON of the principal.
    pub fn json(&self) -> Bytes {
        self.texts.slice(..self.json_length as usize)
    }

    /// Who it is of, as far as the JSON says: nothing is left out for a user of the provider.
    ///
    /// # Panics
    /// For [`NOBODY`].
    pub fn principal(&self) -> Principal {
        serde_json::from_slice(&self.texts[..self.json_length as usize]).expect("a principal is plain data")
    }

    /// What to call who it is of.
    pub fn display_name(&self) -> Cow<'_, str> {
        match self.decoded(DISPLAY_NAME) {
            unknown if unknown.is_empty() => self.decoded(USERNAME),
            name => name,
        }
    }

    /// The value of a header.
    pub fn header(&self, which: usize) -> HeaderValue {
        // `encode` leaves nothing that a header cannot hold.
        HeaderValue::from_maybe_shared(self.texts.slice(self.place(which))).unwrap_or(HeaderValue::from_static(""))
    }

    fn place(&self, which: usize) -> Range<usize> {
        let (start, end) = self.places[which];
        start as usize..end as usize
    }

    /// What `encode` made a header of.
    fn decoded(&self, which: usize) -> Cow<'_, str> {
        percent_decode(&self.texts[self.place(which)]).decode_utf8_lossy()
    }

    /// Whether what `list` made a header of has this item.
    fn has_item(&self, which: usize, separator: u8, item: &str) -> bool {
        let list = &self.texts[self.place(which)];
        let mut items = list.split(|byte| *byte == separator).map(percent_decode);
        !list.is_empty() && items.any(|own| own.eq(item.bytes()))
    }

    /// How long all of it is.
    pub fn bytes(&self) -> u64 {
        self.texts.len() as u64
    }
}

/// Of a user of the provider: what nothing is left out of. What `encode` has written is decoded again, exactly.
impl Subject for IdentityResponse {
    fn sub(&self) -> Cow<'_, str> {
        self.decoded(SUBJECT)
    }

    fn kind(&self) -> PrincipalKind {
        PrincipalKind::User
    }

    fn issuer(&self) -> &TokenIssuer {
        &TokenIssuer::Provider
    }

    fn registered_client(&self) -> Option<&str> {
        None
    }

    fn has_group(&self, group: &str) -> bool {
        self.has_item(GROUPS, b',', group)
    }

    fn has_scope(&self, scope: &str) -> bool {
        self.has_item(SCOPES, b' ', scope)
    }

    fn verified_email(&self) -> Option<Cow<'_, str>> {
        Some(self.decoded(EMAIL)).filter(|email| !email.is_empty())
    }

    fn authentication(&self) -> Authentication {
        serde_json::from_slice(&self.texts[..self.json_length as usize]).unwrap_or_default()
    }
}

// `%` is always encoded, so that decoding is exact for every value.
const VALUE: &AsciiSet = &CONTROLS.add(b'%').add(b'"');
const COMMAS: &AsciiSet = &VALUE.add(b',');
const ITEM: &AsciiSet = &COMMAS.add(b' ');

fn list(items: &[String], set: &'static AsciiSet, separator: &str) -> String {
    items.iter().map(|item| encode(item, set)).collect::<Vec<_>>().join(separator)
}

fn encode(text: &str, set: &'static AsciiSet) -> String {
    let encoded = utf8_percent_encode(text, set).to_string();
    // HTTP trims white space at both ends of a value (RFC 9110 §5.5); ours must survive.
    let inner = encoded.trim_matches(' ');
    if inner.len() == encoded.len() {
        return encoded;
    }
    let lead = encoded.len() - encoded.trim_start_matches(' ').len();
    let trail = encoded.len() - lead - inner.len();
    format!("{}{inner}{}", "%20".repeat(lead), "%20".repeat(trail))
}

#[cfg(test)]
mod tests {
    use super::super::principal::tests::jane;
    use super::*;
    use crate::domain::clock::at;

    fn header(principal: &Principal, name: &str) -> String {
        let at = IDENTITY_HEADERS.iter().position(|header| header.name == name).unwrap();
        IdentityResponse::new(principal, None).header(at).to_str().unwrap().to_owned()
    }

    #[test]
    fn the_json_is_the_contracts() {
        let json: serde_json::Value =
            serde_json::from_slice(&IdentityResponse::new(&jane(), Some(at(3))).json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "active": true, "kind": "user", "sub": "34c8", "username": "jane", "email": "jane@example.com",
                "email_verified": true, "name": "Jane Doe", "groups": ["editors"], "scopes": ["openid", "email"],
                "client_id": "6o7h", "provider": "COGNITO", "attributes": {"custom:legacy_id": "42"},
                "auth_time": 0, "acr": null, "amr": ["pwd"], "issued_at": 1, "expires_at": 2, "session_expires_at": 3
            })
        );
    }

    #[test]
    fn the_json_has_all_of_a_user() {
        let mut odd = jane();
        for text in ["", " ", "\0\r\n\t\u{7f}", "\"\\/", "}],\"active\":false", "ä€😀\u{2028}", "jane"] {
            let text = || text.to_owned();
            (odd.sub, odd.username, odd.email, odd.name) = (text(), text(), Some(text()), Some(text()));
            (odd.groups, odd.scopes, odd.amr) = (vec![text(), text()], vec![], vec![text()]);
            (odd.provider, odd.acr, odd.auth_time) = (None, Some(text()), None);
            odd.attributes = vec![(format!("custom:{}", text()), text())];
            odd.expires_at = Timestamp::from_secs(u64::MAX);
            let identity = IdentityResponse::new(&odd, Some(at(3)));
            assert_eq!(identity.principal(), odd);
            let both: [&dyn Subject; 2] = [&identity, &odd];
            let said = both.map(|of| (of.sub().into_owned(), of.kind(), of.authentication()));
            assert_eq!(said[0], said[1]);
            assert_eq!(identity.display_name(), odd.name.as_deref().unwrap());
            let emails = both.map(|of| of.verified_email().unwrap_or_default().into_owned());
            assert_eq!(emails[0], emails[1]);
        }
        assert_eq!(IdentityResponse::new(&jane(), None).principal(), jane());
    }

    #[test]
    fn each_group_and_scope_is_told_from_others() {
        let names = ["a", "a,b", " a", "a ", "A", "%61", "a%2Cb", "ä", "a b", ""];
        let of = |groups: &[&str]| {
            let list: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
            IdentityResponse::new(&Principal { groups: list.clone(), scopes: list, ..jane() }, None)
        };
        for own in names {
            for lists in [vec![own], vec!["x", own, "y"]] {
                let identity = of(&lists);
                for other in names.into_iter().filter(|other| !other.is_empty()) {
                    let found = [identity.has_group(other), identity.has_scope(other)];
                    assert_eq!(found, [own == other; 2], "{lists:?} {other}");
                }
            }
        }
        assert!(!of(&[]).has_group("") && !of(&[]).has_scope(""), "none is not an empty one");
    }

    #[test]
    fn an_unverified_email_is_in_no_header() {
        let mut p = jane();
        p.email_verified = false;
        assert_eq!(header(&p, "x-auth-email"), "");
    }

    #[test]
    fn no_claim_can_break_out_of_its_header_or_its_place_in_a_list() {
        let mut p = jane();
        p.username = "a\r\nX-Auth-Groups: admins\0 é".into();
        p.groups = vec!["a,b".into(), " c ".into(), "50%".into()];
        assert_eq!(header(&p, "x-auth-username"), "a%0D%0AX-Auth-Groups: admins%00 %C3%A9");
        assert_eq!(header(&p, "x-auth-groups"), "a%2Cb,%20c%20,50%25");
        p.username = " jane ".into();
        assert_eq!(header(&p, "x-auth-username"), "%20jane%20");
    }
}
