//! The disk format of QEMU: an image of which only the used clusters stand in the file.
//!
//! ```text
//! cluster 0      header, version 3
//! then           first-level table: where each second-level table lies
//! then           second-level tables: where each cluster of the disk lies, 0 for a hole
//! then           reference count table and reference counts, 1 for every cluster of the file
//! then           the clusters of the disk that are not holes, in order
//! ```
//!
//! Source: `docs/interop/qcow2.txt` of QEMU 10; numbers big-endian. No compression, so that contents can be
//! copied from the store by reference like those of a raw image.

use std::collections::BTreeMap;

use super::bytes::put;
use super::segment::{Data, Layout, Segment};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of a second-level table.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// Reference counts of 16 bits in a cluster.
const REFCOUNTS: u64 = CLUSTER / 2;
/// In a table entry: the cluster has exactly one user and may be written in place.
const COPIED: u64 = 1 << 63;
/// Bytes of a header of version 3.
const HEADER_BYTES: u32 = 104;

/// The file of format qcow2 whose disk is `disk`.
pub fn wrap(disk: &Layout) -> Layout {
    let used = used_clusters(disk);
    let places = Places::of(disk.size, &used);
    let mut segments = metadata(disk.size, &used, &places);
    let host: BTreeMap<u64, u64> = used
        .iter()
        .enumerate()
        .map(|(index, cluster)| (*cluster, places.data + index as u64 * CLUSTER))
        .collect();
    for segment in &disk.segments {
        // Clusters of one segment follow one another in the file as on the disk.
        let start = host[&(segment.offset / CLUSTER)] + segment.offset % CLUSTER;
        segments.push(Segment { offset: start, data: segment.data.clone() });
    }
    Layout::new(places.data + used.len() as u64 * CLUSTER, segments)
}

/// Numbers of the clusters of the disk that hold something, ascending.
fn used_clusters(disk: &Layout) -> Vec<u64> {
    let mut used: Vec<u64> = Vec::new();
    for segment in &disk.segments {
        let first = segment.offset / CLUSTER;
        let last = (segment.offset + segment.data.length() - 1) / CLUSTER;
        let next = used.last().map_or(first, |known| first.max(known + 1));
        used.extend(next..=last);
    }
    used
}

/// Where the parts of the file begin, in bytes.
struct Places {
    l1_entries: u64,
    /// Offsets of second-level tables by their number; only those that are needed.
    l2: BTreeMap<u64, u64>,
    refcount_table: u64,
    refcount_table_clusters: u64,
    refcount_blocks: u64,
    data: u64,
}

impl Places {
    fn of(disk_bytes: u64, used: &[u64]) -> Self {
        let l1_entries = disk_bytes.div_ceil(CLUSTER * L2_ENTRIES).max(1);
        let l2_start = 1 + (l1_entries * 8).div_ceil(CLUSTER);
        let mut l2 = BTreeMap::new();
        for cluster in used {
            let next = (l2_start + l2.len() as u64) * CLUSTER;
            l2.entry(cluster / L2_ENTRIES).or_insert(next);
        }
        let table_start = l2_start + l2.len() as u64;
        let others = table_start + used.len() as u64;
        // Reference counts are counted themselves; a few rounds settle it.
        let (mut blocks, mut table) = (1, 1);
        while (others + blocks + table).div_ceil(REFCOUNTS) != blocks
            || (blocks * 8).div_ceil(CLUSTER) != table
        {
            blocks = (others + blocks + table).div_ceil(REFCOUNTS);
            table = (blocks * 8).div_ceil(CLUSTER);
        }
        Self {
            l1_entries,
            l2,
            refcount_table: table_start * CLUSTER,
            refcount_table_clusters: table,
            refcount_blocks: (table_start + table) * CLUSTER,
            data: (table_start + table + blocks) * CLUSTER,
        }
    }

    /// Clusters of the whole file, when `used` hold data.
    fn clusters(&self, used: usize) -> u64 {
        self.data / CLUSTER + used as u64
    }
}

fn metadata(disk_bytes: u64, used: &[u64], places: &Places) -> Vec<Segment> {
    let mut segments = vec![bytes_at(0, header(disk_bytes, places))];
    let l1: Vec<u64> = (0..places.l1_entries)
        .map(|index| places.l2.get(&index).map_or(0, |offset| offset | COPIED))
        .collect();
    segments.push(bytes_at(CLUSTER, big_endian(&l1)));
    let mut tables: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (index, cluster) in used.iter().enumerate() {
        let table = tables
            .entry(cluster / L2_ENTRIES)
            .or_insert_with(|| vec![0; usize::try_from(L2_ENTRIES).expect("8192")]);
        let entry = usize::try_from(cluster % L2_ENTRIES).expect("below 8192");
        table[entry] = (places.data + index as u64 * CLUSTER) | COPIED;
    }
    for (number, table) in tables {
        segments.push(bytes_at(places.l2[&number], big_endian(&table)));
    }
    let clusters = places.clusters(used.len());
    let blocks: Vec<u64> = (0..clusters.div_ceil(REFCOUNTS))
        .map(|index| places.refcount_blocks + index * CLUSTER)
        .collect();
    segments.push(bytes_at(places.refcount_table, big_endian(&blocks)));
    let ones = [0, 1].repeat(usize::try_from(clusters).expect("clusters of one file"));
    segments.push(bytes_at(places.refcount_blocks, ones));
    segments
}

fn header(disk_bytes: u64, places: &Places) -> Vec<u8> {
    let mut header = vec![0; HEADER_BYTES as usize];
    let mut put_32 = |at, value: u32| put(&mut header, at, &value.to_be_bytes());
    let small = |number: u64| u32::try_from(number).expect("tables of a disk are small");
    put_32(0, 0x5146_49fb);
    put_32(4, 3);
    put_32(20, CLUSTER_BITS);
    put_32(36, small(places.l1_entries));
    put_32(56, small(places.refcount_table_clusters));
    // Reference counts have 1 << 4 bits.
    put_32(96, 4);
    put_32(100, HEADER_BYTES);
    put(&mut header, 24, &disk_bytes.to_be_bytes());
    put(&mut header, 40, &CLUSTER.to_be_bytes());
    put(&mut header, 48, &places.refcount_table.to_be_bytes());
    header
}

fn bytes_at(offset: u64, bytes: Vec<u8>) -> Segment {
    Segment { offset, data: Data::Bytes(bytes) }
}

fn big_endian(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests;
