//! The graph of recipes of a host.

use std::collections::BTreeMap;

use super::recipe::{
    Graph, Helper, HostAccount, HostContent, HostFile, Recipe, RecipeId, Role, Step,
};
use super::tools::{IMAGE, tools_for};
use crate::debian::lock::{Ids, Lock};
use crate::debian::record::PackageRecord;
use crate::eval::{File, System, Traced};
use crate::store::path::StorePathError;
use crate::store::{Sha256Digest, StorePathName};
use crate::tree::TreePath;

/// A graph whose last recipe is the delta of the maintainer scripts.
#[derive(Debug)]
pub struct PackagesGraph {
    /// The recipes.
    pub graph: Graph,
    /// The packages, in the order of the lock.
    pub packages: Vec<RecipeId>,
    /// What their scripts change.
    pub delta: RecipeId,
}

/// What the tools of an image need.
#[derive(Debug)]
pub struct ImageGraph {
    /// The recipes.
    pub graph: Graph,
    /// The unpacked tools, in the order of the lock.
    pub tools: Vec<RecipeId>,
    /// What a BIOS starts.
    pub core: RecipeId,
}

/// The whole graph of a host.
#[derive(Debug)]
pub struct HostGraph {
    /// The recipes.
    pub graph: Graph,
    /// What a generation names.
    pub system: RecipeId,
}

/// Unpacked packages and what their scripts change: all that can be known without a host file.
///
/// # Errors
///
/// A package whose name or version cannot be a store path's name.
pub fn packages_graph(
    packages: &[PackageRecord],
    ids: &Ids,
    epoch: u64,
) -> Result<PackagesGraph, StorePathError> {
    let mut graph = Graph::default();
    let unpacked = unpack_all(&mut graph, packages)?;
    let delta = graph.add(Recipe {
        name: StorePathName::new("maintainer-scripts")?,
        step: Step::Configure { ids: ids.clone(), epoch },
        inputs: unpacked.iter().map(|id| (Role::Package, *id)).collect(),
    });
    Ok(PackagesGraph { graph, packages: unpacked, delta })
}

/// One unpack recipe a package, in the given order.
pub fn unpack_all(
    graph: &mut Graph,
    packages: &[PackageRecord],
) -> Result<Vec<RecipeId>, StorePathError> {
    let add = |package: &PackageRecord| {
        Ok(graph.add(Recipe {
            name: package_store_name(package)?,
            step: Step::Unpack { deb: package.sha256 },
            inputs: Vec::new(),
        }))
    };
    packages.iter().map(add).collect()
}

/// The tools that make disk images, and GRUB's part for a BIOS.
///
/// # Errors
///
/// A package whose name or version cannot be a store path's name.
pub fn image_graph(lock: &Lock) -> Result<ImageGraph, StorePathError> {
    let mut graph = Graph::default();
    let tools = unpack_all(&mut graph, &tools_for(lock, IMAGE))?;
    let core = graph.add(Recipe {
        name: StorePathName::new("grub-core.img")?,
        step: Step::GrubCore,
        inputs: tools.iter().map(|id| (Role::Tool, *id)).collect(),
    });
    Ok(ImageGraph { graph, tools, core })
}

/// The unpacked tools of a set, in the order of the lock.
///
/// # Errors
///
/// A package whose name or version cannot be a store path's name.
pub fn tools_graph(lock: &Lock, set: &str) -> Result<Graph, StorePathError> {
    let mut graph = Graph::default();
    unpack_all(&mut graph, &tools_for(lock, set))?;
    Ok(graph)
}

/// `caddy_2.6.2-5_amd64`: dpkg's own way to name a package file, with what Nix refuses replaced.
pub fn package_file_name(name: &str, version: &str, architecture: &str) -> String {
    format!("{name}_{version}_{architecture}").replace([':', '~'], "-")
}

fn package_store_name(package: &PackageRecord) -> Result<StorePathName, StorePathError> {
    let PackageRecord { name, version, architecture, .. } = package;
    let architecture = architecture.to_string();
    let text = package_file_name(name.as_str(), version.as_str(), &architecture);
    StorePathName::new(&text)
}

/// Digests of the programs that every host gets from us.
#[derive(Debug, Clone, Copy)]
pub struct HostPrograms {
    /// `nexus-init`, in the initrd.
    pub init: Sha256Digest,
    /// `nexus-agent`, in the system.
    pub agent: Sha256Digest,
}

