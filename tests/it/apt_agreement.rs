//! The resolver makes the choice of the real apt, over request sets of real server software.
//!
//! The apt of the toolbox is given package indexes through local flat repositories and an empty dpkg status, so
//! it needs neither root nor network. The indexes of trixie come from the mirror, through our own fetching.
#![expect(clippy::unwrap_used, reason = "a test whose preparations fail has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use nexus_host::debian::index::PackageIndex;
use nexus_host::debian::package::{Architecture, SourceName};
use nexus_host::debian::resolve::{Base, Request, Requests, Update, resolve};
use nexus_host::debian::version::compare_versions;
use nexus_host::exec::files::write_atomic;
use rayon::prelude::*;

use crate::toolbox::{indexes, tool};

/// Texts of `Packages`, in the order of apt's sources.
type Indexes = Vec<(SourceName, Vec<u8>)>;
/// Versions by package.
type Choice = BTreeMap<String, String>;

/// What apt would install.
struct AptChoice {
    packages: Choice,
    /// Whether its marking came to a contradiction, so that its problem resolver had to repair it: by
    /// scores, one package after the other. There we ask a solver instead, which may find another way.
    repaired: bool,
}

const SETS: &[&str] = &[
    "linux-image-cloud-amd64 systemd-sysv udev",
    "linux-image-amd64 systemd-sysv openssh-server systemd-resolved nftables",
    "linux-image-cloud-amd64 systemd-sysv udev openssh-server caddy nftables systemd-resolved python3-minimal",
    "linux-image-cloud-amd64 systemd-sysv udev openssh-server postgresql podman nginx caddy restic",
    "caddy",
    "nginx",
    "apache2 libapache2-mod-php",
    "haproxy varnish squid",
    "postgresql",
    "mariadb-server redis-server",
    "podman buildah skopeo",
    "docker.io",
    "lxc incus",
    "samba",
    "dovecot-imapd postfix",
    "exim4",
    "rspamd opensmtpd",
    "bsd-mailx logcheck",
    "php-fpm php-mysql nginx mariadb-server",
    "wordpress",
    "roundcube",
    "lemonldap-ng",
    "python3-django python3-psycopg2 gunicorn",
    "python3-full",
    "nodejs npm",
    "ruby-rails",
    "build-essential git",
    "debhelper sbuild",
    "golang rustc cargo",
    "default-jdk tomcat10",
    "maven gradle",
    "crowdsec fail2ban",
    "prometheus prometheus-alertmanager prometheus-node-exporter",
    "zabbix-server-pgsql nagios4",
    "bind9 coturn etcd-server uacme lego certbot",
    "wireguard-tools openvpn strongswan tinc",
    "nix-bin restic borgbackup",
    "qemu-system-x86 libvirt-daemon-system",
    "grub-pc-bin grub-efi-amd64 systemd-boot shim-signed",
    "dracut",
    "cloud-init ifupdown network-manager",
    "gnome-core",
    "kde-standard",
    "libreoffice texlive",
];

/// The real apt with a root of its own, fed with indexes.
struct Apt {
    root: tempfile::TempDir,
}

impl Apt {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for dir in ["etc/preferences.d", "lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        write_atomic(&root.join("status"), b"").unwrap();
        let place = |name: &str| root.join(name).display().to_string();
        let configuration = [
            ("Dir", place("")),
            ("Dir::State", place("")),
            ("Dir::State::lists", place("lists")),
            ("Dir::State::status", place("status")),
            ("Dir::Cache", place("cache")),
            ("Dir::Etc", place("etc")),
            ("Dir::Etc::main", "/dev/null".to_owned()),
            ("Dir::Etc::parts", place("etc/preferences.d")),
            ("Dir::Etc::sourceparts", place("etc/preferences.d")),
            ("APT::Architecture", "amd64".to_owned()),
            ("APT::Install-Recommends", "false".to_owned()),
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Debug::NoLocking", "true".to_owned()),
        ];
        let lines = configuration.map(|(name, value)| format!("{name} \"{value}\";\n")).concat();
        let lines = lines + "APT::Architectures { \"amd64\"; };\n";
        write_atomic(&root.join("apt.conf"), lines.as_bytes()).unwrap();
        Self { root: directory }
    }

    /// Gives apt `indexes` as local repositories.
    fn feed(&self, indexes: &[(SourceName, Vec<u8>)]) {
        let mut sources = String::new();
        for (name, text) in indexes {
            let dir = self.root.path().join("repositories").join(name.as_str());
            std::fs::create_dir_all(&dir).unwrap();
            write_atomic(&dir.join("Packages"), text).unwrap();
            writeln!(sources, "deb [trusted=yes] file:{} ./", dir.display()).unwrap();
        }
        write_atomic(&self.root.path().join("etc/sources.list"), sources.as_bytes()).unwrap();
        let (good, output) = self.run(&["update"]);
        assert!(good, "apt-get update failed:\n{output}");
    }

