//! What a pool is started with: an address, app clients, users.

use std::net::{Ipv4Addr, SocketAddr};

use super::clients::{AppClient, ResourceServer};
use super::triggers::TriggerFunction;
use super::users::PoolUser;

/// Everything a pool needs to start. `PoolSettings::default()` is the seeded world; see [`PoolSettings::for_service`].
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The host name in the pool's own URLs. Never taken from a request.
    pub host: String,
    /// The pool's id, the last part of the issuer.
    pub pool_id: String,
    /// App clients.
    pub clients: Vec<AppClient>,
    /// Users.
    pub users: Vec<PoolUser>,
    /// Whom the pretended providers know and the pool does not yet: made by [`PoolUser::federated`].
    pub newcomers: Vec<PoolUser>,
    /// The function that Lambda triggers call.
    pub triggers: Option<TriggerFunction>,
    /// Resource servers, for custom scopes.
    pub resource_servers: Vec<ResourceServer>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        let orders = ResourceServer::new("https://api.example.com", &["orders.read", "orders.write"]);
        let orders_scopes: Vec<String> = orders.full_scopes().collect();
        let orders_scopes: Vec<&str> = orders_scopes.iter().map(String::as_str).collect();
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host: "127.0.0.1".to_owned(),
            pool_id: "eu-west-1_DevPool01".to_owned(),
            clients: vec![
                AppClient::web("dev-web-client", "dev-web-secret"),
                AppClient::machine("dev-machine-client", "dev-machine-secret", &orders_scopes),
                AppClient::machine("dev-cms-client", "dev-cms-secret", &["cms/read", "cms/write"]),
            ],
            users: PoolUser::seeded(),
            newcomers: Vec::new(),
            triggers: None,
            resource_servers: vec![orders, ResourceServer::new("cms", &["read", "write"])],
        }
    }
}

impl PoolSettings {
    /// The seeded world with the web client registered for a service at `public_url`.
    pub fn for_service(public_url: &str) -> Self {
        let mut settings = Self::default();
        let base = public_url.trim_end_matches('/');
        for client in &mut settings.clients {
            if client.id == "dev-web-client" {
                client.callback_urls.push(format!("{base}/auth/signin/callback"));
                client.logout_urls.push(format!("{base}/auth/signout/callback"));
            }
        }
        settings
    }
}
