//! Connecting to the server that takes writes.

use super::InvalidCertificates;
use crate::config::{PostgresServers, PostgresTls, PostgresUrl};
use deadpool_postgres::Connect;
use futures_util::future::{BoxFuture, FutureExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use std::future::poll_fn;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::tls::{NoTls, TlsStream};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Notification, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connection over which nothing is said for so long is asked whether it is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// How every connection is made.
#[derive(Clone)]
pub(super) struct PostgresConnector {
    pub(super) config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl PostgresConnector {
    /// # Errors
    /// The certificates to be trusted cannot be read.
    pub(super) fn new(url: &PostgresUrl, call_timeout: Duration, settings: &str) -> Result<Self, InvalidCertificates> {
        let mut config = Config::new();
        config.user(&url.user).dbname(&url.database).application_name(env!("CARGO_PKG_NAME"));
        if let Some(password) = &url.password {
            config.password(password.expose_secret());
        }
        // What a call waits for at the server ends there, too.
        let timeout = call_timeout.as_millis();
        config.options(format!("-c search_path={} -c statement_timeout={timeout} {settings}", url.schema));
        config.connect_timeout(call_timeout).tcp_user_timeout(call_timeout * 2).keepalives_idle(KEEPALIVE_IDLE);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = match &url.servers {
            PostgresServers::Socket(folder, port) => {
                config.host(folder.display().to_string()).port(*port);
                None
            }
            PostgresServers::Network(servers, tls) => {
                for server in servers {
                    config.host(&server.host).port(server.port);
                }
                match tls {
                    PostgresTls::Off => None,
                    PostgresTls::Verified(root) => Some(verified(root.as_deref())?),
                }
            }
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Self { config, tls })
    }

    /// Connects. What the server tells goes to `notifications`, in its order.
    pub(super) async fn open(
        &self,
        notifications: Option<UnboundedSender<Notification>>,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        Ok(match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                (client, tokio::spawn(drive(connection, notifications)))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                (client, tokio::spawn(drive(connection, notifications)))
            }
        })
    }
}

impl Connect for PostgresConnector {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        self.open(None).boxed()
    }
}

/// Sends and receives until the connection ends. Its calls are told why.
async fn drive<T: TlsStream + Unpin>(
    mut connection: Connection<Socket, T>,
    notifications: Option<UnboundedSender<Notification>>,
) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let (AsyncMessage::Notification(notification), Some(notifications)) = (message, &notifications) {
            // Whoever listened may have given up.
            let _ = notifications.send(notification);
        }
    }
}

/// TLS that verifies the server's certificate against those in the file `root`, or the system's.
fn verified(root: Option<&Path>) -> Result<MakeRustlsConnect, InvalidCertificates> {
    let mut roots = RootCertStore::empty();
    match root {
        Some(path) => {
            let wrong = |why: String| InvalidCertificates(format!("{}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("there is no certificate in it".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(MakeRustlsConnect::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
