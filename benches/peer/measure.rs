//! Times whole processes as the operating system accounts for them.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

/// What one process and its children took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Of the largest single process.
    pub(crate) peak_kilobytes: i64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wall_seconds, cpu_seconds, peak_kilobytes } = self;
        write!(f, "{wall_seconds:.2} s (cpu {cpu_seconds:.2} s, {} MB)", peak_kilobytes / 1000)
    }
}

/// Several runs.
pub(crate) struct Measured(pub(crate) Vec<Figures>);

impl Measured {
    /// The run with the median time.
    pub(crate) fn median(mut self) -> Figures {
        self.0.sort_by(|a, b| a.wall_seconds.total_cmp(&b.wall_seconds));
        self.0[self.0.len() / 2]
    }
}

/// Runs `command` to its end, which must be a good one.
#[expect(clippy::zombie_processes, reason = "wait4 is called below, for the usage")]
pub(crate) fn measured(mut command: Command) -> Figures {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let (status, usage) = wait(child.id());
    let wall_seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}: {status}");
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Figures { wall_seconds, cpu_seconds, peak_kilobytes: usage.ru_maxrss }
}

#[expect(unsafe_code, reason = "std does not give the usage of one child")]
fn wait(process: u32) -> (ExitStatus, libc::rusage) {
    let mut status = 0;
    // SAFETY: both pointers are to values of the right type that live until the call returns.
    unsafe {
        let mut usage = std::mem::zeroed();
        let process = libc::pid_t::try_from(process).unwrap();
        assert_eq!(libc::wait4(process, &raw mut status, 0, &raw mut usage), process);
        (ExitStatus::from_raw(status), usage)
    }
}

/// Copies a directory with all attributes; not timed.
pub(crate) fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

/// A new ext4 of its own, mounted; gone when it is dropped.
///
/// ext4 does not use the inodes of removed files again for a minute and more, and looks for others one by one until
/// then: on a file system where anything was removed before, whoever makes files pays for it. Source:
/// `recently_deleted` in the kernel's `fs/ext4/ialloc.c`.
pub(crate) struct FileSystem {
    image: PathBuf,
    place: PathBuf,
}

impl FileSystem {
    const BYTES: u64 = 16 << 30;

    /// Makes one, mounted at `place`.
    pub(crate) fn new(place: PathBuf) -> Self {
        let image = place.with_extension("ext4");
        let new = Self { image, place };
        new.unmount();
        std::fs::create_dir_all(&new.place).unwrap();
        let file = std::fs::File::create(&new.image).unwrap();
        file.set_len(Self::BYTES).unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", "lazy_itable_init=0"])
            .arg(&new.image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&new.image).arg(&new.place));
        new
    }

    pub(crate) fn path(&self) -> &Path {
        &self.place
    }

    /// Also one that an earlier run left, because it was stopped.
    fn unmount(&self) {
        let mounted = Command::new("mountpoint").arg("-q").arg(&self.place).status().unwrap();
        if mounted.success() {
            run(Command::new("umount").arg(&self.place));
        }
        let _absent = std::fs::remove_file(&self.image);
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn run(command: &mut Command) {
    let status =
        command.status().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
