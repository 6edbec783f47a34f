//! What is demanded of a principal beside being known: by a caller of `/validate`, a rule for pages, or the policy.

use super::authentication::{AuthenticationRequirement, is_acr};
use super::principal::TokenIssuer;
use super::subject::Subject;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The requirements of one request: `group` (any of), `scope` (all of), `email_domain` (any of, verified
/// e-mail only), `client` (any of, registered here), `issuer` (any of; the provider alone where none is named), `max_age`
/// (seconds since the user authenticated), `acr` (any of). All kinds named must hold, so naming a client leaves people out.
/// `machines` lets programs in, too, as naming a scope or a client does.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Requirement {
    groups: Vec<String>,
    scopes: Vec<String>,
    email_domains: Vec<String>,
    clients: Vec<String>,
    issuers: Vec<TokenIssuer>,
    machines: bool,
    /// How, and how lately, the user has to have authenticated. Judged apart: it can be met by signing in again.
    pub authentication: AuthenticationRequirement,
}

/// The names of requirements in a query.
pub const NAMES: [&str; 8] = ["group", "scope", "email_domain", "client", "issuer", "machines", "max_age", "acr"];

/// The requirement cannot be understood, so nothing is allowed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequirement {
    /// A parameter that is not a requirement.
    #[error("`{0}` is not a requirement; use group, scope, email_domain, client, issuer, machines, max_age or acr")]
    Unknown(String),
    /// Several scopes in one requirement, as one might write them elsewhere.
    #[error("one requirement names one scope; repeat `scope` for each")]
    Scopes,
    /// Neither yes nor no.
    #[error("the requirement `machines` is `true` or `false`, and once")]
    Machines,
    /// No number of seconds.
    #[error("the requirement `max_age` is a whole number of seconds, and once")]
    MaxAge,
    /// No authentication context class.
    #[error("the requirement `acr` is one class, without spaces, quotation marks and backslashes; repeat it for each")]
    Acr,
    /// A requirement at an address that does not judge any.
    #[error("the requirement `{0}` is not read at this address, and would mean nothing; ask /validate")]
    NotRead(&'static str),
    /// A requirement without a value.
    #[error("the requirement `{0}` is empty; name what is required or leave it out")]
    Empty(&'static str),
}

/// The principal is known but does not meet a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MissingRequirement {
    /// In none of the groups.
    #[error("this needs membership in one of the groups: {0}")]
    Group(String),
    /// A scope is missing.
    #[error("this needs the scope {0}")]
    Scope(String),
    /// No verified e-mail at one of the domains.
    #[error("this needs a verified e-mail address at: {0}")]
    EmailDomain(String),
    /// A program, and nobody said that programs may.
    #[error("this is for people; for programs a rule or a requirement has to name a scope, or say machines = true")]
    Person,
    /// None of the registered clients.
    #[error("this is for the registered clients: {0}")]
    Client(String),
    /// From an issuer that nobody named.
    #[error("this is not for tokens of {0}: each rule and each requirement for them has to name the issuer")]
    Issuer(String),
    /// A person, where only programs may ask.
    #[error("this is for programs, with a token of their own")]
    Machine,
}

impl Requirement {
    /// One of them is enough.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// All of them are required.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Any of `groups`, all of `scopes`, an address at any of `email_domains`; an empty list requires nothing.
    pub fn new(groups: Vec<String>, scopes: Vec<String>, email_domains: Vec<String>) -> Self {
        Self { groups, scopes, email_domains, ..Self::default() }
    }

    /// The same, of who has authenticated so.
    pub fn with_authentication(self, authentication: AuthenticationRequirement) -> Self {
        Self { authentication, ..self }
    }

    /// The same, for programs too if `machines` says so.
    pub fn for_machines(self, machines: bool) -> Self {
        Self { machines, ..self }
    }

    /// The same, for these registered clients and nobody else if there are any.
    pub fn for_clients(self, clients: Vec<String>) -> Self {
        Self { clients, ..self }
    }

    /// The same, for who comes from these issuers: from the provider alone if there are none.
    pub fn for_issuers(self, issuers: Vec<TokenIssuer>) -> Self {
        Self { issuers, ..self }
    }

    /// Finds the provider among the issuers that it names.
    pub fn resolve_issuers(&mut self, provider: &str) {
        for issuer in &mut self.issuers {
            if issuer.further() == Some(provider) {
                *issuer = TokenIssuer::Provider;
            }
        }
    }

    /// The issuers that it names.
    pub fn issuers(&self) -> &[TokenIssuer] {
        &self.issuers
    }

    /// Whether only who comes from the provider could ever meet it: nobody else is a client here, has a verified
    /// address, or says how they authenticated.
    pub fn is_for_the_provider(&self) -> bool {
        !(self.clients.is_empty() && self.email_domains.is_empty() && self.authentication.is_empty())
    }

