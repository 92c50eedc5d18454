//! The seccomp filter that asks process 1 about changes of owner, and the answers.
//!
//! In a user namespace with one id a file's owner cannot be changed to any other. So the kernel asks
//! instead ("user notification"), process 1 notes the owner and says that it worked. Changes of the
//! process's own ids, and calls that wait for a disk, are answered by the filter alone.
//!
//! Sources: `include/uapi/linux/{seccomp,audit,bpf_common}.h`, seccomp(2), 2026-08.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

use super::recorder_owners::{Change, Recorder, Target};

/// `AUDIT_ARCH_X86_64`: the machine whose call numbers the filter knows.
const ARCHITECTURE: u32 = 0xC000_003E;

/// `__X32_SYSCALL_BIT`: numbers from here on belong to another calling convention.
const FIRST_X32_CALL: u32 = 0x4000_0000;

/// Calls that process 1 is asked about.
const ASKED: &[libc::c_long] =
    &[libc::SYS_chown, libc::SYS_lchown, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_uname];

/// Calls that give 0 without being made: nobody can change ids here, and nothing need reach a disk.
/// `getgroups` too: groups of the caller must not be seen.
const ANSWERED_WITH_ZERO: &[libc::c_long] = &[
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_getgroups,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_msync,
];

/// The release that `uname` tells, whatever the machine runs: that of Debian 13's kernel.
const KERNEL_RELEASE: &str = "6.12.0";

/// Bytes of each of the six fields of `struct utsname`; `__NEW_UTS_LEN` + 1.
const UNAME_FIELD_BYTES: usize = 65;

/// Most bytes of a path, with its NUL; `PATH_MAX`.
const PATH_BYTES_MAX: usize = 4096;

/// Where the kernel's questions come in.
pub(super) struct Listener(OwnedFd);

/// Puts the process, and all that it will start, under the filter.
pub(super) fn install_filter() -> io::Result<OwnedFd> {
    let mut instructions = filter();
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).expect("the filter has some fifty instructions"),
        filter: instructions.as_mut_ptr(),
    };
    #[expect(unsafe_code, reason = "rustix has no seccomp")]
    // SAFETY: the program points to initialised instructions that outlive the call; the kernel
    // copies them. A filter can only take rights away.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let descriptor = i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "the kernel gives the descriptor as a number")]
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The instructions; see `struct seccomp_data` for the offsets 0 (call number) and 4 (machine).
fn filter() -> Vec<libc::sock_filter> {
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let give = |value| instruction(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    let equal = |value, then, otherwise| {
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, then, otherwise)
    };
    let at_least = |value, then, otherwise| {
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, value, then, otherwise)
    };
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).expect("ENOSYS is 38");
    let mut program = vec![
        load(4),
        equal(ARCHITECTURE, 1, 0),
        give(refuse),
        load(0),
        at_least(FIRST_X32_CALL, 0, 1),
        give(refuse),
    ];
    let asked = ASKED.iter().map(|call| (call, libc::SECCOMP_RET_USER_NOTIF));
    let zero = ANSWERED_WITH_ZERO.iter().map(|call| (call, libc::SECCOMP_RET_ERRNO));
    for (call, action) in asked.chain(zero) {
        let call = u32::try_from(*call).expect("call numbers are small");
        program.extend([equal(call, 0, 1), give(action)]);
    }
    program.push(give(libc::SECCOMP_RET_ALLOW));
    program
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).expect("codes have 16 bits"), jt, jf, k }
}

impl Listener {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes one question and answers it.
    pub(super) fn answer_one(&self, recorder: &mut Recorder) -> io::Result<()> {
        let Some(question) = self.receive()? else {
            return Ok(());
        };
        let result = self.act(&question, recorder);
        let errno = match result {
            Ok(()) => 0,
            Err(error) => super::channel::errno_of(&error),
        };
        self.respond(question.id, errno)
    }

