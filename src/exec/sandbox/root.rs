//! The sandbox's root: layers stacked by overlayfs, `/proc`, a small `/dev`, binds.

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::channel::{Failure, Report};
use super::{LAYERS_PER_OVERLAY, Sandbox, Upper, system_calls};

/// Devices that every program may expect.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev`, as udev and every container runtime make them.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("pts/ptmx", "dev/ptmx"),
];

/// The merged /usr of Debian, for layers that do not hold the package base-files.
const USR_LINKS: &[(&str, &str)] =
    &[("usr/bin", "bin"), ("usr/sbin", "sbin"), ("usr/lib", "lib"), ("usr/lib64", "lib64")];

/// Parts of `/proc` through which real root, mapped to itself, could change the machine.
const PROC_READ_ONLY: &[&str] = &["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Directories one of which is there on every machine; it is hidden, in this namespace only.
const STAGING_PLACES: &[&str] = &["/tmp", "/run", "/mnt", "/var", "/usr"];

/// Makes the root and moves into it.
pub(super) fn build(sandbox: &Sandbox) -> Result<(), Report> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(forbidden_or("make mounts private"))?;
    let opened = Opened::new(sandbox).map_err(Report::Setup)?;
    let staging = mount_staging()?;
    (|| {
        let skeleton = opened.skeleton(&staging)?;
        make_skeleton(&skeleton)?;
        make_bind_targets(&skeleton, sandbox, &opened)?;
        let root = staging.join("root");
        make_directory(&root)?;
        mount_layers(sandbox, &opened, &staging, &root)?;
        rustix::process::chdir(&root).map_err(Failure::at("enter", &root))?;
        mount_devices()?;
        Ok(())
    })()
    .map_err(Report::Setup)?;
    mount_proc()?;
    (|| {
        if sandbox.sysfs {
            bind(Path::new("/sys"), Path::new("sys"), false)?;
        }
        for (bound, source) in sandbox.binds.iter().zip(&opened.binds) {
            let target = relative(&bound.target);
            if !target.exists() {
                // Below /dev, /run or /tmp, which have hidden what was made for it.
                make_bind_target(&target, source)?;
            }
            bind(&through_descriptor(source), &target, bound.writable)?;
        }
        enter(&sandbox.hostname)
    })()
    .map_err(Report::Setup)
}

/// Descriptors of everything that the sandbox's root is made from; paths to it get hidden.
struct Opened {
    layers: Vec<OwnedFd>,
    binds: Vec<OwnedFd>,
    scratch: Option<OwnedFd>,
}

impl Opened {
    fn new(sandbox: &Sandbox) -> Result<Self, Failure> {
        let layers = sandbox.layers.iter().map(|path| open_path(path)).collect::<Result<_, _>>()?;
        let binds = sandbox.binds.iter().map(|bind| open_path(&bind.source));
        let scratch = match &sandbox.upper {
            Upper::Directory(path) => {
                make_directory(path)?;
                Some(open_path(path)?)
            }
            Upper::None | Upper::Tmpfs => None,
        };
        Ok(Self { layers, binds: binds.collect::<Result<_, _>>()?, scratch })
    }

    /// The directory of the lowest layer; on the file system of the changes, if there is one, so
    /// that the kernel need not translate file numbers.
    fn skeleton(&self, staging: &Path) -> Result<PathBuf, Failure> {
        let path = self.scratch_or(staging).join("skeleton");
        make_directory(&path)?;
        Ok(path)
    }

    fn scratch_or(&self, staging: &Path) -> PathBuf {
        self.scratch.as_ref().map_or_else(|| staging.to_owned(), through_descriptor)
    }
}

fn mount_staging() -> Result<PathBuf, Report> {
    let place = STAGING_PLACES
        .iter()
        .map(Path::new)
        .find(|place| place.is_dir())
        .ok_or(rustix::io::Errno::NOENT)
        .map_err(Failure::of("find a directory to mount on"))
        .map_err(Report::Setup)?;
    rustix::mount::mount("tmpfs", place, "tmpfs", MountFlags::empty(), Some(c"mode=0755"))
        .map_err(forbidden_or("mount a tmpfs"))?;
    Ok(place.to_owned())
}

