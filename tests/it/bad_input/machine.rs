//! A machine that forbids user namespaces.

use super::{Place, SMALL};
use crate::namespaces::without_namespaces;
use crate::support::Ran;

#[test]
fn it_is_found_out_before_anything_is_fetched() {
    // Nobody answers here, which would be the next thing to complain about.
    let place = Place::new(SMALL);
    let mut command = place.command(&["build", SMALL]);
    without_namespaces(&mut command);
    Ran::of(command).expect(3).says("user namespaces are forbidden here");
    place.assert_clean();
}

#[test]
fn forbidden_user_namespaces_are_named_with_the_remedy() {
    let place = Place::with_files(SMALL);
    let mut command = place.command(&["build", SMALL]);
    without_namespaces(&mut command);
    Ran::of(command)
        .expect(3)
        .says("user namespaces are forbidden here: user.max_user_namespaces is 0")
        .says("help: Run `sysctl -w user.max_user_namespaces=15000` as root");
    place.assert_clean();
    place.assert_works(&["build", SMALL]);
    // The same in a document for programs.
    let place = Place::with_files(SMALL);
    let mut command = place.command(&["build", SMALL, "--json"]);
    without_namespaces(&mut command);
    let document = Ran::of(command).expect(3).json();
    assert!(document["help"].as_str().unwrap().contains("sysctl -w"), "{document}");
    assert_eq!(document["exit"], 3);
}
