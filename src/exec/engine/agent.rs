//! Step: `nexus-agent` and its units → files of every host.
//!
//! | file | what it is |
//! |---|---|
//! | `usr/lib/nexus-host/nexus-agent` | the program |
//! | `usr/lib/systemd/system/nexus-boot.service` | after a boot: what became of a trial? |
//! | `usr/lib/systemd/system/nexus-bless.service` | after `boot-complete.target`: is a trial good? |

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::StepError;
use crate::exec::files::{FileError, write_scratch};
use crate::exec::init_program::NEXUS_AGENT;
use crate::exec::store::References;
use crate::tree::{Entry, FileBeside, Manifest, Node, TreePath};

/// Where the program lies on a host.
const PROGRAM: &str = "usr/lib/nexus-host/nexus-agent";
/// Where units of packages lie.
const UNITS: &str = "usr/lib/systemd/system";
/// Looks early whether this boot is a trial, so that the way back is armed before much can hang.
const BOOT_UNIT: &str = "\
[Unit]
Description=What became of the generation on trial
DefaultDependencies=no
ConditionKernelCommandLine=!nexus.root=memory
After=local-fs.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/nexus-host/nexus-agent boot
X-RestartIfChanged=false
";
/// Decides about a trial that nobody outside judges.
const BLESS_UNIT: &str = "\
[Unit]
Description=Keep this boot's generation when the host is healthy
ConditionKernelCommandLine=!nexus.root=memory
Requires=boot-complete.target
After=boot-complete.target nexus-boot.service ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/nexus-host/nexus-agent bless
X-RestartIfChanged=false
";
/// Units by name, with the target that wants each.
const ALL_UNITS: [(&str, &str, &str); 2] = [
    ("nexus-boot.service", BOOT_UNIT, "sysinit.target"),
    ("nexus-bless.service", BLESS_UNIT, "multi-user.target"),
];

pub(super) fn run(epoch: u64, into: &Path) -> Result<References, StepError> {
    let mut manifest = Manifest::default();
    let mut add = |path: &str, mode: u16, node: Node<FileBeside>| {
        let path = TreePath::new(path).expect("the names are constants");
        let entry = Entry { mode, uid: 0, gid: 0, mtime: epoch, xattrs: BTreeMap::new(), node };
        manifest.entries.insert(path, entry);
    };
    let file = |bytes: &[u8]| Node::File(FileBeside { size: bytes.len() as u64 });
    add(PROGRAM, 0o755, file(NEXUS_AGENT));
    let program = into.join("data").join(PROGRAM);
    write_scratch(&program, NEXUS_AGENT)?;
    std::fs::set_permissions(&program, Permissions::from_mode(0o755))
        .map_err(FileError::at("set the mode of", &program))?;
    for (name, text, target) in ALL_UNITS {
        let place = format!("{UNITS}/{name}");
        add(&place, 0o644, file(text.as_bytes()));
        write_scratch(&into.join("data").join(&place), text.as_bytes())?;
        let link = format!("{UNITS}/{target}.wants/{name}");
        let to = format!("../{name}");
        add(&link, 0o777, Node::Symlink(to.clone().into_bytes()));
        let at = into.join("data").join(&link);
        let folder = at.parent().expect("it lies in a folder");
        std::fs::create_dir_all(folder).map_err(FileError::at("create", folder))?;
        symlink(to, &at).map_err(FileError::at("make the link", &at))?;
    }
    write_scratch(&into.join("manifest"), manifest.to_text().as_bytes())?;
    Ok(References::None)
}
