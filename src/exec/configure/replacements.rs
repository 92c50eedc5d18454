//! Programs that must do nothing while packages are configured, and what stands in for them.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::TreePath;

/// Gives its place to a link to `/usr/bin/true`: what it would do is done otherwise.
const NOTHING: &[&str] = &[
    // Done by recipes of their own, each with the real program on only what it needs.
    "usr/sbin/depmod",
    "usr/sbin/update-initramfs",
    "usr/bin/systemd-hwdb",
    "usr/sbin/update-ca-certificates",
    // Identity and data of one host, which must not be shared: made at its first boot.
    "usr/bin/ssh-keygen",
    "usr/bin/dbus-uuidgen",
    "usr/bin/systemd-machine-id-setup",
    "usr/sbin/make-ssl-cert",
    "usr/bin/pg_createcluster",
    // Units are enabled by the host's presets alone; nothing is started while building.
    "usr/bin/deb-systemd-helper",
    "usr/bin/deb-systemd-invoke",
    "usr/bin/systemctl",
    "usr/sbin/invoke-rc.d",
    "usr/sbin/service",
    "usr/sbin/update-rc.d",
    // Caches, which the running system makes when it wants them.
    "usr/bin/journalctl",
    "usr/bin/mandb",
    "usr/bin/py3compile",
    "usr/bin/py3clean",
];

/// The program that scripts ask whether a service may be started; 101 is "no". Source: Debian's
/// `/usr/share/doc/init-system-helpers/README.policy-rc.d.gz`.
const POLICY: (&str, &str) = ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");

/// Compiles Python's own modules, one such file a Python version; the results would be left out.
const PYTHON_COMPILER: (&str, &str) = ("usr/lib/python3.", "/py_compile.py");

/// `su` says no when asked whether the other user owns something: to programs here everybody is
/// root and owns everything, so a script that asks would leave the owner as it is.
const SU: (&str, &str) = (
    "usr/bin/su",
    "#!/bin/sh\nfor word; do\n  case $word in *'test -O'*|*'test -G'*) exit 1;; esac\ndone\n\
     exec /usr/lib/nexus-host/su \"$@\"\n",
);

/// Where the real `su` is meanwhile.
const REAL_SU: &str = "usr/lib/nexus-host/su";

/// Where the program that does nothing is.
pub(super) const TRUE: &str = "/usr/bin/true";

/// What stands at a path instead of the real program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replacement {
    /// A link to this path.
    Link(&'static str),
    /// A script.
    Script(&'static str),
    /// A copy of what the packages have at this path.
    Copy(&'static str),
}

/// The replacements for packages that hold `paths`.
///
/// A program that no package holds gets none: scripts look whether it is there.
pub(super) fn replacements<'a>(
    paths: impl Iterator<Item = &'a TreePath>,
) -> BTreeMap<TreePath, Replacement> {
    let path = |text: &str| TreePath::new(text).expect("the constants are paths");
    let nothing: BTreeSet<TreePath> = NOTHING.iter().map(|name| path(name)).collect();
    let mut replaced = BTreeMap::from([(path(POLICY.0), Replacement::Script(POLICY.1))]);
    let (mut mawk, mut awk) = (false, false);
    for held in paths {
        mawk |= held.as_bytes() == b"usr/bin/mawk";
        awk |= held.as_bytes() == b"usr/bin/awk";
        if nothing.contains(held) {
            replaced.insert(held.clone(), Replacement::Link(TRUE));
        } else if held.as_bytes() == SU.0.as_bytes() {
            replaced.insert(held.clone(), Replacement::Script(SU.1));
            replaced.insert(path(REAL_SU), Replacement::Copy(SU.0));
        } else if is_python_compiler(held) {
            replaced.insert(held.clone(), Replacement::Script(""));
        }
    }
    if mawk && !awk {
        // mawk makes this link when it is configured, which is too late for scripts of others.
        replaced.insert(path("usr/bin/awk"), Replacement::Link("mawk"));
    }
    replaced
}

fn is_python_compiler(path: &TreePath) -> bool {
    let rest = path.as_bytes().strip_prefix(PYTHON_COMPILER.0.as_bytes());
    let version = rest.and_then(|rest| rest.strip_suffix(PYTHON_COMPILER.1.as_bytes()));
    version.is_some_and(|version| version.iter().all(u8::is_ascii_digit))
}

/// Whether what scripts did to `path` was done to a replacement, not to the program.
pub(super) fn is_replaced(path: &TreePath) -> bool {
    let bytes = path.as_bytes();
    let names = NOTHING.iter().copied().chain([POLICY.0, SU.0, REAL_SU]);
    names.map(str::as_bytes).any(|name| name == bytes) || is_python_compiler(path)
}
