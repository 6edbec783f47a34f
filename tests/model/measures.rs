//! Each measure of the second edition is needed: with any one of them left out, something breaks.

use super::check::{QUIET, is_large, walk, way, written};
use super::properties::{
    ALIVE, NOT_ENDED, NOT_LOST, NOT_REVIVED, ONE_CODE, ONE_LEASE, ONE_REFRESH, SIGNED_OUT, TOKENS,
};
use super::protocol::{Kinds, Protocol, Scenario};
use super::world::Action::{self, *};

const MENDED: Protocol = Protocol::MENDED;
const FAIL_OVER: Kinds = Kinds { fail_over: true, ..Kinds::NONE };
const CRASH_AND_FAIL_OVER: Kinds = Kinds { crash: true, ..FAIL_OVER };
const CRASH_AND_FLUSH: Kinds = Kinds { crash: true, flush: true, ..Kinds::NONE };
const FLUSH: Kinds = Kinds { flush: true, ..Kinds::NONE };
const RESTART: Kinds = Kinds { restart: true, ..Kinds::NONE };

/// Without a measure the checker finds a way to break the invariant; with it, there is none of that length.
pub(super) fn needed(without: Protocol, scenario: Scenario, breaks: &'static str) {
    let Some(path) = way(without, scenario, breaks, 30) else { panic!("not needed for: {breaks}") };
    let still = way(MENDED, scenario, breaks, path.len());
    assert!(still.is_none(), "not enough for: {breaks}{}", written(&still.unwrap_or_default()));
}

/// The same with a way that takes the checker long to find.
pub(super) fn needed_on(without: Protocol, scenario: Scenario, breaks: &'static str, path: &[Action]) {
    let broken = walk(without, scenario, path);
    assert!(broken.contains(&breaks), "does not break {breaks}, but {broken:?}:{}", written(path));
}

/// The same, and `MODEL_LARGE=1` has the checker find it all the same.
pub(super) fn needed_on_or_large(without: Protocol, scenario: Scenario, breaks: &'static str, path: &[Action]) {
    needed_on(without, scenario, breaks, path);
    if is_large() {
        needed(without, scenario, breaks);
    }
}

/// After a fail-over, everybody but `gone` connects and recovers.
pub(super) fn recovery(gone: Option<usize>) -> Vec<Action> {
    let there: Vec<usize> = (0..3).filter(|at| Some(*at) != gone).collect();
    let steps: [fn(usize) -> Action; 4] =
        [|process| Connect { process, canary_found: true }, WriteBackEndings, WriteBackSessions, Settle];
    steps.iter().flat_map(|step| there.iter().map(|at| step(*at))).collect()
}

pub(super) fn renewal(at: usize) -> [Action; 5] {
    [TakeLease(at), ReloadUnderLease(at), ReadTokens(at), SpendRefreshToken(at), WriteRenewed(at)]
}

#[test]
fn claims_of_codes() {
    needed(Protocol { code_claims: false, ..MENDED }, Scenario { callbacks: 2, ..QUIET }, ONE_CODE);
}

#[test]
fn remembered_endings() {
    let scenario = Scenario { sign_outs: 1, faults: 2, kinds: CRASH_AND_FLUSH, ..QUIET };
    let path = [
        [RevokeTokens(1), EndSession(1), Flush, Hear(0), Crash(1)].as_slice(),
        &[WriteBackEndings(0), Hear(2), WriteBackEndings(2), WriteBackSessions(0), Hear(2), WriteBackSessions(2)],
        &[Settle(0), Settle(2)],
    ];
    needed_on(Protocol { remembered_endings: false, ..MENDED }, scenario, SIGNED_OUT, &path.concat());
}

#[test]
fn endings_before_sessions() {
    let scenario = Scenario { sign_outs: 1, faults: 1, kinds: FAIL_OVER, ..QUIET };
    let found = way(Protocol { endings_first: false, ..MENDED }, scenario, NOT_REVIVED, 20);
    assert!(found.is_some(), "not needed");
}

