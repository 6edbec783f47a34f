//! What readers write below articles: in tables of this site's own, which keep the `sub` of the author and nothing else of
//! the person. Names come from the service's view of people, in the same database, at the moment somebody looks.

use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, Row};

/// Where this site keeps what is written, and where the service keeps people.
#[derive(Clone, Debug)]
pub struct CmsDatabase {
    /// The server and the database.
    pub config: Config,
    /// The schema of the service's tables.
    pub directory_schema: String,
    /// The issuer of the people who can sign in here.
    pub issuer: String,
}

/// A comment as it is shown.
pub(super) struct Comment {
    /// None for an author who is not in the directory any more.
    pub(super) author: Option<String>,
    pub(super) text: String,
    pub(super) written: String,
}

/// A person as the list of people shows it.
pub(super) struct ListedPerson {
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) comments: i64,
    pub(super) last_seen: Option<String>,
}

const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS cms;
CREATE TABLE IF NOT EXISTS cms.comments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    article text NOT NULL,
    author text NOT NULL,
    text text NOT NULL,
    written timestamptz NOT NULL DEFAULT now()
)";

const ADD: &str = "INSERT INTO cms.comments (article, author, text) VALUES ($1, $2, $3)";

pub(super) struct Comments {
    config: Config,
    issuer: String,
    below: String,
    people: String,
    client: Mutex<Option<Client>>,
}

impl Comments {
    pub(super) fn new(database: &CmsDatabase) -> Self {
        let CmsDatabase { config, directory_schema, issuer } = database;
        let below = format!(
            "SELECT coalesce(p.name, p.username), c.text, to_char(c.written AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY, HH24:MI')
             FROM cms.comments c LEFT JOIN {directory_schema}.directory p ON p.issuer = $1 AND p.sub = c.author
             WHERE c.article = $2 ORDER BY c.id DESC LIMIT 100"
        );
        let people = format!(
            "SELECT coalesce(p.name, p.username), p.email, p.groups,
                 (SELECT count(*) FROM cms.comments c WHERE c.author = p.sub),
                 to_char(p.last_seen AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY, HH24:MI')
             FROM {directory_schema}.directory p WHERE p.issuer = $1 ORDER BY 4 DESC, 1 LIMIT 200"
        );
        Self { config: config.clone(), issuer: issuer.clone(), below, people, client: Mutex::default() }
    }

    /// What was written below an article, the newest first.
    pub(super) async fn below(&self, article: &str) -> Result<Vec<Comment>, Error> {
        let rows = self.query(&self.below, &[&self.issuer, &article]).await?;
        let comment =
            |row: &Row| Ok(Comment { author: row.try_get(0)?, text: row.try_get(1)?, written: row.try_get(2)? });
        rows.iter().map(comment).collect()
    }

    pub(super) async fn add(&self, article: &str, author: &str, text: &str) -> Result<(), Error> {
        self.query(ADD, &[&article, &author, &text]).await.map(drop)
    }

    /// Who writes most comes first.
    pub(super) async fn people(&self) -> Result<Vec<ListedPerson>, Error> {
        let rows = self.query(&self.people, &[&self.issuer]).await?;
        let person = |row: &Row| {
            Ok(ListedPerson {
                name: row.try_get(0)?,
                email: row.try_get(1)?,
                groups: row.try_get(2)?,
                comments: row.try_get(3)?,
                last_seen: row.try_get(4)?,
            })
        };
        rows.iter().map(person).collect()
    }

    /// On the one connection of this site, or a new one if that is gone.
    async fn query(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            let (opened, connection) = self.config.connect(NoTls).await?;
            tokio::spawn(connection);
            opened.batch_execute(TABLES).await?;
            *client = Some(opened);
        }
        match &*client {
            Some(client) => client.query(statement, parameters).await,
            None => Ok(vec![]),
        }
    }
}
