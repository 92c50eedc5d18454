//! What the boot loaders read: the files of the ESP for systemd-boot (UEFI) and GRUB (BIOS).
//!
//! ```text
//! EFI/BOOT/BOOTX64.EFI          systemd-boot
//! loader/loader.conf            which entry is the default
//! loader/entries/nexus-N.conf   generation N; with tries to count: nexus-N+3.conf
//! grub/grub.cfg                 chooses a generation and reads the menu that grubenv names
//! grub/grubenv                  nexus_menu, nexus_default=N, and for a trial nexus_trial=M nexus_tries=3
//! grub/menu-<digest>.cfg        a menu of the same generations
//! nexus/linux-<digest>          kernels and initrds by their contents, shared between generations
//! nexus/initrd-<digest>
//! ```
//!
//! The partition is FAT, which has no journal. So no file is ever replaced: new ones come under names of
//! their own, and each loader is switched by one file that keeps its size and differs in its first sector
//! alone ([`Role::Switched`]), which a disk writes whole or not at all.
//!
//! Both loaders count down the tries of a generation on trial and fall back when they are used up:
//! systemd-boot by renaming the entry ("Automatic Boot Assessment"), GRUB by `save_env` into a block that is
//! always 1024 bytes long.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use thiserror::Error;

use crate::store::Sha256Digest;
use crate::tree::{Entry, Node, TreePath};

use super::segment::{ImageTree, Source};

/// Times a generation on trial is started before the loaders go back to the default.
pub const TRIES: u32 = 3;
/// Bytes of GRUB's environment block.
const ENVIRONMENT_BYTES: usize = 1024;
/// Bytes that a disk writes whole or not at all; all that a loader's choice depends on lies in so many.
const SECTOR_BYTES: usize = 512;

/// What may happen to a file of the boot partition of a host that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It comes, stays as it is, and goes.
    Plain,
    /// It leads to plain files; else the same.
    Leading,
    /// It says what is booted, and is changed in its place.
    Switched,
    /// It belongs to the loader and stays as the image brought it.
    Loader,
}

impl Role {
    /// The role of the file at `path`.
    pub fn of(path: &str) -> Self {
        match path {
            "loader/loader.conf" | "grub/grubenv" => Self::Switched,
            "grub/grub.cfg" => Self::Loader,
            _ if path.starts_with("EFI/") => Self::Loader,
            _ if path.starts_with("nexus/") => Self::Plain,
            _ => Self::Leading,
        }
    }
}

/// A file that is named by its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// SHA-256 of the contents.
    pub digest: Sha256Digest,
    /// The contents.
    pub source: Source,
}

/// A system that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// Its generation.
    pub number: u32,
    /// What the menu shows, one line.
    pub title: String,
    /// The kernel.
    pub kernel: BootFile,
    /// The first file system.
    pub initrd: BootFile,
    /// The kernel's command line.
    pub options: String,
}

/// What is to be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootMenu {
    /// Generations by number.
    pub entries: BTreeMap<u32, BootEntry>,
    /// The one that is booted without asking.
    pub default: u32,
    /// One that is booted [`TRIES`] times at most unless it proves good.
    pub trial: Option<u32>,
    /// systemd-boot, an EFI program.
    pub systemd_boot: Source,
}

/// A menu that the loaders could not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BootMenuError {
    /// A title or command line has a character that a loader would take for something else.
    #[error("`{text}` cannot be written into the files of a boot loader")]
    Text {
        /// The text.
        text: String,
    },
    /// The default or the trial is not among the entries.
    #[error("there is no generation {number} to boot")]
    NoEntry {
        /// The generation.
        number: u32,
    },
}

/// The ESP's files; all have the time `mtime`.
///
/// # Errors
///
/// [`BootMenuError`] when a loader could not read it.
pub fn esp_tree(menu: &BootMenu, mtime: u64) -> Result<ImageTree, BootMenuError> {
    for number in [Some(menu.default), menu.trial].into_iter().flatten() {
        if !menu.entries.contains_key(&number) {
            return Err(BootMenuError::NoEntry { number });
        }
    }
    let mut files = BTreeMap::new();
    let text = |text: String| Source::Bytes(text.into_bytes());
    files.insert("EFI/BOOT/BOOTX64.EFI".to_owned(), menu.systemd_boot.clone());
    files.insert("loader/loader.conf".to_owned(), text(loader_conf(menu)));
    files.insert("grub/grub.cfg".to_owned(), text(grub_cfg()));
    let entries = grub_menu(menu)?;
    let digest = shortened(&Sha256Digest::of(entries.as_bytes()));
    files.insert(format!("grub/menu-{digest}.cfg"), text(entries));
    files.insert("grub/grubenv".to_owned(), Source::Bytes(grub_environment(menu, &digest)));
    for (number, entry) in &menu.entries {
        let tries = if menu.trial == Some(*number) { format!("+{TRIES}") } else { String::new() };
        let name = format!("loader/entries/nexus-{number}{tries}.conf");
        files.insert(name, text(loader_entry(entry)?));
        for (path, file) in
            [(kernel_path(entry), &entry.kernel), (initrd_path(entry), &entry.initrd)]
        {
            files.insert(path[1..].to_owned(), file.source.clone());
        }
    }
    Ok(tree_of(files, mtime))
}

