//! Partition plans: `images/*.toml` says how large a disk image and its parts are.
//!
//! ```toml
//! [disk]
//! size = "minimum"      # or "8GiB": at least this, more when the contents need more
//!
//! [esp]
//! size = "128MiB"       # FAT32, 64 MiB to 2 GiB
//!
//! [root]
//! free = "256MiB"       # left free in the root file system of a disk of minimum size
//! ```

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Room for FAT32, and for three kernels.
const ESP_MIN: u64 = 64 * MIB;
const ESP_MAX: u64 = 2 * GIB;
/// Where an ext4 of 32-bit inode numbers at one for 16 KiB ends, with much to spare.
const SIZE_MAX: u64 = 16 << 40;

/// A number of bytes, a multiple of 1 MiB, at most 16 TiB. Written `512MiB` or `8GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MebiBytes(u64);

/// How large the parts of a disk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskPlan {
    /// Bytes of the disk at least; `None` for as few as the contents need.
    pub disk: Option<MebiBytes>,
    /// Bytes of the partition that firmware reads.
    pub esp: MebiBytes,
    /// Bytes that the root file system has free at least.
    pub root_free: MebiBytes,
}

/// A plan that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The text is not TOML of the right shape.
    #[error("the partition plan is not valid: {reason}")]
    Toml {
        /// What the parser says, one line.
        reason: String,
        /// Where, in bytes of the text.
        at: Option<std::ops::Range<usize>>,
    },
    /// A value is not a size.
    #[error("`{key} = \"{found}\"` is not a size: expected a number and `MiB` or `GiB`")]
    Size {
        /// The key, such as `esp.size`.
        key: &'static str,
        /// The value, cut to 60 characters.
        found: String,
    },
    /// The partition for the firmware is too small or too large.
    #[error("`esp.size = \"{found}\"` is out of range: expected 64MiB to 2GiB")]
    Esp {
        /// The value.
        found: MebiBytes,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    disk: RawDisk,
    esp: RawEsp,
    root: RawRoot,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDisk {
    size: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEsp {
    size: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoot {
    free: String,
}

impl MebiBytes {
    /// Reads `512MiB` or `8GiB`; no sign, no fraction, no leading zero, no space, more than nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, unit) = match text.strip_suffix("MiB") {
            Some(digits) => (digits, MIB),
            None => (text.strip_suffix("GiB")?, GIB),
        };
        if digits.is_empty()
            || digits.starts_with('0')
            || !digits.bytes().all(|c| c.is_ascii_digit())
        {
            return None;
        }
        let bytes = digits.parse::<u64>().ok()?.checked_mul(unit)?;
        (bytes <= SIZE_MAX).then_some(Self(bytes))
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MebiBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(GIB) {
            write!(f, "{}GiB", self.0 / GIB)
        } else {
            write!(f, "{}MiB", self.0 / MIB)
        }
    }
}

impl DiskPlan {
    /// Reads a plan; unknown keys are errors.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let raw: RawPlan = toml::from_str(text).map_err(|error| PlanError::Toml {
            reason: error.message().lines().collect::<Vec<_>>().join(" "),
            at: error.span(),
        })?;
        let size = |key, found: &str| {
            let fail = || PlanError::Size { key, found: found.chars().take(60).collect() };
            MebiBytes::parse(found).ok_or_else(fail)
        };
        let disk = match raw.disk.size.as_str() {
            "minimum" => None,
            text => Some(size("disk.size", text)?),
        };
        let esp = size("esp.size", &raw.esp.size)?;
        if !(ESP_MIN..=ESP_MAX).contains(&esp.bytes()) {
            return Err(PlanError::Esp { found: esp });
        }
        Ok(Self { disk, esp, root_free: size("root.free", &raw.root.free)? })
    }
}

#[cfg(test)]
mod tests;
