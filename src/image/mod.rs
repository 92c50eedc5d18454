//! Trees → bytes: EROFS metadata images, ext4 and FAT file systems, cpio, partition tables.
