//! Whether KVM can truly run a kernel: a virtual processor runs a few instructions of one, or it does not.
//!
//! `/dev/kvm` may open, make machines and even run firmware where no ordinary kernel can run: seen with
//! `kvm-pvm` on a rented machine, which emulates what it cannot run, and fails at the first instruction it
//! does not know. So the probe is 64-bit code with paging in ring 0, with privileged and vector
//! instructions, and with a loop that only a real processor ends in time.
//! Structures and numbers: `linux/kvm.h` and `asm/kvm.h` for x86-64.

use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use thiserror::Error;

/// What runs the guest's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// Translation by QEMU.
    Tcg,
}

impl Accelerator {
    /// Its name as QEMU spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// KVM where it works; else TCG, and why.
    pub fn best() -> (Self, Option<NoKvm>) {
        match probe(Path::new("/dev/kvm")) {
            Ok(()) => (Self::Kvm, None),
            Err(reason) => (Self::Tcg, Some(reason)),
        }
    }
}

/// Why KVM is passed over.
#[derive(Debug, Error)]
pub enum NoKvm {
    /// The device is not there or not for us.
    #[error("/dev/kvm does not open")]
    Open(#[source] std::io::Error),
    /// A step before the first guest instruction failed.
    #[error("/dev/kvm opens, but it cannot {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The guest did not come to its end.
    #[error("/dev/kvm opens, but a guest of a few instructions stopped for reason {exit_reason}")]
    Exit {
        /// `exit_reason` of `struct kvm_run`.
        exit_reason: u32,
    },
    /// The guest takes as long as only an emulated one does, or never comes back.
    #[error("/dev/kvm opens, but runs guests far too slowly")]
    Slow,
}

const KVM_GET_API_VERSION: libc::c_ulong = 0xae00;
const KVM_CREATE_VM: libc::c_ulong = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: libc::c_ulong = 0xae04;
const KVM_CREATE_VCPU: libc::c_ulong = 0xae41;
const KVM_SET_USER_MEMORY_REGION: libc::c_ulong = 0x4020_ae46;
const KVM_GET_SUPPORTED_CPUID: libc::c_ulong = 0xc008_ae05;
const KVM_SET_CPUID2: libc::c_ulong = 0x4008_ae90;
const KVM_RUN: libc::c_ulong = 0xae80;
const KVM_SET_REGS: libc::c_ulong = 0x4090_ae82;
const KVM_GET_SREGS: libc::c_ulong = 0x8138_ae83;
const KVM_SET_SREGS: libc::c_ulong = 0x4138_ae84;

/// The one version there has been since Linux 2.6.22.
const API_VERSION: i32 = 12;
/// `KVM_EXIT_HLT`.
const EXIT_HALT: u32 = 5;
const PAGE_BYTES: usize = 4096;

/// The guest's memory, from address 0: its code, and three levels of page tables.
const MEMORY_BYTES: usize = 16 * PAGE_BYTES;
const CODE_ADDRESS: u64 = 0x1000;
const LEVEL_4_ADDRESS: u64 = 0x2000;
const LEVEL_3_ADDRESS: u64 = 0x3000;
const LEVEL_2_ADDRESS: u64 = 0x4000;

/// What the guest does.
const CODE: &[u8] = &[
    0xb9, 0x40, 0x0d, 0x03, 0x00, // mov ecx, 200 000
    0xff, 0xc9, // dec ecx
    0x75, 0xfc, // jnz the line above
    0x0f, 0x20, 0xd8, // mov rax, cr3
    0x0f, 0x22, 0xd8, // mov cr3, rax
    0xb9, 0x80, 0x00, 0x00, 0xc0, // mov ecx, the number of EFER
    0x0f, 0x32, // rdmsr
    0x0f, 0x30, // wrmsr
    0x0f, 0x01, 0xf8, // swapgs
    0x0f, 0x01, 0xf8, // swapgs
    0x66, 0x0f, 0xef, 0xc0, // pxor xmm0, xmm0
    0x66, 0x0f, 0xc4, 0xc0, 0x03, // pinsrw xmm0, eax, 3
    0xf4, // hlt
];

/// How often the guest runs; the fastest run counts, because other processes may slow one down.
const RUNS: usize = 3;

/// How long the fastest run may take. A processor needs 0.1 ms, emulation was seen to need 400 ms.
const RUN_WITHIN: Duration = Duration::from_millis(20);

/// How long all of it may take, on a busy machine.
const GUEST_WITHIN: Duration = Duration::from_secs(3);

/// `struct kvm_userspace_memory_region`.
#[repr(C)]
struct MemoryRegion {
    slot: u32,
    flags: u32,
    guest_address: u64,
    bytes: u64,
    our_address: u64,
}

/// `struct kvm_regs`: rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15, rip, rflags.
#[repr(C)]
struct Registers([u64; 18]);

/// `struct kvm_sregs`: eight segments, two tables, then control registers.
#[repr(C)]
struct SpecialRegisters {
    cs: Segment,
    /// ds, es, fs, gs, ss.
    data: [Segment; 5],
    /// tr and ldt.
    task: [Segment; 2],
    /// gdt and idt: base address, and limit.
    tables: [[u64; 2]; 2],
    cr0: u64,
    cr2: u64,
    cr3: u64,
    cr4: u64,
    cr8: u64,
    efer: u64,
    apic_base: u64,
    interrupts: [u64; 4],
}

/// `struct kvm_segment`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Segment {
    base: u64,
    limit: u32,
    selector: u16,
    kind: u8,
    present: u8,
    privilege: u8,
    is_32_bit: u8,
    is_memory: u8,
    is_64_bit: u8,
    is_in_pages: u8,
    available: u8,
    unusable: u8,
    padding: u8,
}

