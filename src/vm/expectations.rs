//! What a host promises, as far as a test machine can show it; the caller fills it from the `System`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// What is expected of a host in a test machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectations {
    /// The host name.
    pub host: String,
    /// How long the boot may take, from power-on until no job is left.
    pub boot_within: Duration,
    /// Whether the first network card gets an address by DHCP.
    pub dhcp: bool,
    /// Static addresses, each in a network of the outside host.
    pub addresses: Vec<IpAddr>,
    /// The TCP ports that are open from outside; all others are not, over IPv4 and IPv6.
    pub tcp_ports: BTreeSet<u16>,
    /// The port `sshd` listens at; one of `tcp_ports`, or there is no login from outside.
    pub ssh_port: u16,
    /// Who can log in by SSH.
    pub logins: Vec<Login>,
    /// What answers by HTTP.
    pub http: Vec<HttpExpectation>,
    /// Units that are active.
    pub units: Vec<String>,
    /// Directories in which nothing can be changed.
    pub read_only: Vec<String>,
    /// How many packages `dpkg` knows, all of them installed.
    pub package_count: Option<usize>,
    /// The time zone, such as `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// The locale, such as `de_DE.UTF-8`.
    pub locale: Option<String>,
    /// The host's own checks.
    pub commands: Vec<CommandExpectation>,
}

/// A user who logs in by SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The public keys that must be authorised, as lines of `authorized_keys`.
    pub keys: Vec<String>,
}

/// A page that must be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpExpectation {
    /// The port, on all of the host's addresses.
    pub port: u16,
    /// The `Host` header.
    pub host: String,
    /// The path, beginning with `/`.
    pub path: String,
    /// The status code.
    pub status: u16,
    /// What the body contains.
    pub contains: Option<String>,
}

/// A command in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandExpectation {
    /// What it shows, in words.
    pub name: String,
    /// The command, for `bash -euo pipefail`. It is repeated until it succeeds or the time is up.
    pub command: String,
    /// What its standard output contains.
    pub contains: Option<String>,
    /// How long it may take to come true.
    pub within: Duration,
}

impl Expectations {
    /// A host that boots, has SSH at port 22, read-only `/usr` and `/etc`, and promises nothing else.
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            boot_within: Duration::from_secs(300),
            dhcp: true,
            addresses: Vec::new(),
            tcp_ports: BTreeSet::from([22]),
            ssh_port: 22,
            logins: Vec::new(),
            http: Vec::new(),
            units: Vec::new(),
            read_only: vec!["/usr".to_owned(), "/etc".to_owned()],
            package_count: None,
            time_zone: None,
            locale: None,
            commands: Vec::new(),
        }
    }
}
