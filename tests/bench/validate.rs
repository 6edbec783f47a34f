//! `/validate` in process: the service's own router, called without a network.
//!
//! `cargo bench --bench validate`. The bare handler is the measure: what the framework itself costs.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it fails")]

mod visitor;

use auth_api::dev::environment::{DevEnvironment, DevOptions};
use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{Request, Response, StatusCode};
use axum::routing::any;
use criterion::{BatchSize, Criterion, Throughput};
use futures_util::FutureExt;
use std::hint::black_box;
use std::time::Duration;
use tower::{Service, ServiceExt};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    validate(&mut criterion);
    criterion.final_summary();
}

fn validate(criterion: &mut Criterion) {
    // The pool and the upkeep live on the runtime's thread; what is measured runs on this one.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = runtime.block_on(DevEnvironment::start(DevOptions::default())).unwrap();
    let cookie = runtime.block_on(visitor::cookie(&world, "erin")).unwrap();
    // Time-outs are armed on the runtime's clock.
    let _runtime = runtime.enter();
    let bearer = format!("Bearer {}", visitor::bearer(&world, "erin"));
    #[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
    let bare = Router::new().route("/validate", any(async || StatusCode::NO_CONTENT));
    let with_cookie = |uri: &str| Request::get(uri).header(COOKIE, &cookie).body(Body::empty()).unwrap();
    let with_bearer = |line: &str| Request::get("/validate").header(AUTHORIZATION, line).body(Body::empty()).unwrap();

    let mut group = criterion.benchmark_group("validate");
    group.throughput(Throughput::Elements(1));
    let mut measure = |name: &str, router: &Router, status: u16, request: &dyn Fn() -> Request<Body>| {
        assert_eq!(ask(router, request()).status(), status, "{name}");
        group.bench_function(name, |b| {
            b.iter_batched(request, |request| black_box(ask(router, request)), BatchSize::SmallInput);
        });
    };
    measure("bare axum handler, 204", &bare, 204, &|| with_cookie("/validate"));
    measure("session cookie", &world.router, 200, &|| with_cookie("/validate"));
    measure("session cookie, one requirement", &world.router, 200, &|| with_cookie("/validate?group=editors"));
    measure("session cookie, unmet requirement", &world.router, 403, &|| with_cookie("/validate?group=nobody"));
    measure("bearer seen before", &world.router, 200, &|| with_bearer(&bearer));
    measure("nobody, 401", &world.router, 401, &|| Request::get("/validate").body(Body::empty()).unwrap());

    // Every token is minted for its one use, which takes longer than what is measured.
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(400));
    group.bench_function("bearer first seen", |b| {
        let fresh = || with_bearer(&format!("Bearer {}", visitor::bearer(&world, "erin")));
        b.iter_batched(
            fresh,
            |request| {
                let answer = ask(&world.router, request);
                assert_eq!(answer.status(), 200);
                answer
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    runtime.block_on(world.stop()).unwrap();
}

/// The answer, which must be there at once: a validate of something known waits for nothing.
fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    let mut router = router.clone();
    let ready = ServiceExt::<Request<Body>>::ready(&mut router).now_or_never().unwrap().unwrap();
    ready.call(request).now_or_never().unwrap().unwrap()
}
