//! auth-api stands between AWS Cognito's hosted UI and a company's sites.
//!
//! A browser signs in once; a cookie on the parent domain makes every sibling site know it; siblings and
//! reverse proxies ask `/validate` who it is.
//!
//! # The house
//!
//! ```text
//! web ──▶ flow ──▶ provider ──▶ domain
//!   │       └────▶ store ─────▶ domain
//!   └─ axum stops here    openidconnect, oauth2, reqwest stop at provider; redb and redis in store
//! ```
//!
//! - [`domain`]: nouns without I/O: transaction, session, principal, user, return_to, page, site, requirement, policy, machine, seal
//! - [`flow`]: verbs, one file each: sign_in, callback, validate, refresh, renew_ahead, check_revoked, sign_out,
//!   my_sessions, backchannel, account, aws_credentials; `machine` is the broker of tokens for programs
//! - [`provider`]: speaks OpenID Connect, and Cognito's two APIs; every provider quirk is in its `profile`
//! - [`store`]: keeps sealed sessions, in memory, in a redb file or in Redis, and remembers what it has seen
//! - [`web`]: the routes, cookies and pages, and the one table from error to answer
//! - [`config`]: text to one typed struct; [`telemetry`]: log and metrics
//! - [`app`]: puts it together; [`cli`]: the command line
//! - `triggers`: what Cognito asks in the middle of a sign-in, on AWS Lambda; `src/bin/cognito-triggers.rs` runs it
//! - [`guide`]: how to use and run it, the pages of `src/guide`
//! - `dev`: a dev user pool that speaks to us over HTTP only, and a demo CMS that knows only the contract
//!
//! To add a session store: one file in `store`, one line in `store::open`. A provider quirk:
//! `provider/profile.rs`. A configuration key: one entry in its file of `config/sections`. A route: one handler in `web`, one line in its router. An error: a variant in
//! `flow::Error` and a row in `web::error`; the compiler asks for both.

pub mod app;
pub mod cli;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod domain;
pub mod flow;
// A page links to others by label. On disk its own definitions lead to files; in rustdoc these come first, and so win.
macro_rules! guide {
    ($($label:literal $page:ident)*) => {
        guide!(@ concat!($("[", $label, "]: crate::guide::", stringify!($page), "\n",)* "\n"), $($label $page)*);
    };
    (@ $links:expr, $($label:literal $page:ident)*) => {
        #[doc = $links]
        #[doc = include_str!("guide/README.md")]
        pub mod guide {
            $(
                #[doc = $links]
                #[doc = include_str!(concat!("guide/", $label, ".md"))]
                pub mod $page {}
            )*
        }
    };
}

guide! {
    "account" account
    "cognito" cognito
    "configuration" configuration
    "development" development
    "dex" dex
    "django-oauth-toolkit" django_oauth_toolkit
    "keycloak" keycloak
    "machine-clients" machine_clients
    "oidc-provider" oidc_provider
    "operations" operations
    "other-providers" other_providers
    "performance" performance
    "problems" problems
    "reverse-proxies" reverse_proxies
    "security" security
    "several-processes" several_processes
    "sign-in" sign_in
    "triggers" triggers
    "validate" validate
}

pub mod provider;
pub mod store;
pub mod telemetry;
#[cfg(feature = "lambda")]
pub mod triggers;
pub mod web;

#[cfg(test)]
#[path = "../tests/simulation/mod.rs"]
mod simulation;
