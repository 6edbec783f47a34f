//! Operators' commands beside a running service. Where the service has the store to itself, a redb file, it does them
//! itself: it listens on a Unix socket beside the file, which only its own user and root may use. Elsewhere the command
//! goes to the store directly.
//!
//! A request is one JSON document up to the end of what is sent, and so is the answer.

use super::{App, Error};
use crate::audit::{self, AuditEvent};
use crate::config::{AuditStream, Config, StoreUrl};
use crate::domain::client_registration::ClientChange;
use crate::domain::clock::SystemClock;
use crate::domain::person::PersonKey;
use crate::flow::RelyingParty;
use crate::store::OpenError;
use crate::telemetry::AUDIT_TARGET;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often a file is tried that another process has, and how long after another.
const BUSY_ATTEMPTS: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// What a running service can be told by its operator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum OperatorCommand {
    /// The sessions of a user: a list of [`crate::flow::OwnSession`].
    ListSessions {
        sub: String,
    },
    /// Ends them, or one: [`crate::flow::EndedSessions`].
    EndSessions {
        sub: String,
        handle: Option<String>,
    },
    /// The same for the users with a verified e-mail address.
    ListSessionsByEmail {
        email: String,
    },
    EndSessionsByEmail {
        email: String,
    },
    /// Ends those of everybody; answers with the [`crate::domain::clock::Timestamp`] up to which they were started.
    EndAllSessions,
    /// A row of the directory: [`crate::domain::person::DirectoryEntry`].
    ShowUser(PersonKey),
    /// The row and the sessions: [`crate::flow::PersonExport`].
    ExportUser(PersonKey),
    /// Ends the sessions and forgets the row: [`crate::flow::ErasedPerson`].
    EraseUser {
        sub: String,
    },
    /// The registered clients: [`crate::domain::client_registration::ClientList`].
    ListClients,
    /// Changes those in the store; answers with nothing.
    ChangeClient(ClientChange),
}

impl OperatorCommand {
    /// Does it for the user `uid` of this machine, and records that.
    async fn execute(&self, rp: &RelyingParty, uid: Option<u32>) -> Result<Value, Error> {
        let answer = self.try_execute(rp).await;
        rp.audit.record(&self.record(uid, answer.is_ok()));
        answer
    }

    fn record(&self, uid: Option<u32>, done: bool) -> AuditEvent {
        let (command, about, session) = match self {
            Self::ListSessions { sub } => ("sessions list", Some(sub.as_str()), None),
            Self::EndSessions { sub, handle } => ("sessions end", Some(sub.as_str()), handle.as_deref()),
            Self::ListSessionsByEmail { email } => ("sessions list --email", Some(email.as_str()), None),
            Self::EndSessionsByEmail { email } => ("sessions end --email", Some(email.as_str()), None),
            Self::EndAllSessions => ("sessions end --all", None, None),
            Self::ShowUser(PersonKey::Sub(sub)) => ("users show", Some(sub.as_str()), None),
            Self::ShowUser(PersonKey::Email(email)) => ("users show --email", Some(email.as_str()), None),
            Self::ExportUser(PersonKey::Sub(sub)) => ("users export", Some(sub.as_str()), None),
            Self::ExportUser(PersonKey::Email(email)) => ("users export --email", Some(email.as_str()), None),
            Self::EraseUser { sub } => ("users erase", Some(sub.as_str()), None),
            Self::ListClients => ("client list", None, None),
            Self::ChangeClient(change) => {
                let (command, client) = change.name();
                (command, Some(client), None)
            }
        };
        AuditEvent::OperatorCommand {
            command,
            uid,
            about: about.map(audit::text),
            session: session.map(audit::text),
            done,
        }
    }

