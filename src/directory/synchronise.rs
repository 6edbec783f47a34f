//! Bringing the directory up to date with the user pool: everybody whom the pool lists is written down, and who is not there
//! any more is erased, each after another question. Cognito has no trigger for a deletion.

use super::{Directory, Error, RowChange, statements, system_time, timestamp};
use crate::domain::backoff::{ExponentialBackoff, jittered};
use crate::domain::clock::Timestamp;
use crate::domain::person::{Person, PersonObservation};
use crate::domain::user::User;
use crate::outbound::aws_json::AwsError;
use crate::outbound::user_pools::UserPools;
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// Users in one answer; the API gives no more.
const PAGE: usize = 60;
/// Rows that are written at once.
const CONCURRENCY: usize = 8;
/// For how long the API takes the token of a next page: an hour, of which some is left.
const RESUME_WITHIN: Duration = Duration::from_secs(55 * 60);
/// How often an operation is tried, and after which pauses.
const ATTEMPTS: u32 = 8;
const BACKOFF: ExponentialBackoff =
    ExponentialBackoff { first: Duration::from_millis(500), most: Duration::from_secs(30) };

/// How to do it.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// The pool's id: region and name.
    pub pool: String,
    /// Write nothing, and count what would be written.
    pub dry_run: bool,
    /// Begin with the first page though an earlier synchronisation was interrupted.
    pub restart: bool,
    /// Calls of the API a second at most.
    pub calls_per_second: u32,
    /// `provider.trust_email_from`.
    pub trusted: Vec<String>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncCounts {
    /// How many users the pool has, about, if it says so.
    pub estimated: Option<u64>,
    /// Of these listed, those of an interrupted synchronisation included.
    pub listed: u64,
    /// Of whom nothing was known.
    pub new: u64,
    /// Of whom something else was known.
    pub changed: u64,
    /// Of whom the same was known.
    pub same: u64,
    /// Whom the pool does not have any more.
    pub erased: u64,
    /// Who cannot be written down, since the pool tells no `sub` or the database does not take a value.
    pub skipped: u64,
}

/// Why it did not come to its end. It can be done again, and goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum SyncFailure {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] Error),
    /// The user pools API.
    #[error("{0}")]
    Pool(#[from] AwsError),
}

struct Synchronisation<'a> {
    directory: &'a Directory,
    pools: &'a UserPools,
    options: &'a SyncOptions,
    ticks: Interval,
    /// Of a dry run, which notes nothing elsewhere: who was listed.
    listed: BTreeSet<String>,
}

impl Directory {
    /// Brings it up to date. `progress` is told after each page.
    ///
    /// # Errors
    /// [`SyncFailure`].
    pub async fn synchronise(
        &self,
        pools: &UserPools,
        options: &SyncOptions,
        mut progress: impl FnMut(&SyncCounts),
    ) -> Result<SyncCounts, SyncFailure> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / options.calls_per_second.max(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sync = Synchronisation { directory: self, pools, options, ticks, listed: BTreeSet::new() };
        let mut counts = SyncCounts { estimated: sync.estimate().await?, ..SyncCounts::default() };
        let (mut started, mut next) = (self.clock.now(), None);
        if !options.restart
            && !options.dry_run
            && let Some((since, page, listed)) = self.interrupted().await?
        {
            (started, next, counts.listed) = (since, Some(page), listed);
        }
        loop {
            let at = self.clock.now();
            let page = match sync.list(next.as_deref()).await {
                // A page of another day, or of another pool with this name.
                Err(error) if error.is_invalid_parameter() && next.is_some() => {
                    (started, next, counts.listed) = (at, None, 0);
                    continue;
                }
                page => page?,
            };
            let users = page.get("Users").and_then(Value::as_array);
            let users = users.ok_or_else(|| AwsError::Unavailable("ListUsers: no list".into()))?;
            sync.take_up(users, at, &mut counts).await?;
            next = page.get("PaginationToken").and_then(Value::as_str).map(str::to_owned);
            progress(&counts);
            let Some(next) = &next else { break };
            if !options.dry_run {
                self.save(started, next, counts.listed).await?;
            }
        }
        sync.erase_missing(started, &mut counts).await?;
        if !options.dry_run {
            self.client.run(statements::FINISH, &[&self.issuer]).await?;
        }
        progress(&counts);
        Ok(counts)
    }

    /// Begin, next page and number of users of a synchronisation that did not come to its end.
    async fn interrupted(&self) -> Result<Option<(Timestamp, String, u64)>, Error> {
        let rows = self.client.run(statements::RESUME, &[&self.issuer, &RESUME_WITHIN.as_secs_f64()]).await?;
        let saved = rows.first().map(|row| {
            let listed: i64 = self.get(row, 2)?;
            Ok((timestamp(self.get(row, 0)?), self.get(row, 1)?, listed.unsigned_abs()))
        });
        saved.transpose()
    }

