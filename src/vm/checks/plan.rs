//! Which checks a host gets, in which order: a pure function of what it promises.

use std::fmt;
use std::net::IpAddr;

use super::super::expectations::{CommandExpectation, Expectations, HttpExpectation, Login};

/// One check. `Display` is its name in reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// All jobs of the boot are done.
    Boots,
    /// `systemctl --failed` is empty and the system is `running`.
    NoFailedUnit,
    /// A unit is active.
    Unit(String),
    /// The host has its name.
    HostName,
    /// The DHCP server's client has taken an address.
    DhcpAddress,
    /// A static address answers from outside.
    StaticAddress(IpAddr),
    /// The machine made an IPv6 address in the advertised prefix.
    RouterAddress,
    /// The declared keys, and no others, are authorised.
    AuthorizedKeys(Login),
    /// A real SSH client logs in from outside with a key.
    SshLogin(String),
    /// The server offers no login by password.
    SshPassword(String),
    /// A page is answered.
    Http(HttpExpectation),
    /// The declared TCP ports are open from outside, and no others.
    TcpPorts {
        /// Over IPv6.
        ipv6: bool,
    },
    /// Nothing below a directory can be changed.
    ReadOnly(String),
    /// `dpkg` knows the locked packages.
    Packages(usize),
    /// The time zone is the declared one.
    TimeZone(String),
    /// The locale is the declared one, and exists.
    Locale(String),
    /// The file system of `/var` has grown to the disk.
    DiskGrown,
    /// There are a machine-id and SSH host keys.
    Identity,
    /// A check of the host's own.
    Command(CommandExpectation),
    /// A reboot keeps `/var` and the identity.
    Reboot,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boots => write!(f, "boots to multi-user.target"),
            Self::NoFailedUnit => write!(f, "no unit failed"),
            Self::Unit(unit) => write!(f, "{unit} is active"),
            Self::HostName => write!(f, "host name"),
            Self::DhcpAddress => write!(f, "address by DHCP"),
            Self::StaticAddress(address) => write!(f, "static address {address}"),
            Self::RouterAddress => write!(f, "IPv6 address by router advertisement"),
            Self::AuthorizedKeys(login) => write!(f, "authorised keys of {}", login.user),
            Self::SshLogin(user) => write!(f, "SSH login of {user} with a key, from outside"),
            Self::SshPassword(user) => write!(f, "no SSH login of {user} by password"),
            Self::Http(HttpExpectation { host, path, port, .. }) => {
                write!(f, "http://{host}:{port}{path} from outside")
            }
            Self::TcpPorts { ipv6: false } => write!(f, "open TCP ports from outside over IPv4"),
            Self::TcpPorts { ipv6: true } => write!(f, "open TCP ports from outside over IPv6"),
            Self::ReadOnly(directory) => write!(f, "{directory} is read-only"),
            Self::Packages(_) => write!(f, "dpkg -l answers"),
            Self::TimeZone(_) => write!(f, "time zone"),
            Self::Locale(_) => write!(f, "locale"),
            Self::DiskGrown => write!(f, "file system fills the disk"),
            Self::Identity => write!(f, "has a machine-id and SSH host keys"),
            Self::Command(command) => write!(f, "{}", command.name),
            Self::Reboot => write!(f, "a reboot keeps /var and the identity"),
        }
    }
}

/// The checks of a host: what all others need first, the reboot last.
pub fn plan_checks(expected: &Expectations) -> Vec<Check> {
    let mut checks = vec![Check::Boots, Check::NoFailedUnit];
    checks.extend(expected.units.iter().cloned().map(Check::Unit));
    checks.push(Check::HostName);
    if expected.dhcp {
        checks.push(Check::DhcpAddress);
    }
    checks.extend(expected.addresses.iter().copied().map(Check::StaticAddress));
    if !expected.addresses.iter().any(IpAddr::is_ipv6) {
        checks.push(Check::RouterAddress);
    }
    checks.push(Check::Identity);
    checks.extend(expected.logins.iter().cloned().map(Check::AuthorizedKeys));
    if expected.tcp_ports.contains(&expected.ssh_port) {
        let users = || expected.logins.iter().map(|login| login.user.clone());
        checks.extend(users().map(Check::SshLogin));
        checks.extend(users().take(1).map(Check::SshPassword));
    }
    checks.extend(expected.http.iter().cloned().map(Check::Http));
    checks.extend([false, true].map(|ipv6| Check::TcpPorts { ipv6 }));
    checks.extend(expected.read_only.iter().cloned().map(Check::ReadOnly));
    checks.extend(expected.package_count.map(Check::Packages));
    checks.extend(expected.time_zone.clone().map(Check::TimeZone));
    checks.extend(expected.locale.clone().map(Check::Locale));
    checks.push(Check::DiskGrown);
    checks.extend(expected.commands.iter().cloned().map(Check::Command));
    checks.push(Check::Reboot);
    checks
}
