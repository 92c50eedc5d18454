//! How deep a change goes: the least that the difference needs and the policy allows.

use crate::generation::Level;

/// What of a system only a boot can change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemFacts {
    /// Where the kernel lies, as the system's link says.
    pub kernel: Option<String>,
    /// Where the first file system of a boot lies.
    pub initrd: Option<String>,
    /// The kernel's arguments.
    pub arguments: String,
    /// Directories in `/` that mounts need.
    pub mount_points: Vec<String>,
}

/// What the owner of the host allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The least level that is wanted, whatever the difference is.
    pub at_least: Level,
    /// Whether the running system may be changed.
    pub live: bool,
    /// Whether user space may be started anew without the kernel.
    pub soft_reboot: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { at_least: Level::Live, live: true, soft_reboot: true }
    }
}

/// The level of a change, and a sentence for each reason that it is not less.
///
/// A level that the policy forbids becomes the next one; it never stalls.
pub fn plan_level(old: &SystemFacts, new: &SystemFacts, policy: Policy) -> (Level, Vec<String>) {
    let mut why = Vec::new();
    let mut level = Level::Live;
    let differences = [
        (old.kernel != new.kernel, Level::Reboot, "the kernel changes"),
        (old.initrd != new.initrd, Level::Reboot, "the initrd changes"),
        (old.arguments != new.arguments, Level::Reboot, "the kernel's arguments change"),
        (
            new.mount_points.iter().any(|point| !old.mount_points.contains(point)),
            Level::SoftReboot,
            "the root directory gets new mount points",
        ),
    ];
    for (differs, needed, reason) in differences {
        if differs {
            level = level.max(needed);
            why.push(reason.to_owned());
        }
    }
    if policy.at_least > level {
        level = policy.at_least;
        why.push(format!("a {level} was asked for"));
    }
    if level == Level::Live && !policy.live {
        level = Level::SoftReboot;
        why.push("the host's policy forbids to change it while it runs".to_owned());
    }
    if level == Level::SoftReboot && !policy.soft_reboot {
        level = Level::Reboot;
        why.push("the host's policy forbids soft reboots".to_owned());
    }
    (level, why)
}
