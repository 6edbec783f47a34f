//! The service with few files to open: who is connected is served, and operators see what is wrong.
#![cfg(target_os = "linux")]

use crate::support::process::{PROGRAM, configure, is_known, sign_in, spawn_program};
use crate::support::{Browser, free_port, until};
use auth_api::dev::pool::{PoolSettings, UserPool};
use std::fs;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks who it is, without credentials; the status line.
async fn ask(connection: &mut TcpStream) -> String {
    connection.write_all(b"GET /validate HTTP/1.1\r\nhost: auth-api.app.localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![];
    while !answer.ends_with(b"}") {
        assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap().lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_files_the_connected_are_served_and_operators_get_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let limits = format!("ulimit -S -n 100\nulimit -H -n 256\nexec '{PROGRAM}' serve\n");
    // The shell runs the file that its first argument names.
    fs::write(folder.path().join("serve"), limits).unwrap();
    let (service, _pool) = loop {
        let (port, ops) = (free_port(), free_port());
        let settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"));
        let pool = UserPool::start(settings).await.unwrap();
        configure(folder.path(), &pool, port, ops);
        if let Some(service) = spawn_program(Path::new("/bin/sh"), folder.path(), port, ops, []) {
            break (service, pool);
        }
    };
    let (operator, jane) = (Browser::new(), Browser::new());
    let metrics = operator.get(&format!("{}/metrics", service.ops)).await.body;
    assert!(metrics.contains("\nprocess_max_fds 256\n"), "{metrics}");
    sign_in(&service, &jane).await;
    let address = ("127.0.0.1", service.port());
    let mut first = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut first).await, "HTTP/1.1 401 Unauthorized");

    let (ready, mut idle) = (format!("{}/readyz", service.ops), vec![]);
    until("all places are taken", async || {
        for _ in 0..50 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        idle.truncate(400);
        operator.get(&ready).await.body.contains("\"connections\"")
    })
    .await;
    let answer = operator.get(&format!("{ready}?strict=true")).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(operator.get(&ready).await.status, 200);
    assert_eq!(operator.get(&format!("{}/livez", service.ops)).await.status, 200);
    let metrics = Browser::new().get(&format!("{}/metrics", service.ops)).await.body;
    assert!(metrics.contains("auth_api_degraded{component=\"connections\"} 1\n"), "{metrics}");
    assert_eq!(ask(&mut first).await, "HTTP/1.1 401 Unauthorized", "who is connected is served");

    drop(idle);
    until("there is room again", async || !operator.get(&ready).await.body.contains("\"connections\"")).await;
    assert!(is_known(&service, &jane).await);
    assert_eq!(ask(&mut first).await, "HTTP/1.1 401 Unauthorized");
}
