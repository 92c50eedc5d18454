//! A disk that is full when a stage begins, or becomes so: in the cache, the store, the folder of the host.

use std::fs;
use std::io::Write as _;

use super::mirror::Mirror;
use super::{BOOTS, Followed, Place, SMALL};
use crate::namespaces::{Disk, has_own_mounts};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// More than anything here needs; memory is taken only by what is written.
const LARGE: u64 = 2 << 30;

/// Runs `arguments`; when `stage` begins, the place's directory `folder` has room for `bytes` more.
///
/// Then there is room again, and the same command works.
#[track_caller]
fn fill_at(place: &Place, folder: &str, arguments: &[&str], (stage, bytes): (&str, u64)) {
    let directory = place.at(folder);
    let disk = Disk::mount(&directory, LARGE);
    let mut run = Followed::start(place.command(arguments));
    run.reaches(stage);
    disk.leave(bytes);
    let ran = run.ends().expect(3);
    let lower = ran.stderr.to_lowercase();
    assert!(lower.contains("no space"), "{}", ran.stderr);
    ran.says("help: make room on this disk");
    place.assert_clean();
    disk.resize(LARGE).unwrap();
    place.assert_works(arguments);
}

#[test]
fn while_an_index_is_fetched() {
    if has_own_mounts("bad_input::disk::while_an_index_is_fetched") {
        let place = Place::with_files(SMALL).unlocked().behind(&Mirror::honest());
        fill_at(&place, "cache", &["lock", SMALL], ("fetching (", MIB));
    }
}

#[test]
fn while_packages_are_fetched() {
    if has_own_mounts("bad_input::disk::while_packages_are_fetched") {
        let place = Place::new(SMALL).behind(&Mirror::honest());
        fill_at(&place, "cache", &["build", SMALL], ("fetching (", 2 * MIB));
    }
}

#[test]
fn while_packages_are_unpacked() {
    if has_own_mounts("bad_input::disk::while_packages_are_unpacked") {
        let place = Place::with_files(SMALL);
        fill_at(&place, "data", &["build", SMALL], ("unpack packages", 10 * MIB));
    }
}

#[test]
fn while_packages_are_configured() {
    if has_own_mounts("bad_input::disk::while_packages_are_configured") {
        let place = Place::with_files(SMALL);
        let stage = ("configure maintainer-scripts", 256 * KIB);
        fill_at(&place, "data", &["build", SMALL], stage);
    }
}

#[test]
fn while_parts_of_the_system_are_made() {
    if has_own_mounts("bad_input::disk::while_parts_of_the_system_are_made") {
        let place = Place::with_files(BOOTS);
        let stage = ("make parts of the system", 64 * KIB);
        fill_at(&place, "data", &["build", BOOTS], stage);
    }
}

#[test]
fn while_the_image_is_written() {
    if has_own_mounts("bad_input::disk::while_the_image_is_written") {
        let place = Place::with_files(BOOTS);
        let arguments = ["build", BOOTS, "--image", "raw"];
        fill_at(&place, "data", &arguments, ("write the image", 20 * MIB));
    }
}

#[test]
fn while_the_lock_is_written() {
    if !has_own_mounts("bad_input::disk::while_the_lock_is_written") {
        return;
    }
    let place = Place::with_files(SMALL).unlocked().behind(&Mirror::honest());
    let hosts = place.at("hosts");
    let text = fs::read(hosts.join("small.toml")).unwrap();
    let disk = Disk::mount(&hosts, LARGE);
    fs::File::create(hosts.join("small.toml")).unwrap().write_all(&text).unwrap();
    disk.leave(4 * KIB);
    let ran = place.run(&["lock", SMALL]).expect(3);
    ran.says("cannot write").says("hosts/small.lock").says("help: make room on this disk");
    assert!(!place.lock_path().exists());
    place.assert_clean();
    disk.resize(LARGE).unwrap();
    place.assert_works(&["lock", SMALL]);
}
