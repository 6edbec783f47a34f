//! Searches through all states that a protocol can reach.

use super::protocol::{Kinds, Protocol, Scenario};
use super::world::{Action, Reduction, Sessions, World};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::time::Instant;

/// Nothing happens unless it is said.
pub const QUIET: Scenario =
    Scenario { callbacks: 0, renewals: 0, rotates: true, sign_outs: 0, spares: 0, faults: 0, kinds: Kinds::NONE };

/// The depth of a search that goes to the end.
pub const END: usize = 1_000;

/// The depth of a search that [`large`] does not let go on.
const BEGINNING: usize = 5;

/// What a search met.
struct Search<C> {
    checker: C,
    /// With the way to it, a line to print.
    summary: String,
    depth: usize,
}

/// Searches all states within `limit` steps, until all of `wanted` are broken. With one thread: with more, states are
/// not met in the order of their depth, and a limit would cut off more than it says.
fn search(model: Sessions, limit: usize, wanted: HasDiscoveries) -> Search<impl Checker<Sessions>> {
    let since = Instant::now();
    // The checker counts states on a path, and looks at none of the last ones.
    let checker = model.checker().threads(1).finish_when(wanted).target_max_depth(limit + 2).spawn_bfs().join();
    let (states, unique, seconds) =
        (checker.state_count(), checker.unique_state_count(), since.elapsed().as_secs_f32());
    let depth = limit.min(checker.max_depth() - 1);
    let summary = format!("{states} states, {unique} unique, depth {depth}, {seconds:.1} s");
    Search { checker, summary, depth }
}

/// Checks that no state within `limit` steps breaks an invariant and, if that is the [`END`], that everything that should be
/// possible is. There must be enough states for that to mean something. Prints one line.
#[expect(clippy::print_stdout, reason = "the summary of a check")]
pub fn holds(name: &str, protocol: Protocol, scenario: Scenario, limit: usize, at_least: usize) {
    let model = Sessions { protocol, scenario, reduction: Reduction::Full };
    let Search { checker, summary, depth } = search(model, limit, HasDiscoveries::AnyFailures);
    for property in model.properties() {
        match (property.expectation, checker.discovery(property.name)) {
            (Expectation::Sometimes, None) if limit == END => panic!("{name}: never in {summary}: {}", property.name),
            (Expectation::Always, Some(path)) => {
                panic!("{name}: not so: {}{}", property.name, written(&actions(&model, path.into_states())))
            }
            _ => {}
        }
    }
    let unique = checker.unique_state_count();
    assert!(unique >= at_least, "{name}: only {unique} states");
    let all = if depth < limit { "all states" } else { "all states of that depth" };
    println!("model: {name}: {summary}, {all}: no violation");
}

/// Whether the searches that take long are asked for.
#[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
pub fn is_large() -> bool {
    std::env::var("MODEL_LARGE").is_ok_and(|large| large == "1")
}

/// [`holds`] for a space too large for every `cargo test`, which looks at its beginning only. `MODEL_LARGE=1` asks for all.
pub fn large(name: &str, protocol: Protocol, scenario: Scenario, limit: usize, at_least: usize) {
    if is_large() {
        holds(name, protocol, scenario, limit, at_least);
    } else {
        holds(name, protocol, scenario, BEGINNING, 500);
    }
}

/// The invariants of `properties` that a way of at most `limit` steps breaks. One search; prints one line.
#[expect(clippy::print_stdout, reason = "the summary of a check")]
pub fn broken(
    protocol: Protocol,
    scenario: Scenario,
    properties: &[&'static str],
    limit: usize,
) -> BTreeSet<&'static str> {
    let model = Sessions { protocol, scenario, reduction: Reduction::Full };
    let wanted: BTreeSet<_> = properties.iter().copied().collect();
    let Search { checker, summary, .. } = search(model, limit, HasDiscoveries::AllOf(wanted.clone()));
    let found = checker.discoveries().into_keys().filter(|name| wanted.contains(name)).collect();
    println!("model: not so: {found:?}; {summary}");
    found
}

/// A way of at most `limit` steps to break an invariant, if there is one. Prints one line.
#[expect(clippy::print_stdout, reason = "the summary of a check")]
pub fn way(protocol: Protocol, scenario: Scenario, property: &'static str, limit: usize) -> Option<Vec<Action>> {
    let model = Sessions { protocol, scenario, reduction: Reduction::Full };
    let Search { checker, summary, .. } = search(model, limit, HasDiscoveries::AnyOf(BTreeSet::from([property])));
    let found = checker.discovery(property).map(|path| actions(&model, path.into_states()));
    match &found {
        Some(way) => println!("model: not so: {property}: found in {} steps; {summary}", way.len()),
        None => println!("model: {property}: {summary}: no violation"),
    }
    found
}

/// The steps that lead through these states, which have the processes in order, with each process under its own number.
fn actions(model: &Sessions, states: Vec<World>) -> Vec<Action> {
    let single = Sessions { reduction: Reduction::Unseen, ..*model };
    let mut world = World::first(&model.protocol, &model.scenario);
    let steps = states.into_iter().skip(1).map(|state| {
        let mut possible = Vec::new();
        single.actions(&world, &mut possible);
        let nexts = possible.into_iter().filter_map(|action| Some((action, single.next_state(&world, action)?)));
        let next = nexts.into_iter().find(|(_, next)| next.in_order() == state);
        let Some((action, next)) = next else { panic!("states that count as one differ in what can happen") };
        world = next;
        action
    });
    steps.collect()
}

/// The invariants that any state within `limit` steps breaks, and what is possible.
pub fn met(protocol: Protocol, scenario: Scenario, reduction: Reduction, limit: usize) -> BTreeSet<&'static str> {
    let model = Sessions { protocol, scenario, reduction };
    search(model, limit, HasDiscoveries::All).checker.discoveries().into_keys().collect()
}

/// A path, a step a line.
pub fn written(path: &[Action]) -> String {
    path.iter().enumerate().map(|(step, action)| format!("\n{:3}. {action:?}", step + 1)).collect()
}

/// The invariants that a path breaks.
pub fn walk(protocol: Protocol, scenario: Scenario, path: &[Action]) -> Vec<&'static str> {
    let model = Sessions { protocol, scenario, reduction: Reduction::None };
    let mut world = World::first(&protocol, &scenario);
    let mut broken = BTreeSet::new();
    for action in path {
        let mut possible = Vec::new();
        model.actions(&world, &mut possible);
        assert!(possible.contains(action), "{action:?} is not possible");
        world = model.next_state(&world, *action).unwrap_or(world);
        let invariants = model.properties().into_iter().filter(|property| property.expectation == Expectation::Always);
        broken
            .extend(invariants.filter(|property| !(property.condition)(&model, &world)).map(|property| property.name));
    }
    broken.into_iter().collect()
}
