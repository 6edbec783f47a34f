//! The image of `deploy/container`, and the composition. No registry is asked: the two images that it is made from are a
//! shell with the program that the tests have already built, and the libraries of this machine.

use super::component;
use super::kubernetes::{documents, pod, write_secrets};
use crate::support::process::Service;
use crate::support::{Browser, free_port, until};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Whoever is in the image.
const USER: u32 = 65532;

/// Where the pods have their configuration.
const CONFIG: &str = "/etc/auth-api/auth-api.toml";

/// What stands for `cargo`: it is asked for the production build, and hands out what there is.
const CARGO: &str = r#"#!/bin/sh
[ "$*" = "build --locked --release --no-default-features" ] || exit 1
mkdir -p target/release && cp /built target/release/auth-api
"#;

/// A place for images and containers of its own.
struct Storage(TempDir);

impl Storage {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Works without overlay file systems, as inside a container.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(component(program));
        command.arg("--root").arg(self.path("root")).arg("--runroot").arg(self.path("run"));
        command.args(["--storage-driver", "vfs"]).stdin(Stdio::null());
        command
    }

    /// Works without systemd.
    fn podman(&self) -> Command {
        let mut command = self.command("podman");
        command.arg("--tmpdir").arg(self.path("tmp"));
        command.args(["--cgroup-manager=cgroupfs", "--runtime=runc", "--events-backend=none"]);
        command
    }

    fn build(&self, name: &str, file: &Path, context: &Path, arguments: &[&str]) {
        let mut build = self.command("buildah");
        build.args(["bud", "--isolation=chroot", "--format=docker", "--quiet", "--tag", name]).args(arguments);
        printed(build.arg("--file").arg(file).arg(context));
    }

    /// An image with `files` in it, by their places, and nothing else.
    fn image(&self, name: &str, files: &[(&str, &Path)]) {
        let folder = self.path(name);
        for (place, file) in files {
            let place = folder.join(place);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            // A copy, and not the link that a library may be.
            std::fs::copy(file, place).unwrap();
        }
        let containerfile = self.path("Containerfile");
        std::fs::write(&containerfile, "FROM scratch\nCOPY . /\n").unwrap();
        self.build(&format!("localhost/{name}"), &containerfile, &folder, &[]);
    }

    /// `deploy/container/Dockerfile`, as the tag `localhost/auth-api`.
    fn built(&self) {
        let program = Path::new(env!("CARGO_BIN_EXE_auth-api"));
        let cargo = self.path("cargo");
        std::fs::write(&cargo, CARGO).unwrap();
        std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(self.path("toolchain/bin")).unwrap();
        for name in ["sh", "cp", "mkdir"] {
            symlink("busybox", self.path("toolchain/bin").join(name)).unwrap();
        }
        let busybox = component("busybox");
        self.image("toolchain", &[("bin/busybox", &busybox), ("bin/cargo", &cargo), ("built", program)]);
        let libraries = printed(Command::new("ldd").arg(program));
        let libraries: Vec<_> = libraries.split_whitespace().filter(|word| word.starts_with('/')).collect();
        let certificates = "/etc/ssl/certs/ca-certificates.crt";
        let files = libraries.into_iter().chain([certificates]).map(|file| (&file[1..], Path::new(file)));
        self.image("runtime", &files.collect::<Vec<_>>());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let told = ["BUILD_IMAGE=localhost/toolchain", "RUNTIME_IMAGE=localhost/runtime", "VERSION=1.2.3"];
        let arguments = told.map(|argument| ["--build-arg", argument]).concat();
        self.build("localhost/auth-api", &root.join("deploy/container/Dockerfile"), root, &arguments);
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.podman().args(["rm", "--all", "--force"]).output();
    }
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// As a pod of `deploy/kubernetes`, with neither provider nor store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs buildah, podman, runc and busybox"]
async fn a_container_lives_without_provider_store_rights_or_a_file_to_write() {
    let storage = Storage(tempfile::tempdir().unwrap());
    storage.built();
    let image: Value = serde_json::from_str(&printed(storage.podman().args(["image", "inspect", "auth-api"]))).unwrap();
    let config = &image[0]["Config"];
    assert_eq!(config["User"], format!("{USER}:{USER}"));
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["/auth-api"]), &json!(["serve"])));
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], "1.2.3");
    assert_eq!(image[0]["Healthcheck"]["Test"], json!(["CMD", "/auth-api", "healthcheck"]));

    let pod = pod();
    let secrets = storage.path("secrets");
    std::fs::create_dir(&secrets).unwrap();
    write_secrets(&secrets, "redis://127.0.0.1:9/0");
    for file in std::fs::read_dir(&secrets).unwrap().map(|file| file.unwrap().path()) {
        // As the kubelet mounts them.
        chown(&file, Some(0), Some(USER)).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o440)).unwrap();
    }
    let settings = storage.path("config");
    std::fs::create_dir(&settings).unwrap();
    std::fs::write(settings.join("auth-api.toml"), &pod.config).unwrap();
    let mut running = None;
    for _ in 0..5 {
        let service =
            started(&storage, &pod.env(), [(&settings, pod.mount("config")), (&secrets, pod.mount("secrets"))]);
        if let Some(service) = lives(service).await {
            running = Some(service);
            break;
        }
    }
    let log = || std::fs::read_to_string(storage.path("log")).unwrap();
    let mut service = running.unwrap_or_else(|| panic!("{}", log()));
    let pid = printed(storage.podman().args(["inspect", "--format", "{{.State.Pid}}", "auth-api"]));
    let pid = pid.trim();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}");
    for expected in [&uid, "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.lines().any(|line| line == expected), "{expected}: {status}");
    }
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
    assert!(root.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"), "{root}");
    let healthcheck = ["exec", "auth-api", "/auth-api", "healthcheck", "--config", CONFIG];
    printed(storage.podman().args(healthcheck));
    assert_eq!(Browser::new().get(&format!("{}/readyz", service.ops)).await.status, 503, "nothing was ever seen");
    printed(storage.podman().args(["kill", "--signal=TERM", "auth-api"]));
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
}

