//! What the machine shall be: the typed, ordered result of evaluation.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::secrets::Secrets;
use crate::diag::Place;
use crate::health::Check;
use crate::spec::{HostName, PackageName, SshAddress, UnitName, UserName};
use crate::tree::TreePath;

/// A host: everything that `lower` needs to build it.
///
/// Maps are by identity, so equal inputs give equal values whatever the order of modules. Each item
/// knows where it comes from ([`Traced`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// What the machine calls itself; also the name of its file and lock.
    pub name: HostName,
    /// Debian's release, such as `trixie`.
    pub release: String,
    /// Debian's architecture, such as `amd64`.
    pub architecture: String,
    /// The kernel; without one the system is not made for booting.
    pub kernel: Option<Kernel>,
    /// `Area/City`, as below `/usr/share/zoneinfo`.
    pub time_zone: String,
    /// `LANG` of the system.
    pub locale: String,
    /// Where Debian's packages come from.
    pub debian: Debian,
    /// Other archives, by name.
    pub sources: BTreeMap<String, Traced<PackageSource>>,
    /// Debian packages that are asked for by name.
    pub packages: BTreeMap<PackageName, Traced<()>>,
    /// Users beyond those of Debian's packages.
    pub users: BTreeMap<UserName, Traced<User>>,
    /// Groups beyond those of Debian's packages; each user's own group is not listed.
    pub groups: BTreeMap<UserName, Traced<Group>>,
    /// Files and links below `etc` and `usr`, also those made from the fields below: units and their
    /// enablement, tmpfiles, sysctl, modules to load, fstab.
    pub files: BTreeMap<TreePath, Traced<File>>,
    /// Units of our own and units of packages that shall start.
    pub units: BTreeMap<UnitName, Traced<Unit>>,
    /// Ports that something listens on, each once per address.
    pub ports: Vec<Traced<Port>>,
    /// Sites of the reverse proxy.
    pub routes: BTreeMap<String, Traced<Route>>,
    /// Network interfaces that are configured.
    pub interfaces: BTreeMap<String, Traced<Interface>>,
    /// What must hold on the running machine; by name.
    pub checks: BTreeMap<String, Traced<Check>>,
    /// Backups that it makes; by name.
    pub backups: BTreeMap<String, Traced<()>>,
    /// Kernel parameters set at run time, `net.ipv4.ip_forward` and its value.
    pub sysctl: BTreeMap<String, Traced<String>>,
    /// Words for the kernel's command line, in order.
    pub kernel_arguments: Vec<Traced<String>>,
    /// Kernel modules loaded at boot.
    pub kernel_modules: BTreeMap<String, Traced<()>>,
    /// Lines of tmpfiles.d, by path and type.
    pub tmpfiles: BTreeMap<(String, String), Traced<Tmpfile>>,
    /// File systems mounted beyond those of the image, by mount point.
    pub mounts: BTreeMap<String, Traced<Mount>>,
    /// Secrets: names and who uses them, no values.
    pub secrets: Secrets,
    /// How the running machine is reached and changed.
    pub deploy: Deploy,
}

/// How a running machine is reached and changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deploy {
    /// Ways in, the usual one first; empty means the host's name.
    pub ssh: Vec<SshAddress>,
    /// Public host keys that are expected; empty leaves it to the user's `known_hosts`.
    pub host_keys: Vec<String>,
    /// Seconds within which a change must be confirmed from outside.
    pub window_seconds: u32,
    /// Groups that the host belongs to.
    pub tags: BTreeSet<String>,
    /// What a change may do; a part of the system.
    pub policy: DeployPolicy,
}

/// What a change may do to the running machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeployPolicy {
    /// The running system may be changed.
    pub live: bool,
    /// User space may start anew without the kernel.
    pub soft_reboot: bool,
}

/// A value and all the places that asked for it; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced<T> {
    /// The value.
    pub value: T,
    /// Who asked for it, in the order of evaluation.
    pub origins: Vec<Origin>,
}

/// Who asked for an item.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    /// The module.
    pub module: String,
    /// The line of the host file (or of the workspace's file) that made it do so; none when the
    /// module is always there.
    pub asked: Option<Place>,
    /// The place in the module's rendered fragment.
    pub fragment: Place,
}

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// Smaller; drivers of virtual machines only (`linux-image-cloud-amd64`).
    Cloud,
    /// All drivers (`linux-image-amd64`).
    Generic,
}

/// Where Debian's packages come from; `None` leaves it to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Debian {
    /// URL that `dists/` lies below.
    pub mirror: Option<String>,
    /// The same for the security archive.
    pub security_mirror: Option<String>,
}

