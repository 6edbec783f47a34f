//! A running service takes up a changed configuration: told by a signal, or by its files.

use crate::support::process::{Service, is_known, serve, sign_in, spawn, spawn_with, terminate};
use crate::support::{Browser, Site, certificate, free_port, until};
use auth_api::dev::pool::UserPool;
use std::path::Path;
use std::process::Command;

const KEY: &str = "\"0123456789 of a key for this test 9876543210\"";
const NEXT_KEY: &str = "\"9876543210 of the next key for this test 01\"";

struct Place {
    service: Service,
    pool: UserPool,
    folder: tempfile::TempDir,
}

impl Place {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (service, pool) = serve(folder.path()).await;
        Self { service, pool, folder }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("auth-api.toml")).unwrap()
    }

    fn write(&self, text: &str) {
        std::fs::write(self.folder.path().join("auth-api.toml"), text).unwrap();
    }

    async fn count(&self, outcome: &str) -> u64 {
        let text = Browser::new().get(&format!("{}/metrics", self.service.ops)).await.body;
        let sample = format!("auth_api_config_reloads_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&sample)).map_or(0, |count| count.trim().parse().unwrap())
    }

    /// Writes, sends SIGHUP, and waits until that had its outcome.
    async fn reload(&self, text: &str, outcome: &str) {
        self.write(text);
        self.hang_up(outcome).await;
    }

    async fn hang_up(&self, outcome: &str) {
        let before = self.count(outcome).await;
        hang_up(&self.service);
        until(outcome, async || self.count(outcome).await > before).await;
    }

    async fn degraded(&self) -> String {
        Browser::new().get(&format!("{}/readyz", self.service.ops)).await.json()["degraded"].to_string()
    }

    async fn stop(mut self) -> String {
        terminate(&self.service.child);
        let log = self.service.log();
        assert!(self.service.child.wait().unwrap().success());
        log
    }
}

