//! A small Cognito user pool: hosted UI, OAuth endpoints, discovery and keys, in one process and one port.
//!
//! It stands in for the real thing on a developer's machine and in tests, and is as awkward as the real thing on
//! purpose: error names, missing claims, string booleans, five-part refresh tokens, its own sign-out. It imports
//! nothing from the rest of the crate and is only spoken to over HTTP. What a test does to it (faults, clock,
//! users) goes through the [`UserPool`] handle in process; nothing of that can be reached from the network.
//!
//! | here | what a pool shows |
//! |---|---|
//! | [`PoolSettings`], [`AppClient`], [`PoolUser`] | what an administrator configures |
//! | `discovery`, `keys` | the well-known documents |
//! | `ask`, `authorize`, `login`, `federation` | the browser's way in |
//! | `token`, `client_auth`, `tokens`, `grants` | codes and tokens |
//! | `account` | userInfo, revocation, sign-out |
//! | `api`, `admin`, `self_service`, `identity_pool` | the APIs of user pools and identity pools |
//! | [`TriggerFunction`] | a function that is asked in the middle of a sign-in |
//! | `faults`, `misbehave`, `line`, [`UnsignedJwt`] | everything that can go wrong |

mod account;
mod admin;
mod answer;
mod api;
mod ask;
mod authorize;
mod client_auth;
mod clients;
mod clock;
mod csrf;
mod discovery;
mod draft;
mod faults;
mod federation;
mod grants;
mod handle;
mod identity_pool;
mod keys;
mod line;
mod login;
mod misbehave;
mod pages;
mod params;
mod random;
mod self_service;
mod settings;
mod state;
mod token;
mod tokens;
mod triggers;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

pub use clients::{AppClient, OAuthFlow, ResourceServer, Rotation};
pub use draft::{Signature, UnsignedJwt};
pub use faults::{Fault, PoolEndpoint};
pub use federation::FederationFault;
pub use handle::UserPool;
pub use identity_pool::IDENTITY_POOL;
pub use settings::PoolSettings;
pub use triggers::{TriggerError, TriggerFunction};
pub use users::{FederatedIdentity, PoolUser};

use state::PoolState;

fn router(pool: Arc<PoolState>) -> Router {
    Router::new()
        .route("/{pool_id}/.well-known/openid-configuration", get(discovery::openid_configuration))
        .route("/{pool_id}/.well-known/jwks.json", get(discovery::jwks))
        .route("/.well-known/openid-configuration", get(discovery::wrong_host))
        .route("/oauth2/authorize", get(authorize::authorize))
        .route("/login", get(login::show).post(login::submit))
        .route("/pretend/{provider}", get(federation::show).post(federation::submit))
        .route("/oauth2/token", post(token::token))
        .route("/oauth2/userInfo", get(account::user_info))
        .route("/oauth2/revoke", post(account::revoke))
        .route("/logout", get(account::logout))
        .route("/", post(api::dispatch).fallback(pages::not_found))
        .route("/pool.css", get(pages::stylesheet))
        .route("/icon.svg", get(pages::icon))
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&pool), faults::gate))
        .with_state(pool)
}