/// `struct kvm_cpuid2`.
#[repr(C)]
struct Features {
    count: u32,
    padding: u32,
    /// `struct kvm_cpuid_entry2`, of 40 bytes.
    entries: [[u32; 10]; FEATURES_MAX],
}

/// `KVM_MAX_CPUID_ENTRIES`.
const FEATURES_MAX: usize = 256;

const _: () = assert!(size_of::<SpecialRegisters>() == 0x138 && size_of::<Segment>() == 24);
const _: () = assert!(size_of::<Registers>() == 0x90 && size_of::<MemoryRegion>() == 0x20);

/// Runs the guest; waits at most three seconds for it.
///
/// # Errors
///
/// Why guests cannot be run here.
pub fn probe(device: &Path) -> Result<(), NoKvm> {
    let device = File::options().read(true).write(true).open(device).map_err(NoKvm::Open)?;
    let (answer, answered) = mpsc::channel();
    // A KVM that emulates comes back late; then the thread is left to itself.
    std::thread::spawn(move || {
        let _ = answer.send(run_guest(&device));
    });
    answered.recv_timeout(GUEST_WITHIN).unwrap_or(Err(NoKvm::Slow))
}

fn run_guest(device: &File) -> Result<(), NoKvm> {
    if call(device.as_raw_fd(), KVM_GET_API_VERSION, 0, "say its version")? != API_VERSION {
        let source = std::io::ErrorKind::Unsupported.into();
        return Err(NoKvm::Step { step: "speak version 12 of its interface", source });
    }
    let machine = owned(call(device.as_raw_fd(), KVM_CREATE_VM, 0, "make a machine")?);
    let memory = Mapping::new(MEMORY_BYTES, None)?;
    memory.write(CODE_ADDRESS, CODE);
    // Present and writable (3); the last level maps 2 MiB at once (0x80).
    memory.write(LEVEL_4_ADDRESS, &(LEVEL_3_ADDRESS | 3).to_le_bytes());
    memory.write(LEVEL_3_ADDRESS, &(LEVEL_2_ADDRESS | 3).to_le_bytes());
    memory.write(LEVEL_2_ADDRESS, &0x83_u64.to_le_bytes());
    let region = MemoryRegion {
        slot: 0,
        flags: 0,
        guest_address: 0,
        bytes: MEMORY_BYTES as u64,
        our_address: memory.address as u64,
    };
    let step = "give a machine memory";
    call(machine.as_raw_fd(), KVM_SET_USER_MEMORY_REGION, &raw const region as usize, step)?;
    let processor =
        owned(call(machine.as_raw_fd(), KVM_CREATE_VCPU, 0, "make a virtual processor")?);
    set_features(device, &processor)?;
    let run_bytes =
        call(device.as_raw_fd(), KVM_GET_VCPU_MMAP_SIZE, 0, "say how a processor is watched")?;
    let run_bytes = usize::try_from(run_bytes).unwrap_or(0).max(PAGE_BYTES);
    let run = Mapping::new(run_bytes, Some(&processor))?;
    let mut fastest = Duration::MAX;
    for _ in 0..RUNS {
        set_registers(&processor)?;
        let begin = Instant::now();
        call(processor.as_raw_fd(), KVM_RUN, 0, "run a guest")?;
        fastest = fastest.min(begin.elapsed());
        // `struct kvm_run`: four bytes of input, four of padding, then the exit reason.
        let exit_reason = run.read_u32(2);
        if exit_reason != EXIT_HALT {
            return Err(NoKvm::Exit { exit_reason });
        }
    }
    if fastest <= RUN_WITHIN { Ok(()) } else { Err(NoKvm::Slow) }
}

