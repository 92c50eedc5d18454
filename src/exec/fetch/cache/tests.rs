//! Many users of one cache: each file is written by one of them, and all get it.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn one_of_many_writes_and_all_get_the_file() {
    const THREADS: usize = 8;
    const FILES: u8 = 60;
    let directory = tempfile::tempdir().unwrap();
    let (start, written) = (Barrier::new(THREADS), AtomicUsize::new(0));
    let work = || {
        let cache = Cache::new(directory.path()).unwrap();
        for number in 0..FILES {
            let sha256 = Sha256Digest::of(&[number]);
            let claim = || cache.claim(&sha256, 1, &Interrupt::default(), || ()).unwrap();
            start.wait();
            // The first turn is given up, which removes the empty part under whoever waits for it.
            drop(claim());
            if let Claim::Ours(mut part) = claim() {
                assert_eq!(part.length_bytes(), 0);
                cache.append(&mut part, &[number]).unwrap();
                cache.commit(part).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
            assert!(cache.find(&sha256, 1).is_some());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    assert_eq!(written.into_inner(), usize::from(FILES));
    assert_eq!(std::fs::read_dir(directory.path().join("partial")).unwrap().count(), 0);
}

#[test]
fn an_empty_part_leaves_nothing_and_a_started_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::new(directory.path()).unwrap();
    let sha256 = Sha256Digest::of(b"x");
    let claim = || cache.claim(&sha256, 9, &Interrupt::default(), || ()).unwrap();
    let parts = || std::fs::read_dir(directory.path().join("partial")).unwrap().count();
    drop(claim());
    assert_eq!(parts(), 0);
    let Claim::Ours(mut part) = claim() else { panic!("nobody else is here") };
    cache.append(&mut part, b"abc").unwrap();
    drop(part);
    assert_eq!(parts(), 1);
    let Claim::Ours(part) = claim() else { panic!("nobody else is here") };
    assert_eq!((part.length_bytes(), part.sha256()), (3, Sha256Digest::of(b"abc")));
}
