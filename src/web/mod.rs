//! The way in: the only room that knows axum. Handlers take a request apart, ask one flow and say what
//! came of it in the face of their route group.

mod account;
mod account_form_pages;
mod account_forms;
mod account_page;
mod api;
mod backchannel;
mod browser;
mod cookies;
mod device;
mod error;
mod error_body;
mod fallback;
mod fetch;
mod form;
mod form_token;
mod forwarded;
mod frontchannel;
mod gateway;
mod language;
mod layers;
mod listen;
mod message;
mod metadata;
mod observed;
mod openapi;
mod ops;
mod origin;
mod overload;
mod pages;
mod problem;
mod problem_page;
mod refusal;
mod request_id;
mod security_headers;
mod session_layer;
mod session_script;
mod token;
mod users;

use crate::config::{Config, DirectoryField, Exposed, HeaderStyle, PublicUrl};
use crate::domain::seal::KeyRing;
use crate::flow::RelyingParty;
use axum::Router;
use axum::routing::{MethodRouter, any};
use bytes::Bytes;
use cookies::CookieJar;
use ipnet::IpNet;
use language::Languages;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

#[cfg(unix)]
pub use listen::SocketFile;
pub use listen::{ConnectionLimit, Listener, listen, listen_within};
pub use openapi::document as openapi;
pub use ops::{Readiness, router as ops_router};
pub use overload::Overload;

/// What every handler may use.
#[derive(Debug)]
pub struct Web {
    rp: Arc<RelyingParty>,
    jar: CookieJar,
    ring: Arc<KeyRing>,
    public_url: PublicUrl,
    forward: Exposed,
    preflights: bool,
    style: HeaderStyle,
    identity_headers: gateway::IdentityHeaders,
    trusted_proxies: Vec<IpNet>,
    access_log: bool,
    languages: Languages,
    brand: pages::Brand,
    /// The provider's own page for accounts.
    provider_page: Option<String>,
    /// No request takes longer: a callback may have to ask the provider four things.
    request_limit: Duration,
    /// No validate takes longer.
    validate_limit: Duration,
    openapi: Bytes,
    /// What programs are told of people.
    directory_fields: Vec<DirectoryField>,
    overload: Overload,
}

impl Web {
    /// The web side of `rp` as `config` wants it, which refuses requests as `overload` says.
    pub fn new(rp: Arc<RelyingParty>, ring: Arc<KeyRing>, config: &Config, overload: Overload) -> Arc<Self> {
        Arc::new(Self {
            rp,
            jar: CookieJar::new(config, ring.clone()),
            ring,
            public_url: config.server.public_url.clone(),
            forward: config.gateway.forward_tokens,
            preflights: config.gateway.preflights,
            style: config.gateway.header_style,
            identity_headers: gateway::IdentityHeaders::new(config.gateway.header_style),
            trusted_proxies: config.server.trusted_proxies.clone(),
            access_log: config.telemetry.access_log,
            languages: Languages::new(&config.pages),
            brand: pages::Brand::new(&config.pages),
            provider_page: config.account.provider_page.as_ref().map(ToString::to_string),
            request_limit: config.provider.timeout * 4 + Duration::from_secs(10),
            validate_limit: config.server.validate_timeout,
            openapi: openapi::document(config.server.public_url.as_str()).to_string().into(),
            directory_fields: config.directory.fields.clone(),
            overload,
        })
    }
}

type Group = OpenApiRouter<Arc<Web>>;

/// The public listener's routes, in groups that have the same layers around them.
struct Routes {
    /// For the browser, with its session at hand.
    pages: Group,
    /// For scripts, with the browser's session at hand.
    scripts: Group,
    /// For scripts and siblings' servers.
    refresh: Group,
    /// Without a session: for the provider, and what is the same for everybody.
    others: Group,
    /// May be cached.
    metadata: Group,
    /// Outside every layer, as `gateway`: they are asked on each request of each sibling, or of each program.
    machines: Group,
    gateway: Group,
}

impl Routes {
    fn new() -> Self {
        let group = Group::default;
        let preflight = |route: MethodRouter<Arc<Web>>| route.options(api::preflight);
        let post_only = |route: MethodRouter<Arc<Web>>| route.fallback(token::post_only);
        Self {
            pages: group()
                .routes(routes!(browser::home))
                .routes(routes!(browser::sign_in))
                // A HEAD is somebody looking ahead, and must not spend the code.
                .routes(routes!(browser::callback).map(|route| route.head(fallback::method_not_allowed)))
                .routes(routes!(browser::confirm_sign_out, browser::sign_out))
                .routes(routes!(browser::signed_out))
                .routes(routes!(account_page::account))
                .routes(routes!(account_page::export))
                .routes(routes!(account_forms::form, account_forms::send_form)),
            scripts: group()
                .routes(routes!(api::session).map(preflight))
                .routes(routes!(api::sessions).map(preflight))
                .routes(routes!(api::end_session).map(preflight))
                .routes(routes!(account::profile, account::change_profile).map(preflight))
                .routes(routes!(account::aws_credentials).map(preflight)),
            refresh: group().routes(routes!(api::refresh).map(preflight)),
            others: group()
                .routes(routes!(backchannel::logout))
                .routes(routes!(frontchannel::logout))
                .routes(routes!(api::openapi))
                .routes(routes!(users::user))
                .routes(routes!(users::users, users::user_event))
                .routes(routes!(pages::stylesheet))
                .routes(routes!(pages::icon))
                .routes(routes!(pages::logo))
                .routes(routes!(session_script::script))
                .routes(routes!(pages::passkey_script))
                .routes(routes!(pages::favicon)),
            metadata: group()
                .routes(routes!(metadata::metadata).map(|route| route.fallback(fallback::method_not_allowed))),
            machines: group()
                .routes(routes!(token::token).map(post_only))
                .routes(routes!(token::introspect).map(post_only))
                .routes(routes!(token::revoke).map(post_only)),
            // A proxy may pass on the method that it was asked with.
            gateway: group()
                .routes(routes!(gateway::validate).map(|_| any(gateway::validate)))
                .routes(routes!(gateway::validate_browser).map(|_| any(gateway::validate_browser))),
        }
    }
}

/// Envoy puts the path that is asked for behind ours.
#[expect(clippy::disallowed_methods, reason = "OpenAPI has no wildcard; /validate/browser describes these addresses")]
fn envoy() -> Router<Arc<Web>> {
    Router::new()
        .route("/validate/envoy", any(gateway::validate_envoy))
        .route("/validate/envoy/", any(gateway::validate_envoy))
        .route("/validate/envoy/{*page}", any(gateway::validate_envoy))
}

/// The public listener's routes.
pub fn router(web: Arc<Web>) -> Router {
    let Routes { pages, scripts, refresh, others, metadata, machines, gateway } = Routes::new();
    // Scripts of siblings may read the answers, and no requirement is dropped.
    let script =
        |routes: Group| routes.layer(axum::middleware::from_fn(layers::no_requirements)).layer(layers::cors(&web));
    let browser = pages
        .merge(script(scripts))
        .layer(axum::middleware::from_fn_with_state(web.clone(), session_layer::browser_session));
    let app = Router::from(browser.merge(script(refresh)).merge(others))
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(axum::middleware::map_response(security_headers::private))
        .merge(Router::from(metadata));
    let app = layers::limited(app, &web);
    app.merge(Router::from(machines.merge(gateway))).merge(envoy()).with_state(web)
}
