//! A recipe: one thing to make, from inputs that are store paths.
//!
//! Outputs are content-addressed, so a recipe can be written down in full only when its inputs are
//! made. [`Recipe::preimage`] is that full text; its SHA-256 is the key under which the result is
//! remembered, and `nexus-host why` shows two of them side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::debian::lock::Ids;
use crate::store::{Sha256Digest, StorePath, StorePathName};
use crate::tree::TreePath;

/// Position of a recipe in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecipeId(usize);

impl RecipeId {
    /// Zero-based position.
    pub fn index(self) -> usize {
        self.0
    }
}

/// One thing to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Name of the output in the store.
    pub name: StorePathName,
    /// The work, with everything it needs beside its inputs.
    pub step: Step,
    /// Recipes whose outputs this one reads, with the role each has.
    pub inputs: Vec<(Role, RecipeId)>,
}

/// What an input is to the step that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// An unpacked package.
    Package,
    /// What the maintainer scripts change.
    Delta,
    /// Files that a helper made for all hosts with the same package.
    Helper,
    /// The part of a host that its packages alone decide.
    Base,
    /// The files that only this host has.
    Files,
    /// The first file system of a boot.
    Initrd,
    /// The program that changes the host from within, with its units.
    Agent,
    /// An unpacked package whose program does the work.
    Tool,
}

/// The kinds of work that the engine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A `.deb` → its files and manifest.
    Unpack {
        /// Digest of the `.deb`.
        deb: Sha256Digest,
    },
    /// Unpacked packages → what their maintainer scripts change. Inputs: packages in layer order.
    Configure {
        /// Ids that accounts made by the scripts shall have.
        ids: Ids,
        /// Seconds since 1970 that scripts and files get as their time.
        epoch: u64,
    },
    /// Files of many packages → what one program makes of them. Inputs: all packages.
    Help {
        /// The program.
        helper: Helper,
        /// Seconds since 1970 that the files bear.
        epoch: u64,
    },
    /// Packages, delta, helpers → the part of a host that its packages alone decide.
    Base {
        /// Newest time that a file may bear.
        epoch: u64,
    },
    /// The host's own files. Input: the delta, for the accounts that packages made.
    Files {
        /// Files by path.
        files: BTreeMap<TreePath, HostFile>,
        /// Groups that the host file declares.
        groups: Vec<String>,
        /// Accounts of people and services that the host file declares.
        accounts: Vec<HostAccount>,
        /// All pinned ids.
        ids: Ids,
        /// Seconds since 1970 that the files bear.
        epoch: u64,
    },
    /// `nexus-init` and kernel modules → the first file system of a boot. Inputs: kernel, depmod.
    Initrd {
        /// Digest of the `nexus-init` program.
        init: Sha256Digest,
    },
    /// `nexus-agent` and its units → files of every host.
    Agent {
        /// Digest of the `nexus-agent` program.
        agent: Sha256Digest,
        /// Seconds since 1970 that the files bear.
        epoch: u64,
    },
    /// GRUB's packages → the image that a BIOS starts. Inputs: tools.
    GrubCore,
    /// Base, files, kernel, initrd → what a generation names.
    System {
        /// Kernel arguments of the host, beside our own.
        arguments: Vec<String>,
        /// Directories to make in `/` for the host's mounts.
        mount_points: Vec<String>,
        /// What is told about the system in `manifest.json`.
        about: String,
    },
}

/// A program that maintainer scripts would call, and that is called once for all of them instead: it is
/// slow, and makes files from the files of many packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Helper {
    /// `depmod`: which kernel module needs which.
    KernelModules,
    /// `systemd-hwdb`: what udev knows about devices.
    HardwareDatabase,
    /// `update-ca-certificates`: the certificates that TLS clients trust.
    Certificates,
}

impl Helper {
    /// All helpers.
    pub const ALL: [Self; 3] = [Self::KernelModules, Self::HardwareDatabase, Self::Certificates];

    /// The Debian package that has the program.
    pub fn package(self) -> &'static str {
        match self {
            Self::KernelModules => "kmod",
            Self::HardwareDatabase => "udev",
            Self::Certificates => "ca-certificates",
        }
    }

    /// Name of the output in the store.
    pub fn output(self) -> &'static str {
        match self {
            Self::KernelModules => "depmod",
            Self::HardwareDatabase => "hwdb",
            Self::Certificates => "certificates",
        }
    }
}

/// A file that the host file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// What stands there.
    pub content: HostContent,
    /// Permission bits.
    pub mode: u16,
    /// Name of the owner.
    pub user: String,
    /// Name of the group.
    pub group: String,
}

/// What stands at the path of a host's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostContent {
    /// A regular file.
    Bytes(Vec<u8>),
    /// A symbolic link.
    Link(String),
}

/// An account that the host file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAccount {
    /// Login name; its id is pinned.
    pub name: String,
    /// Main group; `None` is a group of the same name.
    pub group: Option<String>,
    /// Who or what it is.
    pub comment: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Further groups.
    pub groups: Vec<String>,
}

