//! AWS, as far as others have written it anew: MiniStack has CloudFormation, user pools with a hosted UI and identity
//! pools, moto the administrators' side of user pools. cfn-lint knows what CloudFormation takes.

mod authorizer;
mod emulators;
mod parameters;
mod scripts;
mod templates;

use super::installed;
use crate::support::{Browser, free_port, until};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A program of others' at work on a port of its own.
struct Emulator {
    child: Child,
    url: String,
    /// Where it may write.
    _folder: TempDir,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Emulator {
    /// It judges tokens, which it does not by default, and with `cryptography` there
    /// are signatures in them; it would listen on every address, and for MQTT too.
    async fn ministack() -> Self {
        let program = program("ministack");
        let start = |port: u16, folder: &Path| {
            let mut command = Command::new(&program);
            command.env_clear().env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
            command.env("STATE_DIR", folder).env("AUTH", "true").env("IOT_MTLS_ENABLED", "0");
            command
        };
        Self::start(start).await
    }

    async fn moto() -> Self {
        let program = program("moto_server");
        let start = |port: u16, _: &Path| {
            let mut command = Command::new(&program);
            command.env_clear().args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command
        };
        Self::start(start).await
    }

    async fn start(command: impl Fn(u16, &Path) -> Command) -> Self {
        for _ in 0..5 {
            let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
            let mut command = command(port, folder.path());
            // It may look for programs, and has no business with anybody's settings: cargo's among them would reach the
            // functions, which refuse variables of ours that they do not know.
            command.env("PATH", "/usr/bin:/bin").env("HOME", folder.path()).env("TMPDIR", folder.path());
            command.current_dir(folder.path());
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut emulator =
                Self { child: quiet.spawn().unwrap(), url: format!("http://127.0.0.1:{port}"), _folder: folder };
            let mut lost = false;
            until("the emulator listens", async || {
                lost = emulator.child.try_wait().unwrap().is_some();
                lost || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
            })
            .await;
            // Whoever took the port meanwhile is somebody else.
            if !lost {
                return emulator;
            }
        }
        panic!("the emulator finds no port")
    }

    /// A call of the user pools API as an administrator's program makes it, but for the signature.
    async fn as_administrator(&self, operation: &str, input: &Value) -> Value {
        let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/cognito-idp/aws4_request, \
                     SignedHeaders=host, Signature=0";
        let shape = |request: reqwest::RequestBuilder| {
            let target = format!("AWSCognitoIdentityProviderService.{operation}");
            let request = request.header("content-type", "application/x-amz-json-1.1").header("x-amz-target", target);
            request.header("authorization", scope).body(input.to_string())
        };
        let answer = Browser::new().send(reqwest::Method::POST, &format!("{}/", self.url), shape).await;
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        answer.json()
    }

    /// A stack as CloudFormation makes it of a template; see `stack.py`.
    async fn stack(&self, template: &str, mut told: Value) -> Value {
        told["endpoint"] = self.url.as_str().into();
        told["template"] = deploy(template).to_str().unwrap().into();
        tokio::task::spawn_blocking(move || python("stack.py", &told)).await.unwrap()
    }
}

/// What a script of this folder prints when it is told something.
fn python(script: &str, told: &Value) -> Value {
    let mut command = Command::new(program("python"));
    let folder = tempfile::tempdir().unwrap();
    // Nothing of this machine is to be seen, a proxy's address and credentials least of all.
    command.env_clear().env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", folder.path());
    let piped = command.arg(here().join(script)).stdin(Stdio::piped());
    let mut child = piped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/aws")
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// A program of the Python packages.
fn program(name: &str) -> PathBuf {
    installed(name, &format!("aws/.venv/bin/{name}"))
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}
