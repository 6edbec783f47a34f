//! Rules for the pages of sites.
//!
//! The site behind us may read a path in another way than we do. So a page that can be read in several ways gets no
//! public rule, and has to meet every rule that some reading of it meets.

use super::authentication::AuthenticationRequirement;
use super::host::within;
use super::page::{Page, PathInterpretations};
use super::principal::{PrincipalKind, TokenIssuer};
use super::requirement::{MissingRequirement, Requirement};
use super::subject::Subject;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRule {
    /// A host, or `*.` and the parent of all that are meant. Lower case.
    pub host: String,
    /// What the paths that are meant begin with: whole segments, written plainly.
    pub path: String,
    /// Who may enter.
    pub entry: RuleAccess,
}

/// Who may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleAccess {
    /// Everybody, known or not.
    Public,
    /// Who is signed in and meets this.
    Members(Requirement),
}

impl PageRule {
    /// Whether somebody's groups decide.
    pub fn asks_for_groups(&self) -> bool {
        matches!(&self.entry, RuleAccess::Members(requirement) if requirement.asks_for_groups())
    }

    /// The registered clients that it is for.
    pub fn clients(&self) -> &[String] {
        match &self.entry {
            RuleAccess::Public => &[],
            RuleAccess::Members(requirement) => requirement.clients(),
        }
    }

    /// Whether only who comes from the provider could ever meet it.
    pub fn is_for_the_provider(&self) -> bool {
        matches!(&self.entry, RuleAccess::Members(requirement) if requirement.is_for_the_provider())
    }

    /// The issuers that it names.
    pub fn issuers(&self) -> &[TokenIssuer] {
        match &self.entry {
            RuleAccess::Public => &[],
            RuleAccess::Members(requirement) => requirement.issuers(),
        }
    }

    /// The same rule, where the issuer `provider` is the provider's.
    pub fn at_provider(mut self, provider: &str) -> Self {
        if let RuleAccess::Members(requirement) = &mut self.entry {
            requirement.resolve_issuers(provider);
        }
        self
    }

    fn covers(&self, host: &str) -> bool {
        match self.host.strip_prefix("*.") {
            Some(parent) => host != parent && within(host, parent),
            None => host == self.host,
        }
    }