fn hang_up(service: &Service) {
    let kill = format!("kill -HUP {}", service.child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_takes_up_the_rules_and_a_mistake_changes_nothing() {
    let place = Place::start().await;
    let (jane, first) = (Browser::new(), place.text());
    sign_in(&place.service, &jane).await;
    let editors = format!("{first}[policy]\ngroups = [\"editors\"]\n");
    let nobody = format!("{first}[policy]\ngroups = [\"nobody\"]\n[return_to]\nallow = [\"blog.app.localhost\"]\n");
    let validate = async || jane.get(&format!("{}/validate", place.service.url)).await.status;
    assert_eq!(validate().await, 200);
    place.reload(&nobody, "applied").await;
    assert_eq!(validate().await, 403, "she is not in the group");
    let away = jane.get(&format!("{}/auth/signin?return_to=https://cms.app.localhost/", place.service.url)).await;
    assert!(!away.location().contains("cms.app.localhost"), "{}", away.location());

    for (mistaken, named) in [
        (first.replace("dev-web-secret", ""), "provider.client_secret"),
        (first.replace("[telemetry]", "[telemetry"), "auth-api.toml line"),
        (first.clone(), "policy"),
        (format!("{editors}[session]\nmax_agee = \"1d\"\n"), "session.max_agee"),
        (String::new(), "auth-api.toml"),
    ] {
        place.reload(&mistaken, "refused").await;
        assert_eq!(validate().await, 403, "{named}");
        assert!(place.degraded().await.contains("configuration"), "{named}");
    }
    place.reload(&editors.replace("\"json\"", "\"text\""), "applied").await;
    assert_eq!(place.degraded().await, "{}");
    assert_eq!(validate().await, 403, "she is no editor either");
    let log = place.stop().await;
    for said in [
        "provider.client_secret: ",
        "auth-api.toml line 14: ",
        "policy: Nothing says any more who may sign in",
        "session.max_agee: ",
        "The file is empty",
        "\"changed\":\"return_to.allow policy.groups\"",
        "\"keys\":\"telemetry.format\"",
    ] {
        assert!(log.contains(said), "{said} in {log}");
    }
    assert!(!log.contains("dev-web-secret") && !log.contains("0123456789 of a key"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookie_keys_and_the_clients_secret_change_without_a_restart() {
    let mut place = Place::start().await;
    let (jane, later, first) = (Browser::new(), Browser::new(), place.text());
    sign_in(&place.service, &jane).await;
    let secret = "rotated-web-secret";
    place.pool.edit_client("dev-web-client", |client| client.secret = Some(secret.to_owned()));
    let refresh =
        async |browser: &Browser| browser.post(&format!("{}/refresh?force=true", place.service.url), &[]).await.status;
    assert_eq!(refresh(&jane).await, 503, "the provider takes the old secret no more");
    let rotated = first.replace("dev-web-secret", secret);
    place.reload(&rotated.replace(KEY, &format!("{NEXT_KEY}, {KEY}")), "applied").await;
    assert!(is_known(&place.service, &jane).await, "the old key still opens");
    sign_in(&place.service, &later).await;
    until("the back-off is over", async || refresh(&later).await == 200).await;
    place.reload(&rotated, "refused").await;
    assert!(is_known(&place.service, &later).await, "the key that seals stays");

    // What the new key sealed needs no other; what nobody wrote since needs the old one.
    let (port, ops) = (place.service.port(), place.service.ops.rsplit(':').next().unwrap().parse().unwrap());
    terminate(&place.service.child);
    let log = place.service.log();
    assert!(log.contains("\"changed\":\"provider.client_secret cookies.keys\""), "{log}");
    place.service.child.wait().unwrap();
    place.write(&rotated.replace(KEY, NEXT_KEY));
    place.service = spawn(place.folder.path(), port, ops).expect("it starts with the new key alone");
    assert!(is_known(&place.service, &later).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_of_the_log_changes() {
    let place = Place::start().await;
    let text = place.text();
    place.reload(&text.replace("[telemetry]", "[telemetry]\nlog = \"error\""), "applied").await;
    sign_in(&place.service, &Browser::new()).await;
    place.reload(&text, "applied").await;
    sign_in(&place.service, &Browser::new()).await;
    let log = place.stop().await;
    assert_eq!(log.matches("user signed in").count(), 1, "the second: {log}");
    assert_eq!(log.matches("configuration reloaded").count(), 1, "the second: {log}");
}

/// Compared every five seconds, and taken when two comparisons agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_taken_up_and_a_mistake_is_said_once() {
    let place = Place::start().await;
    let (jane, first) = (Browser::new(), place.text());
    sign_in(&place.service, &jane).await;
    place.write(&format!("{first}[policy]\ngroups = [\"staff\", \"staff"));
    until("the mistake is noticed", async || place.count("refused").await > 0).await;
    place.write(&format!("{first}[policy]\ngroups = [\"staff\"]\n"));
    until("the rule is taken", async || place.count("applied").await > 0).await;
    assert_eq!(jane.get(&format!("{}/validate", place.service.url)).await.status, 403);
    assert_eq!((place.count("refused").await, place.count("applied").await), (1, 1));
    let log = place.stop().await;
    assert_eq!(log.matches("reload refused").count(), 1, "{log}");
    assert!(log.contains("\"cause\":\"changed files\""), "{log}");
}

/// As a program renews them: one file after the other, while browsers connect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_used_without_a_failed_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    for path in [&old, &new] {
        std::fs::create_dir(path).unwrap();
        certificate(path);
    }
    let to = folder.path().to_owned();
    let put = |from: &Path, name: &str| {
        std::fs::copy(from.join(name), to.join("next")).unwrap();
        std::fs::rename(to.join("next"), to.join(name)).unwrap();
    };
    put(&old, "cert.pem");
    put(&old, "key.pem");
    let (service, pool) = loop {
        let (port, ops) = (free_port(), free_port());
        let settings =
            auth_api::dev::pool::PoolSettings::for_service(&format!("https://auth-api.app.localhost:{port}"));
        let pool = UserPool::start(settings).await.unwrap();
        crate::support::process::configure(folder.path(), &pool, port, ops);
        let file = folder.path().join("auth-api.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let public = format!("public_url = \"https://auth-api.app.localhost:{port}\"");
        let plain = format!("public_url = \"http://auth-api.app.localhost:{port}\"");
        let tls = format!("{public}\ntls_cert_file = \"cert.pem\"\ntls_key_file = \"key.pem\"");
        std::fs::write(&file, text.replace(&plain, &tls)).unwrap();
        if let Some(service) = spawn_with(folder.path(), port, ops, []) {
            break (service, pool);
        }
    };
    let url = format!("https://auth-api.app.localhost:{}/validate", service.port());
    // A browser for each request: each shakes hands anew.
    let trusts = async |path: &Path| Browser::trusting(path).try_get(&url).await == Some(401);
    let either = async || trusts(&old).await || trusts(&new).await;
    assert!(trusts(&old).await && !trusts(&new).await);
    let mut place = Place { service, pool, folder };
    put(&new, "cert.pem");
    let refused = place.count("refused").await;
    hang_up(&place.service);
    until("a certificate without its key is refused", async || {
        assert!(either().await);
        place.count("refused").await > refused
    })
    .await;
    put(&new, "key.pem");
    until("the pair is used", async || {
        assert!(either().await, "a handshake failed");
        trusts(&new).await
    })
    .await;
    assert!(!trusts(&old).await);
    terminate(&place.service.child);
    assert!(place.service.log().contains("server.tls_cert_file and server.tls_key_file cannot be used"));
}

/// In one process with everything else, files that the configuration names are watched too.
#[tokio::test]
async fn a_rule_may_not_name_a_client_that_a_file_shares() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.toml");
    std::fs::write(&file, "# nobody yet\n").unwrap();
    let site = Site::with(&[("MACHINE__CLIENTS", file.to_str().unwrap())]).await;
    std::fs::write(&file, "[[client]]\nid = \"nightly\"\n").unwrap();
    until("the mistake is noticed", async || {
        site.metric("auth_api_config_reloads_total{outcome=\"refused\"}").await > 0
    })
    .await;
}
