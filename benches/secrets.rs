//! A thousand secrets, decrypted: `cargo bench --bench secrets`. At most 50 ms after the key is open.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a panic is the answer to a benchmark that does not run")]

use std::time::{Duration, Instant};

use nexus_host::sops::{
    DataKey, Document, Format, Identities, Item, Metadata, Node, Nonces, Opened, Rule,
    generate_identity,
};

const SECRETS: usize = 1_000;
const ROUNDS: usize = 15;
const ALLOWED: Duration = Duration::from_millis(50);

fn main() {
    let (identity, recipient) = generate_identity();
    let mut identities = Identities::default();
    identities.read(&identity, "bench", &|_| None).unwrap();
    for format in [Format::Yaml, Format::Json] {
        let bytes = document(format, &recipient);
        let (mut parsed, mut unwrapped, mut opened) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let document = timed(&mut parsed, || Document::parse(format, &bytes).unwrap());
            let key = timed(&mut unwrapped, || document.metadata.data_key(&identities).unwrap());
            timed(&mut opened, || document.open(&key).unwrap());
        }
        let [parsed, unwrapped, opened] = [parsed, unwrapped, opened].map(median);
        println!(
            "{format:?}: {SECRETS} secrets, {} bytes: parse {parsed:.1?}, age unwrap {unwrapped:.1?}, decrypt {opened:.1?}",
            bytes.len()
        );
        assert!(parsed + opened <= ALLOWED, "more than {ALLOWED:?}");
    }
}

/// A document of secrets as `generate` makes them: 64 characters each, in groups of ten.
fn document(format: Format, recipient: &nexus_host::sops::Recipient) -> Vec<u8> {
    let group = |group: usize| {
        let entries = (0..10).map(|entry| {
            let value = format!("{:064x}", group * 7919 + entry * 104_729);
            Item::entry(&format!("secret-{entry}"), Node::text(&value))
        });
        Item::entry(&format!("group-{group}"), Node::Map(entries.collect()))
    };
    let items = (0..SECRETS / 10).map(group).collect();
    let key = DataKey::new([5; 32]);
    let mut metadata = Metadata::new(Rule::default(), false);
    metadata.set_recipients(std::slice::from_ref(recipient), &key, true).unwrap();
    let opened = Opened { items, nonces: Nonces::default() };
    let mut counter = 0_u64;
    let mut random = |buffer: &mut [u8]| {
        counter += 1;
        buffer.fill(0);
        buffer[..8].copy_from_slice(&counter.to_le_bytes());
    };
    let now = ("2026-11-21T12:00:00Z", &mut random as _);
    Document::seal(format, opened, metadata, &key, now).unwrap().to_bytes().unwrap()
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    times.push(start.elapsed());
    result
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
