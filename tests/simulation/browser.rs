//! People at work: they sign in, look at pages, renew and sign out, at any of the processes.

use super::World;
use super::draw;
use super::faults::{self, Deed};
use super::oracle::{State, judge};
use super::process::ask;
use super::world::PROCESSES;
use axum::body::Body;
use futures_util::future::join_all;
use http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::{Instant, sleep};
use url::Url;

const SESSION: &str = "__Secure-auth";

/// One browser. Its cookies by name.
#[derive(Debug)]
pub(super) struct Browser {
    world: Arc<World>,
    user: String,
    cookies: BTreeMap<String, String>,
    session: Option<usize>,
}

fn a_process() -> usize {
    draw::below(PROCESSES)
}

impl Browser {
    pub(super) fn new(world: Arc<World>, user: String) -> Self {
        Self { world, user, cookies: BTreeMap::new(), session: None }
    }

    /// Does this and that until `end`.
    pub(super) async fn work(&mut self, end: Instant) {
        while Instant::now() < end {
            let pause = if draw::chance(300) { draw::millis(0, 50) } else { draw::millis(50, 6_000) };
            sleep(pause).await;
            match (self.session, draw::below(100)) {
                (None, 0..30) => self.look_at_an_ended_one().await,
                (None, _) => self.sign_in().await,
                (Some(session), 0..66) => validate(&self.world, session, a_process()).await,
                (Some(session), 66..82) => refresh(&self.world, session, a_process()).await,
                (Some(session), 82..88) => bearer(&self.world, session, a_process()).await,
                (Some(session), 88..93) => self.sign_out(session).await,
                (Some(_), _) => self.look_at_an_ended_one().await,
            }
        }
    }

    async fn look_at_an_ended_one(&self) {
        let ended = self.world.oracle().an_ended();
        if let Some(ended) = ended {
            validate(&self.world, ended, a_process()).await;
            bearer(&self.world, ended, a_process()).await;
        }
    }

    async fn sign_in(&mut self) {
        let request = Request::get("/auth/signin").body(Body::empty()).expect("it is one");
        let Some((302, headers)) = ask(&self.world, a_process(), request).await else { return };
        self.take_cookies(&headers);
        let authorize: Url = location(&headers).parse().expect("it is an address");
        sleep(draw::millis(100, 2_000)).await;
        let (callback, sign_in) = self.world.provider().authorize(&authorize, &self.user);
        let path = callback.strip_prefix("https://auth-api.example.com").expect("it leads to us").to_owned();
        // Who is told 503 reloads.
        for _ in 0..5 {
            let copies = if draw::chance(300) { 2 + draw::below(3) } else { 1 };
            let headers = self.cookie_header();
            let answers = join_all((0..copies).map(|_| async {
                sleep(draw::millis(0, 30)).await;
                let request = Request::get(&path).header(COOKIE, &headers).body(Body::empty()).expect("it is one");
                let process = a_process();
                faults::follow(&self.world, Deed::CallBack, process);
                ask(&self.world, process, request).await
            }));
            let answers: Vec<_> = answers.await.into_iter().flatten().collect();
            let signed_in: Vec<_> = answers.iter().filter_map(|(_, headers)| set_cookie(headers, SESSION)).collect();
            let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
            self.world.trace(format_args!("{} calls back: {statuses:?}", self.user));
            if statuses.iter().any(|status| *status >= 500 && ![502, 503, 504].contains(status)) {
                self.world.violation(format_args!("a callback is {statuses:?}"));
            }
            if let Some(cookie) = signed_in.first() {
                if signed_in.iter().any(|other| other != cookie) {
                    self.world.violation(format_args!("one callback made two sessions"));
                }
                let session = self.world.oracle().signed_in(cookie, &sign_in);
                self.world.trace(format_args!("s{session} of {} begins", self.user));
                self.world.stats().sign_ins += 1;
                self.cookies.clear();
                self.session = Some(session);
                return;
            }
            if statuses.iter().all(|status| *status < 500) && !statuses.is_empty() {
                break;
            }
            sleep(draw::millis(200, 3_000)).await;
        }
        self.cookies.clear();
    }