/// The graph of `system` with the packages of `lock`.
///
/// # Errors
///
/// A package whose name or version cannot be a store path's name.
pub fn host_graph(
    system: &System,
    lock: &Lock,
    programs: HostPrograms,
) -> Result<HostGraph, StorePathError> {
    let epoch = epoch_of(lock);
    let PackagesGraph { mut graph, packages, delta } =
        packages_graph(&lock.packages, &lock.ids, epoch)?;
    let all: Vec<(Role, RecipeId)> = packages.iter().map(|id| (Role::Package, *id)).collect();
    let with = |more: &[(Role, RecipeId)]| [all.clone(), more.to_vec()].concat();

    let helpers = helper_recipes(&mut graph, &lock.packages, &all, epoch)?;
    let helper_inputs: Vec<_> = helpers.values().map(|id| (Role::Helper, *id)).collect();
    let base = graph.add(Recipe {
        name: StorePathName::new("base")?,
        step: Step::Base { epoch },
        inputs: with(&[vec![(Role::Delta, delta)], helper_inputs].concat()),
    });
    let files = graph.add(Recipe {
        name: StorePathName::new(&format!("files-{}", system.name))?,
        step: files_step(system, lock.ids.clone(), epoch),
        inputs: vec![(Role::Delta, delta)],
    });
    let agent = graph.add(Recipe {
        name: StorePathName::new("nexus-agent")?,
        step: Step::Agent { agent: programs.agent, epoch },
        inputs: Vec::new(),
    });
    let mut inputs = vec![(Role::Base, base), (Role::Files, files), (Role::Agent, agent)];
    if let (Some(kernel), Some(depmod)) =
        (kernel_of(&lock.packages), helpers.get(&Helper::KernelModules))
    {
        let kernel = (Role::Package, packages[kernel]);
        let initrd = graph.add(Recipe {
            name: StorePathName::new("initrd")?,
            step: Step::Initrd { init: programs.init },
            inputs: vec![kernel, (Role::Helper, *depmod)],
        });
        inputs.extend([kernel, (Role::Initrd, initrd)]);
    }
    let system = graph.add(Recipe {
        name: StorePathName::new(&format!("system-{}", system.name))?,
        step: Step::System {
            arguments: kernel_arguments(system),
            mount_points: system.mounts.keys().cloned().collect(),
            about: super::about::about(system, lock),
        },
        inputs,
    });
    Ok(HostGraph { graph, system })
}

/// The time that a host's files bear: when the newest index of its lock was made.
pub fn epoch_of(lock: &Lock) -> u64 {
    lock.sources.iter().map(|source| source.date.seconds()).max().unwrap_or(0)
}

/// The helpers that these packages need.
fn helper_recipes(
    graph: &mut Graph,
    packages: &[PackageRecord],
    inputs: &[(Role, RecipeId)],
    epoch: u64,
) -> Result<BTreeMap<Helper, RecipeId>, StorePathError> {
    let has = |name: &str| packages.iter().any(|package| package.name.as_str() == name);
    let is_needed = |helper: &Helper| {
        let has_work = *helper != Helper::KernelModules || kernel_of(packages).is_some();
        has_work && has(helper.package())
    };
    let mut add = |helper: Helper| {
        let name = StorePathName::new(helper.output())?;
        let step = Step::Help { helper, epoch };
        Ok((helper, graph.add(Recipe { name, step, inputs: inputs.to_vec() })))
    };
    Helper::ALL.into_iter().filter(is_needed).map(&mut add).collect()
}

/// Position of the package that holds the kernel: `linux-image-` and a version.
///
/// Source: Debian's kernel handbook, "Packages": meta packages have no version in their name.
fn kernel_of(packages: &[PackageRecord]) -> Option<usize> {
    packages.iter().position(|package| {
        let rest = package.name.as_str().strip_prefix("linux-image-");
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn files_step(system: &System, ids: Ids, epoch: u64) -> Step {
    let file = |(path, file): (&TreePath, &Traced<File>)| {
        let file = match &file.value {
            File::Regular { content, mode, owner, group } => HostFile {
                content: HostContent::Bytes(content.clone()),
                mode: *mode,
                user: owner.to_string(),
                group: group.to_string(),
            },
            File::Link { target } => HostFile {
                content: HostContent::Link(target.clone()),
                mode: 0o777,
                user: "root".into(),
                group: "root".into(),
            },
        };
        (path.clone(), file)
    };
    let accounts = system.users.iter().map(|(name, user)| HostAccount {
        name: name.to_string(),
        group: user.value.group.as_ref().map(ToString::to_string),
        comment: user.value.comment.clone(),
        home: user.value.home.clone(),
        shell: user.value.shell.clone(),
        groups: user.value.groups.iter().map(ToString::to_string).collect(),
    });
    Step::Files {
        groups: system.groups.keys().map(ToString::to_string).collect(),
        accounts: accounts.collect(),
        files: system.files.iter().map(file).collect(),
        ids,
        epoch,
    }
}

/// Arguments of every host's kernel: a console on the screen and the serial line, where rented machines
/// show it; a reboot ten seconds after a panic; nothing "updated" at boot, because nothing can change.
const KERNEL_ARGUMENTS: [&str; 5] = [
    "console=tty0",
    "console=ttyS0,115200n8",
    "quiet",
    "panic=10",
    "systemd.condition_needs_update=0",
];

fn kernel_arguments(system: &System) -> Vec<String> {
    let own = KERNEL_ARGUMENTS.into_iter().map(str::to_owned);
    own.chain(system.kernel_arguments.iter().map(|argument| argument.value.clone())).collect()
}