    /// What `apt-get install` would install on an empty system, or what it says.
    fn choose(&self, words: &[&str]) -> Result<AptChoice, String> {
        let options = ["-s", "-o", "Debug::pkgProblemResolver=true", "install"];
        let arguments: Vec<&str> = options.iter().chain(words).copied().collect();
        let (good, output) = self.run(&arguments);
        if !good {
            return Err(output);
        }
        let repaired = !output.contains("Starting pkgProblemResolver with broken count: 0\n");
        let parts = output.lines().filter_map(|line| line.strip_prefix("Inst "));
        let packages = parts.map(|line| {
            let (name, rest) = line.split_once(" (").expect("Inst NAME (VERSION …");
            (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned())
        });
        Ok(AptChoice { packages: packages.collect(), repaired })
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let root = self.root.path();
        let apt = tool("apt-get").sees(root).env("APT_CONFIG", root.join("apt.conf"));
        let output = apt.args(arguments).output();
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

fn parse(indexes: &Indexes) -> PackageIndex<'_> {
    let sources: Vec<(SourceName, &[u8])> =
        indexes.iter().map(|(name, text)| (name.clone(), &text[..])).collect();
    PackageIndex::parse(&sources, Architecture::Amd64).unwrap()
}

fn essential<'a>(index: &PackageIndex<'a>) -> Vec<&'a str> {
    let packages = index.packages().filter(|&package| index.is_essential(index.best(package)));
    packages.map(|package| index.name(package)).collect()
}

/// What we choose.
fn ours(index: &PackageIndex<'_>, words: &[&str]) -> Result<Choice, String> {
    let packages: BTreeSet<Request> = words.iter().map(|word| word.parse().unwrap()).collect();
    let (base, update) = (Base::Essential, Update::Nothing);
    resolve(index, &Requests { packages: &packages, base, locked: &[], update })
        .map(|set| {
            set.packages.iter().map(|p| (p.name.to_string(), p.version.to_string())).collect()
        })
        .map_err(|error| error.to_string())
}

/// The words of a set, sorted, as our requests are.
fn sorted(set: &str) -> Vec<&str> {
    let words: BTreeSet<&str> = set.split_whitespace().collect();
    words.into_iter().collect()
}

fn difference(apt: &Choice, ours: &Choice) -> String {
    let only = |a: &Choice, b: &Choice| -> Vec<String> {
        let differs = |(name, version): &(&String, &String)| b.get(*name) != Some(*version);
        a.iter().filter(differs).map(|(name, version)| format!("{name} {version}")).collect()
    };
    format!("only apt: {:?}; only we: {:?}", only(apt, ours), only(ours, apt))
}

#[test]
fn sets_of_real_software_are_resolved_as_apt_does() {
    let (apt, indexes) = (Apt::new(), indexes());
    apt.feed(&indexes);
    let index = parse(&indexes);
    let essential = essential(&index);
    let compare = |set: &&str| {
        let wanted = sorted(set);
        let all: Vec<&str> = essential.iter().chain(&wanted).copied().collect();
        match (apt.choose(&all), ours(&index, &wanted)) {
            (Ok(theirs), Ok(ours)) if theirs.packages == ours && ours.len() > wanted.len() => None,
            (Ok(theirs), Ok(ours)) => {
                Some(format!("{set}: {}", difference(&theirs.packages, &ours)))
            }
            (Err(theirs), _) => Some(format!("{set}: apt says {theirs}")),
            (Ok(_), Err(ours)) => Some(format!("{set}: we say {ours}")),
        }
    };
    let differences: Vec<String> = SETS.par_iter().filter_map(compare).collect();
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        SETS.len(),
        differences.join("\n")
    );
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn relation(&mut self) -> String {
        match self.below(8) {
            0 => format!("v{}", self.below(4)),
            1 => format!("v{} (= {})", self.below(4), self.below(3)),
            2 => format!("p{} (>= {})", self.below(20), self.below(3)),
            3 => format!("p{}:any", self.below(20)),
            _ => format!("p{}", self.below(20)),
        }
    }

    fn list(&mut self, most: u64, separator: &str) -> String {
        let count = self.below(most + 1);
        (0..count).map(|_| self.relation()).collect::<Vec<_>>().join(separator)
    }

    /// A small index with all kinds of relations; few enough conflicts that many requests can be met.
    fn world(&mut self) -> String {
        let priorities = ["required", "important", "standard", "optional", "optional", "extra"];
        let kinds = ["no", "no", "same", "foreign", "allowed"];
        let mut text = String::new();
        for number in 0..20 {
            let (version, groups) = (self.below(3), self.below(4));
            let depends: Vec<String> =
                (0..groups).map(|_| format!("{} | {}", self.relation(), self.relation())).collect();
            let provides = match self.below(4) {
                0 => format!("v{}", self.below(4)),
                1 => format!("v{} (= {})", self.below(4), self.below(3)),
                _ => String::new(),
            };
            let against = if self.below(3) == 0 { self.relation() } else { String::new() };
            writeln!(text, "Package: p{number}\nVersion: {version}\nArchitecture: amd64").unwrap();
            let fields = [
                ("Depends", depends.join(", ")),
                ("Recommends", self.list(2, ", ")),
                ("Suggests", self.list(2, " | ")),
                (if self.below(2) == 0 { "Conflicts" } else { "Breaks" }, against),
                ("Provides", provides),
            ];
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
                writeln!(text, "{name}: {value}").unwrap();
            }
            let priority = priorities[usize::try_from(self.below(6)).unwrap()];
            let kind = kinds[usize::try_from(self.below(5)).unwrap()];
            writeln!(text, "Priority: {priority}\nMulti-Arch: {kind}").unwrap();
            let digest = format!("{:064x}", self.below(1 << 30));
            writeln!(text, "Filename: ./p{number}.deb\nSize: 1\nSHA256: {digest}\n").unwrap();
        }
        text
    }
}

