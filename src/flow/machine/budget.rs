//! What each client may make the provider issue, and bill, in an hour.
//!
//! Only what is billed counts: an outage uses nothing up, nor does a request that the provider refuses.

use super::MachineError;
use super::cache::TokenKey;
use crate::domain::clock::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// For whom a token is fetched.
#[derive(Debug, Clone)]
pub(super) struct BudgetKey {
    /// The client's id.
    pub(super) client: String,
    /// How many tokens in an hour, if not as many as for others.
    pub(super) per_hour: Option<u32>,
    /// What a caller that passes through showed. Until the provider has accepted it, nobody's budget is charged.
    pub(super) credentials: Option<TokenKey>,
}

/// The tokens that were fetched for each client since its hour began.
#[derive(Debug)]
pub(super) struct FetchBudget {
    per_hour: u32,
    spent: Mutex<HashMap<String, HourlyUsage>>,
}

#[derive(Debug)]
struct HourlyUsage {
    since: Timestamp,
    count: u32,
}

impl FetchBudget {
    pub(super) fn new(per_hour: u32) -> Self {
        Self { per_hour, spent: Mutex::default() }
    }

    /// Whether something is left.
    pub(super) fn check(&self, key: &BudgetKey, now: Timestamp) -> Result<(), MachineError> {
        match self.spent().get(&key.client) {
            Some(spent) if spent.is_of(now) && spent.count >= self.per_hour(key) => {
                Err(MachineError::OverBudget((spent.since + HOUR).since(now).max(Duration::from_secs(1))))
            }
            _ => Ok(()),
        }
    }

    /// Takes one fetch out of the budget, whether or not it is left.
    pub(super) fn spend(&self, key: &BudgetKey, now: Timestamp) {
        let (client, per_hour) = (key.client.as_str(), self.per_hour(key));
        let mut all = self.spent();
        match all.get_mut(client).filter(|spent| spent.is_of(now)) {
            Some(spent) => {
                spent.count = spent.count.saturating_add(1);
                if spent.count == per_hour {
                    tracing::warn!(
                        client,
                        tokens = spent.count,
                        until = (spent.since + HOUR).as_secs(),
                        "client budget exhausted: machine.fetches_per_hour reached, serving cached tokens only"
                    );
                }
            }
            None => {
                all.insert(client.to_owned(), HourlyUsage { since: now, count: 1 });
            }
        }
    }

    /// Puts one back that was not billed.
    pub(super) fn refund(&self, client: &str) {
        if let Some(spent) = self.spent().get_mut(client) {
            spent.count = spent.count.saturating_sub(1);
        }
    }

    /// Forgets hours that are over.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.spent().retain(|_, spent| spent.is_of(now));
    }

    fn per_hour(&self, key: &BudgetKey) -> u32 {
        key.per_hour.unwrap_or(self.per_hour)
    }

    fn spent(&self) -> MutexGuard<'_, HashMap<String, HourlyUsage>> {
        // No code that holds this lock leaves anything half done.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HourlyUsage {
    fn is_of(&self, now: Timestamp) -> bool {
        now < self.since + HOUR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;

    #[test]
    fn a_client_that_is_over_its_budget_waits_for_its_own_hour() {
        let key = |client: &str| BudgetKey { client: client.into(), per_hour: None, credentials: None };
        let budget = FetchBudget::new(2);
        assert!(budget.check(&key("a"), at(100)).is_ok());
        budget.spend(&key("a"), at(100));
        budget.spend(&key("a"), at(200));
        assert!(
            matches!(budget.check(&key("a"), at(200)), Err(MachineError::OverBudget(wait)) if wait.as_secs() == 3_500)
        );
        assert!(
            matches!(budget.check(&key("a"), at(3_699)), Err(MachineError::OverBudget(wait)) if wait.as_secs() == 1)
        );
        assert!(budget.check(&key("b"), at(200)).is_ok() && budget.check(&key("a"), at(3_700)).is_ok());
        budget.refund("a");
        assert!(budget.check(&key("a"), at(300)).is_ok());
        budget.refund("nobody");
        budget.spend(&key("a"), at(4_000));
        budget.sweep(at(4_000));
        assert!(budget.check(&key("a"), at(4_000)).is_ok());
        budget.spend(&key("a"), at(4_000));
        assert!(budget.check(&key("a"), at(4_000)).is_err(), "the sweep forgets nothing that counts");
        let own = BudgetKey { per_hour: Some(3), ..key("a") };
        assert!(budget.check(&own, at(4_000)).is_ok(), "a budget of its own");
    }
}
