//! The handle of a running pool: start it, stop it, and everything a test may do to it.

use super::data::UserAuthentication;
use super::faults::{Fault, Faults, FederationFault, PoolEndpoint};
use super::jwt::{SigningKeys, UnsignedJwt};
use super::listener::{ConnectionReset, PoolListener};
use super::sent_codes::SentCode;
use super::settings::{AppClient, PoolSettings, ResourceServer};
use super::state::PoolState;
use super::tokens;
use super::users::PoolUser;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::{fmt, io};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running user pool. Clones are handles of the same one; it stops with the last of them.
#[derive(Clone)]
pub struct UserPool {
    running: Arc<RunningPool>,
}

struct RunningPool {
    state: Arc<PoolState>,
    server: JoinHandle<()>,
}

impl Drop for RunningPool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl RunningPool {
    fn stop(&self) {
        // Open connections end at their next byte; the listener closes with its task.
        self.state.down.store(true, Ordering::Relaxed);
        self.server.abort();
    }
}

impl UserPool {
    /// Binds to `settings.listen` and starts serving.
    pub async fn start(settings: PoolSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        Self::start_on(listener, settings).await
    }

    /// Starts serving on a listener that is bound already; `settings.listen` is not looked at.
    pub async fn start_on(listener: TcpListener, settings: PoolSettings) -> io::Result<Self> {
        let state = Arc::new(PoolState::new(settings, listener.local_addr()?));
        let listener = PoolListener::new(listener, Arc::clone(&state.down));
        let service = super::router(Arc::clone(&state)).into_make_service_with_connect_info::<ConnectionReset>();
        let server = tokio::spawn(async move {
            // Never returns an error: accepting goes on until the task is aborted.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { running: Arc::new(RunningPool { state, server }) })
    }

    /// Stops the pool now, whatever handles there are.
    pub fn shutdown(&self) {
        self.running.stop();
    }

    fn state(&self) -> &PoolState {
        &self.running.state
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.state().faults()
    }

    /// The issuer: in discovery, in every `iss`, and what a relying party is configured with.
    pub fn issuer(&self) -> String {
        self.state().issuer()
    }

    /// The pool's domain: `/oauth2/*`, `/login` and `/logout` are under it. No slash at the end.
    pub fn base_url(&self) -> String {
        self.state().base_url()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.state().addr
    }

    /// Requests seen so far, faulty ones included.
    pub fn count(&self, endpoint: PoolEndpoint) -> u64 {
        self.faults().requests.get(&endpoint).copied().unwrap_or(0)
    }

    /// The `traceparent` of the last request to `endpoint` (W3C Trace Context).
    pub fn last_traceparent(&self, endpoint: PoolEndpoint) -> Option<String> {
        self.faults().traceparents.get(&endpoint).cloned().flatten()
    }

    /// New keys for ID and access tokens; the old ones leave the key set.
    pub fn rotate_keys(&self) {
        let keys = SigningKeys::generate();
        *self.state().keys() = keys;
    }

    /// Moves the pool's clock; shifts add up.
    pub fn shift_clock(&self, seconds: i64) {
        self.state().shift_clock(seconds);
    }

    /// Breaks an endpoint until the faults are cleared or it is given another one.
    pub fn fault(&self, endpoint: PoolEndpoint, fault: Fault) {
        self.faults().standing.insert(endpoint, fault);
    }

    /// Breaks an endpoint for one request; several of them queue up.
    pub fn fault_once(&self, endpoint: PoolEndpoint, fault: Fault) {
        self.faults().once.entry(endpoint).or_default().push_back(fault);
    }

    /// Breaks the refresh of one user's tokens until the faults are cleared.
    pub fn fault_refreshes_of(&self, username: &str, fault: Fault) {
        self.faults().refreshes.insert(username.to_owned(), fault);
    }

    /// Ends all faults, the federation's too.
    pub fn clear_faults(&self) {
        self.faults().clear();
    }

    /// Breaks federated sign-ins.
    pub fn federation_fault(&self, fault: FederationFault) {
        self.faults().federation = Some(fault);
    }

    /// Lets `tamper` change every ID token before it is signed.
    pub fn tamper_id_token(&self, tamper: impl Fn(&mut UnsignedJwt) + Send + Sync + 'static) {
        self.faults().id_token = Some(Arc::new(tamper));
    }

    /// Lets `tamper` change every access token before it is signed.
    pub fn tamper_access_token(&self, tamper: impl Fn(&mut UnsignedJwt) + Send + Sync + 'static) {
        self.faults().access_token = Some(Arc::new(tamper));
    }

    /// Tokens are genuine again.
    pub fn clear_tampering(&self) {
        let mut faults = self.faults();
        (faults.id_token, faults.access_token) = (None, None);
    }

    /// Whether `prompt` counts for nothing, as with the classic hosted UI (`ManagedLoginVersion` 1).
    pub fn ignores_prompt(&self, on: bool) {
        self.faults().ignores_prompt = on;
    }

    /// Whether errors come back to the application without its `state`.
    pub fn errors_without_state(&self, on: bool) {
        self.faults().errors_without_state = on;
    }

    /// Adds keys to the discovery document, as Cognito may one day, until the faults are cleared.
    pub fn add_discovery_keys(&self) {
        let endpoint = format!("{}/oauth2/register", self.base_url());
        let edit = Fault::edit_json(move |document| {
            document.insert("registration_endpoint".to_owned(), json!(endpoint));
            document.insert("a_key_added_later".to_owned(), json!({ "nested": true }));
        });
        self.fault(PoolEndpoint::Discovery, edit);
    }

    /// Whether JSON, tokens included, spells `/` as `\/`.
    pub fn escape_slashes(&self, on: bool) {
        self.faults().escape_slashes = on;
    }

    /// Whether a code that comes twice revokes what was issued for it (RFC 6749 §4.1.2), as strict providers do.
    pub fn code_reuse_revokes(&self, on: bool) {
        self.faults().code_reuse_revokes = on;
    }

    /// Adds about this many bytes of custom attributes to ID tokens; 0 ends it.
    pub fn pad_tokens(&self, bytes: usize) {
        self.faults().id_token_padding = bytes;
    }

    /// `true`: every connection is accepted and dropped at once, open ones included. `false`: in service again.
    pub fn down(&self, down: bool) {
        self.state().down.store(down, Ordering::Relaxed);
    }

    /// Changes an app client; an unknown id changes nothing.
    pub fn edit_client(&self, client_id: &str, edit: impl FnOnce(&mut AppClient)) {
        if let Some(client) = self.state().data().clients.get_mut(client_id) {
            edit(client);
        }
    }

    /// Changes a resource server; an unknown identifier changes nothing.
    pub fn edit_resource_server(&self, identifier: &str, edit: impl FnOnce(&mut ResourceServer)) {
        let mut data = self.state().data();
        if let Some(server) = data.resource_servers.iter_mut().find(|server| server.identifier == identifier) {
            edit(server);
        }
    }

    /// Changes a user; an unknown name changes nothing.
    pub fn edit_user(&self, username: &str, edit: impl FnOnce(&mut PoolUser)) {
        if let Some(user) = self.state().data().user_mut(username) {
            edit(user);
        }
    }

    /// Removes a user, as an administrator does.
    pub fn delete_user(&self, username: &str) {
        self.state().data().delete_user(username);
    }

    /// The codes that were sent to people so far.
    pub fn sent_codes(&self) -> Vec<SentCode> {
        self.state().data().sent_codes.all().to_vec()
    }

    /// The last code to an e-mail address.
    pub fn last_code_for(&self, email: &str) -> Option<String> {
        let data = self.state().data();
        data.sent_codes.all().iter().rev().find(|sent| sent.destination == email).map(|sent| sent.code.clone())
    }

    /// Signs a user out globally: refresh tokens are revoked, and codes not redeemed yet. The hosted UI's session lives on.
    pub fn sign_out_user(&self, username: &str) {
        self.state().data().sign_out_globally(username);
    }

    /// Whether this refresh token was revoked, by itself or with all tokens of its authentication.
    pub fn is_revoked(&self, refresh_token: &str) -> bool {
        self.state().data().is_revoked(refresh_token)
    }

    /// Refresh tokens that would still be accepted.
    pub fn live_refresh_tokens(&self) -> usize {
        let now = self.state().now();
        self.state().data().usable_refresh_tokens(now)
    }

    /// An access token as if `username` had just signed in at `client_id`. Names the pool does not know get
    /// made-up entries, so that a token of a foreign client can be had too.
    pub fn mint_access_token(&self, client_id: &str, username: &str, scopes: &[&str]) -> String {
        let (client, user, authentication) = self.authentication_of(client_id, username, scopes);
        tokens::access_token(self.state(), &client, &user, &authentication)
    }

    /// An ID token in the same way, without a nonce and with every attribute in it.
    pub fn mint_id_token(&self, client_id: &str, username: &str) -> String {
        let (client, user, authentication) = self.authentication_of(client_id, username, &["openid"]);
        let access_token = tokens::access_token(self.state(), &client, &user, &authentication);
        tokens::id_token(self.state(), &client, &user, &authentication, None, &access_token)
    }

    /// A `client_credentials` access token of `client_id`.
    pub fn mint_machine_token(&self, client_id: &str, scopes: &[&str]) -> String {
        let (client, _, authentication) = self.authentication_of(client_id, client_id, scopes);
        tokens::machine_token(self.state(), &client, &authentication.scopes, &authentication.overrides)
    }

    /// A logout token (OIDC Back-Channel Logout 1.0 §2.4) for `username`'s sessions at `client_id`, changed by
    /// `tamper` before it is signed. Cognito sends none; other providers do.
    pub fn mint_logout_token(&self, client_id: &str, username: &str, tamper: impl FnOnce(&mut UnsignedJwt)) -> String {
        let (client, user, _) = self.authentication_of(client_id, username, &[]);
        tokens::logout_token(self.state(), &client, &user, tamper)
    }

    fn authentication_of(
        &self,
        client_id: &str,
        username: &str,
        scopes: &[&str],
    ) -> (AppClient, PoolUser, UserAuthentication) {
        let now = self.state().now();
        let data = self.state().data();
        let client = data.clients.get(client_id).cloned().unwrap_or_else(|| AppClient::web(client_id, ""));
        let stranger = || PoolUser::native(username, "", "f4188438-0001-7000-8000-000000000000");
        let user = data.user(username).cloned().unwrap_or_else(stranger);
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        (client, user, UserAuthentication::new(client_id, username, scopes, now))
    }
}

impl fmt::Debug for UserPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("UserPool").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}
