//! What may be written after `secrets`; the help texts are part of the product.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Keep the secrets of hosts in encrypted SOPS files
///
/// Each host has one file, `secrets.sops/HOST.yaml`, whose values are encrypted for the people who keep
/// it and for that host alone. Commit it: without an identity it tells nothing but names. The real `sops`
/// reads and writes the same file. On the host the secrets become files in memory, `/run/secrets/NAME`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Secrets {
    #[command(subcommand)]
    pub(crate) verb: SecretsVerb,
}

const AFTER_HELP: &str = "\
To begin:
  age-keygen -o ~/.config/sops/age/keys.txt
                                   your own identity; keep a copy offline
  nexus-host secrets add-host vps1 an identity for the host, and the rule who can decrypt
  nexus-host secrets generate vps1 everything that can be made at random
  nexus-host secrets set vps1 app/token < token.txt
                                   what only you know; never on the command line
  nexus-host secrets check         what is missing, unused, weak, or not for the host

Identities are looked for in --identity, or else SOPS_AGE_KEY, SOPS_AGE_KEY_FILE,
SOPS_AGE_SSH_PRIVATE_KEY_FILE, ~/.config/sops/age/keys.txt and ~/.ssh/id_ed25519.
Who can decrypt a new file stands in .sops.yaml, as for sops.";

/// The verbs below `secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsVerb {
    List(List),
    Get(Get),
    Set(Set),
    Edit(Edit),
    Generate(Generate),
    Rotate(Rotate),
    Rekey(Rekey),
    AddHost(AddHost),
    Check(Check),
}

/// Whose identity opens the file.
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// Decrypt with the identities in FILE (age identity file or SSH ed25519 key); may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,
}

/// List the secrets of a host: which it declares, which are there, who uses them
///
/// Reads names only, so it needs no identity.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The host
    pub(crate) host: String,
}

/// Print one secret
///
/// Exactly its bytes go to standard output, without a line break of ours.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The host
    pub(crate) host: String,
    /// The secret, such as app/token
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// Set one secret to what standard input says
///
/// One line break at the end is not part of the value, unless --exact. On a terminal it asks without
/// showing what is typed. There is no way to give the value on the command line, where every user of this
/// machine could read it.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The host
    pub(crate) host: String,
    /// The secret, such as app/token
    pub(crate) name: String,
    /// Take every byte of standard input, also a line break at the end
    #[arg(long)]
    pub(crate) exact: bool,
    /// Set it although the host does not declare it
    #[arg(long)]
    pub(crate) undeclared: bool,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// Edit all secrets of a host in $VISUAL or $EDITOR
///
/// The plain text lies in memory that only this program and the editor can see, never on a disk; it is
/// gone when the program ends, also when it is killed. Nothing is written unless the text is a whole
/// document; what you did not change keeps its ciphertext.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The host
    pub(crate) host: String,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// Make every declared secret that is missing and has `generate`
///
/// Existing values stay. Says what is left for you to set.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The host
    pub(crate) host: String,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// Make secrets anew, and the key of the file
///
/// Without names: all that can be generated, except those with `never_rotate`. What is made from a
/// renewed secret, such as a password hash, is renewed with it. Lists the units that restart with the
/// next deploy.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The host
    pub(crate) host: String,
    /// Secrets to renew; one with `never_rotate` only when it is named here
    pub(crate) names: Vec<String>,
    /// Say what would happen and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// Encrypt files for exactly those whom .sops.yaml and HOST.pub name
///
/// After a person or host was added or removed. When somebody is removed, the key of the file is renewed;
/// what he has read he still knows, so `rotate` too.
#[derive(Debug, Args)]
pub(crate) struct Rekey {
    /// Hosts; all when none is named
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// Give a host its identity, and write down who can decrypt its secrets
///
/// Makes an age key for the host (or takes the public key you give), writes its public half to
/// `secrets.sops/HOST.pub` and a rule for its file to `.sops.yaml`: you and the host. The private half
/// goes to a file outside the workspace; `install` and `build --identity` take it from there.
#[derive(Debug, Args)]
pub(crate) struct AddHost {
    /// The host
    pub(crate) host: String,
    /// Public key that the host has already: age1… or ssh-ed25519 …
    #[arg(long, value_name = "KEY")]
    pub(crate) recipient: Option<String>,
    /// Where the private half goes [default: $XDG_DATA_HOME/nexus-host/identities/HOST.txt]
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) who: Who,
}

/// Say what is wrong with the secrets of hosts
///
/// Missing, unused, weak, readable too widely, not decryptable by the host, encrypted for others than
/// `.sops.yaml` says. Without an identity that opens the file, values are not judged, and it says so.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Hosts; all when none is named
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) who: Who,
}
