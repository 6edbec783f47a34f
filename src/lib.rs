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
//!   └─ axum stops here    openidconnect and oauth2 stop at provider; redb, redis and tokio-postgres in store
//! ```
//!
//! - [`domain`]: nouns without I/O: transaction, session, principal, page rules, requirement, policy, seal
//! - [`flow`]: verbs, one file each: sign_in, callback, validate, refresh, sign_out; `machine` is the token broker
//! - [`provider`]: speaks OpenID Connect and Cognito's two APIs; every provider quirk is in its `profile`
//! - [`store`]: sealed sessions in memory, in a redb file, in Redis or in PostgreSQL, and the cache in front of them
//! - [`directory`]: a table of people in PostgreSQL; [`postgres`]: connections, calls and migrations of both
//! - [`outbound`]: the one HTTP client, of the provider and of the triggers
//! - [`web`]: routes, cookies and pages, the OpenAPI document, and the one table from error to answer
//! - [`words`]: every sentence of the pages, a file for each language
//! - [`config`]: text to one typed struct, a file for each section; [`telemetry`]: log, metrics and traces
//! - [`audit`]: who did what, to the log or to a file of its own
//! - [`app`]: puts it together; [`cli`]: the command line
//! - [`acceptance`]: asks a real pool what Cognito's manual leaves open, for `auth-api check --sign-in`
//! - `triggers`: Cognito's Lambda triggers; `src/bin/cognito-triggers.rs` runs them
//! - `authorizer`: a Lambda authorizer for API Gateway and AppSync; `src/bin/api-gateway-authorizer.rs` runs it
//! - `variables`: reads the environment of the two Lambda functions
//! - [`guide`]: how to use and run it, the pages of `src/guide`
//! - `dev`: a development user pool that the service knows only over HTTP, and a demo CMS
//!
//! # Where a change belongs
//!
//! A session store: one file in `store`, one line in `store::open`. A provider quirk: `provider/profile.rs`. A
//! configuration key: one entry in its file of `config/sections`. A route: one handler in `web`, one line in its router.
//! An error: a variant in `flow::Error`, or in `web::Refusal` if only `web` can see it, and a row in
//! `web/problem.rs`; the compiler asks for both.
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | sibling | a site under the same cookie domain, which asks `/validate` |
//! | transaction | a sign-in under way: `state`, `nonce` and PKCE verifier, sealed into a cookie of its own |
//! | principal | who a verified credential speaks for: a person or a machine |
//! | bearer | an access token in `Authorization`, or our own ID token there |
//! | requirement | what a caller of `/validate` or a page rule requires: groups, scopes, e-mail domains |
//! | page rule | a `[[policy.site]]` block: who may see the pages below a path of a host |
//! | sealed session | a session as the store has it: encrypted under a key derived from the server's key and the cookie |
//! | opened session | the same in memory, decrypted |
//! | session summary | what is known of a session without its id: enough to list it and to end it |
//! | store key | a SHA-256 that names something in the store: [`SessionKey`](domain::store_key::SessionKey) and its like |
//! | tombstone | the record that a session has ended or a token is revoked; it outlives both |
//! | lease | the right of one process to renew a session or to fetch a token, for a limited time |
//! | fencing token | the number of a lease; a write under an older one is refused |
//! | invalidation | the store's message that a session changed at another process |
//! | write journal | what this process wrote in the last seconds, to be written again if the store loses it |
//! | recovery | writing tombstones and sessions back into a store that has lost data |
//! | single flight | one piece of work at a time for a key; whoever comes meanwhile shares its result |
//! | machine token | an access token of the client credentials grant (RFC 6749 §4.4), fetched and cached by the broker |
//! | upstream | the provider's app client with which machine tokens are fetched |
//! | problem type | the stable name of an error in RFC 9457 JSON |

pub mod acceptance;
pub mod app;
pub mod audit;
#[cfg(feature = "lambda")]
pub mod authorizer;
pub mod cli;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod directory;
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
    "acceptance" acceptance
    "account" account
    "api-gateway" api_gateway
    "architecture" architecture
    "audit" audit
    "bearer-issuers" bearer_issuers
    "cognito" cognito
    "configuration" configuration
    "dev-pool" dev_pool
    "development" development
    "dex" dex
    "directory" directory
    "django-oauth-toolkit" django_oauth_toolkit
    "growth" growth
    "incidents" incidents
    "keycloak" keycloak
    "machine-clients" machine_clients
    "moving" moving
    "oidc-provider" oidc_provider
    "operations" operations
    "other-providers" other_providers
    "pages" pages
    "performance" performance
    "problems" problems
    "reverse-proxies" reverse_proxies
    "runbook" runbook
    "security" security
    "several-processes" several_processes
    "sign-in" sign_in
    "triggers" triggers
    "upgrades" upgrades
    "validate" validate
}

pub mod outbound;
pub mod postgres;
pub mod provider;
pub mod store;
pub mod telemetry;
#[cfg(feature = "lambda")]
pub mod triggers;
#[cfg(feature = "lambda")]
mod variables;
pub mod web;
pub mod words;

#[cfg(test)]
#[path = "../tests/simulation/mod.rs"]
mod simulation;
