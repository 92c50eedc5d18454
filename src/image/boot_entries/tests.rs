//! Tests of the boot loaders' files.

use expect_test::{Expect, expect};

use super::{BootEntry, BootFile, BootMenu, BootMenuError, Source, TRIES, esp_tree};
use crate::store::Sha256Digest;
use crate::tree::Node;

fn file(contents: &str) -> BootFile {
    let bytes = contents.as_bytes().to_vec();
    BootFile { digest: Sha256Digest::of(&bytes), source: Source::Bytes(bytes) }
}

fn entry(number: u32) -> BootEntry {
    BootEntry {
        number,
        title: format!("vps1, generation {number}"),
        kernel: file("kernel"),
        initrd: file(&format!("initrd {number}")),
        options: "console=ttyS0 nexus.root=PARTLABEL=nexus-root x=\"a;b\"".to_owned(),
    }
}

fn menu(trial: Option<u32>) -> BootMenu {
    BootMenu {
        entries: [(1, entry(1)), (2, entry(2))].into(),
        default: 1,
        trial,
        systemd_boot: Source::Bytes(b"MZ".to_vec()),
    }
}

#[track_caller]
fn check(menu: &BootMenu, files: &[&str], expected: &Expect) {
    let tree = esp_tree(menu, 0).unwrap();
    let mut shown = String::new();
    for (path, entry) in &tree {
        let Node::File(Source::Bytes(bytes)) = &entry.node else { continue };
        shown += &format!("== {path}, {} bytes\n", bytes.len());
        if files.iter().any(|file| path.as_bytes().starts_with(file.as_bytes())) {
            let text = String::from_utf8_lossy(bytes);
            shown += text.trim_end_matches('\n').trim_end_matches('#').trim_end();
            shown.push('\n');
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn two_good_generations() {
    check(
        &menu(None),
        &["loader/loader.conf", "loader/entries/nexus-2.conf", "grub/"],
        &expect![[r#"
            == EFI/BOOT/BOOTX64.EFI, 2 bytes
            == grub/grub.cfg, 591 bytes
            if serial --unit=0 --speed=115200; then
              terminal_input console serial
              terminal_output console serial
            fi
            load_env
            set timeout=1
            set generation="$nexus_default"
            if [ -n "$nexus_trial" ]; then
              if [ "$nexus_tries" = 3 ]; then set nexus_tries=2; set generation="$nexus_trial"; save_env nexus_tries
              elif [ "$nexus_tries" = 2 ]; then set nexus_tries=1; set generation="$nexus_trial"; save_env nexus_tries
              elif [ "$nexus_tries" = 1 ]; then set nexus_tries=0; set generation="$nexus_trial"; save_env nexus_tries
              fi
            fi
            set default="nexus-$generation"
            source "$prefix/menu-$nexus_menu.cfg"
            == grub/grubenv, 1024 bytes
            # GRUB Environment Block
            nexus_menu=42b5c55a4b259d6b433cd725494e5e80
            nexus_default=1
            == grub/menu-42b5c55a4b259d6b433cd725494e5e80.cfg, 428 bytes
            menuentry 'vps1, generation 2' --id nexus-2 {
              linux /nexus/linux-6923dd1bc0460082c5d55a831908c24a console=ttyS0 nexus.root=PARTLABEL=nexus-root 'x="a;b"'
              initrd /nexus/initrd-84abc5cd5b13d94abac86e6899cd9188
            }
            menuentry 'vps1, generation 1' --id nexus-1 {
              linux /nexus/linux-6923dd1bc0460082c5d55a831908c24a console=ttyS0 nexus.root=PARTLABEL=nexus-root 'x="a;b"'
              initrd /nexus/initrd-59fe51b398c07ea762512ec7d8179442
            }
            == loader/entries/nexus-1.conf, 218 bytes
            == loader/entries/nexus-2.conf, 218 bytes
            title vps1, generation 2
            version 2
            sort-key nexus
            linux /nexus/linux-6923dd1bc0460082c5d55a831908c24a
            initrd /nexus/initrd-84abc5cd5b13d94abac86e6899cd9188
            options console=ttyS0 nexus.root=PARTLABEL=nexus-root x="a;b"
            == loader/loader.conf, 512 bytes
            timeout 1
            editor no
            default nexus-1.conf
            == nexus/initrd-59fe51b398c07ea762512ec7d8179442, 8 bytes
            == nexus/initrd-84abc5cd5b13d94abac86e6899cd9188, 8 bytes
            == nexus/linux-6923dd1bc0460082c5d55a831908c24a, 6 bytes
        "#]],
    );
}

#[test]
fn a_generation_on_trial_has_tries() {
    check(
        &menu(Some(2)),
        &["loader/loader.conf", "grub/grubenv"],
        &expect![[r#"
            == EFI/BOOT/BOOTX64.EFI, 2 bytes
            == grub/grub.cfg, 591 bytes
            == grub/grubenv, 1024 bytes
            # GRUB Environment Block
            nexus_menu=42b5c55a4b259d6b433cd725494e5e80
            nexus_default=1
            nexus_trial=2
            nexus_tries=3
            == grub/menu-42b5c55a4b259d6b433cd725494e5e80.cfg, 428 bytes
            == loader/entries/nexus-1.conf, 218 bytes
            == loader/entries/nexus-2+3.conf, 218 bytes
            == loader/loader.conf, 512 bytes
            timeout 1
            editor no
            default nexus-*
            == nexus/initrd-59fe51b398c07ea762512ec7d8179442, 8 bytes
            == nexus/initrd-84abc5cd5b13d94abac86e6899cd9188, 8 bytes
            == nexus/linux-6923dd1bc0460082c5d55a831908c24a, 6 bytes
        "#]],
    );
    assert_eq!(TRIES, 3);
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut BootMenu), expected: &BootMenuError) {
    let mut menu = menu(None);
    change(&mut menu);
    assert_eq!(esp_tree(&menu, 0).as_ref(), Err(expected));
}

#[test]
fn what_a_loader_would_misread_is_refused() {
    let text = |text: &str| BootMenuError::Text { text: text.to_owned() };
    for bad in ["a'b", "a\nlinux /other", "ä", " a"] {
        check_refused(
            |menu| {
                let title = bad.to_owned();
                menu.entries.insert(1, BootEntry { title, ..entry(1) });
            },
            &text(bad),
        );
        check_refused(
            |menu| {
                let options = bad.to_owned();
                menu.entries.insert(1, BootEntry { options, ..entry(1) });
            },
            &text(bad),
        );
    }
    check_refused(|menu| menu.default = 7, &BootMenuError::NoEntry { number: 7 });
    check_refused(|menu| menu.trial = Some(8), &BootMenuError::NoEntry { number: 8 });
}
