//! Step: base, files, kernel, initrd → what a generation names.
//!
//! | entry | what it is |
//! |---|---|
//! | `usr.erofs`, `etc.erofs` | names, owners and modes; contents are in the store |
//! | `kernel`, `initrd` | links into the store, when the host has a kernel |
//! | `params` | the kernel's arguments, beside those that name the disk and the system |
//! | `mount-points` | directories to make in `/`, when there are any |
//! | `manifest.json` | what is in it, for people and programs |

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::initrd::kernel_version;
use super::{Engine, Inputs, StepError, TreeError, base, tree_text};
use crate::exec::files::{FileError, write_scratch};
use crate::exec::store::References;
use crate::image::erofs;
use crate::lower::base::Base;
use crate::lower::compose::apply;
use crate::lower::recipe::{Role, Step};
use crate::store::StorePath;
use crate::tree::shape::complete_parents;
use crate::tree::{Entry, Node, StoreFile, Tree, TreePath};

pub(super) fn run(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    into: &Path,
) -> Result<References, StepError> {
    let Step::System { arguments, mount_points, about } = &inputs.recipe.step else {
        unreachable!("the engine calls each step with its own recipe")
    };
    let mut tree = base_tree(engine, inputs.one(Role::Base))?;
    for path in [inputs.one(Role::Agent), inputs.one(Role::Files)] {
        apply(&mut tree, tree_text::read_manifest(&engine.real(path, ""), path)?, path);
    }
    complete_parents(&mut tree).map_err(TreeError::Shape)?;
    let mut referable: BTreeSet<StorePath> = tree.values().filter_map(origin).collect();
    for part in ["usr", "etc"] {
        let image = erofs::write(&below(&tree, part))?;
        write_scratch(&into.join(format!("{part}.erofs")), &image)?;
    }
    if let Some(initrd) = inputs.of(Role::Initrd).next() {
        let kernel = inputs.one(Role::Package);
        let version = kernel_version(engine, kernel)?;
        let store = engine.store.directory();
        let kernel_file = format!("{}/data/boot/vmlinuz-{version}", store.join(kernel));
        link(&kernel_file, &into.join("kernel"))?;
        link(&store.join(initrd), &into.join("initrd"))?;
        referable.extend([kernel.clone(), initrd.clone()]);
    }
    write_scratch(&into.join("params"), (arguments.join(" ") + "\n").as_bytes())?;
    if !mount_points.is_empty() {
        let list = mount_points.join("\n") + "\n";
        write_scratch(&into.join(crate::boot::MOUNT_POINTS), list.as_bytes())?;
    }
    write_scratch(&into.join("manifest.json"), about.as_bytes())?;
    Ok(References::ScanFor(referable))
}

/// What the packages decide, with the base's own file.
fn base_tree(engine: &Engine<'_>, path: &StorePath) -> Result<Tree, StepError> {
    let real = engine.real(path, "");
    let mut tree = tree_text::read(&real, path)?;
    let own = real.join(base::FACTORY_FILE);
    let size = std::fs::metadata(&own).map_err(FileError::at("look at", &own))?.len();
    let inner = TreePath::new(base::FACTORY_FILE).expect("the constant is a path");
    let file = StoreFile { size, path: path.clone(), inner };
    let node = Node::File(file);
    let entry = Entry { mode: 0o644, node, ..Entry::default_directory() };
    tree.insert(Base::factory_configuration_path(), entry);
    Ok(tree)
}

fn origin(entry: &Entry<StoreFile>) -> Option<StorePath> {
    match &entry.node {
        Node::File(file) => Some(file.path.clone()),
        _ => None,
    }
}

/// The part of the tree below `directory`, rooted there.
fn below(tree: &Tree, directory: &str) -> Tree {
    let directory = TreePath::new(directory).expect("the name is a path");
    crate::tree::links::below(tree, &directory)
}

fn link(target: &str, at: &Path) -> Result<(), StepError> {
    Ok(symlink(target, at).map_err(FileError::at("make the link", at))?)
}