#[test]
fn small_random_worlds_are_resolved_as_apt_does() {
    let apt = Apt::new();
    let mut numbers = Numbers(1);
    let (mut met, mut differences) = (0, Vec::new());
    for round in 0..60 {
        let text = numbers.world();
        let indexes: Indexes = vec![("world".parse().unwrap(), text.clone().into_bytes())];
        apt.feed(&indexes);
        let index = parse(&indexes);
        for _ in 0..3 {
            let wanted = format!("p{} p{}", numbers.below(20), numbers.below(20));
            let wanted = sorted(&wanted);
            // Where apt finds nothing the solver may still find something.
            let Ok(theirs) = apt.choose(&wanted) else { continue };
            met += usize::from(!theirs.repaired);
            let difference = match ours(&index, &wanted) {
                Ok(ours) if theirs.packages == ours || theirs.repaired => continue,
                Ok(ours) => difference(&theirs.packages, &ours),
                Err(error) => error,
            };
            differences.push(format!("{round} {wanted:?}: {difference}\n{text}"));
        }
    }
    assert!(differences.is_empty(), "{} of {met}:\n{}", differences.len(), differences.join("\n"));
    assert!(met > 80, "only {met} requests could be met");
}

/// Both refuse what contradicts itself.
#[test]
fn what_apt_refuses_is_refused_with_a_reason() {
    let (apt, indexes) = (Apt::new(), indexes());
    apt.feed(&indexes);
    let index = parse(&indexes);
    for set in ["dracut initramfs-tools", "exim4 postfix", "systemd-sysv sysvinit-core"] {
        let wanted = sorted(set);
        assert!(apt.choose(&wanted).is_err(), "{set}");
        let reason = ours(&index, &wanted).unwrap_err();
        assert!(wanted.iter().all(|name| reason.contains(name)), "{set}: {reason}");
    }
}

#[test]
fn versions_are_ordered_as_dpkg_does() {
    let parts = [
        "1", "1.0", "01", "1~", "1~0", "1.0~rc1", "1+", "1a", "1.", "1.2.3", "10", "9", "1:1",
        "0:1", "1-1", "1-0", "1-1~", "1-1+b1", "1.0-", "1--1",
    ];
    let versions: Vec<&str> = parts.into_iter().filter(|v| !v.ends_with('-')).collect();
    let mut claims = String::new();
    for left in &versions {
        for right in &versions {
            let operator = match compare_versions(left, right) {
                std::cmp::Ordering::Less => "lt",
                std::cmp::Ordering::Equal => "eq",
                std::cmp::Ordering::Greater => "gt",
            };
            writeln!(claims, "{left} {operator} {right}").unwrap();
        }
    }
    let script = "n=0; while read -r left operator right; do n=$((n + 1)); \
                  dpkg --compare-versions \"$left\" \"$operator\" \"$right\" || \
                  echo \"$left $operator $right\"; done; echo $n";
    let said = tool("bash").args(["-c", script]).input(claims.as_bytes()).run();
    let expected = format!("{}\n", versions.len() * versions.len());
    assert_eq!(
        String::from_utf8(said).unwrap(),
        expected,
        "what dpkg sees otherwise, and how many"
    );
}
