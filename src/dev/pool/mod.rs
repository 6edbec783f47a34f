//! A small Cognito user pool: hosted UI, OAuth endpoints, discovery and keys, in one process and on one port.
//!
//! It stands in for the real pool on a developer's machine and in tests, and is as awkward as that one on purpose: error
//! names, missing claims, string booleans, five-part refresh tokens, its own sign-out. It imports nothing from the rest
//! of the crate and is only spoken to over HTTP. What a test does to it (faults, clock, users) goes through the
//! [`UserPool`] handle in process; nothing of that can be reached from the network.
//!
//! Each file imports only from its own line and the lines above:
//!
//! | files | of a user pool |
//! |---|---|
//! | `random`, `messages`, `pages`, `jwt` | ids, HTTP messages, pages of the hosted UI, keys and signatures |
//! | `totp`, `sent_codes`, `challenges` | authenticator apps, codes of the mail, sign-ins that wait for either |
//! | `users`, `triggers`, `token_trigger`, `settings` | what an administrator sets up: users, Lambda triggers, app clients |
//! | `data`, `faults`, `state` | what is stored: authorization codes, refresh tokens, sessions; and what is broken |
//! | `passwords`, `sign_up`, `tokens` | what the hosted UI and the API both do; the claims of ID and access tokens |
//! | `authorize`, `hosted_ui`, `federation` | authorization endpoint, `/login` and its neighbours, identity providers |
//! | `token_endpoint`, `openid` | token and revocation endpoints, discovery, JWKS, userInfo |
//! | `api` | the JSON APIs of user pools and identity pools, by `X-Amz-Target` |
//! | `listener`, `fault_layer` | the faults of a test, below HTTP and around the endpoints |
//! | this one, `user_pool` | the routes, and the handle |

mod api;
mod authorize;
mod challenges;
mod data;
mod fault_layer;
mod faults;
mod federation;
mod hosted_ui;
mod jwt;
mod listener;
mod messages;
mod openid;
mod pages;
mod passkeys;
mod passwords;
mod random;
mod sent_codes;
mod settings;
mod sign_up;
mod state;
mod token_endpoint;
mod token_trigger;
mod tokens;
mod totp;
mod triggers;
mod user_pool;
mod users;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use state::PoolState;
use std::sync::Arc;

pub use api::IDENTITY_POOL;
pub use faults::{Fault, FederationFault, PoolEndpoint};
pub use jwt::{Signature, UnsignedJwt};
pub use sent_codes::{CodePurpose, SentCode};
pub use settings::{AppClient, MfaConfiguration, OAuthFlow, PoolSettings, ResourceServer, Rotation};
pub use triggers::{LambdaVersion, TriggerError, TriggerFunction};
pub use user_pool::UserPool;
pub use users::{FederatedIdentity, PoolUser, UserStatus};

fn router(pool: Arc<PoolState>) -> Router {
    Router::new()
        .merge(hosted_ui::routes())
        .route("/{pool_id}/.well-known/openid-configuration", get(openid::configuration))
        .route("/{pool_id}/.well-known/jwks.json", get(openid::jwks))
        .route("/.well-known/openid-configuration", get(openid::configuration_of_domain))
        .route("/oauth2/authorize", get(authorize::authorize))
        .route("/pretend/{provider}", get(federation::provider_page).post(federation::choose))
        .route("/oauth2/token", post(token_endpoint::token))
        .route("/oauth2/revoke", post(token_endpoint::revoke))
        .route("/oauth2/userInfo", get(openid::user_info))
        .route("/error", get(pages::error_page))
        .route("/", post(api::dispatch).fallback(pages::not_found))
        .route("/pool.css", get(pages::stylesheet))
        .route("/icon.svg", get(pages::icon))
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&pool), fault_layer::apply))
        .with_state(pool)
}