impl Step {
    /// Name and version of the kind of work: raised whenever the same inputs would give other bytes.
    pub fn label(&self) -> &'static str {
        match self {
            Step::Unpack { .. } => "unpack 1",
            Step::Configure { .. } => "configure 2",
            Step::Help { helper: Helper::KernelModules, .. } => "depmod 2",
            Step::Help { helper: Helper::HardwareDatabase, .. } => "hwdb 2",
            Step::Help { helper: Helper::Certificates, .. } => "certificates 1",
            Step::Base { .. } => "base 2",
            Step::Files { .. } => "files 1",
            Step::Initrd { .. } => "initrd 1",
            Step::Agent { .. } => "agent 1",
            Step::System { .. } => "system 2",
            Step::GrubCore => "grub-core 1",
        }
    }

    /// What is being done, for progress and errors.
    pub fn verb(&self) -> &'static str {
        match self {
            Step::Unpack { .. } => "unpack",
            Step::Configure { .. } => "configure",
            Step::Help { .. } => "make the files of",
            Step::Base { .. } => "compose",
            Step::Files { .. } => "write files of",
            Step::Initrd { .. } => "make the initrd of",
            Step::Agent { .. } => "write",
            Step::System { .. } => "make the system",
            Step::GrubCore => "make",
        }
    }

    /// The step's own facts, one a line, in a fixed order.
    fn facts(&self) -> Vec<String> {
        match self {
            Step::Unpack { deb } => vec![format!("deb {deb}")],
            Step::Configure { ids, epoch } => {
                [vec![format!("epoch {epoch}")], id_lines(ids)].concat()
            }
            Step::Help { epoch, .. } | Step::Base { epoch } => {
                vec![format!("epoch {epoch}")]
            }
            Step::Files { files, groups, accounts, ids, epoch } => {
                let groups = groups.iter().map(|group| format!("group {group}"));
                let files = files.iter().map(|(path, file)| file.line(path));
                let accounts = accounts.iter().map(|account| format!("account {account:?}"));
                let epoch = vec![format!("epoch {epoch}")];
                [epoch, id_lines(ids), groups.collect(), accounts.collect(), files.collect()]
                    .concat()
            }
            Step::GrubCore => Vec::new(),
            Step::Initrd { init } => vec![format!("init {init}")],
            Step::Agent { agent, epoch } => {
                vec![format!("agent {agent}"), format!("epoch {epoch}")]
            }
            Step::System { arguments, mount_points, about } => {
                let arguments = arguments.iter().map(|argument| format!("argument {argument:?}"));
                let points = mount_points.iter().map(|point| format!("mount-point {point:?}"));
                let about = about.lines().map(|line| format!("about {line}"));
                arguments.chain(points).chain(about).collect()
            }
        }
    }
}

/// A line an id.
fn id_lines(ids: &Ids) -> Vec<String> {
    let users = ids.users.iter().map(|(name, id)| format!("user {name} {id}"));
    users.chain(ids.groups.iter().map(|(name, id)| format!("group {name} {id}"))).collect()
}

impl HostFile {
    fn line(&self, path: &TreePath) -> String {
        let content = match &self.content {
            HostContent::Bytes(bytes) => Sha256Digest::of(bytes).to_string(),
            HostContent::Link(target) => format!("-> {target:?}"),
        };
        format!("file {path:?} {:04o} {} {} {content}", self.mode, self.user, self.group)
    }
}

impl Role {
    fn label(self) -> &'static str {
        match self {
            Role::Package => "package",
            Role::Delta => "delta",
            Role::Helper => "helper",
            Role::Base => "base",
            Role::Files => "files",
            Role::Initrd => "initrd",
            Role::Agent => "agent",
            Role::Tool => "tool",
        }
    }
}

impl Recipe {
    /// The text whose SHA-256 is the recipe's key; `outputs` are those of `inputs`, in order.
    pub fn preimage(&self, outputs: &[StorePath]) -> String {
        assert_eq!(outputs.len(), self.inputs.len(), "every input has one output");
        let mut text = format!("nexus-recipe {}\nname {}\n", self.step.label(), self.name);
        for fact in self.step.facts() {
            writeln!(text, "{fact}").expect("writing to a String cannot fail");
        }
        for ((role, _), output) in self.inputs.iter().zip(outputs) {
            writeln!(text, "input {} {output}", role.label()).expect("a String takes all");
        }
        text
    }
}

/// Recipes in an order in which inputs come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    recipes: Vec<Recipe>,
}

impl Graph {
    /// Adds a recipe whose inputs are there already.
    pub fn add(&mut self, recipe: Recipe) -> RecipeId {
        let id = RecipeId(self.recipes.len());
        assert!(recipe.inputs.iter().all(|(_, input)| *input < id), "inputs are added first");
        self.recipes.push(recipe);
        id
    }

    /// Adds all recipes of `other`, so that they are made at the same time as those that are here.
    pub fn append(&mut self, other: Graph) {
        let offset = self.recipes.len();
        let moved = |(role, RecipeId(index))| (role, RecipeId(index + offset));
        for recipe in other.recipes {
            let inputs = recipe.inputs.into_iter().map(moved).collect();
            self.recipes.push(Recipe { inputs, ..recipe });
        }
    }

    /// The recipe at `id`.
    pub fn get(&self, id: RecipeId) -> &Recipe {
        &self.recipes[id.0]
    }

    /// All positions, in order.
    pub fn ids(&self) -> impl Iterator<Item = RecipeId> + use<> {
        (0..self.recipes.len()).map(RecipeId)
    }

    /// How many recipes there are.
    pub fn len(&self) -> usize {
        self.recipes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.recipes.is_empty()
    }
}
