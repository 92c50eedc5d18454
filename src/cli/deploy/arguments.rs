//! The command lines of the verbs that talk to running machines.

use std::path::PathBuf;

use clap::Args;

use crate::deploy::Batch;
use crate::spec::SshAddress;

/// How machines are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "SSH")]
pub(crate) struct Reach {
    /// Reach the machine here instead of at `ssh` in `[deploy]` of its file
    ///
    /// Without ADDRESS, and without `ssh` in `[deploy]`, it is what `ssh HOST` would reach: names and settings of
    /// `~/.ssh/config` count.
    #[arg(long, value_name = "[USER@]HOST[:PORT]", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "left away, given alone, given with an address")]
    pub(crate) ssh: Option<Option<SshAddress>>,

    #[command(flatten)]
    pub(crate) login: Login,
}

/// How to log in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "SSH")]
pub(crate) struct Login {
    /// Log in with this private key
    #[arg(long, value_name = "FILE")]
    pub(crate) ssh_key: Option<PathBuf>,

    /// Use this `ssh` instead of the built-in client
    ///
    /// The built-in client needs nothing installed. Where `~/.ssh/config` asks for more than it can do (`ProxyJump`,
    /// hardware keys, `Match` and so on), the `ssh` of `PATH` is taken without being asked for.
    #[arg(long, value_name = "PROGRAM", env = "NEXUS_HOST_SSH_PROGRAM")]
    pub(crate) ssh_program: Option<PathBuf>,

    /// Take a host key that nobody knows yet, and add it to `~/.ssh/known_hosts`; a changed key is refused all the same
    #[arg(long)]
    pub(crate) accept_new: bool,
}

/// Build hosts and change running machines to them, kept only when they prove healthy and reachable
///
/// Builds and tests each host, sends what its machine lacks, and shows what will change. Then each machine tries its
/// new system: its own checks must pass, and it must be reached again over new connections, by every way of
/// `[deploy]`, within the window; else it goes back by itself, whatever became of this program or the network.
/// Exit codes: 0 kept everywhere, 4 a machine is unchanged, 5 the state of a machine is not known, 6 a check failed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Deploy {
    /// Hosts to deploy; with --on, none need be named
    #[arg(required_unless_present = "on")]
    pub(crate) hosts: Vec<String>,

    /// Also every host with this tag in `[deploy]`
    #[arg(long, value_name = "TAG")]
    pub(crate) on: Vec<String>,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Show what would change, and end
    ///
    /// What the machine lacks is sent to its store all the same, because only it can tell which units are touched;
    /// nothing that runs changes.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Do not test the hosts in a virtual machine first
    #[arg(long)]
    pub(crate) no_test: bool,

    /// Prepare the next boot only; it is tried then
    #[arg(long, group = "level")]
    pub(crate) boot: bool,

    /// Start the machine anew, also when less would do
    #[arg(long, group = "level")]
    pub(crate) reboot: bool,

    /// Start all of user space anew, also when less would do
    #[arg(long, group = "level")]
    pub(crate) soft_reboot: bool,

    /// Seconds to prove itself within [default: `window` in `[deploy]`]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(5..=3600))]
    pub(crate) window: Option<u32>,

    /// Change so many machines at once
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) parallel: std::num::NonZeroUsize,

    /// Go on to the next machines only when so many, or so many of a hundred, have kept theirs
    #[arg(long, value_name = "N|P%")]
    pub(crate) batch: Option<Batch>,

    /// Change this host first, alone
    #[arg(long, value_name = "HOST")]
    pub(crate) canary: Option<String>,

    /// When one host fails, take those that were changed in this run back, too
    #[arg(long)]
    pub(crate) revert_all: bool,

    /// Try again what failed before
    #[arg(long)]
    pub(crate) again: bool,

    /// Follow what is already on trial there, and confirm it
    #[arg(long, conflicts_with_all = ["level", "dry_run", "again"])]
    pub(crate) attach: bool,

    /// The machine was set up anew: another machine may answer than the last time
    #[arg(long)]
    pub(crate) new_machine: bool,

    /// Use only what earlier runs have fetched
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Take machines back to a generation that proved itself
///
/// Tried and confirmed like a deployment. Ends a change that waits to be confirmed, when there is one.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The host
    pub(crate) host: String,

    /// Generation to go back to; the good one before what runs when none is named
    pub(crate) generation: Option<u32>,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Show what machines run, whether they are healthy, and what has drifted
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Hosts to look at; all in hosts/ when none is named
    pub(crate) hosts: Vec<String>,

    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// List the generations of a machine, keep some, forget old ones
#[derive(Debug, Args)]
pub(crate) struct Generations {
    /// The host
    pub(crate) host: String,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Keep this generation whatever else is forgotten
    #[arg(long, value_name = "N")]
    pub(crate) pin: Vec<u32>,

    /// Do not keep this generation any longer
    #[arg(long, value_name = "N")]
    pub(crate) unpin: Vec<u32>,

    /// Forget old generations, and remove what only they needed; what runs, is pinned or is the default stays
    #[arg(long)]
    pub(crate) gc: bool,

    /// Good generations that --gc keeps
    #[arg(long, value_name = "K", default_value = "5", requires = "gc")]
    pub(crate) keep: u32,
}