/// What must be there to mount on, below all layers.
fn make_skeleton(skeleton: &Path) -> Result<(), Failure> {
    for name in ["proc", "dev", "sys", "tmp", "run", "usr", "root", "etc"] {
        make_directory(&skeleton.join(name))?;
    }
    for (target, name) in USR_LINKS {
        make_link(target, &skeleton.join(name))?;
    }
    Ok(())
}

fn make_bind_targets(skeleton: &Path, sandbox: &Sandbox, opened: &Opened) -> Result<(), Failure> {
    for (bind, source) in sandbox.binds.iter().zip(&opened.binds) {
        let target = behind_usr_links(skeleton, &relative(&bind.target));
        make_bind_target(&target, source)?;
    }
    Ok(())
}

/// A directory or an empty file, as `source` is one or the other.
fn make_bind_target(target: &Path, source: &OwnedFd) -> Result<(), Failure> {
    let stat = rustix::fs::fstat(source).map_err(Failure::of("look at what is to be bound"))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return make_directories(target);
    }
    make_directories(target.parent().unwrap_or(Path::new(".")))?;
    std::fs::File::create(target).map_err(Failure::at("make", target))?;
    Ok(())
}

/// A link in the skeleton points outside it while it is not the root; so `bin/x` is `usr/bin/x`.
fn behind_usr_links(skeleton: &Path, inner: &Path) -> PathBuf {
    let link = USR_LINKS.iter().find_map(|(to, name)| Some((to, inner.strip_prefix(name).ok()?)));
    link.map_or_else(|| skeleton.join(inner), |(to, rest)| skeleton.join(to).join(rest))
}

/// An absolute path as one below the root; what climbs out of it is left out.
fn relative(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// Stacks the layers, and the skeleton below them, at `root`.
fn mount_layers(
    sandbox: &Sandbox,
    opened: &Opened,
    staging: &Path,
    root: &Path,
) -> Result<(), Failure> {
    let mut lower: Vec<PathBuf> = opened.layers.iter().map(through_descriptor).collect();
    let scratch = opened.scratch_or(staging);
    lower.push(scratch.join("skeleton"));
    let names = staging.join("names");
    make_directory(&names)?;
    if lower.len() > LAYERS_PER_OVERLAY {
        // Each group becomes one layer: an overlay of its own, read-only. The kernel allows one
        // overlay below another, not more.
        let groups = lower.chunks(LAYERS_PER_OVERLAY).enumerate();
        let merged = groups.map(|(index, group)| merge_group(staging, index, group));
        lower = merged.collect::<Result<_, _>>()?;
    }
    if lower.len() == 1 && sandbox.upper == Upper::None {
        // The kernel wants two layers when there is nothing to write to.
        let empty = staging.join("empty");
        make_directory(&empty)?;
        lower.push(empty);
    }
    let upper = match sandbox.upper {
        Upper::None => None,
        Upper::Directory(_) | Upper::Tmpfs => Some(scratch),
    };
    mount_overlay(&names, &lower, upper.as_deref(), root)
}

fn merge_group(staging: &Path, index: usize, group: &[PathBuf]) -> Result<PathBuf, Failure> {
    if let [single] = group {
        return Ok(single.clone());
    }
    let merged = staging.join(format!("merged{index}"));
    make_directory(&merged)?;
    mount_overlay(&staging.join("names"), group, None, &merged)?;
    Ok(merged)
}

/// Mounts one overlay; layers get short names, because the options must fit 4 KiB.
fn mount_overlay(
    names: &Path,
    lower: &[PathBuf],
    scratch: Option<&Path>,
    target: &Path,
) -> Result<(), Failure> {
    const STEP: &str = "mount an overlay at";
    rustix::process::chdir(names).map_err(Failure::at("enter", names))?;
    let mut words = Vec::with_capacity(lower.len());
    for (index, layer) in lower.iter().enumerate() {
        let name = index.to_string();
        // A group before this one has used the same names.
        let _ = std::fs::remove_file(&name);
        make_link(layer, Path::new(&name))?;
        words.push(name);
    }
    // Volatile: the scratch directory is not meant to survive a power cut, so nothing is synced.
    let mut options = format!("userxattr,index=off,lowerdir={}", words.join(":"));
    let mut flags = MountFlags::RDONLY;
    if let Some(scratch) = scratch {
        for name in ["upper", "work"] {
            make_directory(&scratch.join(name))?;
            make_link(scratch.join(name), Path::new(name))?;
        }
        // The mark of an earlier run, which was volatile too; with it the kernel refuses the mount.
        let _ = std::fs::remove_dir_all(scratch.join("work").join("work").join("incompat"));
        options.push_str(",volatile,upperdir=upper,workdir=work");
        flags = MountFlags::empty();
    }
    let options = CString::new(options).expect("options have no NUL");
    rustix::mount::mount("overlay", target, "overlay", flags, Some(options.as_c_str()))
        .map_err(Failure::at(STEP, target))
}

/// `/dev`, `/run` and `/tmp` of the root that is the current directory.
fn mount_devices() -> Result<(), Failure> {
    let tmpfs = |target: &str, options: &std::ffi::CStr| {
        rustix::mount::mount("tmpfs", target, "tmpfs", MountFlags::NOSUID, Some(options))
            .map_err(Failure::at("mount a tmpfs at", target))
    };
    // With mode 1777 the kernel would refuse to open devices for writing in this sticky directory.
    tmpfs("dev", c"mode=0755")?;
    tmpfs("tmp", c"mode=1777")?;
    tmpfs("run", c"mode=0755")?;
    for name in DEVICES {
        let target = Path::new("dev").join(name);
        std::fs::File::create(&target).map_err(Failure::at("make", &target))?;
        bind(&Path::new("/dev").join(name), &target, true)?;
    }
    for (target, name) in DEVICE_LINKS {
        make_link(target, Path::new(name))?;
    }
    for name in ["dev/shm", "dev/pts"] {
        make_directory(Path::new(name))?;
    }
    tmpfs("dev/shm", c"mode=1777")?;
    rustix::mount::mount(
        "devpts",
        "dev/pts",
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        Some(c"newinstance,ptmxmode=0666,mode=0620"),
    )
    .map_err(Failure::at("mount devpts at", "dev/pts"))
}

fn mount_proc() -> Result<(), Report> {
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "proc", "proc", plain, None)
        .map_err(forbidden_or("mount a new /proc"))?;
    for name in PROC_READ_ONLY {
        let path = Path::new("proc").join(name);
        if path.exists() {
            bind(&path, &path, false).map_err(Report::Setup)?;
        }
    }
    Ok(())
}

