//! What a program needs that has neither `std` nor a C library: a start, memory, an end.
//!
//! A static C library alone is larger than all modules of the initrd that it would start from.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::asm;
use core::ffi::CStr;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::kernel;

/// Numbers of system calls. Source: `arch/x86/entry/syscalls/syscall_64.tbl` of the kernel.
const FORK: u64 = 57;
const EXECVE: u64 = 59;
const EXIT_GROUP: u64 = 231;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("nexus-init begins in assembly that is written for x86-64 alone");

// The kernel starts a program with the stack pointer at its arguments, which are not used here; a call
// expects the stack aligned. Source: System V ABI for x86-64, section 3.4.1.
#[expect(unsafe_code, reason = "there is no other way to begin")]
mod start {
    core::arch::global_asm!(
        ".globl _start",
        "_start:",
        "xor ebp, ebp",
        "and rsp, -16",
        "call nexus_init_start",
        "ud2",
    );
}

#[expect(unsafe_code, reason = "the name is the one that the assembly above calls")]
#[unsafe(no_mangle)]
extern "C" fn nexus_init_start() -> ! {
    let Err(error) = super::boot();
    super::say_failure(&error);
    end()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    kernel::say_critical(&alloc::format!("{info}"));
    end()
}

/// Ends the first process, which is a kernel panic, and with `panic=` on the command line a reboot.
fn end() -> ! {
    // Time for a slow console.
    kernel::sleep_milliseconds(1000);
    exit()
}

#[expect(unsafe_code, reason = "rustix keeps this call to itself")]
fn exit() -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { asm!("syscall", in("rax") EXIT_GROUP, in("rdi") 1, options(noreturn)) }
}

/// Starts `child` in a process of its own, which ends when it returns.
#[expect(unsafe_code, reason = "rustix has no fork")]
pub(super) fn start_process(child: impl FnOnce()) -> Result<(), Errno> {
    let answer: i64;
    // SAFETY: this program has one thread, so the copy is whole; the call changes the registers named.
    unsafe {
        asm!("syscall", inlateout("rax") FORK => answer, lateout("rcx") _, lateout("r11") _,
            options(nostack));
    }
    match answer {
        0 => {
            child();
            exit()
        }
        1.. => Ok(()),
        _ => Err(Errno::from_raw_os_error(i32::try_from(-answer).unwrap_or(i32::MAX))),
    }
}

/// Becomes the program at `path`, with its path as its only argument and nothing in its environment.
#[expect(unsafe_code, reason = "rustix keeps this call to itself")]
pub(super) fn execute(path: &CStr) -> Errno {
    let arguments = [path.as_ptr(), core::ptr::null()];
    let environment: [*const u8; 1] = [core::ptr::null()];
    let answer: i64;
    // SAFETY: both lists end with a null pointer and live until the call returns; the call changes the
    // registers named and nothing in memory.
    unsafe {
        asm!("syscall", inlateout("rax") EXECVE => answer, in("rdi") path.as_ptr(),
            in("rsi") arguments.as_ptr(), in("rdx") environment.as_ptr(),
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    Errno::from_raw_os_error(i32::try_from(-answer).unwrap_or(i32::MAX))
}

/// Bytes of memory that can be asked for; what is not touched costs nothing.
const HEAP_BYTES: usize = 8 << 20;

/// Memory that grows upwards; only the newest piece can be given back or grown in place, which is enough
/// for a program that formats a line, uses it and forgets it.
struct Bump {
    used: AtomicUsize,
}

#[repr(align(16))]
struct Heap(core::cell::UnsafeCell<[u8; HEAP_BYTES]>);

#[expect(unsafe_code, reason = "this program has one thread")]
// SAFETY: nothing runs at the same time.
unsafe impl Sync for Heap {}

static HEAP: Heap = Heap(core::cell::UnsafeCell::new([0; HEAP_BYTES]));

#[global_allocator]
static ALLOCATOR: Bump = Bump { used: AtomicUsize::new(0) };

impl Bump {
    fn offset_of(pointer: *mut u8) -> usize {
        pointer.addr() - HEAP.0.get().addr()
    }
}

#[expect(unsafe_code, reason = "an allocator gives out raw memory")]
// SAFETY: pieces lie in `HEAP`, aligned, behind each other: no two overlap.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = HEAP.0.get().cast::<u8>();
        let free = base.addr() + self.used.load(Ordering::Relaxed);
        let start = free.next_multiple_of(layout.align()) - base.addr();
        match start.checked_add(layout.size()) {
            Some(end) if end <= HEAP_BYTES => {
                self.used.store(end, Ordering::Relaxed);
                // SAFETY: `start` is inside of the heap.
                unsafe { base.add(start) }
            }
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let start = Self::offset_of(pointer);
        if start + layout.size() == self.used.load(Ordering::Relaxed) {
            self.used.store(start, Ordering::Relaxed);
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let start = Self::offset_of(pointer);
        let is_newest = start + layout.size() == self.used.load(Ordering::Relaxed);
        if is_newest && start.checked_add(new_size).is_some_and(|end| end <= HEAP_BYTES) {
            self.used.store(start + new_size, Ordering::Relaxed);
            return pointer;
        }
        // SAFETY: the caller gives a piece of ours and a size that fits a layout of its alignment; old and
        // new do not overlap.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size));
            }
            new
        }
    }
}

// The compiler calls these four wherever it copies or compares. One instruction each, because a loop here
// would be recognised and replaced by a call of the function itself.

#[expect(unsafe_code, reason = "the C functions that compiled code calls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: as the caller promises, both places have `count` bytes.
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    to
}

#[expect(unsafe_code, reason = "the C functions that compiled code calls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= count {
        // SAFETY: what is written first is not read later.
        return unsafe { memcpy(to, from, count) };
    }
    // SAFETY: from the end backwards, what is written first is not read later.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") count => _,
            inout("rdi") to.add(count).sub(1) => _, inout("rsi") from.add(count).sub(1) => _,
            options(nostack));
    }
    to
}

#[expect(unsafe_code, reason = "the C functions that compiled code calls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: as the caller promises, the place has `count` bytes.
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    to
}

#[expect(unsafe_code, reason = "the C functions that compiled code calls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    for index in 0..count {
        // SAFETY: as the caller promises, both places have `count` bytes.
        let (left, right) = unsafe { (a.add(index).read_volatile(), b.add(index).read_volatile()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

#[expect(unsafe_code, reason = "the C functions that compiled code calls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { memcmp(a, b, count) }
}

#[expect(unsafe_code, reason = "the C functions that compiled code calls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: as the caller promises, there is a zero byte.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

// The compiled `alloc` names these two for panics that unwind; here none does.

#[expect(unsafe_code, reason = "a name that compiled code refers to and never calls")]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit()
}

#[expect(unsafe_code, reason = "a name that compiled code refers to and never calls")]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    exit()
}
