//! nginx in front of the service at a Unix socket, with the line for it in the files of `deploy` in place of the port's.

use super::app::{App, values};
use super::kinds::Proxy;
use super::{CLIENT, Running, navigation, script};
use crate::support::process::sign_in;
use crate::support::{Browser, free_port};
use crate::unix_socket::Place;
use reqwest::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx"]
async fn nginx_asks_at_the_socket() {
    let (app, port) = (App::start().await, free_port());
    let place = Place::behind(&format!("https://auth-api.app.localhost:{port}"), port).await;
    let socket = format!("    server unix:{}", place.socket().display());
    let changes =
        [("    server 127", "    # server 127"), ("    #server unix:/run/auth-api/auth-api.sock", socket.as_str())];
    let program = Proxy::Nginx.program();
    let edge = Running::start(Proxy::Nginx, &program, port, 1, app.port, &changes).await.expect("a free port");
    let visitor = || Browser::elsewhere(edge.folder.path(), CLIENT, true);
    let page = format!("https://wiki.app.localhost:{port}/articles");

    let jane = visitor();
    assert_eq!(jane.send(Method::GET, &page, navigation).await.status, 503, "before it is there");
    let mut service = place.serve();
    service.url = format!("https://auth-api.app.localhost:{port}");
    let sent_away = jane.send(Method::GET, &page, navigation).await;
    assert!(sent_away.status == 302 && sent_away.location().contains("/auth/signin?return_to="), "{sent_away:?}");
    sign_in(&service, &jane).await;
    // What only a proxy may say, from somebody who is none.
    let forged = |request| script(request).header("x-auth-username", "eve").header("x-forwarded-for", "198.51.100.1");
    assert_eq!(jane.send(Method::GET, &page, forged).await.status, 200);
    assert_eq!(values(app.asked().last().unwrap(), "x-auth-username"), ["jane"]);
    let sessions = jane.send(Method::GET, &format!("{}/auth/sessions", service.url), forged).await.json();
    assert!(sessions.to_string().contains(&format!("\"address\":\"{CLIENT}\"")), "{sessions}");

    service.child.kill().unwrap();
    service.child.wait().unwrap();
    assert_eq!(jane.send(Method::GET, &page, navigation).await.status, 503, "a stale socket opens nothing");
    let _service = place.serve();
    assert_eq!(jane.send(Method::GET, &page, navigation).await.status, 200, "nginx finds the new one");
    let count = app.asked().len();
    assert_eq!(visitor().send(Method::GET, &page, script).await.status, 401);
    assert_eq!(app.asked().len(), count);
}
