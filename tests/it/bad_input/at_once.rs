//! Two builds of the same host into the same store at the same time.

use super::mirror::Mirror;
use super::{BOOTS, Followed, Place};

#[test]
fn two_builds_at_once_both_succeed_with_the_same_image() {
    let place = Place::with_files(BOOTS);
    let arguments = ["build", BOOTS, "--image", "raw"];
    let runs = [(); 2].map(|()| Followed::start(place.command(&arguments)));
    let [one, other] = runs.map(|run| run.ends().expect(0).stdout);
    assert_eq!(one, other);
    assert!(std::path::Path::new(one.trim()).is_file(), "{one}");
    place.assert_works(&arguments);
}

#[test]
fn two_that_must_lock_first_agree_on_the_lock() {
    let place = Place::with_files(BOOTS).unlocked().behind(&Mirror::honest());
    let runs = [(); 2].map(|()| Followed::start(place.command(&["build", BOOTS])));
    let [one, other] = runs.map(|run| run.ends().expect(0).stdout);
    assert_eq!(one, other);
    place.assert_works(&["build", BOOTS]);
}
