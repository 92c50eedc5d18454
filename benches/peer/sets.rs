//! The package sets that are built.

/// A named list of Debian packages.
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) packages: Vec<&'static str>,
    /// How many times faster than the peer we want to be.
    pub(crate) least_ratio: f64,
    /// The same with what maintainer scripts change cached. Of the large set the packages alone, 239 MB of xz, take two
    /// cores four to six seconds to decode and to write: a tenth of the peer's time at best.
    pub(crate) least_with_delta: f64,
}

/// What boots, and no more.
const BOOTS: [&str; 3] = ["linux-image-cloud-amd64", "systemd-sysv", "udev"];

/// What boots.
pub(crate) fn small() -> Set {
    Set { name: "small", packages: BOOTS.to_vec(), least_ratio: 4.0, least_with_delta: 10.0 }
}

/// A server with a database, containers, a proxy and backups.
pub(crate) fn big() -> Set {
    let server = [
        "ca-certificates",
        "caddy",
        "chrony",
        "curl",
        "dbus",
        "git",
        "locales",
        "nftables",
        "openssh-server",
        "podman",
        "postgresql",
        "python3",
        "restic",
        "ssl-cert",
        "sudo",
        "systemd-resolved",
        "wireguard-tools",
    ];
    Set {
        name: "big",
        packages: [&BOOTS[..], &server[..]].concat(),
        least_ratio: 2.5,
        least_with_delta: 6.0,
    }
}

impl Set {
    /// A host with exactly these packages.
    pub(crate) fn host_file(&self) -> String {
        let packages = &self.packages[BOOTS.len()..];
        format!(
            "[host]\nname = \"bench\"\nrelease = \"trixie\"\nkernel = \"cloud\"\npackages = {packages:?}\n"
        )
    }
}
