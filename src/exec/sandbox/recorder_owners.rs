//! What the recorder does with a change of owner: the file becomes root's, the wish is noted.
//!
//! The note is an extended attribute where a file can have one, so that it goes where the file goes;
//! for symbolic links, pipes and sockets it is the file's number. Programs that rewrite a file
//! through a new one give it the owner they see, which is root; so the owners that paths had are
//! noted too.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use serde::{Deserialize, Serialize};

/// The attribute that holds the owner of a file or directory, as `uid:gid`.
///
/// `0:0` stands only at files whose owner was set to root by a call.
pub const OWNER_ATTRIBUTE: &str = "user.nexus-host.owner";

/// Owner and group, numeric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Owners that do not stand at files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Owners {
    /// By file number, of what cannot have attributes. Files on other file systems than the changes
    /// may be among them.
    pub by_inode: BTreeMap<u64, Owner>,
    /// By absolute path inside, the last owner other than root that a call has set. A file that is
    /// found there with the attribute `0:0` is a rewritten one and has this owner.
    pub by_path: BTreeMap<PathBuf, Owner>,
    /// How often the kernel asked.
    pub questions: u64,
}

/// Notes changes of owners; one for all commands of a sandbox.
#[derive(Debug)]
pub(super) struct Recorder {
    owners: Owners,
}

/// The ids that a call asks for; [`u32::MAX`] leaves one as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The file that a call is about, as the process names it.
#[derive(Debug)]
pub(super) enum Target {
    /// An open file.
    Descriptor { descriptor: i32 },
    /// A path, from a directory.
    Path { directory: i32, path: PathBuf, follow: bool },
}

impl Target {
    /// The target of `fchownat` with these arguments.
    pub(super) fn at(directory: i32, path: Vec<u8>, flags: i32) -> io::Result<Self> {
        use std::os::unix::ffi::OsStringExt as _;
        if path.is_empty() {
            if flags & libc::AT_EMPTY_PATH == 0 {
                return Err(rustix::io::Errno::NOENT.into());
            }
            return Ok(Self::Descriptor { descriptor: directory });
        }
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
        let path = std::ffi::OsString::from_vec(path).into();
        Ok(Self::Path { directory, path, follow })
    }

    /// Opens the file as `process` would find it.
    pub(super) fn open(&self, process: u32) -> io::Result<OwnedFd> {
        let plain = OFlags::PATH | OFlags::CLOEXEC;
        let magic = |name: &str| -> io::Result<OwnedFd> {
            let path = format!("/proc/{process}/{name}");
            Ok(rustix::fs::open(path, plain, Mode::empty())?)
        };
        let start = |descriptor: i32| match descriptor {
            libc::AT_FDCWD => magic("cwd"),
            _ => magic(&format!("fd/{descriptor}")).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => rustix::io::Errno::BADF.into(),
                _ => error,
            }),
        };
        match self {
            Self::Descriptor { descriptor } => start(*descriptor),
            Self::Path { directory, path, follow } => {
                let stay = if *follow { OFlags::empty() } else { OFlags::NOFOLLOW };
                if path.is_absolute() {
                    // In case the process has changed its root.
                    let (root, flags) = (magic("root")?, plain | stay);
                    let inside = ResolveFlags::IN_ROOT;
                    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), inside)?)
                } else {
                    Ok(rustix::fs::openat(start(*directory)?, path, plain | stay, Mode::empty())?)
                }
            }
        }
    }
}

impl Recorder {
    pub(super) fn new(known: BTreeMap<PathBuf, Owner>) -> Self {
        Self { owners: Owners { by_path: known, ..Owners::default() } }
    }

    /// Does what the kernel would do for root, and notes the owner.
    pub(super) fn apply(&mut self, file: &OwnedFd, change: Change) -> io::Result<()> {
        self.owners.questions += 1;
        let place = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let stat = rustix::fs::fstat(file)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let before = self.owner(&place, stat.st_ino);
        // Even without a change of ids this clears setuid and brings the file into the upper layer.
        let uid = (change.uid != u32::MAX).then_some(Uid::ROOT);
        let gid = (change.gid != u32::MAX).then_some(Gid::ROOT);
        rustix::fs::chownat(file, "", uid, gid, AtFlags::EMPTY_PATH)?;
        let owner = Owner {
            uid: if change.uid == u32::MAX { before.uid } else { change.uid },
            gid: if change.gid == u32::MAX { before.gid } else { change.gid },
        };
        self.note(file, &place, kind, owner)?;
        self.note_path(&place, owner);
        Ok(())
    }

    pub(super) fn into_owners(self) -> Owners {
        self.owners
    }

    fn owner(&self, place: &Path, inode: u64) -> Owner {
        let noted = self.owners.by_inode.get(&inode).copied();
        noted.or_else(|| read_owner(place)).unwrap_or_default()
    }

    fn note(
        &mut self,
        file: &OwnedFd,
        place: &Path,
        kind: FileType,
        owner: Owner,
    ) -> io::Result<()> {
        if matches!(kind, FileType::RegularFile | FileType::Directory) {
            let text = owner.to_string();
            let flags = XattrFlags::empty();
            match rustix::fs::setxattr(place, OWNER_ATTRIBUTE, text.as_bytes(), flags) {
                // Old kernels have no such attributes in a tmpfs; nothing is kept from there.
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        // Asked again: bringing a file into the upper layer may have given it a new number.
        let inode = rustix::fs::fstat(file)?.st_ino;
        self.owners.by_inode.insert(inode, owner);
        Ok(())
    }

    fn note_path(&mut self, place: &Path, owner: Owner) {
        let Ok(path) = std::fs::read_link(place) else {
            return;
        };
        if owner == Owner::default() {
            self.owners.by_path.remove(&path);
        } else if path.as_os_str().as_bytes().starts_with(b"/") {
            self.owners.by_path.insert(path, owner);
        }
    }
}

/// The owner that is noted at a file itself.
pub(super) fn read_owner(path: &Path) -> Option<Owner> {
    let mut bytes = [0; 32];
    let count = rustix::fs::getxattr(path, OWNER_ATTRIBUTE, &mut bytes[..]).ok()?;
    std::str::from_utf8(&bytes[..count]).ok()?.parse().ok()
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// Text that is not `uid:gid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an owner is written as two numbers with a colon between them")]
pub struct OwnerTextError;

impl FromStr for Owner {
    type Err = OwnerTextError;

    fn from_str(text: &str) -> Result<Self, OwnerTextError> {
        let (uid, gid) = text.split_once(':').ok_or(OwnerTextError)?;
        let number = |text: &str| text.parse().map_err(|_| OwnerTextError);
        Ok(Self { uid: number(uid)?, gid: number(gid)? })
    }
}
