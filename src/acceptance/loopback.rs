//! A person's browser: it is sent on from here, and comes back here.

use super::landing::{Landing, LoopbackUrls};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use url::Url;

/// No request of a browser has a longer head.
const HEAD_MAX: usize = 16 << 10;
/// How long a browser may take to write it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// This part of a person's time, and the address is shown once more: the browser may be lost.
const REMINDER: u32 = 20;

/// What a browser is answered.
#[derive(Debug)]
enum LoopbackReply {
    /// Go there.
    Redirect(String),
    /// A page with this line.
    Page(&'static str),
}

/// A browser that came back, and waits.
#[derive(Debug)]
struct WaitingBrowser {
    target: Url,
    reply: oneshot::Sender<LoopbackReply>,
}

/// A person's browser, driven by redirects.
#[derive(Debug)]
pub(super) struct PersonsBrowser {
    urls: LoopbackUrls,
    arrivals: mpsc::Receiver<WaitingBrowser>,
    waiting: Option<oneshot::Sender<LoopbackReply>>,
    patience: Duration,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for PersonsBrowser {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl PersonsBrowser {
    /// Listens at the callback's address; a person has `patience` for each page.
    pub(super) async fn listen(urls: LoopbackUrls, patience: Duration) -> Result<Self, String> {
        let ip = urls.callback.host_str().and_then(crate::domain::host::ip);
        let address = SocketAddr::new(
            ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            urls.callback.port_or_known_default().unwrap_or_default(),
        );
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("{address} cannot be listened on ({error}): choose another --callback"))?;
        let (sender, arrivals) = mpsc::channel(8);
        let origin = urls.callback.clone();
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Each by itself: browsers open connections that they do not use.
                tokio::spawn(serve(stream, origin.clone(), sender.clone()));
            }
        });
        Ok(Self { urls, arrivals, waiting: None, patience, listener })
    }

    /// Sends the browser to `address`; `say` shows the address to the person if no browser waits here, or none comes
    /// back. Its return must not have another state than `state`.
    pub(super) async fn visit(
        &mut self,
        address: &Url,
        state: Option<&str>,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Landing, String> {
        let redirected = self.waiting.take().map(|reply| reply.send(LoopbackReply::Redirect(address.to_string())));
        let mut shown = !matches!(redirected, Some(Ok(())));
        if shown {
            say(&format!("Open this address in a browser, and sign in as the test user:\n\n{address}\n"));
        }
        let started = Instant::now();
        loop {
            let left = if shown { self.patience } else { self.patience / REMINDER }.saturating_sub(started.elapsed());
            let (target, reply) = match tokio::time::timeout(left, self.arrivals.recv()).await {
                Ok(Some(WaitingBrowser { target, reply })) => (target, reply),
                Err(_) if !shown => {
                    shown = true;
                    say(&format!("If the browser shows no page to sign in, open this address in it:\n\n{address}\n"));
                    continue;
                }
                _ => return Err(format!("no browser came back within {} s", self.patience.as_secs())),
            };
            let landing = self.urls.landing(&target, None, started.elapsed());
            // A page that was loaded again, of an earlier visit.
            let stale = |landing: &Landing| landing.state().is_some_and(|other| Some(&*other) != state);
            match landing.filter(|landing| !stale(landing)) {
                Some(landing) => {
                    self.waiting = Some(reply);
                    return Ok(landing);
                }
                None => drop(reply.send(LoopbackReply::Page("This sign-in is over. Go on in the other tab."))),
            }
        }
    }

    /// Tells the person that nothing more is needed.
    pub(super) fn finish(&mut self) {
        let done = LoopbackReply::Page("Signed in. The run goes on in your terminal; this page can be closed.");
        self.waiting.take().map(|reply| reply.send(done));
    }
}

/// Answers one request, and closes.
async fn serve(mut stream: TcpStream, callback: Url, arrivals: mpsc::Sender<WaitingBrowser>) {
    let Ok(target) = tokio::time::timeout(HEAD_TIMEOUT, read_target(&mut stream)).await else { return };
    let reply = match target.and_then(|target| callback.join(&target).ok()) {
        Some(target) => {
            let (reply, answered) = oneshot::channel();
            let sent = arrivals.send(WaitingBrowser { target, reply }).await;
            if sent.is_ok() { answered.await.ok() } else { None }
        }
        None => None,
    };
    let head = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
                Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n";
    let response = match reply {
        Some(LoopbackReply::Redirect(to)) => {
            format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n{head}Content-Length: 0\r\n\r\n")
        }
        Some(LoopbackReply::Page(line)) => {
            let page = format!("<!DOCTYPE html><html lang=\"en\"><title>auth-api</title><p>{line}</p></html>\n");
            format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n{page}", page.len())
        }
        None => format!("HTTP/1.1 404 Not Found\r\n{head}Content-Length: 0\r\n\r\n"),
    };
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The target of a GET request (RFC 9112 §3.2.1), once the whole head was read.
async fn read_target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_MAX || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    target.starts_with('/').then(|| target.to_owned())
}