/// Mounts `source` at `target`, relative to the root being made.
fn bind(source: &Path, target: &Path, writable: bool) -> Result<(), Failure> {
    rustix::mount::mount_bind_recursive(source, target)
        .map_err(Failure::at("bind a directory or file at", target))?;
    if writable {
        return Ok(());
    }
    system_calls::make_read_only(target).map_err(Failure::at("make read-only", target))
}

/// Makes the current directory the root and lets go of the machine's.
fn enter(hostname: &str) -> Result<(), Failure> {
    rustix::process::pivot_root(".", ".").map_err(Failure::of("change the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)
        .map_err(Failure::of("let go of the machine's root"))?;
    rustix::process::chdir("/").map_err(Failure::at("enter", "/"))?;
    rustix::system::sethostname(hostname.as_bytes()).map_err(Failure::of("set the host name"))?;
    rustix::system::setdomainname(b"(none)").map_err(Failure::of("set the domain name"))
}

/// A step that fails so when the machine gives namespaces without power over them.
fn forbidden_or(step: &'static str) -> impl FnOnce(rustix::io::Errno) -> Report {
    move |errno| match errno {
        rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => {
            Report::Forbidden { errno: errno.raw_os_error() }
        }
        _ => Report::Setup(Failure::of(step)(errno)),
    }
}

fn open_path(path: &Path) -> Result<OwnedFd, Failure> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(Failure::at("open", path))
}

fn through_descriptor(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::at("make", path)(error))
        }
        _ => Ok(()),
    }
}

fn make_directories(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(Failure::at("make", path))
}

fn make_link(target: impl AsRef<Path>, path: &Path) -> Result<(), Failure> {
    match symlink(target.as_ref(), path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::at("make", path)(error))
        }
        _ => Ok(()),
    }
}
