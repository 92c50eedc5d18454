//! Tests of the ext4 writer; `tests/it/image.rs` asks e2fsck, debugfs and the kernel.

use std::collections::BTreeMap;

use super::super::sample::{MTIME, contents, entry, made, path, store_path, tree};
use super::super::segment::{Data, ImageTree, Layout, Source, image_tree};
use super::allocate::{Allocator, Extent};
use super::extents::ExtentTree;
use super::geometry::{self, Geometry};
use super::hash::name_hash;
use super::xattr::{Attributes, Refused};
use super::{Ext4Error, Parameters, layout, size_for, xattr};
use crate::tree::Node;

const MIB: u64 = 1 << 20;

fn parameters(size: u64) -> Parameters {
    Parameters {
        uuid: *b"0123456789abcdef",
        hash_seed: [0; 16],
        label: "nexus-root".to_owned(),
        size,
        epoch: MTIME,
    }
}

/// The bytes of a layout that lie at `offset`.
fn bytes_at(layout: &Layout, offset: u64) -> &[u8] {
    let segment = layout.segments.iter().rfind(|segment| segment.offset <= offset).unwrap();
    let Data::Bytes(bytes) = &segment.data else { panic!("contents at {offset}") };
    &bytes[usize::try_from(offset - segment.offset).unwrap()..]
}

/// What `debugfs -R "dx_hash -h half_md4 [-s SEED] NAME"` of e2fsprogs 1.47.0 prints.
#[test]
fn names_hash_as_e2fsprogs_hashes_them() {
    let seed = u128::to_be_bytes(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    let long = "abcdefghijklmnopqrstuvwxyz0123456789-long-name-of-more-than-32-bytes";
    let vectors = [
        ("a", (0x9375_2ee6, 0x578c_30ba), (0xd5fa_7d7a, 0xacb4_8187)),
        ("bin", (0xd96b_a59a, 0xe1c5_472e), (0xf2c8_e2b0, 0x94a6_7a14)),
        (long, (0x7207_1e02, 0x981d_80d7), (0x3284_cfbe, 0xb6ba_3fb4)),
        (
            "0123456789abcdef0123456789abcdef",
            (0xaee0_6ebe, 0x7404_1f4c),
            (0x3618_4620, 0xc959_df59),
        ),
    ];
    for (name, seeded, plain) in vectors {
        assert_eq!(name_hash(&seed, name.as_bytes()), seeded, "{name}");
        assert_eq!(name_hash(&[0; 16], name.as_bytes()), plain, "{name}");
    }
}

#[test]
fn copies_of_the_superblock_lie_where_sparse_super_says() {
    let with: Vec<u32> = (0..400).filter(|&g| geometry::superblock(g).is_some()).collect();
    assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
}

/// No two pieces of metadata share a block, for sizes around every boundary.
#[test]
fn metadata_never_overlaps() {
    let group = 128 * MIB;
    for size in [8 * MIB, group, group + MIB, 16 * group, 16 * group + 5 * MIB, 200 * group] {
        for inodes in [100, 50_000] {
            let Some(geometry) = Geometry::new(size, inodes) else { continue };
            assert!(u64::from(geometry.inodes()) >= inodes);
            let metadata = geometry.metadata();
            for pair in metadata.windows(2) {
                assert!(pair[0].end <= pair[1].start, "{size} {pair:?}");
            }
            assert!(metadata.last().unwrap().end <= geometry.blocks);
        }
    }
}

#[test]
fn a_last_group_without_room_for_itself_is_left_out() {
    let whole = Geometry::new(16 * 128 * MIB, 100).unwrap();
    // The seventeenth group would need its own bitmaps and inode table.
    assert_eq!(Geometry::new(16 * 128 * MIB + MIB, 100), Some(whole));
    assert_ne!(Geometry::new(16 * 128 * MIB + 4 * MIB, 100), Some(whole));
    assert_eq!(Geometry::new(MIB, 100), None);
    assert_eq!(Geometry::new(0, 100), None);
    assert_eq!(Geometry::new(u64::MAX, 100), None);
    assert_eq!(Geometry::new(128 * MIB, 1 << 20), None);
}

#[test]
fn space_is_given_around_metadata_until_it_ends() {
    let mut allocator = Allocator::new(100, vec![0..10, 20..30, 30..31, 95..100]);
    let extent = |start, blocks| Extent { start, blocks };
    assert_eq!(allocator.take(5), Some(vec![extent(10, 5)]));
    assert_eq!(allocator.take(8), Some(vec![extent(15, 5), extent(31, 3)]));
    assert_eq!(allocator.take(0), Some(vec![]));
    assert_eq!(allocator.take_one(), Some(34));
    assert_eq!(allocator.take(61), None);
    let mut allocator = Allocator::new(100, vec![0..10, 20..30]);
    allocator.take(1).unwrap();
    assert_eq!(allocator.used(), [0..11, 20..30]);
}

#[test]
fn a_file_in_many_pieces_gets_blocks_for_its_extents() {
    // Every second block is metadata, so that each extent has one block.
    let metadata = (0..5000).map(|index| 2 * index..2 * index + 1).collect();
    let mut allocator = Allocator::new(10_000, metadata);
    let few = ExtentTree::allocate(&mut allocator, 4).unwrap();
    assert_eq!((few.extents.len(), few.leaves.len(), few.block_count()), (4, 0, 4));
    let many = ExtentTree::allocate(&mut allocator, 1000).unwrap();
    assert_eq!((many.extents.len(), many.leaves.len(), many.block_count()), (1000, 3, 1003));
    let [first, second, third] = &many.blocks(0)[..] else { panic!() };
    assert_eq!((first.1[2..4].to_vec(), third.1[2..4].to_vec()), (vec![84, 1], vec![64, 1]));
    // The second leaf starts with block 340 of the file.
    assert_eq!(second.1[12..16], 340_u32.to_le_bytes());
    assert_eq!(ExtentTree::allocate(&mut allocator, 1361), None, "more than two levels");
}

#[test]
fn attributes_go_into_the_inode_or_a_block() {
    let one = |name: &str, bytes: usize| {
        xattr::encode(&BTreeMap::from([(name.as_bytes().to_vec(), vec![1; bytes])]))
    };
    assert_eq!(xattr::encode(&BTreeMap::new()), Ok(Attributes::None));
    assert!(matches!(one("security.capability", 20), Ok(Attributes::InInode(_))));
    assert!(matches!(one("user.x", 68), Ok(Attributes::InInode(_))));
    assert!(matches!(one("user.x", 69), Ok(Attributes::Block(_))));
    assert!(matches!(one("user.x", 4040), Ok(Attributes::Block(_))));
    assert_eq!(one("user.x", 4041), Err(Refused::Size));
    for name in ["system.posix_acl_access", "user.", "x", ""] {
        assert_eq!(one(name, 1), Err(Refused::Name(name.as_bytes().to_vec())), "{name}");
    }
}

#[test]
fn the_same_tree_gives_the_same_file_system() {
    let tree = image_tree(tree());
    assert_eq!(layout(&tree, &parameters(64 * MIB)), layout(&tree, &parameters(64 * MIB)));
    let mut other = parameters(64 * MIB);
    other.uuid[0] = 0;
    assert_ne!(layout(&tree, &other), layout(&tree, &parameters(64 * MIB)));
}

#[test]
fn the_superblock_counts_what_is_free() {
    let layout = layout(&image_tree(tree()), &parameters(64 * MIB)).unwrap();
    let superblock = bytes_at(&layout, 1024);
    let number = |at: usize| u32::from_le_bytes(superblock[at..at + 4].try_into().unwrap());
    assert_eq!(number(4), 16384, "blocks");
    // Reserved inodes, lost+found, and the nine of the tree that are not its root.
    assert_eq!(number(0) - number(0x10), 11 + 9);
    assert_eq!(&superblock[0x78..0x82], b"nexus-root");
}

#[test]
fn the_least_size_is_enough_and_less_is_not() {
    let mut tree = image_tree(tree());
    for index in 0..50 {
        let file = Source::Store(contents(7 * MIB, &format!("data/{index}")));
        tree.insert(path(&format!("tmp/{index}")), entry(0o644, Node::File(file)));
    }
    let size = size_for(&tree, 0).unwrap();
    assert!(layout(&tree, &parameters(size)).is_ok());
    let too_small = size - size / 40;
    assert_eq!(layout(&tree, &parameters(too_small)), Err(Ext4Error::NoSpace { size: too_small }));
    let with_room = size_for(&tree, 100 * MIB).unwrap();
    assert!((100 * MIB..110 * MIB).contains(&(with_room - size)), "{with_room} {size}");
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut ImageTree), expected: &Ext4Error) {
    let mut tree = made(&[("a", b"")]);
    change(&mut tree);
    assert_eq!(layout(&tree, &parameters(64 * MIB)).as_ref(), Err(expected));
}

