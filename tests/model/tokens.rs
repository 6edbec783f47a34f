//! Tokens are in the store and in the journal of the process that wrote them; the memory of the others has the session
//! without. What keeps them together, each measure needed as those of [`measures`](super::measures); [`gaps`](super::gaps)
//! has those that the service lacks.

use super::check::{END, QUIET, holds, large, walk};
use super::measures::{needed, needed_on, recovery, renewal};
use super::properties::{ONE_REFRESH, TOKENS};
use super::protocol::{Kinds, Protocol, Scenario};
use super::world::Action::*;

const MENDED: Protocol = Protocol::MENDED;
const FAIL_OVER: Kinds = Kinds { fail_over: true, ..Kinds::NONE };
const FLUSH: Kinds = Kinds { flush: true, ..Kinds::NONE };

/// A fail-over lost the session; who has read it is faster than who wrote it.
#[test]
fn a_session_without_tokens_wins() {
    needed(Protocol { tokens_win: false, ..MENDED }, Scenario { faults: 1, kinds: FAIL_OVER, ..QUIET }, TOKENS);
}

/// A fail-over brought back the session before its renewal. Who has read the renewed one puts it back without tokens, over
/// the old refresh token; who has renewed it must not take that one for the right one.
#[test]
fn an_old_refresh_token_keeps_out_the_new_one() {
    let scenario = Scenario { renewals: 2, faults: 1, kinds: FAIL_OVER, ..QUIET };
    let path = [&[Replicate][..], &renewal(2), &[Load(1), FailOver], &recovery(None), &[Hear(0), Hear(2)]].concat();
    needed_on(Protocol { named_tokens: false, ..MENDED }, scenario, TOKENS, &path);
    assert_eq!(walk(MENDED, scenario, &path), [""; 0]);
}

/// A fail-over between the two reads of a renewal: the session is the renewed one, the refresh token the one before.
#[test]
fn a_renewal_spends_the_refresh_token_of_another_version() {
    let scenario = Scenario { renewals: 2, faults: 1, kinds: FAIL_OVER, ..QUIET };
    let path = [&[Replicate][..], &renewal(1), &renewal(1)[..2], &[FailOver], &renewal(1)[2..4]].concat();
    needed_on(Protocol { named_tokens: false, ..MENDED }, scenario, ONE_REFRESH, &path);
}

/// The store is emptied while the provider is asked, and the session is put back without tokens; the answer has no new
/// refresh token.
#[test]
fn an_update_leaves_alone_what_is_not_there() {
    let scenario = Scenario { renewals: 1, rotates: false, faults: 1, kinds: FLUSH, ..QUIET };
    let hear = [Hear(0), Hear(1), Hear(2), WriteBackEndings(0), WriteBackEndings(1), WriteBackEndings(2)];
    let sessions = [WriteBackSessions(0), WriteBackSessions(1), WriteBackSessions(2), WriteRenewed(1)];
    let rest = [Settle(0), Settle(1), Settle(2), Hear(0), Hear(1), Hear(2)];
    let path = [&[Replicate, TimePasses][..], &renewal(1)[..4], &[Flush], &hear, &sessions, &rest].concat();
    needed_on(Protocol { complete_updates: false, ..MENDED }, scenario, TOKENS, &path);
    assert_eq!(walk(MENDED, scenario, &path), [""; 0]);
}

#[test]
fn a_provider_that_keeps_its_refresh_token() {
    let kinds = Kinds { fail_over: true, flush: true, ..Kinds::NONE };
    let scenario = Scenario { renewals: 1, rotates: false, faults: 1, kinds, ..QUIET };
    holds("a renewal, the same refresh token", MENDED, scenario, END, 50_000);
}

#[test]
fn a_provider_that_keeps_its_refresh_token_with_any_fault() {
    let scenario = Scenario { renewals: 2, rotates: false, faults: 1, kinds: Kinds::ALL, ..QUIET };
    large("renewals, the same refresh token, any fault", MENDED, scenario, END, 500_000);
}