fn tree_of(files: BTreeMap<String, Source>, mtime: u64) -> ImageTree {
    let to_entry = |(path, source): (String, Source)| {
        let node = Node::File(source);
        let entry = Entry { mode: 0o644, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new(), node };
        (TreePath::new(path).expect("a path of our own"), entry)
    };
    let mut tree: ImageTree = files.into_iter().map(to_entry).collect();
    super::inodes::complete(&mut tree, mtime);
    tree
}

/// 128 bits of a digest are enough to tell files apart, and keep the name short.
fn shortened(digest: &Sha256Digest) -> String {
    digest.to_string()[..32].to_owned()
}

fn kernel_path(entry: &BootEntry) -> String {
    format!("/nexus/linux-{}", shortened(&entry.kernel.digest))
}

fn initrd_path(entry: &BootEntry) -> String {
    format!("/nexus/initrd-{}", shortened(&entry.initrd.digest))
}

/// One line of printable ASCII, without what GRUB would expand inside single quotes or end them.
fn one_line(text: &str) -> Result<&str, BootMenuError> {
    let good = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'\'';
    if text.bytes().all(good) && text == text.trim() {
        Ok(text)
    } else {
        Err(BootMenuError::Text { text: text.chars().take(250).collect() })
    }
}

/// Entries on trial are newer and sorted first; without one the default is the newest that is not bad.
fn loader_conf(menu: &BootMenu) -> String {
    let default = match menu.trial {
        Some(_) => "nexus-*".to_owned(),
        None => format!("nexus-{}.conf", menu.default),
    };
    let mut text = format!("timeout 1\neditor no\ndefault {default}\n");
    text.extend(std::iter::repeat_n('#', SECTOR_BYTES - text.len() - 1));
    text.push('\n');
    text
}

/// Format: UAPI "Boot Loader Specification", type 1.
fn loader_entry(entry: &BootEntry) -> Result<String, BootMenuError> {
    Ok(format!(
        "title {}\nversion {}\nsort-key nexus\nlinux {}\ninitrd {}\noptions {}\n",
        one_line(&entry.title)?,
        entry.number,
        kernel_path(entry),
        initrd_path(entry),
        one_line(&entry.options)?
    ))
}

/// GRUB's script has no arithmetic, hence one line for each number of tries left.
fn grub_cfg() -> String {
    let mut script = String::from(
        "if serial --unit=0 --speed=115200; then\n\
         \x20 terminal_input console serial\n\
         \x20 terminal_output console serial\n\
         fi\n\
         load_env\n\
         set timeout=1\n\
         set generation=\"$nexus_default\"\n\
         if [ -n \"$nexus_trial\" ]; then\n",
    );
    for tries in (1..=TRIES).rev() {
        let branch = if tries == TRIES { "if" } else { "elif" };
        let left = tries - 1;
        writeln!(
            script,
            "  {branch} [ \"$nexus_tries\" = {tries} ]; then set nexus_tries={left}; \
             set generation=\"$nexus_trial\"; save_env nexus_tries"
        )
        .expect("writing to a String cannot fail");
    }
    script.push_str(
        "  fi\nfi\nset default=\"nexus-$generation\"\nsource \"$prefix/menu-$nexus_menu.cfg\"\n",
    );
    script
}

fn grub_menu(menu: &BootMenu) -> Result<String, BootMenuError> {
    let mut script = String::new();
    for (number, entry) in menu.entries.iter().rev() {
        write!(
            script,
            "menuentry '{}' --id nexus-{number} {{\n  linux {} {}\n  initrd {}\n}}\n",
            one_line(&entry.title)?,
            kernel_path(entry),
            grub_words(one_line(&entry.options)?),
            initrd_path(entry)
        )
        .expect("writing to a String cannot fail");
    }
    Ok(script)
}

/// The words of a command line, each in quotes unless it is plain.
fn grub_words(line: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    let quote = |word: &str| {
        if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
    };
    line.split_ascii_whitespace().map(quote).collect::<Vec<_>>().join(" ")
}

fn grub_environment(menu: &BootMenu, entries: &str) -> Vec<u8> {
    let default = menu.default;
    let mut text =
        format!("# GRUB Environment Block\nnexus_menu={entries}\nnexus_default={default}\n");
    if let Some(trial) = menu.trial {
        write!(text, "nexus_trial={trial}\nnexus_tries={TRIES}\n")
            .expect("writing to a String cannot fail");
    }
    let mut block = text.into_bytes();
    block.resize(ENVIRONMENT_BYTES, b'#');
    block
}

#[cfg(test)]
mod tests;
