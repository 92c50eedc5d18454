//! dpkg's database as it stands when packages are unpacked and none is configured.
//!
//! Files below `/var/lib/dpkg`, which dpkg itself would have written while unpacking:
//!
//! ```text
//! status                       a paragraph a package, `Status: install ok unpacked`
//! info/format                  `1`: names have the architecture for `Multi-Arch: same`
//! info/<package>[:<arch>].list one path a line, `/.` first
//! info/<package>[:<arch>].<x>  the control files postinst, md5sums, conffiles, triggers, …
//! triggers/File                `<path> <package>[/noawait]` a line
//! triggers/<name>              `<package>[/noawait]` a line
//! triggers/Unincorp diversions available                   empty
//! ```
//!
//! Sources: dpkg 1.22 `lib/dpkg/{dump,infodb-format,trigdeferred}.c`, `src/main/unpack.c`,
//! deb-triggers(5), deb-conffiles(5), and the database of a real run (2026-08).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use thiserror::Error;

use crate::tree::TreePath;

/// Where the database is, without a slash in front.
pub const DATABASE: &str = "var/lib/dpkg";

/// What the database says about one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedPackage {
    /// The paragraph of the control file.
    pub control: Vec<u8>,
    /// The other control files, by name.
    pub control_files: BTreeMap<String, Vec<u8>>,
    /// Every path of the package, directories included, without a slash in front.
    pub paths: Vec<TreePath>,
    /// MD5 digests of the configuration files, in hexadecimal, by path.
    pub conffile_digests: BTreeMap<TreePath, String>,
}

/// A file of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFile {
    /// Permission bits: 0755 for maintainer scripts, else 0644.
    pub mode: u16,
    /// The contents.
    pub contents: Vec<u8>,
}

/// What identifies a package in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, `all` included.
    pub architecture: String,
    /// Whether other architectures' packages of this name may be installed beside it.
    pub is_multi_arch_same: bool,
}

/// Control data that dpkg would not take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatabaseError {
    /// A field that must be there is not, or has a value that cannot be part of a file name.
    #[error("the control data of `{package}` has no usable field {field}")]
    Field {
        /// The package, as far as it is known.
        package: String,
        /// The field's name.
        field: &'static str,
    },
    /// The control data is not UTF-8 or holds an empty line.
    #[error("the control data of a package is not one paragraph of UTF-8")]
    Control,
    /// A line of a control file that cannot be read.
    #[error("line {line} of the file {file} of package {package} cannot be read")]
    Line {
        /// The package.
        package: String,
        /// `triggers` or `conffiles`.
        file: &'static str,
        /// The line's number; the first is 1.
        line: usize,
    },
    /// Two packages with the same name and architecture.
    #[error("package {package} is there twice")]
    Twice {
        /// The package as the database names it.
        package: String,
    },
}

/// The names of control files that dpkg does not keep, or makes itself.
const NOT_KEPT: &[&str] = &["control", "list"];

/// The control files that are programs.
const SCRIPTS: &[&str] = &["preinst", "postinst", "prerm", "postrm", "config"];

impl Identity {
    /// Reads it from control data.
    pub fn of(control: &[u8]) -> Result<Self, DatabaseError> {
        let text = std::str::from_utf8(control).map_err(|_| DatabaseError::Control)?;
        let name = field(text, "Package").filter(|name| is_name(name));
        let name = name.ok_or(DatabaseError::Field { package: String::new(), field: "Package" })?;
        let needed = |field_name| {
            let value = field(text, field_name).filter(|value| is_name(value));
            value
                .map(str::to_owned)
                .ok_or_else(|| DatabaseError::Field { package: name.to_owned(), field: field_name })
        };
        Ok(Self {
            version: needed("Version")?,
            architecture: needed("Architecture")?,
            is_multi_arch_same: field(text, "Multi-Arch") == Some("same"),
            name: name.to_owned(),
        })
    }

    /// The name that the database's files have.
    pub fn in_database(&self) -> String {
        if self.is_multi_arch_same {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.clone()
        }
    }
}

/// The files of the database, by their path below `/var/lib/dpkg`.
///
/// `packages` are in the order in which dpkg would have unpacked them; the order of lines in the
/// triggers' files follows it. `status` is sorted by package, as dpkg sorts it.
///
/// # Errors
///
/// The first package that dpkg would refuse.
pub fn unpacked_database(
    packages: &[UnpackedPackage],
) -> Result<BTreeMap<String, DatabaseFile>, DatabaseError> {
    let mut files = BTreeMap::new();
    let mut put = |path: String, mode, contents| {
        files.insert(path, DatabaseFile { mode, contents });
    };
    for empty in ["available", "diversions", "triggers/Unincorp"] {
        put(empty.to_owned(), 0o644, Vec::new());
    }
    put("info/format".to_owned(), 0o644, b"1\n".to_vec());
    let mut paragraphs = BTreeMap::new();
    let mut interests = Interests::default();
    for package in packages {
        let identity = Identity::of(&package.control)?;
        let name = identity.in_database();
        put(format!("info/{name}.list"), 0o644, list(&package.paths));
        for (file, contents) in &package.control_files {
            if NOT_KEPT.contains(&file.as_str()) || !is_name(file) {
                continue;
            }
            let mode = if SCRIPTS.contains(&file.as_str()) { 0o755 } else { 0o644 };
            put(format!("info/{name}.{file}"), mode, contents.clone());
        }
        interests.add(package, &identity)?;
        let paragraph = paragraph(package, &identity)?;
        let key = (identity.name.clone(), identity.architecture);
        if paragraphs.insert(key, paragraph).is_some() {
            return Err(DatabaseError::Twice { package: name });
        }
    }
    for (file, contents) in interests.into_files() {
        put(file, 0o644, contents.into_bytes());
    }
    let status = paragraphs.into_values().collect::<String>();
    put("status".to_owned(), 0o644, status.into_bytes());
    Ok(files)
}

