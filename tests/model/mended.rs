//! The second edition of the protocol keeps every invariant.

use super::check::{END, QUIET, holds};
use super::protocol::{Kinds, Protocol, Scenario};

const MENDED: Protocol = Protocol::MENDED;
/// With two faults, a process that alone has the session may wake when the others no longer wait for it.
const IN_TIME: Kinds = Kinds { stand_still: false, ..Kinds::ALL };

#[test]
fn two_copies_of_a_callback() {
    holds("sign-in", MENDED, Scenario { callbacks: 2, ..QUIET }, END, 4_000);
}

#[test]
fn a_session_survives_a_fail_over() {
    let kinds = Kinds { fail_over: true, ..Kinds::NONE };
    holds("fail-over", MENDED, Scenario { faults: 1, kinds, ..QUIET }, END, 8_000);
}

#[test]
fn a_session_survives_an_emptied_store() {
    let kinds = Kinds { flush: true, restart: true, ..Kinds::NONE };
    holds("emptied store", MENDED, Scenario { faults: 1, kinds, ..QUIET }, END, 3_500);
}

#[test]
fn two_copies_of_a_callback_with_any_fault() {
    holds("sign-in, any fault", MENDED, Scenario { callbacks: 2, faults: 1, kinds: Kinds::ALL, ..QUIET }, 7, 20_000);
}

#[test]
fn a_sign_out_with_any_fault() {
    holds("sign-out, any fault", MENDED, Scenario { sign_outs: 1, faults: 1, kinds: Kinds::ALL, ..QUIET }, 7, 50_000);
}

#[test]
fn a_renewal_with_any_fault() {
    holds("renewal, any fault", MENDED, Scenario { renewals: 2, faults: 1, kinds: Kinds::ALL, ..QUIET }, 6, 15_000);
}

#[test]
#[ignore = "large state space: run with --release"]
fn two_copies_of_a_callback_with_any_two_faults() {
    let scenario = Scenario { callbacks: 2, sign_outs: 1, faults: 2, kinds: IN_TIME, ..QUIET };
    holds("sign-in, two faults", MENDED, scenario, 10, 200_000);
}

#[test]
#[ignore = "large state space: run with --release"]
fn a_sign_out_with_any_two_faults() {
    let scenario = Scenario { sign_outs: 1, spares: 1, faults: 2, kinds: IN_TIME, ..QUIET };
    holds("sign-out, two faults", MENDED, scenario, 10, 200_000);
}

#[test]
#[ignore = "large state space: run with --release"]
fn a_renewal_and_a_sign_out_with_any_two_faults() {
    let scenario = Scenario { renewals: 2, sign_outs: 1, faults: 2, kinds: IN_TIME, ..QUIET };
    holds("renewal, two faults", MENDED, scenario, 10, 200_000);
}
