//! A disk image of a host: its system's closure, both boot loaders, one file.
//!
//! Images lie in `images/` beside the store, named by the digest of all that goes into them; one that
//! is there already is not made again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::engine::{Engine, EngineError};
use super::files::{FileError, read_limited};
use super::image::{ImageFileError, store_tree, write};
use super::progress::Unit;
use super::store::{Store, StoreError};
use crate::boot::PERSISTENT;
use crate::boot::arguments::{ROOT, SYSTEM};
use crate::debian::lock::Lock;
use crate::image::boot_entries::{BootEntry, BootFile, BootMenu, BootMenuError, esp_tree};
use crate::image::disk::{DiskContents, DiskError, layout};
use crate::image::inodes::complete;
use crate::image::plan::DiskPlan;
use crate::image::segment::{Data, ImageTree, Layout, Source, image_tree};
use crate::image::{grub, qcow2};
use crate::lower::graph::{epoch_of, image_graph};
use crate::sops::SecretBytes;
use crate::store::path::StorePathError;
use crate::store::{Sha256Digest, StorePath};
use crate::tree::{Entry, Node, StoreFile, TreePath};

/// Version of what is made from the same inputs: raised when the bytes of images change.
const VERSION: u32 = 2;
/// Most bytes of a kernel, an initrd or a boot loader.
const BOOT_FILE_BYTES_MAX: u64 = 512 << 20;
/// Where systemd-boot lies in its package. Source: Debian's package systemd-boot-efi.
const SYSTEMD_BOOT: &str = "data/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
/// Where a host looks for its identity, seen from the root partition.
const IDENTITY: &str = "var/lib/nexus-host/identity.txt";
/// Permission bits of images that hold nothing secret, and of those that do.
const SHARED_MODE: u32 = 0o644;
const PRIVATE_MODE: u32 = 0o600;
/// Where Debian's grub-pc-bin has the code of the first sector.
const BOOT_IMAGE: &str = "boot.img";

/// Form of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Every byte as on the disk; sparse.
    Raw,
    /// QEMU's format, version 3.
    Qcow2,
}

/// What an image is made of.
#[derive(Debug, Clone, Copy)]
pub struct DiskRequest<'a> {
    /// Name of the host.
    pub host: &'a str,
    /// Its system.
    pub system: &'a StorePath,
    /// Its lock, for the tools and the time.
    pub lock: &'a Lock,
    /// Sizes, as text of an `images/*.toml` that `plan` was read from.
    pub plan: &'a DiskPlan,
    /// Form of the file.
    pub form: Form,
    /// Set for an image with the host's own identity.
    pub private: Option<PrivateImage<'a>>,
}

/// An image that only its owner may read: one host's, never one of the images beside the store.
#[derive(Debug, Clone, Copy)]
pub struct PrivateImage<'a> {
    /// Where it goes; replaced when it is there.
    pub target: &'a Path,
    /// The host's private identity.
    pub identity: &'a SecretBytes,
}

