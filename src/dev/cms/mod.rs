//! A demo content site beside the service, on a host name of its own.
//!
//! It shows all a sibling site has to do, and knows nothing but the outside contract: it asks `/validate` with the
//! visitor's cookies, links to `/auth/signin`, posts to `/auth/signout`. It holds no key, no token and no session.
//!
//! - `visitor`: the one question it asks the service
//! - `site`: its pages as a table of routes, and what each visitor gets
//! - `frame`: which of its host names a request is for, and the links that follow from that
//! - `articles`, `pages`: what there is to read
//! - `comments`: what readers write, where there is a database

mod articles;
mod comments;
mod frame;
mod pages;
mod site;
mod visitor;

pub use self::comments::CmsDatabase;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Where the site is, and where the service is.
#[derive(Clone, Debug)]
pub struct CmsSettings {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The service as browsers reach it, without a slash at the end.
    pub auth_base_public: String,
    /// The service as this site's server reaches it: by address, since `.localhost` names resolve in browsers only.
    pub auth_base_internal: String,
    /// This site as browsers reach it.
    pub public_url: String,
    /// Further addresses the same site answers under, each on a host of its own.
    pub sibling_urls: Vec<String>,
    /// Where comments are kept and people are looked up. None: there are no comments.
    pub database: Option<CmsDatabase>,
    /// The name in the header.
    pub site_name: String,
}

impl Default for CmsSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8082)),
            auth_base_public: "http://auth-api.app.localhost:8080".to_owned(),
            auth_base_internal: "http://127.0.0.1:8080".to_owned(),
            public_url: "http://cms.app.localhost:8082".to_owned(),
            sibling_urls: vec!["http://blog.app.localhost:8082".to_owned()],
            database: None,
            site_name: "The Daily Sibling".to_owned(),
        }
    }
}

/// A running site. Clones are handles of the same one; it stops with the last of them.
#[derive(Clone, Debug)]
pub struct Cms {
    running: Arc<RunningCms>,
}

#[derive(Debug)]
struct RunningCms {
    addr: SocketAddr,
    public_url: String,
    server: JoinHandle<()>,
}

impl Drop for RunningCms {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Cms {
    /// Binds to `settings.listen` and starts serving.
    pub async fn start(settings: CmsSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        Self::start_on(listener, settings).await
    }

    /// Starts serving on a listener that is bound already; `settings.listen` is not looked at.
    pub async fn start_on(listener: TcpListener, settings: CmsSettings) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let public_url = settings.public_url.clone();
        let router = site::router(&settings)?;
        let server = tokio::spawn(async move {
            // Never returns an error: accepting goes on until the task is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { running: Arc::new(RunningCms { addr, public_url, server }) })
    }

    /// Stops the site now, whatever handles there are.
    pub fn shutdown(&self) {
        self.running.server.abort();
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// Its address for browsers.
    pub fn public_url(&self) -> &str {
        &self.running.public_url
    }
}
