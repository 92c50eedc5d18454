//! Names as types, so that a checked name stays checked.

use std::fmt;

use serde::Serialize;

use super::format::{Format, FormatError};

macro_rules! name_types {
    ($($(#[doc = $doc:literal])* $name:ident: $format:ident;)*) => {
        $(
            $(#[doc = $doc])*
            ///
            /// Ordered by its text.
            #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
            #[serde(transparent)]
            pub struct $name(String);

            impl $name {
                /// Checks `text`.
                pub fn new(text: &str) -> Result<Self, FormatError> {
                    Format::$format.check(text).map(|()| Self(text.to_owned()))
                }

                /// The name as text.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{:?}", self.0)
                }
            }
        )*
    };
}

name_types! {
    /// The name of a machine.
    HostName: HostName;
    /// The name of a Debian package.
    PackageName: Package;
    /// The name of a user or group.
    UserName: UserName;
    /// The name of a unit, with its suffix.
    UnitName: UnitName;
}
