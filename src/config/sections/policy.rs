//! `[policy]`, and `[[policy.site]]`: rules for pages.

use super::client::client_name;
use super::each;
use super::provider::ProviderConfig;
use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{KeySpec, list, section};
use crate::config::table::{TableReader, tables};
use crate::config::values::{hosts, issuer, oauth, scalar};
use crate::domain::authentication::AuthenticationRequirement;
use crate::domain::page::PathInterpretations;
use crate::domain::page_rules::{PageRule, PageRules, RuleAccess};
use crate::domain::policy::Policy;
use crate::domain::principal::TokenIssuer;
use crate::domain::requirement::Requirement;

section! {
    policy: "Who may sign in at all. What is empty asks for nothing.\n\
     What single pages ask for are blocks of their own, which hold where a trusted proxy says which page is asked for.\n\
     The longest path decides; a site without a rule is for everybody who is signed in. Programs pass only a page whose\n\
     rule names a scope or says so:\n\
     \n\
     [[policy.site]]\n\
     host = \"wiki.example.com\"  # or \"*.example.com\": every host below\n\
     path = \"/admin\"  # and all below; left out: the whole site\n\
     groups = [\"admins\", \"editors\"]  # one of them is enough\n\
     scopes = [\"wiki/write\"]  # all of them\n\
     email_domains = [\"example.com\"]  # a verified address at one of them\n\
     machines = false  # true: for programs too, whatever their scopes\n\
     max_age = \"15m\"  # who authenticated earlier is asked to do it again\n\
     acr = [\"urn:cognito:loa:2\"]  # one of these classes, where the provider tells them\n\
     \n\
     [[policy.site]]\n\
     host = \"wiki.example.com\"\n\
     path = \"/export\"\n\
     clients = [\"nightly-report\"]  # for one of these registered clients, and for nobody else\n\
     \n\
     [[policy.site]]\n\
     host = \"wiki.example.com\"\n\
     path = \"/feed\"\n\
     # For tokens of these issuers, each a [[provider.bearer_issuer]] or provider.issuer; left out: provider.issuer alone.\n\
     issuers = [\"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_MaChInEs1\"]\n\
     scopes = [\"feed/read\"]\n\
     \n\
     [[policy.site]]\n\
     host = \"wiki.example.com\"\n\
     path = \"/assets\"\n\
     public = true  # for everybody, signed in or not";
    PolicyConfig / RawPolicy

    /// People need a verified e-mail address at one of these domains.
    email_domains: Vec<String> = list(hosts::host_name).default("").reloads();

    /// People need to be in one of these groups. Who leaves them is signed out when the tokens are next renewed.
    groups: Vec<String> = list(oauth::group).default("").reloads();

    /// Rules for pages.
    site: Vec<PageRule> = sites().reloads();
}

impl PolicyConfig {
    /// The rules themselves.
    pub fn rules(&self, provider: &ProviderConfig) -> Policy {
        // Whose tokens count at all is decided where they are verified.
        let further = provider.bearer_issuer.iter().map(|further| TokenIssuer::Further(further.issuer.as_str().into()));
        let issuers = [TokenIssuer::Provider].into_iter().chain(further).collect();
        let admission = Requirement::new(self.groups.clone(), vec![], self.email_domains.clone());
        let sites = self.site.iter().map(|site| site.clone().at_provider(&provider.issuer));
        Policy { admission: admission.for_issuers(issuers), sites: PageRules::new(sites.collect()) }
    }
}

/// One rule for the same pages.
fn sites<'a>() -> KeySpec<'a, Vec<PageRule>> {
    let mut pages = Vec::new();
    tables(move |table| {
        let site = site(table)?;
        // Small and capital letters are the same here, as they are to the rules.
        let page = (site.host.clone(), PathInterpretations::of(&site.path).into_segments());
        if pages.contains(&page) {
            let what = format!("There are two rules for {site}, and only one of the two could count.");
            return table.wrong(Mistake::new(what, "Make them one: the groups of a rule are any of which will do."));
        }
        pages.push(page);
        Some(site)
    })
}

fn site(table: &mut TableReader<'_>) -> Option<PageRule> {
    table.called("host");
    let host = table.text("host", |host| match host.strip_prefix("*.") {
        Some(parent) => hosts::host_name(parent).map(|parent| format!("*.{parent}")),
        None => hosts::host_name(host),
    });
    let path = table.text_or("path", "/".to_owned(), path);
    let groups = table.optional_list("groups", |groups| each(groups, oauth::group));
    let scopes = table.optional_list("scopes", |scopes| each(scopes, oauth::scope));
    let domains = table.optional_list("email_domains", |domains| each(domains, hosts::host_name));
    let clients = table.optional_list("clients", |clients| each(clients, client_name));
    let issuers = table.optional_list("issuers", |issuers| {
        each(issuers, |iss| issuer::issuer(iss).map(|iss| TokenIssuer::Further(iss.into())))
    });
    let (machines, public) = (table.flag("machines"), table.flag("public"));
    let max_age = table.text_or("max_age", None, |text| scalar::duration(text).map(Some));
    let acr_values = table.optional_list("acr", |values| each(values, oauth::acr));
    let authentication = AuthenticationRequirement { max_age: max_age?, acr_values: acr_values? };
    let (groups, domains, clients) = (groups?, domains?, clients?);
    let for_people = !(groups.is_empty() && domains.is_empty() && authentication.is_empty());
    let is_mixed = for_people && !clients.is_empty();
    let requirement = Requirement::new(groups, scopes?, domains).for_machines(machines?).for_clients(clients);
    let requirement = requirement.with_authentication(authentication).for_issuers(issuers?);
    let entry = match (requirement, public?) {
        (_, false) if is_mixed => {
            let what =
                "Only people have groups and e-mail addresses and sign in, so no client could ever meet this rule.";
            let mistake = Mistake::new(what, "Name clients and scopes here, and people in a rule for another path.");
            return table.judge("clients", Err(mistake));
        }
        (requirement, false) => Ok(RuleAccess::Members(requirement)),
        (requirement, true) if requirement.is_empty() => Ok(RuleAccess::Public),
        _ => Err(Mistake::new(
            "A page cannot be open to everybody and ask for something.",
            "Remove `public = true`, or what stands beside it.",
        )),
    };
    let entry = table.judge("public", entry);
    Some(PageRule { host: host?, path: path?, entry: entry? })
}

fn path(text: &str) -> Result<String, Mistake> {
    let graphic = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'*'));
    Mistake::text_if(
        text,
        text.starts_with('/') && graphic && PathInterpretations::of(text).is_plain(),
        format!("{} can be read in several ways, or is no path, so the rule would not hold.", shown(text)),
        "Write how the paths begin, from the first slash, as a browser shows them: `/admin`. It means that and all below.",
    )
}
