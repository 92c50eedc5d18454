//! From a tree to the segments of a FAT32 file system.

use thiserror::Error;

use crate::tree::{Node, TreePath};

use super::super::bytes::{high16, low16, low32, put, put_u16, put_u32};
use super::super::inodes::{self, Inode, TreeError};
use super::super::segment::{Data, ImageTree, Layout, Segment, Source};
use super::names::{ENTRY_BYTES, NamesTaken, StoredName};

const SECTOR: u64 = 512;
/// Sectors in front of the tables.
const RESERVED_SECTORS: u64 = 32;
const FATS: u64 = 2;
/// With fewer clusters a file system counts as FAT16; some more, because not all agree on the number.
const CLUSTERS_MIN: u64 = 65536;
/// The first cluster; it belongs to the root.
const FIRST_CLUSTER: u64 = 2;
/// In the table: the last cluster of a file.
const END_OF_FILE: u32 = 0x0fff_ffff;
/// Attributes: directory, archive (a changed file), label.
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const LABEL: u8 = 0x08;

/// What the contents do not say about a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Bytes of the partition.
    pub size: u64,
    /// Label, padded with spaces.
    pub label: [u8; 11],
    /// Serial number.
    pub volume_id: u32,
}

/// A tree that cannot become a FAT32 file system.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FatError {
    /// The tree is no file system.
    #[error("the tree cannot be a file system")]
    Tree(#[from] TreeError),
    /// The size is below what FAT32 needs (33 MiB) or above what it can (2 TiB).
    #[error("FAT32 cannot have {size} bytes")]
    Size {
        /// The size asked for.
        size: u64,
    },
    /// The contents do not fit.
    #[error("the contents need {needed} bytes, the FAT file system has {available}")]
    NoSpace {
        /// Bytes of the contents in whole clusters.
        needed: u64,
        /// Bytes of all clusters.
        available: u64,
    },
    /// A name with a character that FAT refuses, or that differs from another only in capitals.
    #[error("FAT cannot have the name of `{path}`")]
    Name {
        /// The path.
        path: TreePath,
    },
    /// A link, a pipe, or a file of 4 GiB and more.
    #[error("FAT can have neither links nor files of 4 GiB: `{path}`")]
    Node {
        /// The path.
        path: TreePath,
    },
}

/// The file system that holds `tree`; owners, modes and attributes have no place in it.
///
/// The same arguments give the same segments.
///
/// # Errors
///
/// [`FatError`] for a wrong size, or for the first entry that FAT cannot express.
pub fn layout(tree: &ImageTree, parameters: &Parameters) -> Result<Layout, FatError> {
    let geometry =
        Geometry::new(parameters.size).ok_or(FatError::Size { size: parameters.size })?;
    let inodes = inodes::number(tree)?;
    let names = names(&inodes)?;
    let sizes: Vec<u64> =
        (0..inodes.len()).map(|number| size(&inodes, &names, number)).collect::<Result<_, _>>()?;
    let places = Places::new(&inodes, &sizes, geometry)?;
    let directory = |number: usize| {
        let bytes = directory(&inodes, &names, &places, number, parameters);
        Segment { offset: geometry.offset(places.first[number]), data: Data::Bytes(bytes) }
    };
    let mut segments = metadata(geometry, &places, parameters);
    for (number, inode) in inodes.iter().enumerate() {
        match &inode.entry.node {
            Node::Directory => segments.push(directory(number)),
            Node::File(source) => segments.push(Segment {
                offset: geometry.offset(places.first[number].max(FIRST_CLUSTER)),
                data: source.piece(0, source.size()),
            }),
            _ => {}
        }
    }
    Ok(Layout::new(parameters.size, segments))
}

/// Sizes and places that follow from the size of the partition.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    sectors: u64,
    sectors_per_cluster: u64,
    fat_sectors: u64,
    clusters: u64,
}

impl Geometry {
    /// The largest clusters, up to 4 KiB, of which there are enough.
    fn new(size: u64) -> Option<Self> {
        let sectors = size / SECTOR;
        u32::try_from(sectors).ok()?;
        [8, 4, 2, 1].into_iter().find_map(|sectors_per_cluster| {
            let room = sectors.checked_sub(RESERVED_SECTORS)?;
            // Each cluster costs its sectors and four bytes in each table, two entries are not clusters.
            let bytes_per_cluster = sectors_per_cluster * SECTOR + 4 * FATS;
            let fat_sectors = ((room * SECTOR / bytes_per_cluster + 2) * 4).div_ceil(SECTOR);
            let clusters = room.checked_sub(FATS * fat_sectors)? / sectors_per_cluster;
            let geometry = Self { sectors, sectors_per_cluster, fat_sectors, clusters };
            (clusters >= CLUSTERS_MIN).then_some(geometry)
        })
    }

