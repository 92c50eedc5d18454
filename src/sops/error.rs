//! What can be wrong with a SOPS document, a rule or a key.

use thiserror::Error;

/// Why a SOPS document could not be read, decrypted or written.
///
/// No variant holds a plain value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SopsError {
    /// The document exceeds a limit.
    #[error("the document has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of: bytes, levels, entries.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// It is not in the format its name says.
    #[error("line {line} is not {format}: {reason}")]
    Syntax {
        /// `YAML`, `JSON` or `dotenv`.
        format: &'static str,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It is in the format, but SOPS has no such thing.
    #[error("line {line} has {found}, which SOPS documents cannot have; {instead}")]
    Unsupported {
        /// The line, from 1.
        line: usize,
        /// What was found.
        found: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
    /// A key stands twice in one map.
    #[error("the key `{path}` is there twice")]
    DuplicateKey {
        /// Path of the key.
        path: String,
    },
    /// A value cannot be written in the format.
    #[error("`{path}` cannot be written as {format}: {reason}")]
    Unwritable {
        /// Path of the value.
        path: String,
        /// `YAML`, `JSON`, `dotenv` or `binary`.
        format: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A path goes through something that is no map.
    #[error("`{path}` is not a map, so nothing can lie below it")]
    NotAMap {
        /// The place on the way.
        path: String,
    },
    /// A path without parts.
    #[error("a path of a value has at least one key")]
    EmptyPath,
    /// The format is INI, or unknown.
    #[error("`{name}` is not a format for secrets here: expected yaml, json, env or binary")]
    Format {
        /// What was asked for.
        name: String,
    },
    /// The document is plain: it has no `sops` part.
    #[error("the document is not encrypted: it has no `sops` entry")]
    NoMetadata,
    /// The document is encrypted already.
    #[error("the document has a `sops` entry: it is encrypted already, or uses a reserved key")]
    ReservedKey,
    /// The `sops` part is damaged.
    #[error("`sops.{field}` {reason}")]
    Metadata {
        /// The entry.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The data key is split among several groups of keys.
    #[error(
        "the data key is split among {groups} key groups (Shamir); nexus-host reads documents with one"
    )]
    KeyGroups {
        /// How many.
        groups: usize,
    },
    /// Keys of services that cannot be used here stand in the way.
    #[error("the document is also encrypted for {services}, which nexus-host cannot encrypt for")]
    OtherServices {
        /// Their names in the document, such as `pgp`.
        services: String,
    },
    /// No identity opens the data key.
    #[error("none of the {identities} identities opens the data key; it is for {recipients}")]
    NoIdentity {
        /// How many identities were tried.
        identities: usize,
        /// The recipients, separated by commas.
        recipients: String,
    },
    /// The data key has the wrong length.
    #[error("the data key for {recipient} has {bytes} bytes, not 32")]
    DataKeyLength {
        /// Whose copy it is.
        recipient: String,
        /// Bytes that came out.
        bytes: usize,
    },
    /// A value is not what SOPS writes.
    #[error("the value of `{path}` {reason}")]
    Value {
        /// Path of the value.
        path: String,
        /// What is wrong with it.
        reason: ValueProblem,
    },
    /// The authentication code of the whole document does not match.
    #[error("{0}")]
    Mac(MacProblem),
    /// A recipient is none, or of a kind that cannot be used.
    #[error("`{recipient}` is not a recipient: {reason}")]
    Recipient {
        /// What was given, shortened.
        recipient: String,
        /// Why not.
        reason: String,
    },
    /// There would be nobody who can decrypt.
    #[error("there is no recipient: nobody could decrypt the document again")]
    NoRecipients,
    /// An identity could not be read.
    #[error("{place}: {reason}")]
    Identity {
        /// Where it comes from: a file or a variable, and the line.
        place: String,
        /// What is wrong; never the text itself.
        reason: String,
    },
    /// A rule of `.sops.yaml` or of a document's metadata is wrong.
    #[error("{place}: {reason}")]
    Rule {
        /// Where: `creation_rules[0].path_regex`.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

/// What is wrong with an encrypted value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueProblem {
    /// It stands in clear although the document's rule has it encrypted.
    #[error("stands in clear, but the document's rule has it encrypted")]
    InClear,
    /// It is no `ENC[…]`, or cut off.
    #[error("is cut off or damaged: expected `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`")]
    Malformed,
    /// The cipher refuses it.
    #[error("was changed, or encrypted with another data key")]
    Refused,
    /// It is genuine, but of another key.
    #[error("is that of `{other}`: the two were swapped or copied")]
    Moved {
        /// Where it belongs.
        other: String,
    },
    /// It decrypts to something that is not of its type.
    #[error("does not decrypt to its type `{kind}`")]
    Type {
        /// `int`, `float`, `bool` or `time`.
        kind: String,
    },
}

/// What is wrong with a document's authentication code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MacProblem {
    /// The code itself does not decrypt.
    #[error("`sops.mac` was changed, cut off, or does not belong to `sops.lastmodified`")]
    Damaged,
    /// The values are not those it was made for.
    #[error(
        "`sops.mac` does not match: an entry was removed, added or moved, or one of these, which stand \
         in clear, was changed: {clear}"
    )]
    Mismatch {
        /// Paths of values in clear, separated by commas; at most eight.
        clear: String,
    },
}
