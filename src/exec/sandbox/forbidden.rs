//! Why the machine refuses user namespaces, and what its owner can do.

use std::path::Path;

use crate::exec::files::read_limited;

/// What keeps a user from making user namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// `user.max_user_namespaces` is 0.
    #[error("user.max_user_namespaces is 0")]
    Limit,
    /// Debian's own switch `kernel.unprivileged_userns_clone` is 0.
    #[error("kernel.unprivileged_userns_clone is 0")]
    Switch,
    /// Ubuntu's `AppArmor` takes the capabilities away.
    #[error("AppArmor restricts unprivileged user namespaces")]
    AppArmor,
    /// The kernel refuses for another reason, such as the seccomp filter of a container.
    #[error("the kernel answers {}", std::io::Error::from_raw_os_error(*.errno))]
    Refused {
        /// The kernel's error number.
        errno: i32,
    },
}

impl Obstacle {
    /// What can be done, in one sentence.
    pub fn help(self) -> &'static str {
        match self {
            Self::Limit => {
                "Run `sysctl -w user.max_user_namespaces=15000` as root; a file in /etc/sysctl.d keeps it."
            }
            Self::Switch => {
                "Run `sysctl -w kernel.unprivileged_userns_clone=1` as root; a file in /etc/sysctl.d keeps it."
            }
            Self::AppArmor => {
                "Run `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root, or give nexus-host an AppArmor profile with `userns,`."
            }
            Self::Refused { .. } => {
                "If this is a container, start it with a seccomp profile that allows user namespaces and an unmasked /proc."
            }
        }
    }

    /// Looks at the switches of the machine for the reason of `errno`.
    pub(super) fn look(errno: i32) -> Self {
        Self::from_switches(errno, |name| {
            let bytes = read_limited(&Path::new("/proc/sys").join(name), 64).ok()?;
            String::from_utf8(bytes).ok()?.trim().parse().ok()
        })
    }

    fn from_switches(errno: i32, switch: impl Fn(&str) -> Option<u64>) -> Self {
        if switch("user/max_user_namespaces") == Some(0) {
            Self::Limit
        } else if switch("kernel/unprivileged_userns_clone") == Some(0) {
            Self::Switch
        } else if switch("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
            Self::AppArmor
        } else {
            Self::Refused { errno }
        }
    }
}

#[cfg(test)]
mod tests;
