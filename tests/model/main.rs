//! A model of the session protocol, and a search through every state that it can reach.
//!
//! Tests with real processes and a real Redis meet a handful of the orders in which messages, crashes and losses can
//! come. Here [stateright](https://docs.rs/stateright) tries them all, for one session, three processes and a few faults.
//!
//! # What is modelled
//! - A **store** with the keys of one session: record, tombstone, revocations, claim of the code, landing, lease; and a
//!   **replica** that is any earlier state of it. A fail-over leaves the replica; a flush, a restart and an eviction leave less.
//! - Three **processes**, each with the session at hand, the endings that it knows, its journal, and one request at
//!   work. Each step of a request is a step of the model, so that everything can come between two of them.
//! - A **push channel** to each process. Messages wait for as long as they like and are lost when the channel breaks;
//!   commands have a connection of their own, so a process may meet a store that lost data before it hears of that.
//! - A **provider** whose codes and refresh tokens are good for one use, and that revokes what a code issued that
//!   comes twice.
//!
//! A [`protocol::Protocol`] is a set of measures, each a switch: `FIRST` is how the service began, `MENDED` how it is
//! now. A [`protocol::Scenario`] says how many requests and faults there are.
//!
//! # What is left out
//! - Time is phases. "The bound has passed" is: every channel is heard, every recovery is over ([`world::World::is_calm`]).
//!   A grace is modelled as waiting for what the others do in it; a process that takes longer is a fault of its own (`StandStill`).
//! - A read and its entry in memory are one step, as the cache's placeholder guarantees. So are all messages that wait on
//!   one channel, and all endings that one process writes back.
//! - Sessions do not reach their own end; a provider's grace period for a spent token is none; a call to the store either
//!   happens or does not (an answer that is lost is a crash, or the same call again, which does nothing).
//!
//! # The invariants ([`properties`])
//! 1. Who was told that they are signed out is not answered 200 after the bound, with the cookie or with a token, and
//!    nobody puts the session back while a process that knows is awake. Promised only while one process that was
//!    told, or the store's data, survives: states in which neither does are cut off.
//! 2. Nobody whose session survives anywhere is told 401, at any moment; and no session ends for a refusal that was
//!    our own doing.
//! 3. A code is spent once; a refresh token is spent once while anybody has what it brought.
//! 4. One process at a time asks the provider to renew.
//!
//! Beside them, what must be possible is checked to happen: signing in, a second copy that lands, renewal, sign-out, a session that is
//! put back. Otherwise a model that does nothing would hold.
//!
//! # The state space
//! States that differ only in which process is which are one. [`mended`] searches small scenarios to the end, and larger
//! ones for all ways of so many steps; each check prints how many states it met and how deep it went. The
//! large ones are ignored unless asked for, and want `--release`. [`first`] has the ways in which the first edition fails.
//! [`measures`] leaves out one measure at a time and shows what that breaks; only `lasting_tombstones` has no such test,
//! since whoever hears that a tombstone expired writes it back.

#![expect(clippy::panic, reason = "a check that fails says where")]

mod check;
mod faults;
mod first;
mod measures;
mod mended;
mod process;
mod properties;
mod protocol;
mod recovery;
mod renewal;
mod sign_in;
mod sign_out;
mod store;
mod world;
