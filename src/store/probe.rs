//! What can be found out about the session store before the service starts, without leaving anything behind: files
//! would belong to whoever asks.

use super::{OpenError, Warning, open};
use crate::config::{SessionConfig, StoreUrl};
use crate::domain::finding::Finding;
use crate::domain::seal::{KeyRing, random};
use std::fs::OpenOptions;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// Asks the store that `config` names, and how it is set up.
pub async fn probe(config: &SessionConfig, ring: &Arc<KeyRing>) -> Vec<Finding> {
    if let StoreUrl::Redb(path) = &config.store
        && let Some(finding) = place(path)
    {
        return vec![finding];
    }
    let store = match open(config, ring) {
        Ok(store) => store,
        Err(OpenError::InUse { .. }) => {
            return vec![Finding::Good("the session store is in use by a running service".to_owned())];
        }
        Err(error) => return vec![Finding::Bad(error.to_string())],
    };
    if let Err(error) = store.ping().await {
        return vec![Finding::Bad(error.to_string())];
    }
    let mut findings = vec![Finding::Good("the session store answers".to_owned())];
    match store.warnings().await {
        Ok(warnings) => findings.extend(warnings.into_iter().map(|warning| match warning {
            Warning::Eviction { .. } => Finding::Bad(warning.to_string()),
            Warning::EvictionUnknown { .. } => Finding::NotKnown(warning.to_string()),
        })),
        Err(error) => findings.push(Finding::NotKnown(format!("how the session store is set up: {error}"))),
    }
    findings
}

/// What is known of a session file without opening it; `None` for one that can be opened.
fn place(path: &Path) -> Option<Finding> {
    let bad = |why: &str| Some(Finding::Bad(format!("{} cannot be the session file: {why}", path.display())));
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => bad("it is a folder. Name a file in it"),
        Ok(found) if !found.is_file() => bad("it is no regular file. Name another"),
        Ok(_) => None,
        Err(_) if path.symlink_metadata().is_ok() => {
            bad("it is a link that leads nowhere. Remove it, or name the file itself")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match try_create_file(folder) {
                Ok(()) => Some(Finding::Good("the session file will be made at the first start".to_owned())),
                Err(why) => bad(&format!(
                    "no file can be made in {} ({why}). Make the folder, and let the service's user write there",
                    folder.display()
                )),
            }
        }
        Err(error) => bad(&error.to_string()),
    }
}

/// Creates a file in `folder` and removes it: only that shows whether mounts, quotas and access lists allow it.
fn try_create_file(folder: &Path) -> Result<(), Error> {
    let file = folder.join(format!(".auth-api-check-{:016x}", u64::from_le_bytes(random())));
    OpenOptions::new().write(true).create_new(true).open(&file)?;
    std::fs::remove_file(&file)
}