    /// The registered clients that it names.
    pub fn clients(&self) -> &[String] {
        &self.clients
    }

    /// Whether somebody thought of programs here.
    pub fn admits_machines(&self) -> bool {
        self.machines || !self.scopes.is_empty() || !self.clients.is_empty()
    }

    /// Refuses a query with requirements in it where they are not judged.
    ///
    /// # Errors
    /// [`InvalidRequirement::NotRead`].
    pub fn none_in(query: &str) -> Result<(), InvalidRequirement> {
        let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        let found = names.find_map(|name| NAMES.into_iter().find(|known| *known == name));
        found.map_or(Ok(()), |name| Err(InvalidRequirement::NotRead(name)))
    }

    /// Whether it names groups.
    pub fn asks_for_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether everybody meets it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads requirements from a URL's query; `provider` is the provider's issuer.
    ///
    /// # Errors
    /// [`InvalidRequirement`] for an unknown name or an empty value: never "allow".
    pub fn parse(query: &str, provider: &str) -> Result<Self, InvalidRequirement> {
        let (mut requirement, mut machines) = (Self::default(), None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let (list, name) = match &*name {
                "group" => (&mut requirement.groups, "group"),
                "scope" => (&mut requirement.scopes, "scope"),
                "email_domain" => (&mut requirement.email_domains, "email_domain"),
                "client" => (&mut requirement.clients, "client"),
                "issuer" if value.trim().is_empty() => return Err(InvalidRequirement::Empty("issuer")),
                "issuer" => {
                    requirement.issuers.push(TokenIssuer::named(&value, provider));
                    continue;
                }
                "machines" => {
                    let allowed = value.parse().map_err(|_| InvalidRequirement::Machines)?;
                    if machines.replace(allowed).is_some() {
                        return Err(InvalidRequirement::Machines);
                    }
                    continue;
                }
                "max_age" => {
                    let max_age = seconds(&value).ok_or(InvalidRequirement::MaxAge)?;
                    if requirement.authentication.max_age.replace(max_age).is_some() {
                        return Err(InvalidRequirement::MaxAge);
                    }
                    continue;
                }
                "acr" if !is_acr(&value) => return Err(InvalidRequirement::Acr),
                "acr" => (&mut requirement.authentication.acr_values, "acr"),
                _ => return Err(InvalidRequirement::Unknown(name.chars().take(64).collect())),
            };
            if value.trim().is_empty() {
                return Err(InvalidRequirement::Empty(name));
            }
            if name == "scope" && value.contains(char::is_whitespace) {
                return Err(InvalidRequirement::Scopes);
            }
            list.push(value.into_owned());
        }
        Ok(requirement.for_machines(machines.unwrap_or_default()))
    }

    /// Judges the issuer: what it says means nothing to who has not named it.
    ///
    /// # Errors
    /// [`MissingRequirement::Issuer`].
    pub fn check_issuer(&self, subject: &dyn Subject) -> Result<(), MissingRequirement> {
        let issuer = subject.issuer();
        let is_named = match self.issuers.as_slice() {
            [] => *issuer == TokenIssuer::Provider,
            issuers => issuers.contains(issuer),
        };
        if is_named { Ok(()) } else { Err(MissingRequirement::Issuer(issuer.to_string())) }
    }

    /// Judges somebody.
    ///
    /// # Errors
    /// The first requirement that is [`MissingRequirement`].
    pub fn check(&self, subject: &dyn Subject) -> Result<(), MissingRequirement> {
        self.check_issuer(subject)?;
        let is_named = |client: &str| self.clients.iter().any(|named| named == client);
        if !self.clients.is_empty() && !subject.registered_client().is_some_and(is_named) {
            return Err(MissingRequirement::Client(self.clients.join(", ")));
        }
        if !self.groups.is_empty() && !self.groups.iter().any(|group| subject.has_group(group)) {
            return Err(MissingRequirement::Group(self.groups.join(", ")));
        }
        if let Some(missing) = self.scopes.iter().find(|scope| !subject.has_scope(scope)) {
            return Err(MissingRequirement::Scope(missing.clone()));
        }
        if !self.email_domains.is_empty() {
            let email = subject.verified_email();
            let domain = email.as_deref().and_then(domain_of);
            if !self.email_domains.iter().any(|d| domain.is_some_and(|have| have.eq_ignore_ascii_case(d))) {
                return Err(MissingRequirement::EmailDomain(self.email_domains.join(", ")));
            }
        }
        Ok(())
    }
}

