//! What the service does: [`Protocol::TODAY`] lacks three measures. The checker finds nothing with any one fault, nor, for a
//! renewal, with any two of which none takes a process. A process that is gone (or stands still) and a loss of the store's
//! data, one soon after the other, can end a session, or let it end with its access token. Each costs its user a sign-in.
//!
//! - `doubted_reconnections` would make every refused refresh token doubtful for ten minutes after each reconnection of a
//!   process, and so let users whom the provider has disabled stay for up to a day.
//! - `lasting_tokens` would keep tokens beside a record of another version. The service removes the tokens with the version
//!   to which they belong: one rule that is easy to check.
//! - `derived_ends` would give a record that was put back without tokens its own end again as soon as tokens are there. The
//!   service writes the earlier end into the record; only the whole record of the same version, or a newer one, has its own.
//!
//! Where the provider replaces its refresh token with each renewal, `lasting_tokens` and `derived_ends` are not needed.

use super::check::{END, QUIET, holds, large, walk};
use super::measures::{needed_on, needed_on_or_large, recovery, renewal};
use super::properties::{NOT_ENDED, TOKENS};
use super::protocol::{Kinds, Protocol, Scenario};
use super::world::Action::*;

const MENDED: Protocol = Protocol::MENDED;
const TODAY: Protocol = Protocol::TODAY;
/// Tokens come and go with the whole record of their version.
const WHOLE_RECORDS: Protocol = Protocol { lasting_tokens: false, derived_ends: false, ..MENDED };
const ANY_FAULT: Scenario = Scenario { faults: 1, kinds: Kinds::ALL, ..QUIET };
const KEPT_TOKEN: Scenario = Scenario { renewals: 2, rotates: false, faults: 2, ..QUIET };
const CRASH_AND_FAIL_OVER: Kinds = Kinds { crash: true, fail_over: true, ..Kinds::NONE };
const CRASH_AND_FLUSH: Kinds = Kinds { crash: true, flush: true, ..Kinds::NONE };

/// Whoever renewed is gone, the fail-over loses what it wrote, the canary is there: another process is refused for the
/// token that was spent, and ends the session.
#[test]
fn a_fail_over_that_lost_a_renewal_ends_the_session() {
    let without = Protocol { doubted_reconnections: false, ..MENDED };
    let scenario = Scenario { renewals: 2, faults: 2, kinds: CRASH_AND_FAIL_OVER, ..QUIET };
    let path = [
        TakeLease(1),
        ReloadUnderLease(1),
        ReadTokens(1),
        FailOver,
        Connect { process: 2, canary_found: true },
        SpendRefreshToken(1),
        Crash(1),
        Connect { process: 0, canary_found: true },
        WriteBackEndings(2),
        WriteBackEndings(0),
        WriteBackSessions(2),
        WriteBackSessions(0),
        Settle(0),
        TakeLease(0),
        ReloadUnderLease(0),
        ReadTokens(0),
        SpendRefreshToken(0),
        WriteRenewed(0),
    ];
    needed_on(TODAY, scenario, NOT_ENDED, &path);
    needed_on_or_large(without, scenario, NOT_ENDED, &path);
}

/// The provider keeps its refresh token. Whoever renewed is gone, and the fail-over loses what it wrote. Who has read the
/// renewed session puts it back without tokens, over the older version; the tokens there, whose refresh token is still the
/// right one, are removed. The session ends with the access token that was renewed.
#[test]
fn a_session_without_tokens_removes_those_that_are_there() {
    let scenario = Scenario { kinds: CRASH_AND_FAIL_OVER, ..KEPT_TOKEN };
    let path = [&[Replicate][..], &renewal(1), &[Load(2), Crash(1), FailOver], &recovery(Some(1)), &[Hear(0)]].concat();
    needed_on(TODAY, scenario, TOKENS, &path);
    needed_on(Protocol { lasting_tokens: false, ..MENDED }, scenario, TOKENS, &path);
    // It has its tokens, and still ends.
    needed_on(Protocol { derived_ends: false, ..MENDED }, scenario, TOKENS, &path);
    assert_eq!(walk(MENDED, scenario, &path), [""; 0]);
}

/// The provider keeps its refresh token. Whoever renewed is gone, and the store is emptied. Who has read the renewed session
/// puts it back without tokens, before who has written the older version puts that back with the refresh token: it is
/// refused, since a newer version is there. The session ends with the access token that was renewed.
#[test]
fn a_newer_session_keeps_out_its_refresh_token() {
    let scenario = Scenario { kinds: CRASH_AND_FLUSH, ..KEPT_TOKEN };
    let hear = [Hear(0), Hear(2), WriteBackEndings(0), WriteBackEndings(2)];
    let rest = [WriteBackSessions(2), WriteBackSessions(0), Settle(0), Settle(2), Hear(0)];
    let path = [&renewal(1)[..], &[Load(2), Crash(1), Flush], &hear, &rest].concat();
    needed_on(TODAY, scenario, TOKENS, &path);
    needed_on(Protocol { lasting_tokens: false, ..MENDED }, scenario, TOKENS, &path);
    let heard = [&path[..], &[Hear(2)]].concat();
    needed_on(Protocol { derived_ends: false, ..MENDED }, scenario, TOKENS, &heard);
    assert_eq!(walk(MENDED, scenario, &heard), [""; 0]);
}

/// Where each renewal brings a new refresh token, the older version's is of no use.
#[test]
fn a_new_refresh_token_needs_none_of_the_older_version() {
    let kinds = Kinds { flush: true, restart: true, stand_still: true, ..CRASH_AND_FAIL_OVER };
    let scenario = Scenario { renewals: 1, faults: 2, kinds, ..QUIET };
    large("a renewal, whole records, two faults", WHOLE_RECORDS, scenario, END, 2_000_000);
}

#[test]
fn a_renewal_survives_a_fail_over_or_a_flush() {
    let kinds = Kinds { fail_over: true, flush: true, ..Kinds::NONE };
    holds("today, a renewal", TODAY, Scenario { renewals: 1, faults: 1, kinds, ..QUIET }, END, 40_000);
}

#[test]
fn copies_of_a_callback_survive_any_fault() {
    large("today, sign-in, any fault", TODAY, Scenario { callbacks: 2, ..ANY_FAULT }, END, 150_000);
}

#[test]
fn a_sign_out_survives_any_fault() {
    large("today, sign-out, any fault", TODAY, Scenario { sign_outs: 1, ..ANY_FAULT }, END, 150_000);
}

#[test]
fn two_renewals_survive_any_fault() {
    large("today, renewals, any fault", TODAY, Scenario { renewals: 2, ..ANY_FAULT }, END, 1_000_000);
}

#[test]
fn two_renewals_with_the_same_refresh_token_survive_any_fault() {
    let scenario = Scenario { renewals: 2, rotates: false, ..ANY_FAULT };
    large("today, renewals, the same refresh token, any fault", TODAY, scenario, END, 1_000_000);
}

#[test]
fn a_renewal_survives_any_two_faults_that_take_no_process() {
    let kinds = Kinds { crash: false, stand_still: false, ..Kinds::ALL };
    let scenario = Scenario { renewals: 1, faults: 2, kinds, ..QUIET };
    large("today, a renewal, two faults that take no process", TODAY, scenario, END, 2_000_000);
}
