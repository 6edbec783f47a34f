//! A model of the session protocol, and a search through every state that it can reach.
//!
//! Tests with real processes and a real Redis meet a handful of the orders in which messages, crashes and losses can
//! come. Here [stateright](https://docs.rs/stateright) tries them all, for one session, three processes and a few faults.
//!
//! # What is modelled
//! - A **store** with the keys of one session: record, tokens, tombstone, revocations, claim of the code, landing, lease;
//!   and a **replica** that is any earlier state of it. A fail-over leaves the replica; a flush, a restart and an eviction leave less.
//! - Three **processes**, each with the session at hand, the endings that it knows, its journal, and one request at
//!   work. What is at hand is without tokens: only the journal of the process that wrote them has these, for 45 seconds. Each step of a request is a step of the model, so that everything can come between two of them.
//! - A **push channel** to each process. Messages wait for as long as they like and are lost when the channel breaks;
//!   commands have a connection of their own, so a process may meet a store that lost data before it hears of that.
//! - A **provider** whose codes and refresh tokens are good for one use, and that revokes what a code issued that
//!   comes twice. In some searches it keeps the refresh token instead.
//!
//! A [`protocol::Protocol`] is a set of measures, each a switch: `FIRST` is how the service began, `MENDED` has all of
//! them, `TODAY` those that the service takes now; what that means is in [`gaps`]. A [`protocol::Scenario`] says how many requests and faults there are.
//!
//! # What is left out
//! - Time is phases. "The bound has passed" is: every channel is heard, every recovery is over ([`world::World::is_calm`]).
//!   A grace is modelled as waiting for what the others do in it. Access tokens run out, all at once, only in calm.
//! - A read and its entry in memory are one step, as the cache's placeholder guarantees. So are all messages that wait on
//!   one channel, all endings that one process writes back, and a request's arrival with its first call to the store.
//! - Sessions do not reach their own end; a provider's grace period for a spent token is none; a call to the store either
//!   happens or does not (an answer that is lost is a crash, or the same call again, which does nothing).
//!
//! A process that takes longer than a grace is a fault (`StandStill`): others do not wait for it, its lease runs out,
//! its messages wait. It wakes at any later moment and goes on with the step that it was about to take, knowing only what
//! it knew.
//!
//! # The invariants ([`properties`])
//! 1. Who was told that they are signed out is not answered 200 after the bound, with the cookie or with a token, and
//!    nobody puts the session back while a process is awake that knows and had the time to say so. Promised only while one
//!    process that was told, or the store's data, survives: states in which neither does are cut off.
//! 2. Nobody whose session survives anywhere is told 401, at any moment; and no session ends for a refusal that was
//!    our own doing. Not promised once only a process that stands still has the session. A session whose tokens are lost
//!    everywhere (by an emptied store later than 45 seconds after the write; by a crash of the writer and a loss within
//!    them) survives until its access token runs out, and is over then. One whose access token has run out already ends
//!    with its tokens.
//! 3. A code is spent once; a refresh token is spent once while anybody has what it brought, unless only a process has it
//!    that stood still meanwhile.
//! 4. One process at a time asks the provider to renew, unless one stood still until its lease ran out or was lost.
//! 5. Tokens that survive in the store, or in the journal of a process that lives and does not stand still, are with
//!    their session in the store after the bound, and that has its own end.
//!
//! Beside them, what must be possible is checked to happen: signing in, a second copy that lands, renewal, sign-out, a session that is
//! put back. Otherwise a model that does nothing would hold.
//!
//! # The state space
//! [`reduce`] says which states count as one; a test compares the searches with ones that leave nothing out. Each search
//! prints how many states it met, how deep it went and how long it took. "Any fault" is a crash, a fail-over, a flush, a
//! restart without data, an eviction (all but of sessions), a broken channel or a process that stands still, each at
//! any process and before any step; processes that crashed may start again. All have three processes and one session.
//!
//! The small model, with every `cargo test`, in seconds. All states:
//!
//! | protocol | requests | faults | unique states | depth |
//! |---|---|---|---|---|
//! | `MENDED` | two copies of a callback | none | 281 | 11 |
//! | `MENDED` | none | a fail-over | 1,934 | 20 |
//! | `MENDED` | none | a flush or a restart | 1,701 | 20 |
//! | `MENDED` | a sign-out | any one | 189,309 | 23 |
//! | `MENDED` | a renewal, the provider keeps its refresh token | a fail-over or a flush | 58,319 | 27 |
//! | `TODAY` | a renewal | a fail-over or a flush | 109,317 | 27 |
//!
//! and until something breaks: `FIRST` ([`first`]) and `MENDED` without one measure ([`measures`], [`tokens`],
//! [`reconnections`]; [`gaps`] has those that the service lacks). Ways that take the checker long to find are only walked.
//!
//! The large model, with `.ci/run simulate` (`MODEL_LARGE=1 cargo test --profile simulate --test model -- --nocapture`), in
//! minutes and some GB of memory. Without the variable its beginning is searched, within five steps. All states, or all
//! within a depth:
//!
//! | protocol | requests | faults | unique states | depth |
//! |---|---|---|---|---|
//! | `MENDED` | two copies of a callback | any one | 176,592 | 29 |
//! | `MENDED` | two renewals | any one | 512,522 | 34 |
//! | `MENDED` | two renewals, the provider keeps its refresh token | any one | 510,504 | 34 |
//! | `MENDED` | two copies of a callback, then a sign-out | any one | 4,812,430 | 32 |
//! | `MENDED` | two renewals and a sign-out | any one | 22,999,149 | 37 |
//! | `MENDED` | two copies of a callback | any two | 12,579,371 | 43 |
//! | `MENDED` | a sign-out, and one of the processes starts late | any two | 22,762,878 | 37 |
//! | `MENDED` | two copies of a callback, then a sign-out | any two | 6,605,509 | 12, bounded |
//! | `TODAY` | two copies of a callback | any one | 176,592 | 29 |
//! | `TODAY` | a sign-out | any one | 189,309 | 23 |
//! | `TODAY` | two renewals | any one | 1,020,134 | 34 |
//! | `TODAY` | two renewals, the provider keeps its refresh token | any one | 1,018,154 | 34 |
//! | `TODAY` | a renewal | any two that take no process | 3,981,328 | 41 |
//!
//! and, without a figure here, with any two faults, two renewals and a sign-out (11 steps) and two renewals (24 steps). Later, that one meets a known limit: a renewal is lost by a fail-over while its process stands
//! still, another is refused for the spent token and writes the session without one; the first wakes and does not put its
//! tokens back over the same version.
//!
//! Of the measures `lasting_tombstones` has no test, since whoever hears that a tombstone expired writes it back, and
//! `cold_tokens` none, since it is no measure against faults.

#![expect(clippy::panic, reason = "a check that fails says where")]

mod check;
mod faults;
mod first;
mod gaps;
mod measures;
mod mended;
mod process;
mod properties;
mod protocol;
mod reconnections;
mod recovery;
mod reduce;
mod renewal;
mod sign_in;
mod sign_out;
mod store;
mod tokens;
mod world;
