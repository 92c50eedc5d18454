//! Debian's archive: control data, versions, indexes, signatures, resolver, lock, `.deb` files.
