//! A real Prometheus with the files of `deploy/observability`, and a service under load.

use super::{rules, traffic};
use crate::real::component;
use crate::support::redis::eventually;
use crate::support::{Browser, Site, free_port};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A Prometheus that scrapes one address every second; killed when it is dropped.
struct Prometheus {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    async fn start(target: &str) -> Self {
        let program = component("prometheus");
        // A port can be lost between asking and binding.
        loop {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let config = rules::read("prometheus.yml").replace("127.0.0.1:9090", target).replace("15s", "1s");
            assert!(config.contains(target) && config.contains("1s"));
            std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
            std::fs::copy(rules::file("rules.yaml"), folder.path().join("rules.yaml")).unwrap();
            let mut command = Command::new(&program);
            command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(folder.path());
            command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut prometheus = Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder };
            if prometheus.is_up().await {
                return prometheus;
            }
        }
    }

    async fn is_up(&mut self) -> bool {
        let (browser, url) = (Browser::new(), format!("{}/-/ready", self.url));
        let child = &mut self.child;
        let mut ended = false;
        eventually("prometheus is ready", async || {
            ended = child.try_wait().unwrap().is_some();
            ended || browser.try_get(&url).await == Some(200)
        })
        .await;
        !ended
    }

    async fn api(&self, path: &str) -> Value {
        let answer = Browser::new().get(&format!("{}/api/v1/{path}", self.url)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let json = answer.json();
        assert_eq!(json["status"], "success", "{path}");
        json["data"].clone()
    }

    /// The series that a query finds.
    async fn query(&self, query: &str) -> Vec<Value> {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        self.api(&format!("query?{query}")).await["result"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs prometheus"]
async fn every_query_of_the_dashboard_finds_series() {
    let site = Site::start().await;
    let target = site.ops_url.strip_prefix("http://").unwrap();
    let prometheus = Prometheus::start(target).await;
    // Where nothing is wrong there are none.
    let may_be_empty = |query: &str| query.ends_with("> 0");
    let mut missing: Vec<(String, String)> = rules::queries();
    assert!(missing.len() > 25, "{missing:?}");
    for (_, query) in &mut missing {
        *query = query.replace("$job", "auth-api").replace("$instance", ".*").replace("$__rate_interval", "10s");
        assert!(!query.contains('$'), "{query}");
    }
    eventually("every query finds series", async || {
        traffic(&site).await;
        let mut still = vec![];
        for (panel, query) in std::mem::take(&mut missing) {
            let found = prometheus.query(&query).await;
            if found.is_empty() && !may_be_empty(&query) {
                still.push((panel, query));
            }
        }
        missing = still;
        missing.is_empty()
    })
    .await;
    let rate =
        prometheus.query("sum by (route) (rate(auth_api_http_request_seconds_count{job=\"auth-api\"}[10s]))").await;
    let of =
        |route: &str| rate.iter().find(|series| series["metric"]["route"] == route).map(|series| &series["value"][1]);
    let validates = of("/validate").unwrap_or_else(|| panic!("{rate:?}"));
    assert!(validates.as_str().unwrap().parse::<f64>().unwrap() > 0.0, "{rate:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs prometheus"]
async fn prometheus_evaluates_every_rule_and_a_service_in_good_health_raises_no_alarm() {
    let site = Site::start().await;
    let prometheus = Prometheus::start(site.ops_url.strip_prefix("http://").unwrap()).await;
    let mut rules = vec![];
    eventually("every rule is evaluated", async || {
        traffic(&site).await;
        let groups = prometheus.api("rules").await["groups"].as_array().unwrap().clone();
        rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        !rules.is_empty()
            && rules.iter().all(|rule| rule["health"] != "unknown")
            && prometheus.query("up{job=\"auth-api\"} == 1").await.len() == 1
    })
    .await;
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
    }
    assert!(rules.len() > 15);
    let target = &prometheus.api("targets").await["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{target}");
}
