//! Searches through all states that a protocol can reach.

use super::protocol::{Kinds, Protocol, Scenario};
use super::world::{Action, Sessions, World};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::collections::BTreeSet;

/// Nothing happens unless it is said.
pub const QUIET: Scenario =
    Scenario { callbacks: 0, renewals: 0, sign_outs: 0, spares: 0, faults: 0, kinds: Kinds::NONE };

/// The depth of a search that goes to the end.
pub const END: usize = 1_000;

/// Checks that no state within `limit` steps breaks an invariant, that everything that should be possible is if the
/// search goes to the [`END`], and that there are enough states for that to mean something. Prints one line.
#[expect(clippy::print_stdout, reason = "the summary of a check")]
pub fn holds(name: &str, protocol: Protocol, scenario: Scenario, limit: usize, at_least: usize) {
    let model = Sessions { protocol, scenario, folded: true };
    let search = model.checker().finish_when(HasDiscoveries::AnyFailures).target_max_depth(limit + 2);
    let checker = search.spawn_bfs().join();
    // The checker counts states on a path, and looks at none of the last ones.
    let (states, depth) = (checker.unique_state_count(), limit.min(checker.max_depth() - 1));
    for property in model.properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (Expectation::Sometimes, None) if limit == END => {
                panic!("{name}: never in {states} states: {}", property.name)
            }
            (Expectation::Always, Some(_)) => {
                let path = way(protocol, scenario, property.name, depth);
                panic!("{name}: not so: {}{}", property.name, written(&path.unwrap_or_default()));
            }
            _ => {}
        }
    }
    assert!(states >= at_least, "{name}: only {states} states");
    println!("model {name}: {states} unique states, depth {depth}, no violation");
}

/// A way of at most `limit` steps to break an invariant, if there is one.
pub fn way(protocol: Protocol, scenario: Scenario, property: &'static str, limit: usize) -> Option<Vec<Action>> {
    let search = Sessions { protocol, scenario, folded: false }.checker().target_max_depth(limit + 2);
    let search = search.finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])));
    search.spawn_bfs().join().discovery(property).map(stateright::Path::into_actions)
}

/// A path, a step a line.
pub fn written(path: &[Action]) -> String {
    path.iter().enumerate().map(|(step, action)| format!("\n{:3}. {action:?}", step + 1)).collect()
}

/// The invariants that a path breaks.
pub fn walk(protocol: Protocol, scenario: Scenario, path: &[Action]) -> Vec<&'static str> {
    let model = Sessions { protocol, scenario, folded: false };
    let mut world = World::first(&scenario);
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
