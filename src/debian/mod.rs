//! Debian's archive: control data, versions, indexes, signatures, resolver, lock, `.deb` files.

pub mod accounts;
pub mod ar;
pub mod armor;
pub mod control;
pub mod date;
pub mod deb;
pub mod dpkg_database;
pub mod index;
pub mod index_file;
pub mod keys;
pub mod layers;
pub mod lock;
pub mod mirror;
pub mod package;
pub mod record;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod signature;
pub mod source;
pub mod tar;
pub mod url;
pub mod version;
