//! A thousand clients that ask and never read: the service stays small, and answers everybody else.
#![cfg(target_os = "linux")]

use crate::support::process::{Service, is_known, serve, sign_in};
use crate::support::{Browser, until};
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What the service may take of memory whatever strangers do with a thousand connections.
const MEMORY_MAX: u64 = 150 << 20;
const HTTP2: usize = 60;
const STREAMS: u32 = 250;
const HTTP1: usize = 940;
/// The largest answer that there is.
const PATH: &str = "/openapi.json";

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client says that asks `STREAMS` times at once, and takes `window` bytes of each answer.
fn stalled_gets(window: u32) -> Vec<u8> {
    const SETTINGS_INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(4, 0, 0, &[&SETTINGS_INITIAL_WINDOW_SIZE[..], &window.to_be_bytes()].concat()));
    // RFC 7541: `:method: GET`, `:scheme: http`, and two literals under the names of the static table.
    let text = |name: u8, value: &str| [&[name, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let head = [vec![0x82, 0x86], text(0x04, PATH), text(0x01, "localhost")].concat();
    for stream in 0..STREAMS {
        said.extend(frame(1, 0x05, 2 * stream + 1, &head));
    }
    said
}

/// Connects, says this, and waits until the service has answered something that is never read.
async fn never_reading(port: u16, said: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(said).await.unwrap();
    assert!(client.peek(&mut [0]).await.unwrap() > 0, "it is answered");
    client
}

/// A line of `/proc/<pid>/status`, bytes.
fn memory(service: &Service, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_cost_little_and_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _pool) = serve(folder.path()).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    let before = memory(&service, "VmRSS:");
    let ask_http1 = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n").repeat(20);
    let (nothing, one) = (stalled_gets(0), stalled_gets(1));
    let hostile = (0..HTTP2).map(|n| never_reading(service.port(), if n % 2 == 0 { &nothing } else { &one }));
    let http2 = join_all(hostile).await;
    let http1 = join_all((0..HTTP1).map(|_| never_reading(service.port(), ask_http1.as_bytes()))).await;
    let mut took = Vec::new();
    for _ in 0..1_000 {
        let began = Instant::now();
        assert!(is_known(&service, &jane).await);
        took.push(began.elapsed());
    }
    sign_in(&service, &Browser::new()).await;
    took.sort();
    let (during, most) = (memory(&service, "VmRSS:"), memory(&service, "VmHWM:"));
    println!(
        "{} connections: {} MB before, {} MB during, {} MB at most; an honest caller waits {:?}, p99 {:?}",
        http1.len() + http2.len(),
        before >> 20,
        during >> 20,
        most >> 20,
        took[500],
        took[990]
    );
    assert!(most < MEMORY_MAX, "{} MB", most >> 20);
}

/// Heads that never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_an_end_cost_little() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _pool) = serve(folder.path()).await;
    let endless = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(1 << 20));
    let open = join_all((0..900).map(async |_| {
        let mut client = TcpStream::connect(("127.0.0.1", service.port())).await.unwrap();
        // It may be refused half-way.
        let _ = tokio::time::timeout(Duration::from_secs(2), client.write_all(endless.as_bytes())).await;
        client
    }))
    .await;
    assert_eq!(open.len(), 900);
    until("others are answered", async || Browser::new().try_get(&service.url).await == Some(200)).await;
    let most = memory(&service, "VmHWM:");
    assert!(most < MEMORY_MAX, "{} MB", most >> 20);
}