/// The virtual processor can do all that KVM can offer here.
fn set_features(device: &File, processor: &OwnedFd) -> Result<(), NoKvm> {
    let count = u32::try_from(FEATURES_MAX).expect("a small constant");
    let mut features = Box::new(Features { count, padding: 0, entries: [[0; 10]; FEATURES_MAX] });
    let step = "say what its processors can do";
    call(device.as_raw_fd(), KVM_GET_SUPPORTED_CPUID, &raw mut *features as usize, step)?;
    let step = "tell a processor what it can do";
    call(processor.as_raw_fd(), KVM_SET_CPUID2, &raw const *features as usize, step)?;
    Ok(())
}

/// 64-bit mode in ring 0, next instruction at [`CODE_ADDRESS`] (Intel's manual, volume 3, section 10.8.5).
fn set_registers(processor: &OwnedFd) -> Result<(), NoKvm> {
    let step = "set a processor's registers";
    let empty = Segment::default();
    let mut special = SpecialRegisters {
        cs: empty,
        data: [empty; 5],
        task: [empty; 2],
        tables: [[0; 2]; 2],
        cr0: 0,
        cr2: 0,
        cr3: 0,
        cr4: 0,
        cr8: 0,
        efer: 0,
        apic_base: 0,
        interrupts: [0; 4],
    };
    call(processor.as_raw_fd(), KVM_GET_SREGS, &raw mut special as usize, step)?;
    let all = Segment {
        limit: u32::MAX,
        selector: 16,
        kind: 3,
        present: 1,
        is_32_bit: 1,
        is_memory: 1,
        is_in_pages: 1,
        ..empty
    };
    special.cs = Segment { selector: 8, kind: 11, is_32_bit: 0, is_64_bit: 1, ..all };
    special.data = [all; 5];
    special.cr3 = LEVEL_4_ADDRESS;
    // PAE, OSFXSR, OSXMMEXCPT; LME and LMA; PE, MP, ET, NE, WP and PG.
    special.cr4 = 0x620;
    special.efer = 0x500;
    special.cr0 = 0x8001_0033;
    call(processor.as_raw_fd(), KVM_SET_SREGS, &raw const special as usize, step)?;
    let mut registers = Registers([0; 18]);
    registers.0[16] = CODE_ADDRESS;
    // Bit 1 of the flags is always set.
    registers.0[17] = 2;
    call(processor.as_raw_fd(), KVM_SET_REGS, &raw const registers as usize, step)?;
    Ok(())
}

/// Makes one ioctl; `argument` is 0 or the address of the structure that `request` stands for.
#[expect(unsafe_code, reason = "KVM has no other interface")]
fn call(
    handle: RawFd,
    request: libc::c_ulong,
    argument: usize,
    step: &'static str,
) -> Result<i32, NoKvm> {
    // SAFETY: the callers above pass the address of a live structure of the size that the request's number
    // has in it, or 0 for requests without one; `handle` is open for the length of the call.
    let answer = unsafe { libc::ioctl(handle, request, argument) };
    if answer < 0 {
        return Err(NoKvm::Step { step, source: std::io::Error::last_os_error() });
    }
    Ok(answer)
}

#[expect(unsafe_code, reason = "the kernel hands over a descriptor as a number")]
fn owned(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the number comes from a successful KVM_CREATE_VM or KVM_CREATE_VCPU just now, and nobody else
    // knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Pages shared with KVM, unmapped at the end.
struct Mapping {
    address: *mut libc::c_void,
    bytes: usize,
}

impl Mapping {
    /// New zeroed pages, or those of a virtual processor.
    #[expect(unsafe_code, reason = "KVM shares memory")]
    fn new(bytes: usize, of: Option<&OwnedFd>) -> Result<Self, NoKvm> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (flags, handle) = match of {
            Some(processor) => (libc::MAP_SHARED, processor.as_raw_fd()),
            None => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, handle, 0) };
        if address == libc::MAP_FAILED {
            let source = std::io::Error::last_os_error();
            return Err(NoKvm::Step { step: "share memory", source });
        }
        Ok(Self { address, bytes })
    }

    #[expect(unsafe_code, reason = "the pages are shared with the guest")]
    fn write(&self, address: u64, bytes: &[u8]) {
        let address = usize::try_from(address).expect("x86-64 only");
        assert!(address + bytes.len() <= self.bytes, "inside the mapping");
        // SAFETY: asserted to lie inside the mapping, which is writable; no guest runs yet.
        unsafe {
            let to = self.address.cast::<u8>().add(address);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    #[expect(unsafe_code, reason = "the page is shared with the kernel")]
    fn read_u32(&self, index: usize) -> u32 {
        assert!(index < self.bytes / 4, "inside the mapping");
        // SAFETY: asserted to lie inside the mapping, which begins at a page and so is aligned.
        unsafe { self.address.cast::<u32>().add(index).read_volatile() }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "the counterpart of mmap")]
    fn drop(&mut self) {
        // SAFETY: exactly the range that mmap returned, and no reference into it was handed out.
        unsafe {
            libc::munmap(self.address, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