/// An archive that is not Debian's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSource {
    /// URL that `dists/` lies below.
    pub uri: String,
    /// The suite, such as `stable`.
    pub suite: String,
    /// The components, at least one.
    pub components: Vec<String>,
    /// The `OpenPGP` key that signs it, a file relative to the workspace.
    pub key_file: String,
}

/// A user account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The id, when it must be this one; else the lock chooses.
    pub uid: Option<u32>,
    /// Main group; `None` is a group of the same name.
    pub group: Option<UserName>,
    /// Further groups.
    pub groups: BTreeSet<UserName>,
    /// Home directory, absolute.
    pub home: String,
    /// Login shell, absolute.
    pub shell: String,
    /// What `getent passwd` shows as full name.
    pub comment: String,
    /// Whether the id comes from the range of services.
    pub system: bool,
    /// Public keys that may log in, as in `authorized_keys`.
    pub ssh_keys: Vec<String>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The id, when it must be this one.
    pub gid: Option<u32>,
    /// Whether the id comes from the range of services.
    pub system: bool,
}

/// A file or link; directories follow from the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// A regular file.
    Regular {
        /// Its contents.
        content: Vec<u8>,
        /// The twelve permission bits.
        mode: u16,
        /// Name of its owner.
        owner: UserName,
        /// Name of its group.
        group: UserName,
    },
    /// A symbolic link.
    Link {
        /// Its target, as written.
        target: String,
    },
}

/// A unit that we write, extend or start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// The whole text; `None` when the unit comes from a package.
    pub text: Option<String>,
    /// Additions by name (`50-nexus.conf`) in the order they apply.
    pub dropins: BTreeMap<String, String>,
    /// Units that want it; not empty means that it starts at boot.
    pub wanted_by: BTreeSet<UnitName>,
    /// Units that require it.
    pub required_by: BTreeSet<UnitName>,
    /// Other names.
    pub aliases: BTreeSet<UnitName>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port that something listens on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Port {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
    /// The address it listens on; `None` is every address.
    pub address: Option<IpAddr>,
    /// Whether the firewall lets it in.
    pub open: bool,
    /// Prefixes that it lets in; empty is everyone.
    pub sources: BTreeSet<String>,
    /// Who listens, when known: two different ones must not share a port.
    pub service: Option<UnitName>,
    /// Why, for people.
    pub purpose: String,
}

/// A site of the reverse proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The domain, without scheme.
    pub domain: String,
    /// Where requests go.
    pub to: SocketAddr,
    /// How its TLS certificate comes about.
    pub tls: Tls,
    /// Response headers set in addition.
    pub headers: BTreeMap<String, String>,
}

/// How a site's TLS certificate comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// From a public authority by ACME.
    Acme,
    /// From an authority of the host's own.
    Internal,
    /// Plain HTTP.
    Off,
}

/// A network interface that is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Patterns of kernel names it applies to (`en*`).
    pub names: Vec<String>,
    /// Hardware address it applies to.
    pub mac: Option<String>,
    /// Whether addresses come by DHCP and router advertisements.
    pub dhcp: bool,
    /// Addresses with prefix length.
    pub addresses: Vec<String>,
    /// Routers.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}

/// A line of tmpfiles.d beyond its type and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfile {
    /// Permission bits; `None` leaves them.
    pub mode: Option<u16>,
    /// Owner.
    pub user: Option<UserName>,
    /// Group.
    pub group: Option<UserName>,
    /// Age after which contents are removed, as systemd writes it.
    pub age: Option<String>,
    /// The last field.
    pub argument: Option<String>,
}

/// A file system that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Device, `UUID=…`, or `tmpfs`.
    pub what: String,
    /// Type.
    pub kind: String,
    /// Options, separated by commas.
    pub options: String,
}

impl System {
    /// The Debian packages to solve for.
    pub fn requests(&self) -> BTreeSet<PackageName> {
        self.packages.keys().cloned().collect()
    }
}

impl<T> Traced<T> {
    /// The place to show for it: the line of the host file, else that of the fragment.
    pub fn place(&self) -> &Place {
        self.origins[0].place()
    }
}

impl Origin {
    /// The place to show for it: the line of the host file, else that of the fragment.
    pub fn place(&self) -> &Place {
        self.asked.as_ref().unwrap_or(&self.fragment)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.asked {
            Some(place) => write!(f, "{place} (module {})", self.module),
            None => write!(f, "module {}", self.module),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
