//! The file of a Unix socket: made with its mode before anybody can connect, and removed only while it is ours.

use crate::domain::seal::random;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// The name of a socket that somebody listens at; removed when it is dropped, unless another file has that name by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: FileIdentity,
    owner: u32,
}

/// Device, inode, and when it was made: the number of an inode is given again.
#[derive(Debug, PartialEq)]
struct FileIdentity(u64, u64, i64, i64);

impl From<&Metadata> for FileIdentity {
    fn from(file: &Metadata) -> Self {
        Self(file.dev(), file.ino(), file.mtime(), file.mtime_nsec())
    }
}

impl SocketFile {
    /// Listens at `path`, whatever has that name.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn replace(path: &Path, mode: u32) -> io::Result<(UnixListener, Self)> {
        Self::make(path, mode, |new| fs::rename(new, path))
    }

    /// Listens at `path` in place of a process that is gone.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens there, `AlreadyExists` if the file is no socket, and others of the operating
    /// system.
    pub async fn claim(path: &Path, mode: u32) -> io::Result<(UnixListener, Self)> {
        let stale = stale_socket(path).await?;
        Self::make(path, mode, |new| {
            if let Some(stale) = stale {
                // Another process may have claimed it since: what is moved aside is looked at once more.
                let aside = new.with_file_name("o");
                fs::rename(path, &aside)?;
                if FileIdentity::from(&fs::symlink_metadata(&aside)?) != stale {
                    fs::hard_link(&aside, path)?;
                    return Err(in_use());
                }
            }
            fs::hard_link(new, path)
        })
    }

    /// The user that it belongs to.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a socket in a folder that nobody else can enter, and has `name` give it its name once it has its mode.
    fn make(path: &Path, mode: u32, name: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<(UnixListener, Self)> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let private = folder.join(format!(".{:08x}", u32::from_le_bytes(random())));
        DirBuilder::new().mode(0o700).create(&private)?;
        let made = || {
            let new = private.join("s");
            let listener = UnixListener::bind(&new)?;
            fs::set_permissions(&new, Permissions::from_mode(mode))?;
            let file = fs::symlink_metadata(&new)?;
            name(&new)?;
            Ok((listener, Self { path: path.to_owned(), identity: FileIdentity::from(&file), owner: file.uid() }))
        };
        let made = made();
        let _ = fs::remove_dir_all(&private);
        made
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| FileIdentity::from(&file) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What a process that is gone has left at `path`.
async fn stale_socket(path: &Path) -> io::Result<Option<FileIdentity>> {
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.file_type().is_socket() {
        let why = "a file that is no socket has that name; remove it, or choose another name";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Some(FileIdentity::from(&file))),
        // Too many others wait for an answer.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Err(in_use()),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, "it is in use by another process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_several_that_find_a_stale_socket_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let path = folder.path().join(round.to_string());
            drop(UnixListener::bind(&path).unwrap());
            let claim = || {
                tokio::spawn({
                    let path = path.clone();
                    async move { SocketFile::claim(&path, 0o660).await }
                })
            };
            let (first, second) = tokio::join!(claim(), claim());
            let both = [first.unwrap(), second.unwrap()];
            let listening: Vec<_> = both.into_iter().flatten().collect();
            assert_eq!(listening.len(), 1);
            assert_eq!(FileIdentity::from(&fs::symlink_metadata(&path).unwrap()), listening[0].1.identity);
            drop(listening);
            assert!(!path.exists());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
