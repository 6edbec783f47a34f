//! A release beside the one before it: a fleet is rolled forward and back one process at a time, and a file is opened by
//! either.

use crate::fleet::{Fleet, at, durable};
use crate::real::component;
use crate::support::process::{PROGRAM, Service, configure, is_known, sign_in, spawn_program, terminate};
use crate::support::{Browser, free_port};
use auth_api::dev::pool::{PoolSettings, UserPool};
use reqwest::Method;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::RwLock;
use tokio::task::{JoinHandle, block_in_place};

/// The newest of `tests/data/releases`, built once without `dev` and kept in the target folder.
fn release() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(root.join("tests/data/releases")).unwrap();
        let commits = files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
        let dates = commits.map(|commit| {
            let mut asking = Command::new(component("git"));
            let shown = asking.current_dir(root).args(["log", "-1", "--format=%ct", &commit]).output().unwrap();
            assert!(shown.status.success(), "the history lacks the release {commit}: git fetch --unshallow");
            (String::from_utf8(shown.stdout).unwrap().trim().parse::<u64>().unwrap(), commit)
        });
        let (_, commit) = dates.max().unwrap();
        build(root, &commit)
    })
}

fn build(root: &Path, commit: &str) -> PathBuf {
    // That of this build, whose dependencies are mostly the same.
    let debug = Path::new(PROGRAM).parent().unwrap();
    let folder = debug.parent().unwrap().join("releases").join(commit);
    let (source, target) = (folder.join("source"), folder.join("target"));
    let program = target.join("debug/auth-api");
    if program.exists() {
        return program;
    }
    let run = |command: &mut Command| {
        let output = command.current_dir(root).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let git = component("git");
    run(Command::new(&git).args(["worktree", "prune"]));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(target.join("debug")).unwrap();
    run(Command::new(&git).args(["worktree", "add", "--force", "--detach"]).arg(&source).arg(commit));
    for built in ["deps", ".fingerprint", "build"] {
        run(Command::new("cp").arg("-al").arg(debug.join(built)).arg(target.join("debug")));
    }
    let mut cargo = Command::new(component("cargo"));
    cargo.args(["build", "--locked", "--no-default-features", "--bin", "auth-api", "--manifest-path"]);
    run(cargo.arg(source.join("Cargo.toml")).env("CARGO_TARGET_DIR", &target));
    program
}

/// What people were answered who did not sign out.
#[derive(Debug, Default)]
struct Answers {
    validated: u64,
    renewed: u64,
    /// 503: to be asked again.
    not_now: u64,
    others: Vec<(String, u16)>,
}

/// People at work: each asks one process after the other, and none that is being replaced.
struct Traffic {
    ports: Arc<Vec<RwLock<Option<u16>>>>,
    is_over: Arc<AtomicBool>,
    people: Vec<JoinHandle<Answers>>,
}

impl Traffic {
    async fn begin(fleet: &Fleet, people: usize) -> Self {
        let ports = Arc::new(fleet.services.iter().map(|service| RwLock::new(Some(service.port()))).collect());
        let mut traffic = Self { ports, is_over: Arc::default(), people: vec![] };
        for nth in 0..people {
            let browser = fleet.sign_in(if nth % 2 == 0 { "jane" } else { "erin" }).await;
            let cookies = browser.cookies(&fleet.services[0].url);
            let (ports, is_over) = (traffic.ports.clone(), traffic.is_over.clone());
            traffic.people.push(tokio::spawn(person(nth, ports, is_over, cookies)));
        }
        traffic
    }

    /// Replaces the processes one after the other, by what the fleet starts now.
    async fn roll(&self, fleet: &mut Fleet) {
        for nth in 0..fleet.services.len() {
            let mut port = self.ports[nth].write().await;
            block_in_place(|| fleet.restart(nth));
            *port = Some(fleet.services[nth].port());
        }
    }

    async fn end(self) -> Answers {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for person in self.people {
            let answers = person.await.unwrap();
            all.validated += answers.validated;
            all.renewed += answers.renewed;
            all.not_now += answers.not_now;
            all.others.extend(answers.others);
        }
        all
    }
}

async fn person(
    nth: usize,
    ports: Arc<Vec<RwLock<Option<u16>>>>,
    is_over: Arc<AtomicBool>,
    cookies: String,
) -> Answers {
    let (client, mut answers) = (Browser::new(), Answers::default());
    for turn in nth.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let Ok(port) = ports[turn % ports.len()].try_read() else {
            tokio::task::yield_now().await;
            continue;
        };
        let (method, path) =
            if turn % 10 == 0 { (Method::POST, "/refresh?force=true") } else { (Method::GET, "/validate") };
        let url = format!("http://127.0.0.1:{}{path}", port.unwrap());
        let own_page = |request: reqwest::RequestBuilder| request.header("sec-fetch-site", "same-origin");
        let answer = client.send(method, &url, |request| own_page(request).header("cookie", &cookies)).await;
        match (answer.status, path) {
            (200, "/validate") => answers.validated += 1,
            (200, _) => answers.renewed += 1,
            (503, _) => answers.not_now += 1,
            (status, path) => answers.others.push((path.to_owned(), status)),
        }
    }
    answers
}