/// A whole number of seconds, in digits alone.
pub fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok().map(Duration::from_secs)).flatten()
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = [
            ("one of the groups", &self.groups),
            ("the scopes", &self.scopes),
            ("an e-mail address at", &self.email_domains),
            ("one of the registered clients", &self.clients),
        ];
        let kinds = kinds.iter().filter(|(_, list)| !list.is_empty());
        let authentication = (!self.authentication.is_empty()).then(|| self.authentication.to_string());
        let issuers: Vec<_> = self.issuers.iter().map(ToString::to_string).collect();
        let issuers = (!issuers.is_empty()).then(|| format!("a token of {}", issuers.join(" or ")));
        let said = kinds.map(|(kind, list)| format!("{kind} {}", list.join(", ")));
        let said: Vec<_> = said.chain(authentication).chain(issuers).collect();
        f.write_str(if said.is_empty() { "a signed-in visitor" } else { "" })?;
        f.write_str(&said.join(", and "))?;
        f.write_str(if self.machines { "; programs too" } else { "" })
    }
}

/// The domain of an address with exactly one `@`: `x@evil.test@example.test` has none.
fn domain_of(email: &str) -> Option<&str> {
    let (local, domain) = email.split_once('@')?;
    (!local.is_empty() && !domain.is_empty() && !domain.contains('@')).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::super::principal::Principal;
    use super::super::principal::tests::jane;
    use super::*;

    const PROVIDER: &str = "https://ours.example";

    #[test]
    fn an_empty_or_unknown_requirement_is_malformed() {
        for query in [
            "group=",
            "group=editors&scope=",
            "email_domain=%20",
            "groups=editors",
            "Group=editors",
            "foo",
            "=",
            "scope=a%20b",
            "machines=",
            "machines=1",
            "machines=true&machines=true",
            "max_age=",
            "max_age=-1",
            "max_age=+1",
            "max_age=1.5",
            "max_age=5m",
            "max_age=1&max_age=1",
            "max_age=99999999999999999999",
            "acr=",
            "acr=a%20b",
            "acr=a%22",
            "issuer=",
            "issuer=%20",
            "iss=https://ours.example",
        ] {
            assert!(Requirement::parse(query, PROVIDER).is_err(), "{query}");
        }
        assert_eq!(Requirement::parse("", PROVIDER).unwrap(), Requirement::default());
    }

    #[test]
    fn only_who_names_a_scope_or_says_so_thinks_of_machines() {
        for (query, admits) in [
            ("", false),
            ("group=a", false),
            ("machines=false", false),
            ("scope=a", true),
            ("client=a", true),
            ("machines=true", true),
        ] {
            assert_eq!(Requirement::parse(query, PROVIDER).unwrap().admits_machines(), admits, "{query}");
        }
        for (query, refused) in
            [("", false), ("v=2", false), ("v=2&group", true), ("sco%70e=a", true), ("Group=a", false)]
        {
            assert_eq!(Requirement::none_in(query).is_err(), refused, "{query}");
        }
    }

    #[test]
    fn groups_are_any_of_and_scopes_are_all_of() {
        let check = |query| Requirement::parse(query, PROVIDER).unwrap().check(&jane()).is_ok();
        assert!(check("group=admins&group=editors"));
        assert!(!check("group=admins"));
        assert!(!check("group=editor"));
        assert!(check("scope=openid&scope=email"));
        assert!(!check("scope=openid&scope=admin"));
        assert!(!check("group=editors&scope=admin"));
    }

    #[test]
    fn an_email_requirement_needs_a_verified_address_with_one_at_sign() {
        let requirement = Requirement::parse("email_domain=EXAMPLE.com", PROVIDER).unwrap();
        let mut p = jane();
        assert!(requirement.check(&p).is_ok());
        p.email_verified = false;
        assert!(requirement.check(&p).is_err());
        p.email_verified = true;
        for bad in ["x@evil.test@example.com", "@example.com", "example.com", "x@sub.example.com", "x@example.com.evil"]
        {
            p.email = Some(bad.into());
            assert!(requirement.check(&p).is_err(), "{bad}");
        }
        p.email = None;
        assert!(requirement.check(&p).is_err());
    }

    #[test]
    fn who_is_not_named_is_the_provider_and_a_further_issuer_has_to_be() {
        let further = Principal { issuer: TokenIssuer::named("https://theirs.example", PROVIDER), ..jane() };
        for (query, ours, theirs) in [
            ("", true, false),
            ("group=editors&scope=email", true, false),
            ("machines=true", true, false),
            ("issuer=https://theirs.example", false, true),
            ("issuer=https%3A%2F%2Ftheirs.example&issuer=https://ours.example", true, true),
            ("issuer=https://theirs.example&group=editors", false, true),
            ("issuer=https://theirs.example&group=admins", false, false),
            ("issuer=https://theirs.example/", false, false),
            ("issuer=HTTPS://theirs.example", false, false),
            ("issuer=the provider", false, false),
        ] {
            let requirement = Requirement::parse(query, PROVIDER).unwrap();
            assert_eq!(requirement.check(&jane()).is_ok(), ours, "{query}");
            assert_eq!(requirement.check(&further).is_ok(), theirs, "{query}");
        }
    }
}