    async fn sign_out(&mut self, session: usize) {
        let known = self.world.oracle().known(session);
        self.world.oracle().set(session, State::Unknown);
        let (mut ended, mut process) = (false, 0);
        for _ in 0..4 {
            let request = Request::post("/auth/signout")
                .header("sec-fetch-site", "same-origin")
                .header(COOKIE, format!("{SESSION}={}", known.cookie))
                .body(Body::empty())
                .expect("it is one");
            process = a_process();
            let status = ask(&self.world, process, request).await.map(|(status, _)| status);
            self.world.trace(format_args!("s{session} signs out at p{process}: {status:?}"));
            ended = status == Some(303);
            if ended {
                break;
            }
            if !matches!(status, None | Some(502..=504)) {
                self.world.violation(format_args!("a sign-out is {status:?}"));
            }
            sleep(draw::millis(100, 2_000)).await;
        }
        if ended && known.state == State::SignedIn {
            let mut oracle = self.world.oracle();
            oracle.set(session, State::Ended(Instant::now()));
            oracle.forget_what_is_lost(&self.world);
            drop(oracle);
            self.world.stats().sign_outs += 1;
            faults::follow(&self.world, Deed::SignOut, process);
            self.doubt(session);
        }
        self.session = None;
    }

    /// Looks everywhere, soon, whether a session that was ended is accepted.
    fn doubt(&self, session: usize) {
        for process in 0..PROCESSES {
            let world = self.world.clone();
            tokio::spawn(async move {
                for _ in 0..6 {
                    validate(&world, session, process).await;
                    bearer(&world, session, process).await;
                    sleep(draw::millis(0, 900)).await;
                }
            });
        }
    }

    fn take_cookies(&mut self, headers: &HeaderMap) {
        for (name, value) in set_cookies(headers) {
            if value.is_empty() {
                self.cookies.remove(&name);
            } else {
                self.cookies.insert(name, value);
            }
        }
    }

    fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

/// Who is it, by the cookie.
pub(super) async fn validate(world: &World, session: usize, process: usize) {
    let known = world.oracle().known(session);
    let request = Request::get("/validate").header(COOKIE, format!("{SESSION}={}", known.cookie));
    world.stats().validates += 1;
    send(world, "validate", session, process, request).await;
}

pub(super) async fn refresh(world: &World, session: usize, process: usize) {
    let known = world.oracle().known(session);
    let request = Request::post("/refresh").header(COOKIE, format!("{SESSION}={}", known.cookie));
    send(world, "refresh", session, process, request).await;
}

/// Who is it, by the newest access token, as long as that is good.
pub(super) async fn bearer(world: &World, session: usize, process: usize) {
    let known = world.oracle().known(session);
    // It may run out on the way.
    let token = world.provider().access_token(&known.sign_in, world.epoch_seconds() + 15);
    if let Some(token) = token {
        let request = Request::get("/validate").header(AUTHORIZATION, format!("Bearer {token}"));
        send(world, "bearer", session, process, request).await;
    }
}

async fn send(world: &World, what: &str, session: usize, process: usize, request: http::request::Builder) {
    let (before, asked) = (world.oracle().known(session).state, Instant::now());
    let request = request.body(Body::empty()).expect("it is one");
    let Some((status, _)) = ask(world, process, request).await else { return };
    world.trace(format_args!("{what} of s{session} at p{process}: {status}"));
    judge(world, what, session, before, asked, status);
}

fn location(headers: &HeaderMap) -> String {
    headers[LOCATION].to_str().expect("it is text").to_owned()
}

fn set_cookies(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.get_all(SET_COOKIE).iter().filter_map(|line| {
        let pair = line.to_str().ok()?.split(';').next()?;
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    })
}

fn set_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    set_cookies(headers).find(|(set, value)| set == name && !value.is_empty()).map(|(_, value)| value)
}
