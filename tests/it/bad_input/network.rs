//! No network, and mirrors that send something else than they should.

use rustix::thread::UnshareFlags;

use super::mirror::{Answer, Mirror, altered};
use super::{Place, SMALL};
use crate::namespaces::in_namespaces;
use crate::support::Ran;

const REMEDY: &str = "help: look at the network";

#[test]
fn without_a_network_locking_says_so() {
    let place = Place::with_files(SMALL).unlocked();
    let mut command = place.command(&["lock", SMALL]);
    command.env_remove("NEXUS_HOST_DEBIAN_MIRROR");
    command.env("NEXUS_HOST_DEBIAN_MIRROR", "http://deb.example.org/debian");
    in_namespaces(&mut command, UnshareFlags::NEWNET);
    Ran::of(command).expect(3).says("no address is known for deb.example.org").says(REMEDY);
    assert!(!place.lock_path().exists());
    place.assert_clean();
    place.behind(&Mirror::honest()).assert_works(&["lock", SMALL]);
}

#[test]
fn without_a_network_building_says_so() {
    let place = Place::new(SMALL);
    let mut command = place.command(&["build", SMALL]);
    // The address is a number, and there is no way to it.
    command.env("NEXUS_HOST_DEBIAN_MIRROR", "http://192.0.2.1/debian");
    in_namespaces(&mut command, UnshareFlags::NEWNET);
    Ran::of(command).expect(3).says("192.0.2.1 cannot be reached").says(REMEDY);
    place.assert_clean();
}

#[test]
fn a_closed_port_is_told_from_a_missing_network() {
    let place = Place::new(SMALL);
    place.run(&["build", SMALL]).expect(3).says("127.0.0.1 refuses the connection").says(REMEDY);
    place.run(&["lock", SMALL]).expect(3).says("127.0.0.1 refuses the connection").says(REMEDY);
    place.assert_clean();
}

#[test]
fn offline_with_an_empty_cache_says_what_is_missing() {
    let place = Place::new(SMALL);
    let remedy = "help: run it once without --offline";
    let build = place.run(&["build", SMALL, "--offline"]).expect(3);
    build.says("is not in the cache, and the network must not be used (so are").says(remedy);
    let lock = place.unlocked();
    lock.run(&["lock", SMALL, "--offline"]).expect(3).says("not in the cache").says(remedy);
    lock.assert_clean();
}

#[test]
fn a_wrong_byte_in_a_package_is_refused() {
    let mirror = Mirror::start(|path, bytes| {
        let wrong = path.contains("/base-files_");
        Answer::Bytes(if wrong { altered(bytes) } else { bytes })
    });
    let place = Place::with_files(SMALL).behind(&mirror);
    let missing = digest_of(&place, "base-files");
    std::fs::remove_file(place.cached(&missing)).unwrap();
    let ran = place.run(&["build", SMALL]).expect(3);
    ran.says("cannot fetch base-files")
        .says(&format!("its bytes are wrong: expected SHA-256 {missing}"))
        .says("help: nothing of it was used");
    assert!(!place.cached(&missing).exists(), "the wrong file got a name in the cache");
    place.assert_clean();
    place.behind(&Mirror::honest()).assert_works(&["build", SMALL]);
}

#[test]
fn a_package_of_another_length_is_refused() {
    let mirror = Mirror::start(|path, mut bytes| {
        if path.contains("/base-files_") {
            bytes.push(0);
        }
        Answer::Bytes(bytes)
    });
    let place = Place::with_files(SMALL).behind(&mirror);
    std::fs::remove_file(place.cached(&digest_of(&place, "base-files"))).unwrap();
    let ran = place.run(&["build", SMALL]).expect(3);
    ran.says("cannot fetch base-files").says("its length is wrong").says("help: nothing of it");
    place.assert_clean();
}

#[test]
fn a_connection_that_always_breaks_off_is_told() {
    let mirror = Mirror::start(|path, bytes| {
        // Never more than the beginning of it comes.
        if path.contains("/base-files_") { Answer::BrokenOff(bytes) } else { Answer::Bytes(bytes) }
    });
    let place = Place::with_files(SMALL).behind(&mirror);
    let missing = digest_of(&place, "base-files");
    std::fs::remove_file(place.cached(&missing)).unwrap();
    place.run(&["build", SMALL]).expect(3).says("the connection broke off").says(REMEDY);
    assert!(!place.cached(&missing).exists(), "half a file got a name in the cache");
    place.assert_clean();
    place.behind(&Mirror::honest()).assert_works(&["build", SMALL]);
}

#[test]
fn a_wrong_byte_in_an_index_is_refused() {
    let mirror = Mirror::start(|path, bytes| {
        let index = path.contains("/debian/dists/trixie/") && path.contains("binary-amd64");
        Answer::Bytes(if index { altered(bytes) } else { bytes })
    });
    let place = Place::with_files(SMALL).unlocked().behind(&mirror);
    let ran = place.run(&["lock", SMALL]).expect(3);
    ran.says("source trixie cannot be used").says("its bytes are wrong").says("help: nothing of");
    assert!(!place.lock_path().exists());
    place.assert_clean();
    place.behind(&Mirror::honest()).assert_works(&["lock", SMALL]);
}

/// The digest of a package of the place's lock.
fn digest_of(place: &Place, name: &str) -> nexus_host::store::Sha256Digest {
    let lock: nexus_host::debian::lock::Lock = super::lock_text(place.host).parse().unwrap();
    let package = lock.packages.iter().find(|package| package.name.as_str() == name);
    package.expect("every host has it").sha256
}
