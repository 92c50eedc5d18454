//! What may be written on the command line; the help texts are part of the product.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Builds immutable Debian hosts from one TOML file each, tests them in a virtual machine, and deploys them.
#[derive(Debug, Parser)]
#[command(
    name = "nexus-host",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER_HELP: &str = "\
Examples:
  nexus-host init vps1          write hosts/vps1.toml to start from
  nexus-host check              read all hosts, show every problem with its line
  nexus-host test vps1          lock if needed, build, boot in QEMU, check
  nexus-host build vps1 --image raw
                                print the path of a disk image to write to the machine
  nexus-host deploy vps1 --ssh admin@192.0.2.10
                                change the running machine; keep it only when it proves itself

Exit codes: 0 done, 1 your files are wrong, 2 command line, 3 build failed,
4 a machine is unchanged after a failure, 5 the state of a machine is not known,
6 a test or check failed, 70 a bug of nexus-host, 130 interrupted.";

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Work as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,

    /// Keep the store in DIR [default: $XDG_DATA_HOME/nexus-host]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) store: Option<PathBuf>,

    /// Print one JSON document on standard output instead of lines
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say nothing on standard error but problems
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Work on so many things at once [default: processors of this machine]
    #[arg(long, value_name = "N", global = true)]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
}

/// The verbs, in the order a new user meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(Init),
    Check(Check),
    Lock(Lock),
    Build(Build),
    Test(Test),
    Install(Install),
    Deploy(super::deploy::arguments::Deploy),
    Status(super::deploy::arguments::Status),
    Rollback(super::deploy::arguments::Rollback),
    Generations(super::deploy::arguments::Generations),
    Why(Why),
    Store(Store),
    Secrets(super::secrets::arguments::Secrets),
    Docs(Docs),
    Completions(Completions),
    Man(Man),
}

/// Write a host file to start from
///
/// Makes `hosts/HOST.toml` (and the folder `hosts/`, which makes the directory a workspace). An
/// existing file is left as it is.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Name of the host: 1 to 63 of a-z, 0-9 and -
    pub(crate) host: String,
}

/// Read host files and say what is wrong with them
///
/// All problems at once, each with its line and what to write instead. Reads only; needs no network.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Hosts to check; all in hosts/ when none is named
    pub(crate) hosts: Vec<String>,
}

/// Pin every package, user id and group id of a host in hosts/HOST.lock
///
/// The only verb that looks for newer things. Verifies the signatures of Debian's archive, solves the
/// packages the host asks for as `apt-get install --no-install-recommends` would, runs the packages'
/// own set-up scripts once in a sandbox to learn which users they make, and writes the lock. What is
/// locked already stays unless --update names it. Commit the lock with the host file.
#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// Hosts to lock; all in hosts/ when none is named
    pub(crate) hosts: Vec<String>,

    /// Take newer versions: of the packages named, or of all when none is named
    #[arg(long, value_name = "PACKAGE", num_args = 0.., value_delimiter = ',')]
    pub(crate) update: Option<Vec<String>>,

    /// Use only what earlier runs have fetched
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Build a host and print the path of its system, or of a disk image
///
/// The same host file and lock give the same bytes, whoever builds, wherever, whenever. Without a lock
/// the host is locked first. Nothing is done again that was done before.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Hosts to build
    #[arg(required = true)]
    pub(crate) hosts: Vec<String>,

    /// Make a disk image that boots on BIOS and UEFI, and print its path
    #[arg(long, value_name = "FORMAT")]
    pub(crate) image: Option<ImageFormat>,

    /// Put the host's own identity into the image, which then boots with its secrets; needs --out
    ///
    /// For machines that can be given nothing but an image. FILE is the private half that `secrets add-host`
    /// made [default: $XDG_DATA_HOME/nexus-host/identities/HOST.txt]. It must open the host's secrets. The
    /// image is for this one host and as secret as FILE; the store and other images never have it.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, requires_all = ["image", "out"])]
    pub(crate) identity: Option<Vec<PathBuf>>,

    /// Where the image with the identity goes: a file that only you may read
    #[arg(long, value_name = "FILE", requires = "identity")]
    pub(crate) out: Option<PathBuf>,

    /// Use only what earlier runs have fetched
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Form of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageFormat {
    /// Every byte as on the disk; sparse
    Raw,
    /// The format of QEMU, without the empty parts
    Qcow2,
}

