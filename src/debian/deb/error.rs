//! Why a `.deb` is refused.

use thiserror::Error;

use crate::debian::ar::ArError;
use crate::debian::tar::TarFault;
use crate::tree::TreePath;

/// A package that was not read to its end; `E` is the sink's error.
#[derive(Debug, Error)]
pub enum DebError<E: std::error::Error + 'static> {
    /// The outer archive cannot be read.
    #[error("not a sound Debian package")]
    Container(#[source] ArError),
    /// The members are not those of a package.
    #[error("not a sound Debian package: {0}")]
    Shape(ShapeFault),
    /// A member cannot be read or decompressed.
    #[error("cannot read `{member}`")]
    Member {
        /// The member's name, such as `data.tar.xz`.
        member: String,
        /// What the decompressor or the input said.
        #[source]
        source: std::io::Error,
    },
    /// A member's tar archive is damaged.
    #[error("`{member}` is damaged at byte {position}{}: {fault}", after_entry(.entry.as_deref()))]
    Archive {
        /// The member's name.
        member: String,
        /// Where in the uncompressed archive.
        position: u64,
        /// The entry read last, made printable.
        entry: Option<String>,
        /// What is wrong.
        fault: TarFault,
    },
    /// An entry that no package may have.
    #[error("`{member}` has a refused entry `{entry}`: {fault}")]
    Entry {
        /// The member's name.
        member: String,
        /// The name found, made printable and cut to 250 characters.
        entry: String,
        /// Why it is refused.
        fault: EntryFault,
    },
    /// The sink could not take what it was given.
    #[error("cannot store the package's files")]
    Sink(#[source] E),
}

/// What is wrong with the members of a package.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeFault {
    /// The first member is not `debian-binary` with version 2.
    #[error("the first member is not `debian-binary` of format 2")]
    Version,
    /// A member is not there.
    #[error("there is no `{0}`")]
    Missing(&'static str),
    /// A member stands at the wrong place, or twice.
    #[error("expected `{expected}`, found `{found}`")]
    Order {
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A compression that Debian's archive no longer has.
    #[error("`{0}` is compressed in a way that is not supported (gzip, xz and zstd are)")]
    Compression(String),
    /// A member after the last.
    #[error("`{0}` follows the package's files")]
    Extra(String),
    /// The compressed stream ends before its member does.
    #[error("something follows the compressed stream in `{0}`")]
    Tail(String),
}

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryFault {
    /// An absolute name or one with `..`.
    #[error("the name leads out of the package")]
    Outside,
    /// Too long, or something that cannot be a name.
    #[error("the name is not a path (empty parts, a NUL, or more than 4095 bytes, 255 a part)")]
    Name,
    /// Something above it is not a directory.
    #[error("it lies below `{0}`, which is not a directory")]
    Below(TreePath),
    /// Two entries for one place.
    #[error("its place `{0}` is already taken")]
    Twice(TreePath),
    /// A directory comes twice with different attributes.
    #[error("its place `{0}` is a directory with another mode or owner")]
    Attributes(TreePath),
    /// Neither file, link, directory nor pipe.
    #[error("it is {0}, which a package may not carry")]
    Kind(String),
    /// An empty, too long or otherwise impossible target.
    #[error("the link's target is not a path (empty, a NUL, or more than 4095 bytes)")]
    Target,
    /// A hard link to a name that leads out of the package.
    #[error("it is a hard link to `{0}`, which leads out of the package")]
    HardLinkOutside(String),
    /// A hard link to something that did not come before or is not a file.
    #[error("it is a hard link to `{0}`, which is not an earlier file of the package")]
    HardLink(TreePath),
    /// A user or group number above 2^32 - 2.
    #[error("its owner {0} is not a user or group number")]
    Owner(u64),
    /// Contents where there can be none.
    #[error("it has contents although it is not a file")]
    Contents,
    /// An attribute that Linux could not store.
    #[error("an extended attribute has an impossible name or more than 65536 bytes")]
    Attribute,
    /// `lib`, `bin` … of the root are something else than merged-`/usr` has it.
    #[error("it is neither a directory nor a link to `usr/{0}`")]
    Merged(String),
    /// The control archive has more than regular files at its top.
    #[error("control files are regular files without directories")]
    Control,
    /// More entries or longer names than allowed.
    #[error("the package has more than {0}")]
    TooMany(String),
    /// More bytes than allowed.
    #[error("the archive unpacks to more than {0} bytes")]
    TooLarge(u64),
}

fn after_entry(entry: Option<&str>) -> String {
    entry.map_or_else(String::new, |entry| format!(", after entry `{entry}`"))
}