    async fn try_execute(&self, rp: &RelyingParty) -> Result<Value, Error> {
        let answer = match self {
            Self::ListSessions { sub } => serde_json::to_value(rp.sessions_of(sub).await?),
            Self::EndSessions { sub, handle } => {
                serde_json::to_value(rp.end_sessions_of(sub, handle.as_deref()).await?)
            }
            Self::ListSessionsByEmail { email } => serde_json::to_value(rp.sessions_with_email(email).await?),
            Self::EndSessionsByEmail { email } => serde_json::to_value(rp.end_sessions_with_email(email).await?),
            Self::EndAllSessions => serde_json::to_value(rp.end_all_sessions().await?),
            Self::ShowUser(key) => serde_json::to_value(rp.find_person(key).await?),
            Self::ExportUser(key) => serde_json::to_value(rp.export_person(key).await?),
            Self::EraseUser { sub } => serde_json::to_value(rp.erase_person(sub).await?),
            Self::ListClients => serde_json::to_value(rp.list_clients().await?),
            Self::ChangeClient(change) => serde_json::to_value(rp.change_clients(change).await?),
        };
        Ok(answer.expect("an answer is plain data"))
    }
}

/// Has `command` done by the service that runs with `config`, or over its store.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub(super) async fn execute<T: DeserializeOwned>(config: &Config, command: &OperatorCommand) -> Result<T, Error> {
    let answer = match &config.session.store {
        // The configuration's clients and the directory are known without a store.
        StoreUrl::Memory if !matches!(command, OperatorCommand::ListClients | OperatorCommand::ShowUser(_)) => {
            return Err(Error::OnlyInMemory);
        }
        StoreUrl::Redb(path) => in_file(config, path, command).await?,
        StoreUrl::Memory | StoreUrl::Redis(_) | StoreUrl::Postgres(_) => alone(config, command).await?,
    };
    serde_json::from_value(answer).map_err(|_| Error::OtherVersion)
}

/// The service, once a command or a predecessor that still has the file lets go of it.
///
/// # Errors
/// As [`App::build`].
pub async fn build_patiently(config: &Config) -> Result<App, Error> {
    for _ in 1..BUSY_ATTEMPTS {
        match App::build(config, Arc::new(SystemClock)) {
            Err(Error::Store(OpenError::InUse { .. })) => tokio::time::sleep(BUSY_PAUSE).await,
            built => return built,
        }
    }
    App::build(config, Arc::new(SystemClock))
}

/// By the service that has the file open, or without one. Tries again for a while if one has it and does not listen: it
/// is starting, or ending.
async fn in_file(config: &Config, path: &Path, command: &OperatorCommand) -> Result<Value, Error> {
    for attempt in 1.. {
        if let Some(answer) = ask(path, command).await {
            return answer;
        }
        if !path.exists() {
            return Err(Error::NoStore(path.display().to_string()));
        }
        match alone(config, command).await {
            Err(Error::Busy(_)) if attempt < BUSY_ATTEMPTS => tokio::time::sleep(BUSY_PAUSE).await,
            answer => return answer,
        }
    }
    unreachable!("the last attempt returns")
}

/// `config` for a command: where it cannot write the audit file, its records go to the log.
pub(super) fn written_by_commands(config: &Config) -> Config {
    let mut config = config.clone();
    if let AuditStream::File(path) = &config.telemetry.audit
        && let Err(error) = OpenOptions::new().append(true).open(path)
    {
        // Not made here: the service could not write what another user owns.
        tracing::warn!(target: AUDIT_TARGET, path = %path.display(), %error, "audit file not written by this command");
        config.telemetry.audit = AuditStream::Log;
    }
    config
}

/// In this process, over the configured store.
async fn alone(config: &Config, command: &OperatorCommand) -> Result<Value, Error> {
    let config = written_by_commands(config);
    let app = App::build(&config, Arc::new(SystemClock)).map_err(|error| match error {
        Error::Store(in_use @ OpenError::InUse { .. }) => Error::Busy(in_use),
        other => other,
    })?;
    let answer = command.execute(&app.rp, own_uid()).await;
    app.rp.audit.flush();
    answer
}

#[cfg(unix)]
pub(super) fn own_uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|process| process.uid())
}