/// Build a host, boot it in QEMU, and check that it does what its file says
///
/// Boots the very image that would be deployed, on BIOS and on UEFI, and looks at it from inside and
/// from outside: units, logins, routes, ports, read-only parts, a reboot. Needs no QEMU on this
/// machine: a pinned one is fetched. A result is remembered by the system's path.
#[derive(Debug, Default, Args)]
pub(crate) struct Test {
    /// Hosts to test
    #[arg(required = true)]
    pub(crate) hosts: Vec<String>,

    /// Test on this firmware only
    #[arg(long, value_name = "FIRMWARE")]
    pub(crate) firmware: Option<FirmwareChoice>,

    /// Test again although this system has passed before
    #[arg(long)]
    pub(crate) again: bool,

    /// Start the machine, check nothing, and let it run until Ctrl-C, to log in and to deploy to it
    ///
    /// Prints how to log in, with a key of `ssh_keys`. On BIOS unless --firmware says otherwise.
    #[arg(long, conflicts_with_all = ["again", "junit"])]
    pub(crate) keep: bool,

    /// Write a `JUnit` report for continuous integration to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Take this QEMU instead of the pinned one (its firmware must lie where Debian has it)
    #[arg(long, value_name = "PROGRAM", env = "NEXUS_HOST_QEMU")]
    pub(crate) qemu: Option<PathBuf>,

    /// Use only what earlier runs have fetched
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Firmware of a test machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirmwareChoice {
    /// `SeaBIOS`, as most rented machines have
    Bios,
    /// OVMF
    Uefi,
}

/// Turn a machine that runs another Linux into a host
///
/// Starts the host from the machine's memory first, with its own network, firewall and keys. Only when you can
/// log in to it there, its disk is written; else the machine reboots by itself into what it ran before. Needs
/// nothing installed there but systemd and a shell. Shows what it found and what it would do, and asks.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the command line")]
pub(crate) struct Install {
    /// The host that the machine becomes
    pub(crate) host: String,

    /// The machine as it is, and who logs in: root, or somebody who may use `sudo`
    ///
    /// Later the host is logged in to at the same address, with the port and the user of its host file: those of
    /// `[deploy]`, where that names the same address.
    #[arg(long, value_name = "[USER@]HOST[:PORT]")]
    pub(crate) ssh: crate::spec::SshAddress,

    #[command(flatten)]
    pub(crate) login: super::deploy::arguments::Login,

    /// Write this disk [default: the one that the old system is on]
    #[arg(long, value_name = "NAME")]
    pub(crate) disk: Option<String>,

    /// Keep the machine's SSH host key, so that `known_hosts` stays right
    #[arg(long)]
    pub(crate) keep_host_key: bool,

    /// The host's identity, for its secrets [default: where `secrets add-host` put it]
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,

    /// Bring back what the host's backups have, before its services start
    ///
    /// `latest` is the last of each of the `[backups]`. With the host file, its lock, its secrets and the host's
    /// identity this is all that a machine which is lost needs to be there again.
    #[arg(long, value_name = "WHAT")]
    pub(crate) restore: Option<Restore>,

    /// Seconds after which the machine goes back when nobody could log in
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(60..=3600))]
    pub(crate) return_after: u32,

    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,

    /// Use only what earlier runs have fetched
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Which of the backups are brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Restore {
    /// The last one of each
    Latest,
}

/// Say which input makes two systems differ
///
/// A and B are store paths, or names of hosts (their last build). Follows the recipes down to the
/// first inputs that differ.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Store path or host
    pub(crate) a: String,
    /// Store path or host
    pub(crate) b: String,
}

/// Look after the store
#[derive(Debug, Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Compare every path of the store with its registered digest
    Verify,
    /// Remove what no root needs
    Gc,
    /// Print where a store path lies on this machine
    Path {
        /// Store path, with or without /nix/store/ in front
        path: String,
    },
}

/// Print the reference of all options of host files, as Markdown
#[derive(Debug, Args)]
pub(crate) struct Docs {}

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell to write for
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page, in roff
#[derive(Debug, Args)]
pub(crate) struct Man {}
