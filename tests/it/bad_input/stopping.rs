//! Ctrl-C in each stage: exit code 130, nothing half-done, and the same command works afterwards.

use std::time::{Duration, Instant};

use super::mirror::{Answer, Mirror};
use super::{BOOTS, Followed, Place, SMALL};

/// From the signal to the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Stops `arguments` when the program says that it begins with `stage`; then lets it work.
#[track_caller]
fn stop_at(place: &Place, arguments: &[&str], stage: &str) {
    let mut run = Followed::start(place.command(arguments));
    run.reaches(stage);
    run.interrupt();
    let signalled = Instant::now();
    run.ends().expect(130).says("interrupted");
    let waited = signalled.elapsed();
    assert!(waited < PATIENCE, "it went on for {waited:?}");
    place.assert_clean();
}

/// A mirror that never ends the files in whose path `part` stands.
fn stalling(part: &'static str) -> Mirror {
    Mirror::start(
        move |path, bytes| {
            if path.contains(part) { Answer::Held(bytes) } else { Answer::Bytes(bytes) }
        },
    )
}

#[test]
fn while_the_release_is_awaited() {
    let (asked, is_asked) = std::sync::mpsc::channel();
    let asked = std::sync::Mutex::new(asked);
    let mirror = Mirror::start(move |path, bytes| {
        if path.ends_with("InRelease") {
            // Nobody waits for the second and third.
            let _ = asked.lock().unwrap().send(());
            return Answer::Held(bytes);
        }
        Answer::Bytes(bytes)
    });
    let place = Place::with_files(SMALL).unlocked().behind(&mirror);
    let run = Followed::start(place.command(&["lock", SMALL]));
    is_asked.recv_timeout(Duration::from_secs(60)).unwrap();
    run.interrupt();
    run.ends().expect(130).says("interrupted");
    assert!(!place.lock_path().exists());
    place.assert_clean();
}

#[test]
fn while_an_index_is_fetched() {
    let place = Place::with_files(SMALL).unlocked().behind(&stalling("binary-amd64"));
    stop_at(&place, &["lock", SMALL], "fetching (");
    assert!(!place.lock_path().exists());
    place.behind(&Mirror::honest()).assert_works(&["lock", SMALL]);
}

#[test]
fn while_packages_are_fetched() {
    let place = Place::with_files(SMALL).behind(&stalling("/base-"));
    let lock: nexus_host::debian::lock::Lock = super::lock_text(SMALL).parse().unwrap();
    for package in lock.packages.iter().filter(|p| p.name.as_str().starts_with("base-")) {
        std::fs::remove_file(place.cached(&package.sha256)).unwrap();
    }
    stop_at(&place, &["build", SMALL], "fetching (");
    place.behind(&Mirror::honest()).assert_works(&["build", SMALL]);
}

#[test]
fn while_locking_runs_the_scripts() {
    let place = Place::with_files(SMALL).unlocked().behind(&Mirror::honest());
    stop_at(&place, &["lock", SMALL], "configure maintainer-scripts");
    assert!(!place.lock_path().exists());
    place.assert_works(&["lock", SMALL]);
}

#[test]
fn while_packages_are_unpacked() {
    let place = Place::with_files(BOOTS);
    stop_at(&place, &["build", BOOTS], "unpack packages");
    place.assert_works(&["build", BOOTS]);
}

#[test]
fn while_packages_are_configured() {
    let place = Place::with_files(SMALL);
    stop_at(&place, &["build", SMALL], "configure maintainer-scripts");
    place.assert_works(&["build", SMALL]);
}

#[test]
fn while_the_image_is_written() {
    let place = Place::with_files(BOOTS);
    let arguments = ["build", BOOTS, "--image", "raw"];
    stop_at(&place, &arguments, "write the image");
    place.assert_works(&arguments);
}

#[test]
fn a_second_time_ends_it_at_once() {
    let place = Place::with_files(SMALL);
    let mut run = Followed::start(place.command(&["build", SMALL]));
    run.reaches("unpack packages");
    run.interrupt();
    run.interrupt();
    let ran = run.ends();
    // By the signal, or in good order when that was faster.
    assert!(matches!(ran.code, None | Some(130)), "{ran:?}");
    place.run(&["store", "verify"]).expect(0);
    place.run(&["build", SMALL]).expect(0);
    place.run(&["store", "gc"]).expect(0);
    place.assert_clean();
}