    fn cluster_bytes(self) -> u64 {
        self.sectors_per_cluster * SECTOR
    }

    /// Bytes from the start to `cluster`.
    fn offset(self, cluster: u64) -> u64 {
        let data = (RESERVED_SECTORS + FATS * self.fat_sectors) * SECTOR;
        data + (cluster - FIRST_CLUSTER) * self.cluster_bytes()
    }
}

/// The stored names of each directory's children, in their order.
fn names(inodes: &[Inode<'_, Source>]) -> Result<Vec<Vec<StoredName>>, FatError> {
    let of_one = |inode: &Inode<'_, Source>| {
        let mut taken = NamesTaken::default();
        let store = |&(name, number): &(&[u8], usize)| {
            let fail = || FatError::Name { path: inodes[number].path.clone() };
            taken.store(name).ok_or_else(fail)
        };
        inode.children.iter().map(store).collect::<Result<Vec<_>, _>>()
    };
    inodes.iter().map(of_one).collect()
}

/// Bytes of a file or directory.
fn size(
    inodes: &[Inode<'_, Source>],
    names: &[Vec<StoredName>],
    number: usize,
) -> Result<u64, FatError> {
    let inode = &inodes[number];
    let fail = || FatError::Node { path: inode.path.clone() };
    match &inode.entry.node {
        // Two entries more: `.` and `..`, or in the root the label.
        Node::Directory => {
            let entries: usize = names[number].iter().map(StoredName::entries).sum();
            Ok(((entries + 2) * ENTRY_BYTES) as u64)
        }
        Node::File(source) if inode.links == 1 => {
            u32::try_from(source.size()).map(u64::from).map_err(|_| fail())
        }
        _ => Err(fail()),
    }
}

/// The clusters of each inode, which follow one another.
struct Places {
    /// First cluster, 0 when there is none.
    first: Vec<u64>,
    sizes: Vec<u64>,
    /// The table, up to the last cluster in use.
    table: Vec<u32>,
}

impl Places {
    /// Directories first, so that they are read together.
    fn new(
        inodes: &[Inode<'_, Source>],
        sizes: &[u64],
        geometry: Geometry,
    ) -> Result<Self, FatError> {
        let clusters_of = |size: u64| size.div_ceil(geometry.cluster_bytes());
        let needed: u64 = sizes.iter().map(|size| clusters_of(*size)).sum();
        if needed > geometry.clusters {
            let cluster = geometry.cluster_bytes();
            let (needed, available) = (needed * cluster, geometry.clusters * cluster);
            return Err(FatError::NoSpace { needed, available });
        }
        let is_directory = |number: &usize| matches!(inodes[*number].entry.node, Node::Directory);
        let (directories, files): (Vec<usize>, Vec<usize>) =
            (0..inodes.len()).partition(is_directory);
        let mut first = vec![0; inodes.len()];
        // The media type, and "cleanly unmounted, no errors".
        let mut table = vec![0x0fff_fff8, END_OF_FILE];
        for number in directories.into_iter().chain(files) {
            let count = clusters_of(sizes[number]);
            if count > 0 {
                let start = table.len() as u64;
                first[number] = start;
                table.extend((start + 1..start + count).map(low32));
                table.push(END_OF_FILE);
            }
        }
        Ok(Self { first, sizes: sizes.to_vec(), table })
    }
}

fn directory(
    inodes: &[Inode<'_, Source>],
    names: &[Vec<StoredName>],
    places: &Places,
    number: usize,
    parameters: &Parameters,
) -> Vec<u8> {
    let inode = &inodes[number];
    let mut bytes = Vec::new();
    let mtime = inode.entry.mtime;
    if number == 0 {
        bytes.extend(entry(&parameters.label, LABEL, mtime, 0, 0));
    } else {
        // The root is written as cluster 0.
        let parent = if inode.parent == 0 { 0 } else { places.first[inode.parent] };
        bytes.extend(entry(b".          ", DIRECTORY, mtime, places.first[number], 0));
        bytes.extend(entry(b"..         ", DIRECTORY, mtime, parent, 0));
    }
    for (stored, &(_, child)) in names[number].iter().zip(&inode.children) {
        bytes.extend(stored.long_entries());
        let (attributes, size) = match inodes[child].entry.node {
            Node::Directory => (DIRECTORY, 0),
            _ => (ARCHIVE, places.sizes[child]),
        };
        let mtime = inodes[child].entry.mtime;
        bytes.extend(entry(&stored.short, attributes, mtime, places.first[child], size));
    }
    bytes
}

fn entry(short: &[u8; 11], attributes: u8, mtime: u64, cluster: u64, size: u64) -> [u8; 32] {
    let mut bytes = [0; ENTRY_BYTES];
    let (date, time) = date_and_time(mtime);
    put(&mut bytes, 0, short);
    bytes[11] = attributes;
    if attributes != LABEL {
        put_u16(&mut bytes, 14, time);
        put_u16(&mut bytes, 16, date);
        put_u16(&mut bytes, 18, date);
    }
    put_u16(&mut bytes, 20, high16(low32(cluster)));
    put_u16(&mut bytes, 22, time);
    put_u16(&mut bytes, 24, date);
    put_u16(&mut bytes, 26, low16(low32(cluster)));
    put_u32(&mut bytes, 28, low32(size));
    bytes
}

/// Date and time as FAT packs them, in UTC; what lies outside 1980 to 2107 becomes the nearest of these.
pub(super) fn date_and_time(seconds: u64) -> (u16, u16) {
    const FIRST: u64 = 315_532_800;
    const LAST: u64 = 4_354_819_198;
    let seconds = seconds.clamp(FIRST, LAST);
    let (year, month, day) = civil(seconds / 86400);
    let of_day = seconds % 86400;
    let date = (year - 1980) << 9 | month << 5 | day;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let time = hour << 11 | minute << 5 | (second / 2);
    (low16(low32(date)), low16(low32(time)))
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years counted from March, so that the leap day is the last one; 400 years have 146097 days.
    let from_march_0 = days + 719_468;
    let era = from_march_0 / 146_097;
    let day_of_era = from_march_0 % 146_097;
    let leap_days = day_of_era / 1460 - day_of_era / 36524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Boot sector, free space and tables.
fn metadata(geometry: Geometry, places: &Places, parameters: &Parameters) -> Vec<Segment> {
    let mut front = boot_sector(geometry, parameters);
    front.extend(free_space(geometry, places));
    let table: Vec<u8> = places.table.iter().flat_map(|next| next.to_le_bytes()).collect();
    let at = |sector: u64, bytes: &[u8]| Segment {
        offset: sector * SECTOR,
        data: Data::Bytes(bytes.to_vec()),
    };
    vec![
        at(0, &front),
        at(6, &front),
        at(RESERVED_SECTORS, &table),
        at(RESERVED_SECTORS + geometry.fat_sectors, &table),
    ]
}

fn boot_sector(geometry: Geometry, parameters: &Parameters) -> Vec<u8> {
    let mut sector = vec![0; 512];
    let small = |number: u64| low16(low32(number));
    // A jump over the fields, as everyone expects one; there is no boot code.
    put(&mut sector, 0, &[0xeb, 0x58, 0x90]);
    put(&mut sector, 3, b"NEXUSFAT");
    put_u16(&mut sector, 11, small(SECTOR));
    sector[13] = small(geometry.sectors_per_cluster).to_le_bytes()[0];
    put_u16(&mut sector, 14, small(RESERVED_SECTORS));
    sector[16] = small(FATS).to_le_bytes()[0];
    sector[21] = 0xf8;
    // Heads and sectors of a disk that has neither.
    put_u16(&mut sector, 24, 63);
    put_u16(&mut sector, 26, 255);
    put_u32(&mut sector, 32, low32(geometry.sectors));
    put_u32(&mut sector, 36, low32(geometry.fat_sectors));
    put_u32(&mut sector, 44, low32(FIRST_CLUSTER));
    put_u16(&mut sector, 48, 1);
    put_u16(&mut sector, 50, 6);
    sector[64] = 0x80;
    sector[66] = 0x29;
    put_u32(&mut sector, 67, parameters.volume_id);
    put(&mut sector, 71, &parameters.label);
    put(&mut sector, 82, b"FAT32   ");
    put(&mut sector, 510, &[0x55, 0xaa]);
    sector
}

fn free_space(geometry: Geometry, places: &Places) -> Vec<u8> {
    let mut sector = vec![0; 512];
    let used = places.table.len() as u64 - FIRST_CLUSTER;
    put_u32(&mut sector, 0, 0x4161_5252);
    put_u32(&mut sector, 484, 0x6141_7272);
    put_u32(&mut sector, 488, low32(geometry.clusters - used));
    put_u32(&mut sector, 492, low32(FIRST_CLUSTER + used));
    put(&mut sector, 510, &[0x55, 0xaa]);
    sector
}