#[cfg(not(unix))]
pub(super) fn own_uid() -> Option<u32> {
    None
}

fn socket_path(store: &Path) -> PathBuf {
    PathBuf::from(format!("{}.sock", store.display()))
}

#[cfg(unix)]
use unix::ask;
#[cfg(unix)]
pub(super) use unix::listen;

/// Asks nobody.
#[cfg(not(unix))]
async fn ask(_: &Path, _: &OperatorCommand) -> Option<Result<Value, Error>> {
    None
}

#[cfg(unix)]
mod unix {
    use super::{OperatorCommand, socket_path};
    use crate::app::Error;
    use crate::flow::RelyingParty;
    use crate::web::SocketFile;
    use serde_json::Value;
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::time::timeout;

    /// No command is longer, bytes.
    const COMMAND_MAX: u64 = 64 << 10;
    /// How long a command may take to arrive, and its answer to be taken.
    const IO_TIMEOUT: Duration = Duration::from_secs(5);
    /// No answer is longer, bytes.
    const ANSWER_MAX: u64 = 64 << 20;
    /// How long a command may take: the provider is asked to revoke tokens.
    const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
    const ROOT: u32 = 0;

    /// Asks the service that has the file `store` open; `None` if there is none.
    pub(in crate::app) async fn ask(store: &Path, command: &OperatorCommand) -> Option<Result<Value, Error>> {
        let stream = UnixStream::connect(socket_path(store)).await.ok()?;
        let asked = async {
            let owner = std::fs::metadata(store)?.uid();
            admit(&stream, owner)?;
            exchange(stream, command).await
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing came within {ANSWER_TIMEOUT:?}"));
        let answer = timeout(ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| Err(late()));
        let answer =
            answer.and_then(|answer| serde_json::from_slice::<Result<Value, String>>(&answer).map_err(Into::into));
        Some(match answer {
            Ok(answer) => answer.map_err(Error::Refused),
            Err(error) => Err(Error::NoAnswer(error)),
        })
    }

    async fn exchange(mut stream: UnixStream, command: &OperatorCommand) -> io::Result<Vec<u8>> {
        stream.write_all(&serde_json::to_vec(command)?).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
    }

    /// The user at the other end. Refused unless it is `owner` or root.
    fn admit(stream: &UnixStream, owner: u32) -> io::Result<u32> {
        match stream.peer_cred()?.uid() {
            uid if uid == owner || uid == ROOT => Ok(uid),
            uid => Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the user {uid} is a stranger"))),
        }
    }

    /// Does the commands of operators. The caller has the file `store` open, so that no other process uses its socket.
    pub(in crate::app) async fn listen(rp: Arc<RelyingParty>, store: PathBuf) {
        let path = socket_path(&store);
        let bound = SocketFile::replace(&path, 0o600).and_then(|(listener, file)| {
            listener.set_nonblocking(true)?;
            Ok((UnixListener::from_std(listener)?, file))
        });
        let (listener, file) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "operator socket unavailable: commands need the service to be stopped");
                return std::future::pending().await;
            }
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (rp, owner) = (rp.clone(), file.owner());
                    tokio::spawn(async move {
                        if let Err(error) = answer(&rp, stream, owner).await {
                            tracing::warn!(%error, "operator command failed");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "operator socket failed");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn answer(rp: &RelyingParty, mut stream: UnixStream, owner: u32) -> io::Result<()> {
        let uid = admit(&stream, owner)?;
        let mut command = Vec::new();
        let mut request = (&mut stream).take(COMMAND_MAX);
        timeout(IO_TIMEOUT, request.read_to_end(&mut command)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let answer = match serde_json::from_slice::<OperatorCommand>(&command) {
            Ok(command) => command.execute(rp, Some(uid)).await.map_err(|error| error.to_string()),
            Err(_) => Err(Error::OtherVersion.to_string()),
        };
        let answer = serde_json::to_vec(&answer)?;
        timeout(IO_TIMEOUT, stream.write_all(&answer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.shutdown().await
    }
}