    /// Letter by letter: a site may tell capitals from small letters.
    fn is_above(&self, path: &str) -> bool {
        path.strip_prefix(self.path.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl std::fmt::Display for PageRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// All rules, the nearest to a page first: a named host before a wildcard, then the longer path.
#[derive(Debug, Clone, Default)]
pub struct PageRules(Vec<(PageRule, Vec<String>)>);

/// What the rules say about a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Everybody may see it.
    Public(&'a PageRule),
    /// Who is signed in and meets all of these: none if no rule is about it, several if it can be read in several
    /// ways.
    Members(Vec<(&'a PageRule, &'a Requirement)>),
}

impl PageRules {
    /// The rules `sites`, in any order.
    pub fn new(sites: Vec<PageRule>) -> Self {
        let mut rules: Vec<_> = sites
            .into_iter()
            .map(|site| (PathInterpretations::of(&site.path).into_segments(), site))
            .map(|(p, s)| (s, p))
            .collect();
        rules.sort_by_key(|(site, path)| std::cmp::Reverse((!site.host.starts_with('*'), site.host.len(), path.len())));
        Self(rules)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What holds for `page`.
    pub fn judge(&self, page: &Page) -> Decision<'_> {
        let mut near = self.0.iter().filter(|(site, _)| site.covers(page.host())).peekable();
        let mut rules = Vec::new();
        if near.peek().is_none() {
            return Decision::Members(rules);
        }
        let paths = PathInterpretations::of(page.path());
        for (site, prefix) in near {
            match &site.entry {
                RuleAccess::Public if rules.is_empty() && paths.is_plain() && site.is_above(page.path()) => {
                    return Decision::Public(site);
                }
                RuleAccess::Public => {}
                RuleAccess::Members(requirement) if paths.may_begin(prefix) => {
                    rules.push((site, requirement));
                    // Nearer need not be stricter: in other letters it may be another page.
                    if paths.keep_the_beginning() && site.is_above(page.path()) {
                        break;
                    }
                }
                RuleAccess::Members(_) => {}
            }
        }
        Decision::Members(rules)
    }
}

impl<'a> Decision<'a> {
    /// How, and how lately, each rule wants the user to have authenticated.
    pub fn authentication(&self) -> impl Iterator<Item = &'a AuthenticationRequirement> {
        let rules = if let Self::Members(rules) = self { rules.as_slice() } else { &[] };
        rules.iter().map(|(_, requirement)| &requirement.authentication)
    }

    /// Judges who is signed in. A program passes only where each rule thinks of programs, or the `caller`'s own requirement
    /// does; who comes from a further issuer, where each rule names that, or without a rule the `caller` does.
    ///
    /// # Errors
    /// The first rule that is not met, if it is one, and what is missing.
    pub fn check(
        &self,
        subject: &dyn Subject,
        caller: Option<&Requirement>,
    ) -> Result<(), (Option<&'a PageRule>, MissingRequirement)> {
        let Self::Members(rules) = self else { return Ok(()) };
        let person = subject.kind() == PrincipalKind::User || caller.is_some_and(Requirement::admits_machines);
        if rules.is_empty() {
            let admitted = if person { Ok(()) } else { Err(MissingRequirement::Person) };
            let named = admitted.and_then(|()| caller.unwrap_or(&Requirement::default()).check_issuer(subject));
            return named.map_err(|missing| (None, missing));
        }
        rules.iter().try_for_each(|(site, requirement)| {
            let admitted =
                if person || requirement.admits_machines() { Ok(()) } else { Err(MissingRequirement::Person) };
            admitted.and_then(|()| requirement.check(subject)).map_err(|missing| (Some(*site), missing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::AllowedHost;
    use super::super::return_to::ReturnToPolicy;
    use super::*;
    use url::Url;

    fn site(host: &str, path: &str, group: Option<&str>) -> PageRule {
        let entry = match group {
            Some(group) => RuleAccess::Members(Requirement::new(vec![group.to_owned()], vec![], vec![])),
            None => RuleAccess::Public,
        };
        PageRule { host: host.into(), path: path.into(), entry }
    }

    /// The paths of the rules that decide, or "public".
    fn ruling(rules: &[(&str, &str, Option<&str>)], uri: &str) -> String {
        let sites = PageRules::new(rules.iter().map(|(host, path, group)| site(host, path, *group)).collect());
        let allow = vec![AllowedHost { host: "example.com".into(), external: false }];
        let policy = ReturnToPolicy::new(Url::parse("https://auth.example.com").unwrap(), allow, None);
        let page = policy.page("https", "wiki.example.com", uri).unwrap();
        match sites.judge(&page) {
            Decision::Public(site) => format!("public {}", site.path),
            Decision::Members(rules) => rules.iter().map(|(site, _)| site.path.as_str()).collect::<Vec<_>>().join(" "),
        }
    }

    const WIKI: &[(&str, &str, Option<&str>)] = &[
        ("wiki.example.com", "/", Some("staff")),
        ("wiki.example.com", "/public", None),
        ("wiki.example.com", "/admin", Some("admins")),
        ("wiki.example.com", "/admin/help", Some("staff")),
    ];

    #[test]
    fn the_longest_prefix_of_whole_segments_decides() {
        for (uri, rule) in [
            ("/", "/"),
            ("/?/admin", "/"),
            ("/x", "/"),
            ("/public", "public /public"),
            ("/public/", "public /public"),
            ("/public/a.b?c=/../admin&d=%2e%2e", "public /public"),
            ("/publicity", "/"),
            ("/admin", "/admin"),
            ("/admin/", "/admin"),
            ("/admin?x", "/admin"),
            ("/administration", "/"),
            ("/admin/help/a", "/admin/help"),
            ("/caf%C3%A9/a%20b", "/"),
            ("/public/Apple%20Inc.", "public /public"),
        ] {
            assert_eq!(ruling(WIKI, uri), rule, "{uri}");
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_several_ways_is_never_public_and_meets_every_rule_it_could() {
        for (uri, rules) in [
            // Each hides /admin, or could, behind a site that reads it so.
            ("/public/../admin", "/admin /"),
            ("/public/%2e%2e/admin", "/admin /"),
            ("/public/.%2E/admin", "/admin /"),
            ("/public/%252e%252e/admin", "/admin /"),
            ("/public/..%2fadmin", "/admin /"),
            ("/public/..%5cadmin", "/admin /"),
            ("/public/..;/admin", "/admin /"),
            ("/public/..;x=y/admin", "/admin /"),
            ("/public%2f..%2fadmin", "/admin /"),
            ("/admin/x/../help", "/admin/help /admin /"),
            ("/./admin", "/admin /"),
            ("//admin", "/admin /"),
            ("///admin//x", "/admin /"),
            ("/%2fadmin", "/admin /"),
            ("/%61dmin", "/admin /"),
            ("/%2561dmin", "/admin /"),
            ("/admin%2fhelp", "/admin/help /admin /"),
            ("/admin;x=y", "/admin /"),
            ("/;/admin", "/admin /"),
            ("/%5cadmin", "/admin /"),
            ("/admin%3bx", "/admin /"),
            ("/admin%3Fx", "/admin /"),
            ("/admin%00.css", "/admin/help /admin /"),
            // Not text: nobody can say.
            ("/public/%c0%ae%c0%ae/admin", "/admin/help /admin /"),
            ("/%e0%80%ae%e0%80%ae/admin", "/admin/help /admin /"),
            // Another encoding than UTF-8 hides nothing.
            ("/caf%e9", "/"),
            ("/admin/%ff", "/admin"),
            // Capitals: each rule that could be meant counts, the public one does not.
            ("/ADMIN/x", "/admin /"),
            ("/Admin/Help", "/admin/help /admin /"),
            ("/%C4%B0", "/"),
            ("/Public/x", "/"),
            ("/adm%C4%B1n", "/admin /"),
            ("/ADM%C4%B0N", "/admin /"),
            // What old frameworks, Windows and IIS leave out or decode.
            ("/admin%20", "/admin /"),
            ("/%20admin/x", "/admin /"),
            ("/%09admin", "/admin/help /admin /"),
            ("/admin.", "/admin /"),
            ("/admin..%20", "/admin /"),
            ("/public/..%20/admin", "/admin /"),
            ("/%u0061dmin", "/admin/help /admin /"),
            ("/%25u0061dmin", "/admin/help /admin /"),
            // Parameters that are left out before the slash in them is decoded.
            ("/;%2fx/admin", "/admin /"),
            ("/public;%2f/x", "/"),
            // Nothing hidden, but not public either.
            ("/public//x", "/"),
            ("/public/x;y", "/"),
            ("/public/%2e", "/"),
            ("/public/a%23b", "/"),
            ("/public/%00", "/admin/help /admin /"),
            ("/public/%zz", "/"),
            ("/public/%", "/"),
            ("/public/%70", "/"),
            ("/public/%25252525252525252525252525", "/admin/help /admin /"),
        ] {
            assert_eq!(ruling(WIKI, uri), rules, "{uri}");
        }
    }

    #[test]
    fn a_path_that_is_odd_further_down_still_has_the_rule_of_its_plain_beginning() {
        let rules = &[
            ("wiki.example.com", "/", Some("staff")),
            ("wiki.example.com", "/api", Some("robots")),
            ("wiki.example.com", "/api/keys", Some("admins")),
        ];
        assert_eq!(ruling(rules, "/api/projects/a%2Fb"), "/api");
        assert_eq!(ruling(rules, "/api/keys%2Fb"), "/api/keys /api");
        assert_eq!(ruling(rules, "/api/x/../keys"), "/api/keys /api /");
    }

    #[test]
    fn a_named_host_comes_before_a_wildcard_and_other_hosts_have_no_rule() {
        let rules = &[
            ("*.example.com", "/deep/down", Some("staff")),
            ("*.example.com", "/", Some("everybody")),
            ("wiki.example.com", "/deep", Some("divers")),
            ("blog.example.com", "/", None),
        ];
        assert_eq!(ruling(rules, "/deep/down"), "/deep");
        assert_eq!(ruling(rules, "/x"), "/");
        assert_eq!(ruling(&[("*.wiki.example.com", "/", None)], "/x"), "");
        assert_eq!(ruling(&[("*.com", "/", None)], "/x"), "public /");
    }

    /// How a site behind us reads a path, by what it does in this order.
    #[derive(Debug, Clone, Copy)]
    struct Backend {
        parameters_first: bool,
        decodes: u8,
        parameters: bool,
        backslashes: bool,
        ends: bool,
        trims: bool,
        dots: bool,
        empty: bool,
        folds: bool,
    }

    impl Backend {
        fn read(self, path: &str) -> Vec<String> {
            let without = |text: &str| {
                text.split('/').map(|s| s.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
            };
            let mut text = if self.parameters_first { without(path) } else { path.to_owned() };
            for _ in 0..self.decodes {
                text = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
            }
            text = if self.backslashes { text.replace('\\', "/") } else { text };
            text = if self.parameters { without(&text) } else { text };
            let end = text.find(['?', '#', '\0']).filter(|_| self.ends).unwrap_or(text.len());
            let mut read: Vec<String> = Vec::new();
            for segment in text[..end].split('/').skip(1) {
                let dots = matches!(segment, "." | "..");
                let segment = match self.trims && !dots {
                    true => segment.trim().trim_end_matches(['.', ' ']),
                    false => segment,
                };
                match segment {
                    ".." if self.dots => drop(read.pop()),
                    "." if self.dots => {}
                    "" if self.empty => {}
                    other if self.folds => read.push(other.to_uppercase()),
                    other => read.push(other.to_owned()),
                }
            }
            read
        }

        /// The path of the rule that is meant for what it reads.
        fn rule(self, rules: &[(&str, &str, Option<&str>)], path: &str) -> (String, bool) {
            let read = self.read(path);
            let above = rules.iter().filter(|(_, rule, _)| {
                let rule = Self { decodes: 1, dots: true, empty: true, ..self }.read(rule);
                read.starts_with(&rule)
            });
            let nearest = above.max_by_key(|(_, rule, _)| rule.trim_end_matches('/').len()).unwrap();
            (nearest.1.to_owned(), nearest.2.is_none())
        }
    }

    #[test]
    fn whatever_a_site_makes_of_a_path_the_rule_for_that_is_met() {
        let rules = &[
            ("wiki.example.com", "/", Some("staff")),
            ("wiki.example.com", "/b", None),
            ("wiki.example.com", "/b/a", Some("writers")),
            ("wiki.example.com", "/a", Some("admins")),
            ("wiki.example.com", "/a/b", Some("helpers")),
        ];
        let pieces = [
            "/", "/", "/", "a", "b", "A", "B", "a", "b", ".", "..", "/..", "/../", ";", "%2f", "%2F", "%5c", "%2e",
            "%252e", "%252f", "%255c", "%3b", "%253b", "%3f", "%23", "%00", "%20", "%61", "%2561", "%62", "%09", "%",
        ];
        // Every choice is drawn from one stream of numbers, the same in each run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..15_000 {
            let mut path = "/".to_owned();
            for _ in 0..draw(7) {
                path += pieces[draw(pieces.len())];
            }
            let met = ruling(rules, &path);
            for _ in 0..6 {
                let mut flag = || draw(2) == 1;
                let backend = Backend {
                    parameters_first: flag(),
                    parameters: flag(),
                    backslashes: flag(),
                    ends: flag(),
                    trims: flag(),
                    dots: flag(),
                    empty: flag(),
                    folds: flag(),
                    decodes: u8::try_from(draw(3)).unwrap(),
                };
                let (rule, public) = backend.rule(rules, &path);
                let let_in = match met.strip_prefix("public ") {
                    Some(ours) => public && ours == rule,
                    None => public || met.split(' ').any(|ours| ours == rule),
                };
                assert!(let_in, "{path} is {rule} to {backend:?}, but {met} here");
            }
        }
    }
}