/// Refresh tokens rotate, and a pool that sees one twice ends the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server, git and cargo"]
async fn a_fleet_is_rolled_forward_and_back_and_nobody_is_signed_out() {
    let before = block_in_place(release);
    let redis = durable().await;
    let mut fleet = Fleet::with(1, &at(&redis), &[("SESSION__STORE_TIMEOUT", "5s")]).await;
    fleet.rotate(0);
    let (old_key, new_key) = (fleet.setting("COOKIES__KEYS"), "another key for this test of the same length");
    fleet.program = before.to_owned();
    block_in_place(|| fleet.restart(0));
    assert!((1..3).all(|_| (0..5).any(|_| fleet.launch(free_port()))));
    let traffic = Traffic::begin(&fleet, 8).await;
    let mut gone: Vec<Browser> = vec![];
    for (program, keys) in [
        (Path::new(PROGRAM), old_key.clone()),
        // A new key opens at every process before it seals at one.
        (Path::new(PROGRAM), format!("{old_key},{new_key}")),
        (Path::new(PROGRAM), format!("{new_key},{old_key}")),
        (before, format!("{new_key},{old_key}")),
        (Path::new(PROGRAM), format!("{new_key},{old_key}")),
    ] {
        let (leaving, arriving) = (fleet.sign_in("fay").await, Browser::new());
        let callback = fleet.to_callback(&arriving, "gary").await;
        assert_eq!(fleet.sign_out(gone.len() % 3, &leaving).await, 303);
        gone.push(leaving);
        fleet.program = program.to_owned();
        fleet.set("COOKIES__KEYS", &keys);
        traffic.roll(&mut fleet).await;
        assert_eq!(arriving.get(&callback).await.status, 302, "a sign-in that began before goes on");
        fleet.all_say("who has just signed in is known", 200, &arriving).await;
        for browser in &gone {
            fleet.all_say("who signed out stays out", 401, browser).await;
        }
    }
    let answers = traffic.end().await;
    assert!(answers.others.is_empty() && answers.validated > 100 && answers.renewed > 8, "{answers:?}");
}

/// The service on the file of `folder`.
fn serve(program: &Path, folder: &Path, pool: &UserPool, port: u16) -> Service {
    let ops = free_port();
    configure(folder, pool, port, ops);
    spawn_program(program, folder, port, ops, []).expect("it gets its port")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs git and cargo"]
async fn a_file_is_opened_by_the_newer_and_then_by_the_older() {
    let (before, folder, port) = (block_in_place(release), tempfile::tempdir().unwrap(), free_port());
    let settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"));
    let pool = UserPool::start(settings).await.unwrap();
    let (mut known, mut gone): (Vec<Browser>, Vec<Browser>) = Default::default();
    for program in [before, Path::new(PROGRAM), before, Path::new(PROGRAM)] {
        let mut service = block_in_place(|| serve(program, folder.path(), &pool, port));
        for browser in &known {
            assert!(is_known(&service, browser).await);
            let refresh = format!("{}/refresh?force=true", service.url);
            assert_eq!(browser.post(&refresh, &[]).await.status, 200);
        }
        for browser in &gone {
            assert!(!is_known(&service, browser).await);
        }
        for people in [&mut known, &mut gone] {
            people.push(Browser::new());
            sign_in(&service, people.last().unwrap()).await;
        }
        let leaving = gone.last().unwrap();
        assert_eq!(leaving.post(&format!("{}/auth/signout", service.url), &[]).await.status, 303);
        assert!(!is_known(&service, leaving).await);
        terminate(&service.child);
        assert!(service.child.wait().unwrap().success());
    }
}
