//! The history on disk, and the links that follow it.

use super::*;
use crate::generation::{Generation, Verdict};

fn host() -> (tempfile::TempDir, Places) {
    let directory = tempfile::tempdir().unwrap();
    let places = Places::below(directory.path());
    fs::create_dir_all(places.profiles()).unwrap();
    symlink(shown(&system(1)), places.profiles().join("system-1-link")).unwrap();
    (directory, places)
}

fn system(index: u32) -> StorePath {
    StorePath::from_base_name(&format!("{}-system", index.to_string().repeat(32))).unwrap()
}

fn link(places: &Places, name: &str) -> Option<String> {
    fs::read_link(places.profiles().join(name)).ok().map(|p| p.display().to_string())
}

#[test]
fn a_host_from_an_image_has_its_first_generation() {
    let (_directory, places) = host();
    let state = load(&places).unwrap();
    assert_eq!(state.get(GenerationNumber::FIRST).unwrap().system, system(1));
    assert_eq!(state.default(), Some(GenerationNumber::FIRST));
    fs::remove_file(places.profiles().join("system-1-link")).unwrap();
    assert!(load(&places).unwrap_err().to_string().contains("system-1-link"));
}

#[test]
fn links_follow_the_history() {
    let (_directory, places) = host();
    let mut state = load(&places).unwrap();
    let number = state
        .register(Generation {
            system: system(2),
            registered_seconds: 5,
            by: "me".into(),
            commit: None,
            pinned: false,
            verdict: Verdict::New,
        })
        .unwrap();
    save(&places, &state).unwrap();
    assert_eq!(load(&places).unwrap(), state);
    assert_eq!(link(&places, "system").as_deref(), Some("system-1-link"));
    assert_eq!(link(&places, "system-2-link"), Some(shown(&system(2))));
    assert_eq!(link(&places, "system-trial"), None);
    state.collect(1, &std::collections::BTreeSet::new());
    assert!(state.get(number).is_err());
    save(&places, &state).unwrap();
    assert_eq!(link(&places, "system-2-link"), None, "a link of what was forgotten goes");
    assert_eq!(link(&places, "system-1-link"), Some(shown(&system(1))));
}

#[test]
fn a_damaged_history_is_told_and_left_alone() {
    let (_directory, places) = host();
    let state = load(&places).unwrap();
    save(&places, &state).unwrap();
    write_atomic(&file(&places), b"{\"format\": 1").unwrap();
    let error = load(&places).unwrap_err();
    assert!(error.to_string().contains("generations.json cannot be used"), "{error}");
    assert!(error.help().unwrap().contains("put it aside"));
}