    fn act(&self, question: &libc::seccomp_notif, recorder: &mut Recorder) -> io::Result<()> {
        let process = question.pid;
        let arguments = &question.data.args;
        let number = libc::c_long::from(question.data.nr);
        if number == libc::SYS_uname {
            return self.write_uname(question, process, arguments[0]);
        }
        let memory = |address| read_path(process, address);
        let (target, owner) = match number {
            libc::SYS_fchown => {
                let target = Target::Descriptor { descriptor: low_i32(arguments[0]) };
                (target, (arguments[1], arguments[2]))
            }
            libc::SYS_fchownat => {
                let flags = low_i32(arguments[4]);
                let target = Target::at(low_i32(arguments[0]), memory(arguments[1])?, flags)?;
                (target, (arguments[2], arguments[3]))
            }
            _ => {
                let stay = if number == libc::SYS_lchown { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
                let target = Target::at(libc::AT_FDCWD, memory(arguments[0])?, stay)?;
                (target, (arguments[1], arguments[2]))
            }
        };
        let opened = target.open(process)?;
        // Were the process gone, its number could be another's, and the file with it.
        self.check_alive(question.id)?;
        let change = Change { uid: low_u32(owner.0), gid: low_u32(owner.1) };
        recorder.apply(&opened, change)
    }

    fn write_uname(
        &self,
        question: &libc::seccomp_notif,
        process: u32,
        address: u64,
    ) -> io::Result<()> {
        let name = rustix::system::uname();
        let host = name.nodename().to_bytes();
        let fields: [&[u8]; 6] =
            [b"Linux", host, KERNEL_RELEASE.as_bytes(), b"#1 SMP", b"x86_64", b"(none)"];
        let mut bytes = vec![0; fields.len() * UNAME_FIELD_BYTES];
        for (place, field) in bytes.chunks_exact_mut(UNAME_FIELD_BYTES).zip(fields) {
            let length = field.len().min(UNAME_FIELD_BYTES - 1);
            place[..length].copy_from_slice(&field[..length]);
        }
        let memory = File::options().write(true).open(format!("/proc/{process}/mem"))?;
        self.check_alive(question.id)?;
        memory.write_all_at(&bytes, address)
    }

    fn receive(&self) -> io::Result<Option<libc::seccomp_notif>> {
        #[expect(unsafe_code, reason = "a structure of plain numbers, and an ioctl")]
        // SAFETY: all-zero is a valid value of the structure, and what the kernel wants to find. The
        // ioctl writes at most its size; both outlive the call.
        let (result, question) = unsafe {
            let mut question: libc::seccomp_notif = std::mem::zeroed();
            let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
            let result = libc::ioctl(self.0.as_raw_fd(), request, &raw mut question);
            (result, question)
        };
        if result == 0 {
            return Ok(Some(question));
        }
        gone_or_error()
    }

    fn respond(&self, id: u64, errno: i32) -> io::Result<()> {
        let response = libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 };
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: the structure is initialised and outlives the call, which only reads it.
        let result = unsafe {
            let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
            libc::ioctl(self.0.as_raw_fd(), request, &raw const response)
        };
        if result == 0 { Ok(()) } else { gone_or_error().map(|_: Option<()>| ()) }
    }

    fn check_alive(&self, id: u64) -> io::Result<()> {
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: the kernel reads the eight bytes of `id`, which outlives the call.
        let result = unsafe {
            let request = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;
            libc::ioctl(self.0.as_raw_fd(), request, &raw const id)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// A process that was killed while it waited is no error.
fn gone_or_error<T>() -> io::Result<Option<T>> {
    let error = io::Error::last_os_error();
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::INTR) => Ok(None),
        _ => Err(error),
    }
}

/// The NUL-terminated path at `address` of another process.
fn read_path(process: u32, address: u64) -> io::Result<Vec<u8>> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut path = Vec::new();
    while path.len() < PATH_BYTES_MAX {
        let start = address.checked_add(path.len() as u64).ok_or_else(bad_address)?;
        // The path may end just before a page that is not there.
        let page_rest = PATH_BYTES_MAX - usize::try_from(start % 4096).unwrap_or_default();
        let mut bytes = [0; PATH_BYTES_MAX];
        let count = match memory.read_at(&mut bytes[..page_rest.min(256)], start) {
            Ok(0) | Err(_) => return Err(bad_address()),
            Ok(count) => count,
        };
        let found = &bytes[..count];
        if let Some(end) = found.iter().position(|&byte| byte == 0) {
            path.extend_from_slice(&found[..end]);
            return Ok(path);
        }
        path.extend_from_slice(found);
    }
    Err(rustix::io::Errno::NAMETOOLONG.into())
}

fn bad_address() -> io::Error {
    rustix::io::Errno::FAULT.into()
}

/// The low 32 bits of a call's argument, as the kernel takes an `int`.
fn low_i32(argument: u64) -> i32 {
    low_u32(argument).cast_signed()
}

/// The low 32 bits of a call's argument, as the kernel takes an id.
fn low_u32(argument: u64) -> u32 {
    u32::try_from(argument & 0xFFFF_FFFF).expect("32 bits were kept")
}
