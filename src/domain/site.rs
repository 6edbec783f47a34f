//! Rules for the pages of sites.
//!
//! The site behind us may read a path in another way than we do. So a page that can be read in several ways gets no
//! public rule, and has to meet every rule that some reading of it meets.

use super::host::within;
use super::page::{Page, Readings};
use super::policy::{Demand, Unmet};
use super::principal::Principal;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// A host, or `*.` and the parent of all that are meant. Lower case.
    pub host: String,
    /// What the paths that are meant begin with: whole segments, written plainly.
    pub path: String,
    /// Who may enter.
    pub entry: Entry,
}

/// Who may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Everybody, known or not.
    Public,
    /// Who is signed in and meets this.
    Members(Demand),
}

impl Site {
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

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// All rules, the nearest to a page first: a named host before a wildcard, then the longer path.
#[derive(Debug, Clone, Default)]
pub struct Sites(Vec<(Site, Vec<String>)>);

/// What the rules say about a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Ruling<'a> {
    /// Everybody may see it.
    Public(&'a Site),
    /// Who is signed in and meets all of these: none if no rule is about it, several if it can be read in several
    /// ways.
    Members(Vec<(&'a Site, &'a Demand)>),
}

impl Sites {
    /// The rules `sites`, in any order.
    pub fn new(sites: Vec<Site>) -> Self {
        let mut rules: Vec<_> = sites
            .into_iter()
            .map(|site| (Readings::of(&site.path).into_segments(), site))
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
    pub fn judge(&self, page: &Page) -> Ruling<'_> {
        let mut near = self.0.iter().filter(|(site, _)| site.covers(page.host())).peekable();
        let mut rules = Vec::new();
        if near.peek().is_none() {
            return Ruling::Members(rules);
        }
        let readings = Readings::of(page.path());
        for (site, prefix) in near {
            match &site.entry {
                Entry::Public if rules.is_empty() && readings.is_plain() && site.is_above(page.path()) => {
                    return Ruling::Public(site);
                }
                Entry::Public => {}
                Entry::Members(demand) if readings.may_begin(prefix) => {
                    rules.push((site, demand));
                    if readings.must_begin(prefix) {
                        break;
                    }
                }
                Entry::Members(_) => {}
            }
        }
        Ruling::Members(rules)
    }
}

impl<'a> Ruling<'a> {
    /// Judges who is signed in.
    ///
    /// # Errors
    /// The first rule that is not met, and what is missing.
    pub fn check(&self, principal: &Principal) -> Result<(), (&'a Site, Unmet)> {
        match self {
            Self::Public(_) => Ok(()),
            Self::Members(rules) => {
                rules.iter().try_for_each(|(site, demand)| demand.check(principal).map_err(|unmet| (*site, unmet)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::AllowedHost;
    use super::super::return_to::ReturnToPolicy;
    use super::*;
    use url::Url;

    fn site(host: &str, path: &str, group: Option<&str>) -> Site {
        let entry = match group {
            Some(group) => Entry::Members(Demand::new(vec![group.to_owned()], vec![], vec![])),
            None => Entry::Public,
        };
        Site { host: host.into(), path: path.into(), entry }
    }

    /// The paths of the rules that decide, or "public".
    fn ruling(rules: &[(&str, &str, Option<&str>)], uri: &str) -> String {
        let sites = Sites::new(rules.iter().map(|(host, path, group)| site(host, path, *group)).collect());
        let allow = vec![AllowedHost { host: "example.com".into(), external: false }];
        let policy = ReturnToPolicy::new(Url::parse("https://auth.example.com").unwrap(), allow, None);
        let page = policy.page("https", "wiki.example.com", uri).unwrap();
        match sites.judge(&page) {
            Ruling::Public(site) => format!("public {}", site.path),
            Ruling::Members(rules) => rules.iter().map(|(site, _)| site.path.as_str()).collect::<Vec<_>>().join(" "),
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
            ("/admin%00.css", "/admin /"),
            // Not text: nobody can say.
            ("/public/%c0%ae%c0%ae/admin", "/admin/help /admin /"),
            ("/%e0%80%ae%e0%80%ae/admin", "/admin/help /admin /"),
            // Another encoding than UTF-8 hides nothing.
            ("/caf%e9", "/"),
            ("/admin/%ff", "/admin"),
            // Capitals: the stricter rule counts, the public one does not.
            ("/ADMIN/x", "/admin"),
            ("/Admin/Help", "/admin/help"),
            ("/%C4%B0", "/"),
            ("/Public/x", "/"),
            // Nothing hidden, but not public either.
            ("/public//x", "/"),
            ("/public/x;y", "/"),
            ("/public/%2e", "/"),
            ("/public/a%23b", "/"),
            ("/public/%00", "/"),
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
}