/// The MD5 digest of a configuration file, as the database has it.
pub fn conffile_digest(contents: &[u8]) -> String {
    Md5::digest(contents).iter().fold(String::with_capacity(32), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// A line of a control file `conffiles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conffile {
    /// The configuration file.
    pub path: TreePath,
    /// Whether older versions of the package had it and this one wants it gone.
    pub remove_on_upgrade: bool,
}

/// Reads a control file `conffiles`.
pub fn conffiles(package: &str, contents: &[u8]) -> Result<Vec<Conffile>, DatabaseError> {
    let mut files = Vec::new();
    for (index, line) in contents.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let fail =
            || DatabaseError::Line { package: package.into(), file: "conffiles", line: index + 1 };
        let flagged = line.strip_prefix(REMOVE_ON_UPGRADE.as_bytes());
        let path = flagged.map_or(line, |rest| rest.trim_ascii_start());
        let path = path.strip_prefix(b"/").ok_or_else(fail)?;
        let path = TreePath::new(path).map_err(|_| fail())?;
        files.push(Conffile { path, remove_on_upgrade: flagged.is_some() });
    }
    Ok(files)
}

/// The flag of a configuration file that is to go.
const REMOVE_ON_UPGRADE: &str = "remove-on-upgrade";

/// Who wants to be called for which trigger.
#[derive(Debug, Default)]
struct Interests {
    paths: String,
    names: BTreeMap<String, String>,
}

impl Interests {
    fn add(&mut self, package: &UnpackedPackage, identity: &Identity) -> Result<(), DatabaseError> {
        let Some(contents) = package.control_files.get("triggers") else {
            return Ok(());
        };
        let fail = |line| DatabaseError::Line {
            package: identity.name.clone(),
            file: "triggers",
            line: line + 1,
        };
        let text = std::str::from_utf8(contents).map_err(|_| fail(0))?;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (directive, trigger) = match words[..] {
                [] => continue,
                [directive, trigger] => (directive, trigger),
                _ => return Err(fail(index)),
            };
            let suffix = match directive {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                _ if directive.starts_with("activate") => continue,
                _ => return Err(fail(index)),
            };
            let line = format!("{}{suffix}\n", identity.in_database());
            if trigger.starts_with('/') {
                self.paths.extend([trigger, " ", &line]);
            } else if is_name(trigger) {
                self.names.entry(trigger.to_owned()).or_default().push_str(&line);
            } else {
                return Err(fail(index));
            }
        }
        Ok(())
    }

    fn into_files(self) -> impl Iterator<Item = (String, String)> {
        let names = self.names.into_iter().map(|(name, lines)| (format!("triggers/{name}"), lines));
        names.chain([("triggers/File".to_owned(), self.paths)])
    }
}

/// The package's paragraph of `status`, with the empty line after it.
fn paragraph(package: &UnpackedPackage, identity: &Identity) -> Result<String, DatabaseError> {
    let control = std::str::from_utf8(&package.control).map_err(|_| DatabaseError::Control)?;
    let control = control.trim_end_matches('\n');
    if control.lines().any(|line| line.trim().is_empty()) {
        return Err(DatabaseError::Control);
    }
    let mut text = format!("{control}\nStatus: install ok unpacked\n");
    let conffiles = match package.control_files.get("conffiles") {
        Some(contents) => conffiles(&identity.name, contents)?,
        None => Vec::new(),
    };
    if !conffiles.is_empty() {
        text.push_str("Conffiles:\n");
    }
    for Conffile { path, remove_on_upgrade } in conffiles {
        // dpkg's word for a file whose digest it does not know.
        let digest = package.conffile_digests.get(&path).map_or("newconffile", String::as_str);
        let flag = if remove_on_upgrade { REMOVE_ON_UPGRADE } else { "" };
        let line = format!(" /{path} {digest} {flag}");
        text.extend([line.trim_end(), "\n"]);
    }
    text.push('\n');
    Ok(text)
}

fn list(paths: &[TreePath]) -> Vec<u8> {
    let mut bytes = b"/.\n".to_vec();
    for path in paths.iter().filter(|path| !path.is_root()) {
        bytes.push(b'/');
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// The value of a single-line field; names of fields are without regard to case.
fn field<'a>(control: &'a str, name: &str) -> Option<&'a str> {
    control.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Whether a value can be part of a file's name: not empty, no slash, no white space, no leading dot.
fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    !text.is_empty() && text.len() <= 200 && !text.starts_with('.') && text.bytes().all(good)
}

#[cfg(test)]
mod tests;
