//! The way in: the only room that knows axum. Handlers take a request apart, ask one flow and say what
//! came of it in the face of their route group.

mod account;
mod api;
mod backchannel;
mod browser;
mod cookies;
mod device;
mod error;
mod fetch;
mod forwarded;
mod gateway;
mod layers;
mod listen;
mod ops;
mod pages;
mod problem_page;
mod session_layer;
mod token;

use crate::config::{Config, Exposed, HeaderStyle, PublicUrl, Support};
use crate::domain::seal::KeyRing;
use crate::flow::RelyingParty;
use axum::Router;
use axum::routing::{MethodRouter, any, delete, get, post};
use bytes::Bytes;
use cookies::CookieJar;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

pub use listen::listen;
pub use ops::Readiness;

/// What every handler may use.
#[derive(Debug)]
pub struct Web {
    rp: Arc<RelyingParty>,
    jar: CookieJar,
    public_url: PublicUrl,
    forward: Exposed,
    preflights: bool,
    style: HeaderStyle,
    aliases: gateway::HeaderAliases,
    trusted_proxies: Vec<IpNet>,
    /// Whom people can ask.
    support: Option<Support>,
    /// No request takes longer: a callback may have to ask the provider four things.
    request_limit: Duration,
    /// No validate takes longer.
    validate_limit: Duration,
    openapi: Bytes,
}

impl Web {
    /// The web side of `rp` as `config` wants it.
    pub fn new(rp: Arc<RelyingParty>, ring: Arc<KeyRing>, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            rp,
            jar: CookieJar::new(config, ring),
            public_url: config.server.public_url.clone(),
            forward: config.gateway.forward_tokens,
            preflights: config.gateway.preflights,
            style: config.gateway.header_style,
            aliases: gateway::aliases(config.gateway.header_style),
            trusted_proxies: config.server.trusted_proxies.clone(),
            support: config.pages.support.clone(),
            request_limit: config.provider.timeout * 4 + Duration::from_secs(10),
            validate_limit: config.server.validate_timeout,
            openapi: api::document(config.server.public_url.as_str()).to_string().into(),
        })
    }
}

/// The public listener's routes.
pub fn router(web: Arc<Web>) -> Router {
    // The browser's routes, with its session at hand.
    let browser = Router::new()
        .route("/", get(browser::home))
        .route("/auth/signin", get(browser::sign_in))
        // A HEAD is somebody looking ahead, and must not spend the code.
        .route("/auth/signin/callback", get(browser::callback).head(error::method_not_allowed))
        .route("/auth/signout", get(browser::confirm_sign_out).post(browser::sign_out))
        .route("/auth/signout/callback", get(browser::signed_out));
    // For scripts and siblings' servers: scripts of siblings may read the answers, and no requirement is dropped.
    let script = |route: MethodRouter<Arc<Web>>| {
        let route: MethodRouter<Arc<Web>> =
            route.options(api::preflight).layer(axum::middleware::from_fn(layers::no_requirements));
        route.layer(layers::cors(&web))
    };
    let browser = browser
        .route("/auth/session", script(get(api::session)))
        .route("/auth/sessions", script(get(api::sessions)))
        .route("/auth/sessions/{handle}", script(delete(api::end_session)))
        .route("/auth/profile", script(get(account::profile).patch(account::change_profile)))
        .route("/auth/aws-credentials", script(post(account::aws_credentials)))
        .layer(session_layer::tower_sessions(&web))
        .layer(axum::middleware::from_fn_with_state(web.clone(), session_layer::one_session_cookie));

    let app = browser
        .route("/refresh", script(post(api::refresh)))
        .route("/auth/backchannel-logout", post(backchannel::logout))
        .route("/openapi.json", get(api::openapi))
        .route("/auth/assets/style.css", get(pages::stylesheet))
        .route("/auth/assets/icon.svg", get(pages::icon))
        .route("/favicon.ico", get(pages::favicon))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(axum::middleware::map_response(layers::private));
    let app =
        app.route("/.well-known/oauth-authorization-server", get(token::metadata).fallback(error::method_not_allowed));
    let app = layers::limited(app, web.request_limit).layer(axum::middleware::from_fn(layers::request_id));

    // Outside every layer: they are asked on each request of each sibling, or of each program.
    let machines = Router::new()
        .route("/token", post(token::token).fallback(token::post_only))
        .route("/introspect", post(token::introspect).fallback(token::post_only))
        .route("/revoke", post(token::revoke).fallback(token::post_only));

    let gateway = Router::new()
        .route("/validate", any(gateway::validate))
        .route("/validate/browser", any(gateway::validate_browser))
        // Envoy puts the path that is asked for behind ours.
        .route("/validate/envoy", any(gateway::validate_envoy))
        .route("/validate/envoy/", any(gateway::validate_envoy))
        .route("/validate/envoy/{*page}", any(gateway::validate_envoy));
    app.merge(machines).merge(gateway).with_state(web)
}

/// The ops listener's routes.
pub fn ops_router(rp: Arc<RelyingParty>, readiness: Readiness) -> Router {
    ops::router(rp, readiness)
}

/// The OpenAPI 3.1 document, for `server_url`.
pub fn openapi(server_url: &str) -> serde_json::Value {
    api::document(server_url)
}