/// Why no image was made.
#[derive(Debug, Error)]
pub enum DiskImageError {
    /// A system without a kernel.
    #[error("host `{host}` has no kernel, so no disk can boot it")]
    NoKernel {
        /// The host.
        host: String,
    },
    /// The tools could not be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A tool package does not have the file.
    #[error("no package of the lock has {file}")]
    NoTool {
        /// The file.
        file: String,
    },
    /// The store did not give something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The image could not be written.
    #[error(transparent)]
    Image(#[from] ImageFileError),
    /// The boot loaders could not read their menus.
    #[error(transparent)]
    Menu(#[from] BootMenuError),
    /// The parts do not make a disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A package that cannot be named in the store.
    #[error(transparent)]
    StorePath(#[from] StorePathError),
}

/// A disk as pieces of the system's own closure, and bytes; what no piece covers is zero.
///
/// Whoever has the closure alone, as the host itself has, can write it.
///
/// # Errors
///
/// As [`disk_image`].
pub fn disk_layout(
    engine: &Engine<'_>,
    request: &DiskRequest<'_>,
) -> Result<Layout, DiskImageError> {
    let (core, tools) = image_tools(engine, request.lock)?;
    let mut layout = layout_with(engine, request, &core, &tools.iter().collect::<Vec<_>>())?;
    let closure = engine.store.closure(std::slice::from_ref(request.system))?;
    let closure: BTreeSet<StorePath> = closure.into_iter().collect();
    for segment in &mut layout.segments {
        if let Data::File { file, start, length } = &segment.data
            && !closure.contains(&file.path)
        {
            // A boot loader, of some hundred kilobytes.
            let bytes = read_limited(&real(engine, file), BOOT_FILE_BYTES_MAX)?;
            let position = |at: u64| usize::try_from(at).expect("a position in memory");
            let piece = bytes[position(*start)..position(start + length)].to_vec();
            segment.data = Data::Bytes(piece);
        }
    }
    Ok(layout)
}

/// Makes the image, or finds it made.
///
/// # Errors
///
/// No file is left that is not whole.
pub fn disk_image(
    engine: &Engine<'_>,
    request: &DiskRequest<'_>,
) -> Result<PathBuf, DiskImageError> {
    let (core, tools) = image_tools(engine, request.lock)?;
    let tool_paths: Vec<&StorePath> = tools.iter().collect();
    let (target, mode) = match request.private {
        Some(private) => (private.target.to_owned(), PRIVATE_MODE),
        None => (target(engine, request, &core, &tool_paths), SHARED_MODE),
    };
    if request.private.is_none() && target.exists() {
        return Ok(target);
    }
    let mut layout = layout_with(engine, request, &core, &tool_paths)?;
    if request.form == Form::Qcow2 {
        layout = qcow2::wrap(&layout);
    }
    let directory = target.parent().expect("it lies in the directory of images");
    std::fs::create_dir_all(directory).map_err(FileError::at("create", directory))?;
    let bytes = Some(layout.data_bytes());
    let task = engine.progress.begin("write the image", Unit::Bytes, bytes);
    let store = engine.store.root().join("nix/store");
    write((&target, mode), &layout, &store, engine.interrupt, &*task)?;
    Ok(target)
}

/// GRUB's core for a BIOS, and the unpacked tools of a lock.
fn image_tools(
    engine: &Engine<'_>,
    lock: &Lock,
) -> Result<(StorePath, Vec<StorePath>), DiskImageError> {
    let graph = image_graph(lock)?;
    let outputs = engine.realise(&graph.graph)?;
    let tools = graph.tools.iter().map(|id| outputs[id.index()].clone()).collect();
    Ok((outputs[graph.core.index()].clone(), tools))
}

fn layout_with(
    engine: &Engine<'_>,
    request: &DiskRequest<'_>,
    core: &StorePath,
    tools: &[&StorePath],
) -> Result<Layout, DiskImageError> {
    let boot_image = format!("data/{}/{BOOT_IMAGE}", grub::DIRECTORY);
    let boot_image = tool_file(engine, tools, &boot_image)?;
    let boot_image = read_limited(&real(engine, &boot_image), BOOT_FILE_BYTES_MAX)?;
    let core = read_limited(&engine.store.real_path(core), BOOT_FILE_BYTES_MAX)?;
    let epoch = epoch_of(request.lock);
    let menu = boot_menu(engine, request, tool_file(engine, tools, SYSTEMD_BOOT)?)?;
    let esp = esp_tree(&menu, epoch)?;
    let root = root_tree(engine, (request.system, request.private), epoch)?;
    let contents = DiskContents {
        host: request.host,
        epoch,
        grub: (&boot_image, &core),
        esp: &esp,
        root: &root,
    };
    Ok(layout(request.plan, &contents)?)
}

/// The file's place, by the digest of everything that goes into it.
fn target(
    engine: &Engine<'_>,
    request: &DiskRequest<'_>,
    core: &StorePath,
    tools: &[&StorePath],
) -> PathBuf {
    let DiskRequest { host, system, plan, form, .. } = request;
    let epoch = epoch_of(request.lock);
    let tools: Vec<&str> = tools.iter().map(|path| path.as_str()).collect();
    let preimage = format!(
        "nexus-image {VERSION}\nhost {host}\nsystem {system}\nplan {plan:?}\nform {form:?}\n\
         epoch {epoch}\ncore {core}\ntools {}\n",
        tools.join(" ")
    );
    let digest = Sha256Digest::of(preimage.as_bytes()).to_string();
    let extension = match form {
        Form::Raw => "raw",
        Form::Qcow2 => "qcow2",
    };
    engine.store.root().join("images").join(format!("{}-{host}.{extension}", &digest[..32]))
}

/// The file `inner` of the first tool that has it.
fn tool_file(
    engine: &Engine<'_>,
    tools: &[&StorePath],
    inner: &str,
) -> Result<StoreFile, DiskImageError> {
    let has = |tool: &&&StorePath| engine.store.real_path(tool).join(inner).is_file();
    let missing = || DiskImageError::NoTool { file: inner.to_owned() };
    let tool = tools.iter().find(has).ok_or_else(missing)?;
    store_file(engine, tool, inner)
}

fn store_file(
    engine: &Engine<'_>,
    path: &StorePath,
    inner: &str,
) -> Result<StoreFile, DiskImageError> {
    let inner = TreePath::new(inner).expect("the place is a constant or a store path's own");
    let mut file = StoreFile { size: 0, path: path.clone(), inner };
    let real = real(engine, &file);
    file.size = std::fs::metadata(&real).map_err(FileError::at("look at", &real))?.len();
    Ok(file)
}

fn real(engine: &Engine<'_>, file: &StoreFile) -> PathBuf {
    let path = engine.store.real_path(&file.path);
    if file.inner.is_root() { path } else { path.join(file.inner.to_path()) }
}

/// One generation, booted without asking.
fn boot_menu(
    engine: &Engine<'_>,
    request: &DiskRequest<'_>,
    systemd_boot: StoreFile,
) -> Result<BootMenu, DiskImageError> {
    let system = engine.store.real_path(request.system);
    let no_kernel = || DiskImageError::NoKernel { host: request.host.to_owned() };
    let kernel = linked_file(engine, &system.join("kernel"))?.ok_or_else(no_kernel)?;
    let initrd = linked_file(engine, &system.join("initrd"))?.ok_or_else(no_kernel)?;
    let params = read_limited(&system.join("params"), BOOT_FILE_BYTES_MAX)?;
    let params = String::from_utf8_lossy(&params).trim().to_owned();
    let place = engine.store.directory().join(request.system);
    let entry = BootEntry {
        number: 1,
        title: format!("{} (generation 1)", request.host),
        kernel,
        initrd,
        options: format!("{params} {ROOT}=PARTLABEL={} {SYSTEM}={place}", crate::boot::ROOT_LABEL)
            .trim_start()
            .to_owned(),
    };
    Ok(BootMenu {
        entries: BTreeMap::from([(1, entry)]),
        default: 1,
        trial: None,
        systemd_boot: Source::Store(systemd_boot),
    })
}

/// The file in the store that a link of a system leads to.
fn linked_file(engine: &Engine<'_>, link: &Path) -> Result<Option<BootFile>, DiskImageError> {
    let Ok(target) = std::fs::read_link(link) else { return Ok(None) };
    let inside = target.strip_prefix(engine.store.directory().as_str()).ok();
    let inside = inside.and_then(Path::to_str).and_then(|text| {
        let (base, inner) = text.split_once('/').unwrap_or((text, ""));
        Some((StorePath::from_base_name(base).ok()?, inner.to_owned()))
    });
    let Some((path, inner)) = inside else { return Ok(None) };
    let file = store_file(engine, &path, &inner)?;
    let bytes = read_limited(&real(engine, &file), BOOT_FILE_BYTES_MAX)?;
    Ok(Some(BootFile { digest: Sha256Digest::of(&bytes), source: Source::Store(file) }))
}

/// The root partition: the closure, the first generation, empty places for what persists, and the
/// identity when it is to have one.
pub(super) fn root_tree(
    engine: &Engine<'_>,
    (system, private): (&StorePath, Option<PrivateImage<'_>>),
    epoch: u64,
) -> Result<ImageTree, DiskImageError> {
    let closure = engine.store.closure(std::slice::from_ref(system))?;
    let store = engine.store.root().join("nix/store");
    let mut tree = image_tree(store_tree(&store, &closure)?);
    let entry = |mode: u16, node: Node<Source>| Entry {
        mode,
        mtime: epoch,
        node,
        ..Entry::default_directory()
    };
    let path = |text: &str| TreePath::new(text).expect("the place is a constant");
    for (name, mode) in PERSISTENT {
        let mode = u16::try_from(mode).expect("permission bits fit");
        tree.insert(path(name), entry(mode, Node::Directory));
    }
    let profiles = "nix/var/nix/profiles";
    let target = engine.store.directory().join(system);
    for (name, target) in [("system-1-link", target.as_str()), ("system", "system-1-link")] {
        let link = Node::Symlink(target.as_bytes().to_vec());
        tree.insert(path(&format!("{profiles}/{name}")), entry(0o777, link));
    }
    let registration = registration(engine.store, &closure)?;
    let file = Node::File(Source::Bytes(registration.into_bytes()));
    tree.insert(path("nix/var/nexus-host/registration"), entry(0o644, file));
    if let Some(private) = private {
        let file = Node::File(Source::Bytes(private.identity.expose().clone()));
        tree.insert(path(IDENTITY), entry(0o600, file));
    }
    complete(&mut tree, epoch);
    Ok(tree)
}

/// What a host must know to have a registry of its own: a line a path, with digest, size, references.
///
/// # Errors
///
/// When a path is not valid in the store.
pub fn registration(store: &Store, closure: &[StorePath]) -> Result<String, StoreError> {
    let mut text = String::from("nexus-registration 1\n");
    for path in closure {
        let info = store.info(path)?;
        let info = info.ok_or_else(|| StoreError::NotValid { path: path.clone() })?;
        let references: Vec<&str> = info.references.iter().map(StorePath::as_str).collect();
        let line =
            format!("{path} sha256:{} {} {}", info.nar_hash, info.nar_size, references.join(" "));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Ok(text)
}
