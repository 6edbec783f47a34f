//! `auth-api policy explain`: which rule decides about a page, and why.

use super::{ConfigFlag, EXIT_PROBLEMS, foreign, print};
use crate::app;
use crate::config::Config;
use crate::domain::page::PathInterpretations;
use crate::domain::page_rules::Decision;
use crate::domain::principal::{MachineIdentity, Principal, PrincipalKind, TokenIssuer};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The page, as a browser shows its address
    #[arg(long)]
    url: String,
    #[command(flatten)]
    who: ExplainedCaller,
    /// The visitor's scopes, with --groups
    #[arg(long, value_delimiter = ',', conflicts_with = "sub")]
    scopes: Vec<String>,
    /// The visitor's verified e-mail address, with --groups
    #[arg(long, conflicts_with = "sub")]
    email: Option<String>,
    /// The visitor is a program, with --groups "" and --scopes
    #[arg(long, conflicts_with_all = ["sub", "email"])]
    machine: bool,
    /// The visitor is this registered client, with --groups "" and --scopes
    #[arg(long, allow_hyphen_values = true, conflicts_with_all = ["sub", "email"])]
    client: Option<String>,
    /// The visitor's token is of this issuer of `[[provider.bearer_issuer]]`, with --groups
    #[arg(long, value_name = "URL", conflicts_with_all = ["sub", "email", "client"])]
    issuer: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ExplainedCaller {
    /// A user who is signed in, by the provider's `sub`: groups are those of the newest session
    #[arg(long, allow_hyphen_values = true)]
    sub: Option<String>,
    /// Somebody in these groups; "" for none
    #[arg(long, value_delimiter = ',')]
    groups: Option<Vec<String>>,
}

/// Prints the decision. Exit code 1 if the visitor is denied.
pub(super) async fn explain(args: Explain) -> anyhow::Result<ExitCode> {
    let config = args.config.read()?;
    let issuer = args.issuer.map(|iss| TokenIssuer::named(&iss, &config.provider.issuer)).unwrap_or_default();
    if !is_accepted(&issuer, &config) {
        print(&format!("decision  refused: nobody accepts tokens of {}\n", foreign(&issuer.to_string())))?;
        return Ok(ExitCode::from(EXIT_PROBLEMS));
    }
    // Any address is a verified one.
    let nobody = Principal { email_verified: true, issuer, ..Principal::default() };
    let visitor = match args.who.sub {
        Some(sub) => {
            let Some(newest) = app::sessions_of(&config, &sub).await?.into_iter().next() else {
                let whose = foreign(&sub);
                print(&format!("{whose} has no session, and so no groups that are known here; use --groups\n"))?;
                return Ok(ExitCode::from(EXIT_PROBLEMS));
            };
            Principal { sub, groups: newest.groups, scopes: newest.scopes, email: newest.email, ..nobody }
        }
        None => {
            let groups = args.who.groups.into_iter().flatten().filter(|group| !group.is_empty()).collect();
            let is_machine = args.machine || args.client.is_some();
            let kind = if is_machine { PrincipalKind::Machine } else { PrincipalKind::User };
            // Which app client serves it decides nothing.
            let upstream_client_id = args.client.as_ref().map(|_| String::new());
            let machine = MachineIdentity { upstream_client_id, ..MachineIdentity::default() };
            let client_id = args.client.unwrap_or_default();
            Principal { kind, groups, scopes: args.scopes, email: args.email, client_id, machine, ..nobody }
        }
    };
    let page = match config.return_to_policy().page_at(&args.url) {
        Ok(page) => page,
        Err(refused) => {
            print(&format!("decision  refused: {refused}\n"))?;
            return Ok(ExitCode::from(EXIT_PROBLEMS));
        }
    };
    let policy = config.policy.rules(&config.provider);
    let decision = policy.sites.judge(&page);
    let plain = PathInterpretations::of(page.path()).is_plain();
    let mut text = format!("page      {}{}\n", page.origin(), page.path());
    if !plain {
        text += "          can be read in several ways: never public, and each rule that one of them meets counts\n";
    }
    text += &rules(&decision);
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { foreign(&items.join(", ")) };
    let email = visitor.email.as_deref().map_or("none".to_owned(), foreign);
    text += &format!("visitor   groups: {}; scopes: {}; ", list(&visitor.groups), list(&visitor.scopes));
    text += &format!("verified e-mail: {email}; issuer: {}\n", visitor.issuer);
    let denied = match (&decision, policy.admit(&visitor)) {
        (Decision::Public(_), _) => None,
        (_, Err(missing)) => Some(format!("may not sign in at all ([policy]): {missing}")),
        (decision, Ok(())) => decision.check(&visitor, None).err().map(|(site, missing)| match site {
            Some(site) => format!("by {site}: {missing}"),
            None => format!("without a rule: {missing}"),
        }),
    };
    text += &denied.as_ref().map_or("decision  allowed\n".to_owned(), |why| format!("decision  denied {why}\n"));
    print(&text)?;
    Ok(if denied.is_none() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_PROBLEMS) })
}

fn is_accepted(issuer: &TokenIssuer, config: &Config) -> bool {
    let known = |iss| config.provider.bearer_issuer.iter().any(|one| one.issuer == iss);
    issuer.further().is_none_or(known)
}

/// A line for each rule that decides.
fn rules(decision: &Decision) -> String {
    match decision {
        Decision::Public(site) => format!("rule      {site}: everybody\n"),
        Decision::Members(rules) if rules.is_empty() => {
            "rule      none: everybody who is signed in, no program\n".into()
        }
        Decision::Members(rules) => {
            rules.iter().map(|(site, requirement)| format!("rule      {site}: {requirement}\n")).collect()
        }
    }
}
