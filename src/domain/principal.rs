//! Who a credential speaks for, and how we say it: one JSON object and nine header values.

use super::claims::{Authentication, Claims};
use super::clock::Timestamp;
use bytes::Bytes;
use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// A person or a program.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person who signed in.
    #[default]
    User,
    /// A program with a client-credentials token.
    Machine,
}

/// Whose word a credential is. What two issuers call alike (a `sub`, a user name, a client id) has nothing to do with each
/// other.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum TokenIssuer {
    /// The provider that people sign in at: of every session, and of its own bearer tokens.
    #[default]
    Provider,
    /// One of `[[provider.bearer_issuer]]`, by its `iss`. Never of a session.
    Further(Arc<str>),
}

impl TokenIssuer {
    /// The issuer with this `iss`; `provider` is the provider's.
    pub fn named(iss: &str, provider: &str) -> Self {
        if iss == provider { Self::Provider } else { Self::Further(iss.into()) }
    }

    /// The `iss` of a further one.
    pub fn further(&self) -> Option<&str> {
        match self {
            Self::Provider => None,
            Self::Further(iss) => Some(iss),
        }
    }
}

impl std::fmt::Display for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.further().unwrap_or("the provider"))
    }
}

/// What is known of a program beyond its token.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MachineIdentity {
    /// Who answers for the client; null if the token is not known to be a registered client's.
    pub owner: Option<String>,
    /// The user on whose behalf it acts, by the provider's `sub`, as its registration says.
    pub on_behalf_of: Option<String>,
    /// The app client at the provider that serves a registered client: who verifies the token without asking sees this
    /// one.
    pub upstream_client_id: Option<String>,
}

/// Who a verified credential speaks for. The default is somebody of whom nothing is known.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Principal {
    /// A person or a program.
    pub kind: PrincipalKind,
    /// The provider's stable identifier. Opaque: not always a UUID.
    pub sub: String,
    /// The name the provider knows the user by; for a machine, its client id.
    pub username: String,
    /// The e-mail address, verified or not.
    #[schema(required)]
    pub email: Option<String>,
    /// Whether the provider, or our configuration for its identity provider, vouches for it.
    pub email_verified: bool,
    /// The display name.
    #[schema(required)]
    pub name: Option<String>,
    /// The user's groups, without Cognito's automatic one for federated users.
    pub groups: Vec<String>,
    /// The scopes granted to the access token.
    pub scopes: Vec<String>,
    /// The app client the token was issued to; the registered id if it was fetched here for a registered client.
    pub client_id: String,
    /// The federated identity provider's name, or `COGNITO` for a user of the pool itself. Access tokens
    /// do not say. Of a token of a further issuer: that issuer.
    #[schema(required)]
    pub provider: Option<String>,
    /// The pool's custom attributes, as `custom:name`, in the order of their names. Few: a list takes less memory than a
    /// tree.
    #[serde(with = "as_map")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub attributes: Vec<(String, String)>,
    /// When the user authenticated at the provider, epoch seconds; null where it does not say. No renewal moves it.
    #[schema(required, value_type = Option<u64>)]
    pub auth_time: Option<Timestamp>,
    /// How the user authenticated: the class (OIDC Core §2), where the provider says.
    #[schema(required)]
    pub acr: Option<String>,
    /// The methods (RFC 8176), where it says.
    pub amr: Vec<String>,
    /// When the token was issued, epoch seconds.
    #[schema(value_type = u64)]
    pub issued_at: Timestamp,
    /// When the token runs out, epoch seconds.
    #[schema(value_type = u64)]
    pub expires_at: Timestamp,
    /// Whose word all this is. Stored nowhere: what is stored is the provider's.
    #[serde(skip)]
    pub issuer: TokenIssuer,
    /// Of a program only, and as its registration is now: stored nowhere.
    #[serde(skip)]
    pub machine: MachineIdentity,
}

mod as_map {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(pairs.iter().map(|(name, value)| (name, value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
        Ok(BTreeMap::deserialize(from)?.into_iter().collect())
    }
}

impl Principal {
    /// Takes over how and when the user authenticated for this session: a renewal is no authentication.
    pub fn keep_authentication(&mut self, first: &Self) {
        self.auth_time = first.auth_time.or(self.auth_time);
        self.acr = first.acr.clone().or(self.acr.take());
        if !first.amr.is_empty() {
            self.amr.clone_from(&first.amr);
        }
    }

    /// What is known of it beyond the token if it is a program.
    pub(crate) fn machine(&self) -> Option<&MachineIdentity> {
        (self.kind == PrincipalKind::Machine).then_some(&self.machine)
    }

    /// The e-mail address if somebody vouches for it.
    pub fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified)
    }
}

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
impl Claims for IdentityResponse {
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
pub(crate) mod tests {
    use super::*;
    use crate::domain::clock::at;

    pub(crate) fn jane() -> Principal {
        Principal {
            kind: PrincipalKind::User,
            sub: "34c8".into(),
            username: "jane".into(),
            email: Some("jane@example.com".into()),
            email_verified: true,
            name: Some("Jane Doe".into()),
            groups: vec!["editors".into()],
            scopes: vec!["openid".into(), "email".into()],
            client_id: "6o7h".into(),
            provider: Some("COGNITO".into()),
            attributes: vec![("custom:legacy_id".into(), "42".into())],
            auth_time: Some(at(0)),
            acr: None,
            amr: vec!["pwd".into()],
            issued_at: at(1),
            expires_at: at(2),
            issuer: TokenIssuer::Provider,
            machine: MachineIdentity::default(),
        }
    }

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
            let both: [&dyn Claims; 2] = [&identity, &odd];
            let said = both.map(|claims| (claims.sub().into_owned(), claims.kind(), claims.authentication()));
            assert_eq!(said[0], said[1]);
            assert_eq!(identity.display_name(), odd.name.as_deref().unwrap());
            let emails = both.map(|claims| claims.verified_email().unwrap_or_default().into_owned());
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
