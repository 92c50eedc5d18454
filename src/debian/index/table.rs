//! Rows found by name: sorted by a hash of the name, with a directory of the hash's first bits.

/// An immutable multimap from names to `T`; rows of one name keep their order.
#[derive(Debug)]
pub(super) struct NameTable<'a, T> {
    rows: Vec<Row<'a, T>>,
    /// Where the rows of each bucket begin; one more than there are buckets.
    starts: Vec<u32>,
    shift: u32,
}

#[derive(Debug)]
struct Row<'a, T> {
    hash: u64,
    name: &'a str,
    value: T,
}

impl<'a, T> NameTable<'a, T> {
    /// Builds the table; at most 2³² − 1 rows.
    pub(super) fn new(rows: impl Iterator<Item = (&'a str, T)>) -> Self {
        let mut rows: Vec<_> =
            rows.map(|(name, value)| Row { hash: hash(name), name, value }).collect();
        rows.sort_by(|a, b| a.hash.cmp(&b.hash).then_with(|| a.name.cmp(b.name)));
        let bits = rows.len().next_power_of_two().trailing_zeros().clamp(1, 24);
        let shift = 64 - bits;
        let mut starts = vec![0; (1 << bits) + 1];
        for row in &rows {
            starts[bucket(row.hash, shift) + 1] += 1;
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        Self { rows, starts, shift }
    }

    /// The values of `name`, in the order they were given.
    pub(super) fn find(&self, name: &str) -> impl Iterator<Item = &T> {
        let hash = hash(name);
        let bucket = bucket(hash, self.shift);
        let rows = &self.rows[self.starts[bucket] as usize..self.starts[bucket + 1] as usize];
        let first = rows.partition_point(|row| (row.hash, row.name) < (hash, name));
        rows[first..].iter().take_while(move |row| row.name == name).map(|row| &row.value)
    }
}

fn bucket(hash: u64, shift: u32) -> usize {
    usize::try_from(hash >> shift).expect("at most 24 bits are left")
}

/// FNV-1a with a final mix, so that the first bits depend on the last letters. Collisions made on purpose
/// cost a binary search and nothing more.
fn hash(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
