//! A client that sends what it is told, letter by letter, and not what HTTP would have it send.

use super::{CLIENT, PATIENCE};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

async fn connect(folder: &Path, port: u16) -> Option<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((CLIENT, 0).into()).unwrap();
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.ok()?;
    let name = ServerName::try_from("wiki.app.localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
}

impl Raw {
    /// Whether somebody with the folder's certificate is there.
    pub(super) async fn connects(folder: &Path, port: u16) -> bool {
        connect(folder, port).await.is_some()
    }

    /// Asks on a connection of its own. `Host` and `Connection: close` are added where no line begins with them.
    pub(super) async fn ask(folder: &Path, port: u16, host: &str, line: &str, lines: &[&str], body: &[u8]) -> Self {
        let mut request = format!("{line}\r\n");
        for (start, usual) in [("host:", format!("Host: {host}")), ("connection:", "Connection: close".to_owned())] {
            if !lines.iter().any(|line| line.to_ascii_lowercase().starts_with(start)) {
                request += &format!("{usual}\r\n");
            }
        }
        for line in lines {
            request += &format!("{line}\r\n");
        }
        let request = [request.as_bytes(), b"\r\n", body].concat();
        let exchange = async {
            let mut stream = connect(folder, port).await.unwrap();
            // It may answer and hang up before it has read everything.
            let _ = stream.write_all(&request).await;
            let mut received = Vec::new();
            let mut piece = [0; 16384];
            loop {
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => received.extend_from_slice(&piece[..n]),
                }
                if Self::read(&received).is_some_and(|(_, whole)| whole) {
                    break;
                }
            }
            Self::read(&received).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&received))).0
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("never answered: {line}"))
    }

    /// Says all this on one connection, and returns what comes until the other side hangs up.
    pub(super) async fn converse(folder: &Path, port: u16, text: &str) -> String {
        let exchange = async {
            let mut stream = connect(folder, port).await.unwrap();
            let _ = stream.write_all(text.as_bytes()).await;
            let mut received = Vec::new();
            // It may hang up without a word of TLS.
            let _ = stream.read_to_end(&mut received).await;
            String::from_utf8_lossy(&received).into_owned()
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("never ended: {text}"))
    }

    /// The answer so far, and whether it is all.
    fn read(received: &[u8]) -> Option<(Self, bool)> {
        let text = String::from_utf8_lossy(received);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            return Self::read(body.as_bytes());
        }
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
        let (body, whole) = match length {
            Some(length) => (body.to_owned(), body.len() >= length),
            None if head.contains("transfer-encoding: chunked") => unchunked(body),
            None => (body.to_owned(), status == 204 || status == 304),
        };
        Some((Self { status, head, body }, whole))
    }

    /// What the app says it was asked.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

fn unchunked(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, data)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16) else { break };
        let Some(piece) = data.get(..size) else { break };
        if size == 0 {
            return (body, true);
        }
        body += piece;
        rest = data.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}
