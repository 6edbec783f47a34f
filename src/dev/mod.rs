//! What makes `auth-api dev` work on a laptop: a user pool to sign in at, the triggers that it calls, and a site to come
//! back to.
//!
//! - [`pool`] is a small, faithful Cognito user pool with a hosted UI. It is a stranger in this house: it imports
//!   nothing from the rest of the crate, and the service reaches it over HTTP only.
//! - [`legacy`] is the system that users come from: a login with one user.
//! - [`cms`] is a demo sibling site that knows nothing but the service's outside contract.

pub mod cms;
pub mod environment;
mod function;
pub mod legacy;
mod own_config;
#[expect(clippy::disallowed_methods, reason = "the pool answers as Cognito does, and has no document")]
pub mod pool;
mod pool_contents;
mod run;
mod your_app;

pub use run::{RunOptions, run};
pub use your_app::callback_url;
