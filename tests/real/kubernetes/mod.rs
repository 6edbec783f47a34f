//! The manifests and the chart of `deploy/kubernetes`: what the API takes, that both make the same, and that the service
//! is what they expect.

use super::installed;
use crate::support::process::{command, serve};
use crate::support::{Browser, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest that README.md names, and the newest whose schemas there are.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// How the pods are configured, as the manifests say it.
pub(super) struct Pod {
    pub(super) spec: Value,
    /// `auth-api.toml`.
    pub(super) config: String,
}

impl Pod {
    pub(super) fn container(&self) -> &Value {
        &self.spec["containers"][0]
    }

    /// Names and values.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let env = self.container()["env"].as_array().unwrap();
        env.iter().map(|item| (text(&item["name"]), text(&item["value"]))).collect()
    }

    /// Where a volume is mounted.
    pub(super) fn mount(&self, volume: &str) -> String {
        let mounts = self.container()["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["name"] == volume).unwrap();
        assert_eq!(mount["readOnly"], true);
        text(&mount["mountPath"])
    }
}

/// The pods of the manifests.
pub(super) fn pod() -> Pod {
    let manifests = by_name(&kustomized(false));
    let config = text(&manifests["ConfigMap auth-api"]["data"]["auth-api.toml"]);
    Pod { spec: manifests["Deployment auth-api"]["spec"]["template"]["spec"].clone(), config }
}

/// A file of each name that README.md says the Secret has.
pub(super) fn write_secrets(folder: &Path, store: &str) {
    let key = "0123456789 of a key for this test 9876543210";
    for (name, value) in [("client-secret", "secret"), ("cookie-keys", key), ("session-store", store)] {
        std::fs::write(folder.join(name), format!("{value}\n")).unwrap();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes")
}

/// A program that knows nothing of this machine's settings and clusters.
fn tool(path: &str) -> Command {
    let mut tool = Command::new(installed(path, &format!("kubernetes/{path}")));
    tool.env_clear().env("HOME", "/nonexistent").env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    tool
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The YAML documents of `yaml`, which are valid for `versions`.
pub(super) fn documents(yaml: &str, versions: &[&str]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/kubernetes/documents.py");
    let mut python = tool(".venv/bin/python");
    let piped = python.arg(script).args(versions).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `kubectl apply -k` sends; with `all`, after its comments about components were removed.
fn kustomized(all: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    printed(Command::new("cp").arg("-R").arg(deploy()).arg(folder.path()));
    let copy = folder.path().join("kubernetes");
    if all {
        let file = copy.join("kustomization.yaml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for line in ["components:", "  - ingress", "  - servicemonitor"] {
            assert!(text.contains(&format!("\n#{line}\n")), "{line}");
            text = text.replace(&format!("\n#{line}\n"), &format!("\n{line}\n"));
        }
        std::fs::write(&file, text).unwrap();
    }
    printed(tool(".bin/kustomize").arg("build").arg(copy))
}

fn helm(arguments: &[&str]) -> Command {
    let mut helm = tool(".bin/helm");
    helm.args(arguments).arg(deploy().join("chart"));
    helm
}

/// What `helm install auth-api` sends.
fn charted(all: bool) -> String {
    let mut helm = helm(&["template", "auth-api", "--namespace", "auth-api", "--kube-version", VERSIONS[1]]);
    if all {
        helm.args(["--set", "ingress.enabled=true,serviceMonitor.enabled=true"]);
    }
    printed(&mut helm)
}

/// The objects by kind and name. The two ways by which pods notice a change of their configuration are left out: a name
/// that ends with a hash, and an annotation.
fn by_name(yaml: &str) -> BTreeMap<String, Value> {
    let objects = documents(yaml, &[]);
    let config = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let name = text(&config["metadata"]["name"]);
    let mut objects: Vec<Value> =
        serde_json::from_str(&json!(objects).to_string().replace(&format!("\"{name}\""), "\"auth-api\"")).unwrap();
    for object in &mut objects {
        if let Some(Value::Object(metadata)) = object.pointer_mut("/spec/template/metadata") {
            metadata.remove("annotations");
        }
    }
    let named = |object: Value| (format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])), object);
    objects.into_iter().map(named).collect()
}

#[test]
#[ignore = "needs kubernetes-validate, kustomize and helm"]
fn the_api_has_nothing_to_say_against_the_manifests_and_the_chart() {
    for (all, count) in [(false, 5), (true, 9)] {
        assert_eq!(documents(&kustomized(all), &VERSIONS).len(), count);
        assert_eq!(documents(&charted(all), &VERSIONS).len(), count);
    }
    printed(&mut helm(&["lint", "--strict"]));
    let misspelt = helm(&["template", "--kube-version", VERSIONS[1], "--set", "networkpolicy.from="]).output().unwrap();
    assert!(String::from_utf8_lossy(&misspelt.stderr).contains("'networkpolicy' not allowed"), "{misspelt:?}");
    let old = helm(&["template", "--kube-version", "1.29"]).output().unwrap();
    assert!(String::from_utf8_lossy(&old.stderr).contains("requires kubeVersion"), "{old:?}");
}

#[test]
#[ignore = "needs kustomize and helm"]
fn the_chart_makes_what_the_manifests_are() {
    for all in [false, true] {
        let (manifests, mut chart) = (by_name(&kustomized(all)), by_name(&charted(all)));
        for (name, manifest) in &manifests {
            assert_eq!(chart.remove(name).as_ref(), Some(manifest), "{name}");
        }
        assert!(chart.is_empty(), "{chart:?}");
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    let set = format!("image.digest={digest},imagePullSecrets[0].name=registry");
    let pinned = printed(&mut helm(&["template", "--kube-version", VERSIONS[1], "--set", &set, "auth-api"]));
    let spec = &by_name(&pinned)["Deployment auth-api"]["spec"]["template"]["spec"];
    assert_eq!(spec["containers"][0]["image"], format!("registry.example.com/auth-api@{digest}"));
    assert_eq!(spec["imagePullSecrets"], json!([{ "name": "registry" }]));
}

#[test]
#[ignore = "needs kustomize"]
fn the_pods_have_a_whole_configuration_and_no_rights() {
    let pod = pod();
    let folder = tempfile::tempdir().unwrap();
    write_secrets(folder.path(), "rediss://:password@redis.example.com:6379/0");
    let config = folder.path().join("auth-api.toml");
    std::fs::write(&config, &pod.config).unwrap();
    let secrets = folder.path().to_str().unwrap();
    let env = pod.env().into_iter().map(|(name, value)| (name, value.replace(&pod.mount("secrets"), secrets)));
    let output = command(folder.path()).args(["check", "--config"]).arg(config).envs(env).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = format!("{}/auth-api.toml", pod.mount("config"));
    assert_eq!(pod.container()["args"], json!(["serve", "--config", path]));

    let env: BTreeMap<_, _> = pod.env().into_iter().collect();
    let ports = pod.container()["ports"].as_array().unwrap();
    for (port, variable) in ports.iter().zip(["AUTH_API__SERVER__LISTEN", "AUTH_API__SERVER__OPS_LISTEN"]) {
        assert_eq!(env[variable], format!("0.0.0.0:{}", port["containerPort"]), "{variable}");
    }
    for rights in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert_eq!(pod.spec["securityContext"][rights], 65532, "{rights}: the user of the image");
    }
    assert_eq!(pod.spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod.spec["automountServiceAccountToken"], false);
    let own = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(pod.container()["securityContext"], own);
    // Requests in flight have 20 seconds from SIGTERM on, renewals 5 more.
    let pause = pod.container()["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    let grace = pod.spec["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(pause > 0 && grace >= pause + 25, "{pause} s of {grace} s are gone before SIGTERM");
}

#[test]
#[ignore = "needs kustomize"]
fn the_ops_listener_is_open_to_nobody_but_prometheus() {
    let ops = |manifests: &BTreeMap<String, Value>| {
        let to_ops = |value: &Value| value == "ops" || value == 9090;
        let opens = |object: &&Value| match object["kind"].as_str().unwrap() {
            "Service" => object["spec"]["ports"].as_array().unwrap().iter().any(|port| to_ops(&port["targetPort"])),
            "NetworkPolicy" => {
                let rules = object["spec"]["ingress"].as_array().unwrap();
                let ports = rules.iter().flat_map(|rule| rule["ports"].as_array().expect("all ports are too many"));
                ports.into_iter().any(|port| to_ops(&port["port"]))
            }
            _ => false,
        };
        manifests.values().filter(opens).map(|object| text(&object["metadata"]["name"])).collect::<Vec<_>>()
    };
    let (alone, all) = (by_name(&kustomized(false)), by_name(&kustomized(true)));
    assert_eq!(ops(&alone), [""; 0]);
    assert_eq!(ops(&all), ["auth-api-ops"; 2]);
    let labels = &alone["Deployment auth-api"]["spec"]["template"]["metadata"]["labels"];
    for (policy, kinds) in [("auth-api", json!(["Ingress", "Egress"])), ("auth-api-ops", json!(["Ingress"]))] {
        let spec = &all[&format!("NetworkPolicy {policy}")]["spec"];
        assert_eq!((&spec["podSelector"]["matchLabels"], &spec["policyTypes"]), (labels, &kinds), "{policy}");
        let from = spec["ingress"][0]["from"].as_array().unwrap();
        assert!(from.iter().all(|peer| peer["namespaceSelector"]["matchLabels"].is_object()), "{policy}: {from:?}");
    }
    for service in ["auth-api", "auth-api-ops"] {
        assert_eq!(&all[&format!("Service {service}")]["spec"]["selector"], labels, "{service}");
    }
    let monitor = &all["ServiceMonitor auth-api"]["spec"];
    let service = &all["Service auth-api-ops"];
    assert_eq!(monitor["selector"]["matchLabels"], service["metadata"]["labels"]);
    assert_eq!(monitor["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kustomize"]
async fn every_path_that_is_asked_for_is_there_and_strangers_ask_for_no_page() {
    let all = by_name(&kustomized(true));
    let folder = tempfile::tempdir().unwrap();
    let (service, _pool) = serve(folder.path()).await;
    let browser = Browser::new();
    let container = &all["Deployment auth-api"]["spec"]["template"]["spec"]["containers"][0];
    let probes = ["livenessProbe", "readinessProbe"].map(|probe| &container[probe]["httpGet"]);
    assert_eq!(probes.map(|probe| text(&probe["port"])), ["ops"; 2]);
    let asked = probes.into_iter().chain([&all["ServiceMonitor auth-api"]["spec"]["endpoints"][0]]);
    for path in asked.map(|asked| text(&asked["path"])) {
        until(&path, async || browser.get(&format!("{}{path}", service.ops)).await.status == 200).await;
        assert_eq!(browser.get(&format!("{}{path}", service.url)).await.status, 404, "{path} is not for the public");
    }

    let routes = browser.get(&format!("{}/openapi.json", service.url)).await.json();
    let routes: Vec<_> = routes["paths"].as_object().unwrap().keys().cloned().collect();
    let rule = &all["Ingress auth-api"]["spec"]["rules"][0];
    let covers = |rule: &Value, route: &str| {
        let path = text(&rule["path"]);
        let below = rule["pathType"] == "Prefix" && route.starts_with(&format!("{path}/"));
        route == path || below
    };
    let paths = rule["http"]["paths"].as_array().unwrap();
    for route in &routes {
        let open = paths.iter().any(|rule| covers(rule, route));
        assert_eq!(open, !route.starts_with("/validate"), "{route}");
    }
    for rule in paths {
        assert!(routes.iter().any(|route| covers(rule, route)), "{rule}");
        assert_eq!(rule["backend"]["service"], json!({ "name": "auth-api", "port": { "name": "http" } }));
    }
}
