//! Tests of what is patched into GRUB's images.

use expect_test::expect;

use super::super::sample::grub_boot;
use super::{GrubError, boot_code, mkimage_command};

/// core.img of `bytes` bytes with the list that grub-mkimage writes.
fn core_image(bytes: usize) -> Vec<u8> {
    let mut core = super::super::sample::grub_core();
    core.resize(bytes, 9);
    core
}

#[test]
fn the_images_find_each_other() {
    let code = boot_code(&grub_boot(), core_image(1500), 1 << 20, 1 << 20).unwrap();
    assert_eq!(code.mbr.len(), 440);
    assert_eq!(code.mbr[0x5c..0x64], 2048_u64.to_le_bytes());
    assert_eq!(code.mbr[0x64..0x68], [0xff, 7, 0x90, 0x90]);
    assert_eq!(code.core[500..508], 2049_u64.to_le_bytes());
    // Two further sectors, the last of them not full; loaded at 0x8200.
    assert_eq!(code.core[508..512], [2, 0, 0x20, 0x08]);
    assert_eq!(code.core[512..], [9; 988]);
}

#[test]
fn other_files_are_refused() {
    let no_signature = vec![0; 512];
    let refused = boot_code(&no_signature, core_image(1500), 0, 1 << 20);
    assert_eq!(refused, Err(GrubError::Boot));
    for at in [0x5c, 0x64, 0x66, 510] {
        let mut other = grub_boot();
        other[at] ^= 1;
        assert_eq!(boot_code(&other, core_image(1500), 0, 1 << 20), Err(GrubError::Boot), "{at}");
    }
    assert_eq!(boot_code(&grub_boot(), core_image(1537), 0, 1 << 20), Err(GrubError::List));
    for bytes in [0, 1023, 2049] {
        let refused = boot_code(&grub_boot(), vec![0; bytes], 0, 2048);
        assert_eq!(refused, Err(GrubError::Core { bytes, max: 2048 }));
    }
}

#[test]
fn the_command() {
    let words = mkimage_command("/out/core.img".as_ref());
    let shown: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
    expect!["/usr/bin/grub-mkimage -O i386-pc -d /usr/lib/grub/i386-pc -p (,gpt2)/grub -o /out/core.img biosdisk part_gpt fat normal configfile linux loadenv test echo serial terminal reboot sleep"].assert_eq(&shown.join(" "));
}
