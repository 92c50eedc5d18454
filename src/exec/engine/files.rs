//! Step: the host's own files, and account files with what the packages made.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Engine, Inputs, StepError};
use crate::debian::accounts::{AccountFiles, Accounts};
use crate::exec::files::{FileError, read_limited, write_scratch};
use crate::exec::store::References;
use crate::lower::accounts::host_accounts;
use crate::lower::recipe::{HostContent, HostFile, Role, Step};
use crate::store::StorePath;
use crate::tree::{Entry, FileBeside, Manifest, Node, TreePath};

/// Most bytes of an account file.
const ACCOUNT_BYTES_MAX: u64 = 4 << 20;

pub(super) fn run(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    into: &Path,
) -> Result<References, StepError> {
    let Step::Files { files, groups, accounts, ids, epoch } = &inputs.recipe.step else {
        unreachable!("the engine calls each step with its own recipe")
    };
    let packages = package_accounts(engine, inputs.one(Role::Delta))?;
    let all_accounts = host_accounts(&packages, groups, accounts, ids, *epoch)?;
    let texts = all_accounts.to_files();
    let mut all = files.clone();
    for (name, text, mode, group) in [
        ("passwd", texts.passwd, 0o644, "root"),
        ("group", texts.group, 0o644, "root"),
        ("shadow", texts.shadow, 0o640, "shadow"),
        ("gshadow", texts.gshadow, 0o640, "shadow"),
        // systemd takes the id from a file that nexus-init binds over this one.
        ("machine-id", Vec::new(), 0o444, "root"),
    ] {
        let path = TreePath::new(format!("etc/{name}")).expect("the name is a constant");
        let content = HostContent::Bytes(text);
        all.insert(path, HostFile { content, mode, user: "root".into(), group: group.into() });
    }
    let mut manifest = Manifest::default();
    for (path, file) in &all {
        let owner = owner_of(file, &all_accounts)?;
        manifest.entries.insert(path.clone(), entry_of(file, owner, *epoch));
        write_content(path, file, into)?;
    }
    write_scratch(&into.join("manifest"), manifest.to_text().as_bytes())?;
    Ok(References::None)
}

/// Accounts as the maintainer scripts left them; none where they left no file.
pub(super) fn package_accounts(
    engine: &Engine<'_>,
    delta: &StorePath,
) -> Result<Accounts, StepError> {
    let read = |name: &str| -> Result<Vec<u8>, StepError> {
        let path = engine.real(delta, "data/etc").join(name);
        if path.exists() { Ok(read_limited(&path, ACCOUNT_BYTES_MAX)?) } else { Ok(Vec::new()) }
    };
    let files = AccountFiles {
        passwd: read("passwd")?,
        group: read("group")?,
        shadow: read("shadow")?,
        gshadow: read("gshadow")?,
    };
    Ok(Accounts::parse(&files)?)
}

fn owner_of(file: &HostFile, accounts: &Accounts) -> Result<(u32, u32), StepError> {
    let unknown = |name: &str| StepError::UnknownOwner { name: name.to_owned() };
    let user = accounts.users.get(file.user.as_str()).map(|user| user.uid);
    let group = accounts.groups.get(file.group.as_str()).map(|group| group.gid);
    // Root is there also where no package brings account files.
    let or_root = |id: Option<u32>, name: &str| if name == "root" { Some(0) } else { id };
    Ok((
        or_root(user, &file.user).ok_or_else(|| unknown(&file.user))?,
        or_root(group, &file.group).ok_or_else(|| unknown(&file.group))?,
    ))
}

fn entry_of(file: &HostFile, (uid, gid): (u32, u32), epoch: u64) -> Entry<FileBeside> {
    let node = match &file.content {
        HostContent::Bytes(bytes) => Node::File(FileBeside { size: bytes.len() as u64 }),
        HostContent::Link(target) => Node::Symlink(target.clone().into_bytes()),
    };
    Entry { mode: file.mode, uid, gid, mtime: epoch, xattrs: BTreeMap::new(), node }
}

fn write_content(path: &TreePath, file: &HostFile, into: &Path) -> Result<(), StepError> {
    let target = into.join("data").join(path.to_path());
    match &file.content {
        HostContent::Bytes(bytes) => {
            write_scratch(&target, bytes)?;
            let mode = Permissions::from_mode(u32::from(file.mode & 0o755) | 0o400);
            std::fs::set_permissions(&target, mode)
                .map_err(FileError::at("set the mode of", &target))?;
        }
        HostContent::Link(to) => {
            let parent = target.parent().expect("it lies below data");
            std::fs::create_dir_all(parent).map_err(FileError::at("create", parent))?;
            std::os::unix::fs::symlink(to, &target)
                .map_err(FileError::at("make the link", &target))?;
        }
    }
    Ok(())
}