    async fn save(&self, started: Timestamp, next: &str, listed: u64) -> Result<(), Error> {
        let listed = i64::try_from(listed).unwrap_or(i64::MAX);
        self.client.run(statements::SAVE, &[&self.issuer, &system_time(started), &next, &listed]).await.map(drop)
    }
}

impl Synchronisation<'_> {
    /// How many users there are; none for who may not ask.
    async fn estimate(&mut self) -> Result<Option<u64>, AwsError> {
        match self.call("DescribeUserPool", &json!({ "UserPoolId": self.options.pool })).await {
            Ok(answer) => Ok(answer.pointer("/UserPool/EstimatedNumberOfUsers").and_then(Value::as_u64)),
            Err(AwsError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&mut self, page: Option<&str>) -> Result<Value, AwsError> {
        let mut input = json!({ "UserPoolId": self.options.pool, "Limit": PAGE });
        if let Some(page) = page {
            input["PaginationToken"] = page.into();
        }
        self.call("ListUsers", &input).await
    }

    /// Writes down the users of a page.
    async fn take_up(&mut self, users: &[Value], at: Timestamp, counts: &mut SyncCounts) -> Result<(), Error> {
        let observations: Vec<_> = users.iter().map(|user| self.observation(user, at)).collect();
        if self.options.dry_run {
            self.listed.extend(observations.iter().flatten().map(|observation| observation.person.sub.clone()));
        }
        let this = &*self;
        let changes = iter(observations).map(|observation| async move {
            match observation {
                None => Ok(None),
                Some(observation) if this.options.dry_run => this.compare(&observation.person).await.map(Some),
                Some(observation) => match this.directory.write(&observation).await {
                    Err(Error::Refused(why)) => {
                        tracing::error!(sub = %observation.person.sub, %why, "directory row dropped");
                        Ok(None)
                    }
                    written => written.map(Some),
                },
            }
        });
        let changes: Vec<Option<RowChange>> = changes.buffer_unordered(CONCURRENCY).try_collect().await?;
        for change in changes {
            counts.listed += 1;
            *match change {
                None => &mut counts.skipped,
                Some(RowChange::New) => &mut counts.new,
                Some(RowChange::Changed) => &mut counts.changed,
                Some(RowChange::Same) => &mut counts.same,
            } += 1;
        }
        Ok(())
    }

    fn observation(&self, user: &Value, at: Timestamp) -> Option<PersonObservation> {
        let user = User::from_api(user).ok()?;
        let person = Person::of_user(&user, &self.options.trusted)?;
        Some(PersonObservation { person, at, seen: false })
    }

    /// What writing would do.
    async fn compare(&self, person: &Person) -> Result<RowChange, Error> {
        let Some(found) = self.directory.by_sub(&person.sub).await? else { return Ok(RowChange::New) };
        let found = found.person;
        let told = |now: &Person| (now.username.clone(), now.email.clone(), now.name.clone(), now.provider.clone());
        let is_same = told(&found) == told(person)
            && found.attributes == person.attributes
            && person.email_verified.is_none_or(|verified| found.email_verified == Some(verified));
        Ok(if is_same { RowChange::Same } else { RowChange::Changed })
    }

    /// Erases whom the pool has not listed, once it says that there is no such user.
    async fn erase_missing(&mut self, started: Timestamp, counts: &mut SyncCounts) -> Result<(), SyncFailure> {
        let (directory, started) = (self.directory, system_time(started));
        let rows = directory.client.run(statements::NOT_OBSERVED_SINCE, &[&directory.issuer, &started]).await?;
        for row in rows {
            let (sub, username): (String, String) = (directory.get(&row, 0)?, directory.get(&row, 1)?);
            if self.listed.contains(&sub) {
                continue;
            }
            let at = directory.clock.now();
            match self.call("AdminGetUser", &json!({ "UserPoolId": self.options.pool, "Username": username })).await {
                Err(error) if error.is_user_not_found() => {
                    if !self.options.dry_run {
                        directory.erase(&sub).await?;
                    }
                    counts.erased += 1;
                }
                Ok(_) if self.options.dry_run => {}
                // The list lags behind, or somebody else has the name now.
                Ok(user) => match self.observation(&user, at).filter(|observation| observation.person.sub == sub) {
                    Some(observation) => drop(directory.write(&observation).await?),
                    None => {
                        directory.erase(&sub).await?;
                        counts.erased += 1;
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// One call, in its time, again where that may help.
    async fn call(&mut self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let mut failures = 0;
        loop {
            self.ticks.tick().await;
            match self.pools.call(operation, input).await {
                Err(error) if error.is_temporary() && failures + 1 < ATTEMPTS => {
                    tracing::warn!(operation, %error, "user pools API failed: trying again");
                    tokio::time::sleep(jittered(BACKOFF.after(failures))).await;
                    failures += 1;
                }
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_help_is_tried_again_for_a_minute_or_two() {
        let pauses: Duration = (0..ATTEMPTS - 1).map(|earlier| BACKOFF.after(earlier)).sum();
        assert!((Duration::from_secs(45)..Duration::from_secs(120)).contains(&pauses), "{pauses:?}");
    }
}