#[test]
fn restoring_by_version() {
    let scenario = Scenario { renewals: 3, faults: 1, kinds: FAIL_OVER, ..QUIET };
    let path = [&[Replicate][..], &renewal(1), &renewal(1), &[FailOver], &recovery(None), &renewal(0)[..4]].concat();
    needed_on(Protocol { restore_by_version: false, ..MENDED }, scenario, ONE_REFRESH, &path);
}

#[test]
fn canaries() {
    needed(Protocol { canaries: false, ..MENDED }, Scenario { faults: 1, kinds: RESTART, ..QUIET }, ALIVE);
}

#[test]
fn reconnections_as_losses() {
    let scenario = Scenario { faults: 1, kinds: FAIL_OVER, ..QUIET };
    needed(Protocol { reconnection_is_loss: false, ..MENDED }, scenario, ALIVE);
}

#[test]
fn sessions_kept_at_hand() {
    needed(Protocol { kept_sessions: false, ..MENDED }, Scenario { faults: 1, kinds: RESTART, ..QUIET }, NOT_LOST);
}

#[test]
fn orphaned_sessions() {
    let scenario = Scenario { renewals: 2, faults: 2, kinds: CRASH_AND_FAIL_OVER, ..QUIET };
    let path = [&[Replicate][..], &renewal(1), &[Crash(1), FailOver], &recovery(Some(1)), &renewal(0)].concat();
    needed_on(Protocol { orphaned_sessions: false, ..MENDED }, scenario, NOT_ENDED, &path);
    assert_eq!(walk(MENDED, scenario, &path), [""; 0]);
}

#[test]
fn proofs_of_absence() {
    needed(Protocol { proven_absence: false, ..MENDED }, Scenario { faults: 1, kinds: FLUSH, ..QUIET }, ALIVE);
}

#[test]
fn restored_leases() {
    let scenario = Scenario { renewals: 2, faults: 1, kinds: FAIL_OVER, ..QUIET };
    let path = [&[Replicate][..], &renewal(1)[..4], &[FailOver], &recovery(None), &renewal(0)[..4]].concat();
    needed_on(Protocol { restored_leases: false, ..MENDED }, scenario, ONE_LEASE, &path);
}

#[test]
fn tombstones_without_a_session() {
    let kinds = Kinds { evict_session: true, ..Kinds::NONE };
    let scenario = Scenario { sign_outs: 1, faults: 1, kinds, ..QUIET };
    let path = [EvictSession, Hear(0), Hear(1), Hear(2), RevokeTokens(1)];
    needed_on(Protocol { blind_tombstones: false, ..MENDED }, scenario, SIGNED_OUT, &path);
}

/// A limit: processes that do not have the session at hand cannot know that another has. Hence `noeviction`.
#[test]
fn nothing_helps_against_the_eviction_of_sessions() {
    let kinds = Kinds { evict_session: true, ..Kinds::NONE };
    let scenario = Scenario { faults: 1, kinds, ..QUIET };
    assert!(way(MENDED, scenario, ALIVE, 20).is_some());
}

/// Whoever wrote the session stands still, and the fail-over loses it. Another puts it back without tokens, and reads it for
/// a renewal; then the first wakes and puts it back with its tokens. The renewal has them now, and writes the early end once
/// more: a session that was just renewed ends with the access token before.
#[test]
fn rechecked_records() {
    let without = Protocol { rechecked_records: false, lasting_tokens: false, derived_ends: false, ..MENDED };
    let kinds = Kinds { stand_still: true, ..FAIL_OVER };
    let scenario = Scenario { renewals: 1, faults: 2, kinds, ..QUIET };
    let path = [
        StandStill(0),
        Load(1),
        FailOver,
        Connect { process: 2, canary_found: true },
        Connect { process: 1, canary_found: true },
        WriteBackEndings(2),
        WriteBackEndings(1),
        WriteBackSessions(2),
        WriteBackSessions(1),
        Settle(2),
        Settle(1),
        Hear(2),
        Wake(0),
        Connect { process: 0, canary_found: true },
        TakeLease(1),
        ReloadUnderLease(1),
        WriteBackEndings(0),
        WriteBackSessions(0),
        Settle(0),
        ReadTokens(1),
        SpendRefreshToken(1),
        Hear(1),
        WriteRenewed(1),
        Hear(0),
        Hear(2),
    ];
    needed_on_or_large(without, scenario, TOKENS, &path);
}
