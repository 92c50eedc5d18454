//! The pinned packages that make images and run tests: requests by what they are for.

use crate::debian::lock::{Lock, SetName, ToolRequests};
use crate::debian::record::PackageRecord;
use crate::debian::resolve::Request;

/// What makes disk images: GRUB for machines with a BIOS, systemd-boot for UEFI.
pub const IMAGE: &str = "image";
/// What runs test machines and logs in to them.
pub const TEST: &str = "test";

const SETS: [(&str, &[&str]); 2] = [
    (IMAGE, &["grub-common", "grub-pc-bin", "systemd-boot-efi"]),
    (TEST, &["openssh-client", "ovmf", "qemu-system-x86"]),
];

/// All tools that a host needs beside its packages.
pub fn tool_requests() -> ToolRequests {
    let set = |(name, packages): (&str, &[&str])| {
        let name = name.parse::<SetName>().expect("the constant is a name");
        let request = |package: &&str| -> Request { package.parse().expect("it is a request") };
        (name, packages.iter().map(request).collect())
    };
    SETS.into_iter().map(set).collect()
}

/// The packages of the set `name`, in the order of the lock.
pub fn tools_for(lock: &Lock, name: &str) -> Vec<PackageRecord> {
    let serves = |set: &SetName| set.as_str() == name;
    let tools = lock.tools.iter().filter(|tool| tool.sets.iter().any(serves));
    tools.map(|tool| tool.package.clone()).collect()
}