#[test]
fn what_ext4_cannot_express_is_refused() {
    let a = || path("a");
    check_refused(
        |tree| {
            tree.insert(path("lost+found"), entry(0o700, Node::Directory));
        },
        &Ext4Error::LostAndFound,
    );
    check_refused(
        |tree| {
            let file = Source::Store(contents(16 << 40, "big"));
            tree.insert(a(), entry(0o644, Node::File(file)));
        },
        &Ext4Error::FileTooLarge { path: a() },
    );
    check_refused(
        |tree| {
            for index in 0..65_000 {
                let link = entry(0, Node::HardLink(a()));
                tree.insert(path(&format!("link{index}")), link);
            }
        },
        &Ext4Error::TooManyLinks { path: a() },
    );
    check_refused(
        |tree| {
            let acl = b"system.posix_acl_access".to_vec();
            tree.get_mut(&a()).unwrap().xattrs.insert(acl, vec![1]);
        },
        &Ext4Error::Attribute { path: a(), name: "system.posix_acl_access".to_owned() },
    );
    let mut label = parameters(64 * MIB);
    label.label = "a".repeat(17);
    let refused = layout(&made(&[]), &label);
    assert_eq!(refused, Err(Ext4Error::Label { label: label.label.clone() }));
}

#[test]
fn a_long_file_is_cut_where_metadata_lies() {
    let mut tree = image_tree(tree());
    let file = contents(400 * MIB + 1, "data/big");
    tree.insert(path("tmp/big"), entry(0o644, Node::File(Source::Store(file))));
    let layout = layout(&tree, &parameters(1 << 30)).unwrap();
    let mut next = 0;
    for segment in &layout.segments {
        if let Data::File { file, start, length } = &segment.data
            && file.inner == path("data/big")
        {
            assert_eq!((*start, &file.path), (next, &store_path()));
            next += length;
        }
    }
    assert_eq!(next, 400 * MIB + 1);
}