/// `podman run` with the rights of the pods.
fn started(storage: &Storage, env: &[(String, String)], mounts: [(&PathBuf, String); 2]) -> Service {
    let (port, ops) = (free_port(), free_port());
    let mut run = storage.podman();
    run.args([
        "run",
        "--name=auth-api",
        "--replace",
        "--no-healthcheck",
        "--network=host",
        "--read-only",
        "--cap-drop=ALL",
    ]);
    // The limits that it would set by itself need more than every machine allows.
    run.args(["--security-opt=no-new-privileges", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]);
    for (folder, place) in mounts {
        run.arg("--volume").arg(format!("{}:{place}:ro", folder.display()));
    }
    for (name, value) in env {
        // Loopback, and ports that are free.
        let value = value.replace("0.0.0.0:8080", &format!("127.0.0.1:{port}"));
        run.arg("--env").arg(format!("{name}={}", value.replace("0.0.0.0:9090", &format!("127.0.0.1:{ops}"))));
    }
    let issuer = "AUTH_API__PROVIDER__ISSUER=https://127.0.0.1:9/pool";
    let run =
        run.args(["--env", issuer, "localhost/auth-api"]).args(["serve", "--config", CONFIG]).stdout(Stdio::null());
    run.stderr(std::fs::File::create(storage.path("log")).unwrap());
    Service::of(run.spawn().unwrap(), port, ops)
}

/// `None` if it ended: most likely somebody took its port.
async fn lives(mut service: Service) -> Option<Service> {
    let mut ended = false;
    until("it lives", async || {
        ended = service.child.try_wait().unwrap().is_some();
        ended || tokio::net::TcpStream::connect(service.ops.trim_start_matches("http://")).await.is_ok()
    })
    .await;
    if ended {
        return None;
    }
    assert_eq!(Browser::new().get(&format!("{}/livez", service.ops)).await.status, 200);
    Some(service)
}

/// Health is `/livez`, as the image says; the container above is healthy without a provider.
#[test]
#[ignore = "needs PyYAML"]
fn the_composition_waits_for_no_provider_and_every_image_can_be_pinned() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/container");
    let compose = std::fs::read_to_string(deploy.join("compose.yaml")).unwrap();
    let services = &documents(&compose, &[])[0]["services"];
    assert_eq!(services["auth-api"]["healthcheck"], Value::Null, "the image's");
    let waits = |service: &str| services[service]["depends_on"].clone();
    assert_eq!(waits("redis"), Value::Null);
    assert_eq!(waits("auth-api"), json!({ "redis": { "condition": "service_healthy" } }));
    assert_eq!(waits("nginx"), json!({ "auth-api": { "condition": "service_healthy", "restart": true } }));
    let dockerfile = std::fs::read_to_string(deploy.join("Dockerfile")).unwrap();
    let from: Vec<_> = dockerfile.lines().filter(|line| line.starts_with("FROM ")).collect();
    assert_eq!(from, ["FROM ${BUILD_IMAGE} AS build", "FROM ${RUNTIME_IMAGE}"]);
    assert_eq!(services["auth-api"]["build"]["args"], json!(["BUILD_IMAGE", "RUNTIME_IMAGE"]));
    for (service, variable) in [("redis", "REDIS_IMAGE"), ("nginx", "NGINX_IMAGE")] {
        let image = services[service]["image"].as_str().unwrap();
        assert!(image.starts_with(&format!("${{{variable}:-{service}:")), "{image}");
    }
}
