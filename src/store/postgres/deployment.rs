//! Whose sessions are in the schema.

use super::Postgres;
use crate::store::Error;
use crate::store::ownership::Place;

const READ: &str = "SELECT sealed FROM deployment";
const CREATE: &str = "INSERT INTO deployment (sealed) VALUES ($1) ON CONFLICT DO NOTHING";
/// Writes also what is there already: a server that takes no writes refuses.
const WRITE: &str = "UPDATE deployment SET sealed = $1";

impl Postgres {
    /// Fails unless the server takes writes and what it has is ours.
    pub(super) async fn check_deployment(&self) -> Result<(), Error> {
        let place = format!("in the schema `{}`", self.client.schema);
        let place = Place { bound: b"postgres 1", place: &place, parameter: "schema" };
        let mut found = self.run(READ, &[]).await?;
        // Each time, for it may be gone after somebody emptied the tables.
        if found.is_empty() {
            self.run(CREATE, &[&place.seal(&self.ring)]).await?;
            found = self.run(READ, &[]).await?;
        }
        let row = found.pop().ok_or_else(|| self.unexpected("no deployment"))?;
        let mut sealed: Vec<u8> = self.get(&row, 0)?;
        if place.is_outdated(&self.ring, &sealed)? {
            sealed = place.seal(&self.ring);
        }
        self.run(WRITE, &[&sealed]).await.map(drop)
    }
}
