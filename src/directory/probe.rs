//! What can be found out about the database before the service starts.

use super::Directory;
use crate::domain::finding::Finding;

impl Directory {
    /// Asks the database, which makes the tables where they are missing.
    pub async fn probe(&self) -> Finding {
        match self.by_sub("").await {
            Ok(_) => Finding::Good("the directory's database answers".to_owned()),
            Err(error) => Finding::Bad(format!("directory.url: {error}")),
        }
    }
}
