//! Who decides about the mirror.

use super::*;
use crate::debian::mirror::Mirrors;
use crate::exec::files::write_atomic;

fn environment(mirror: Option<&str>) -> Environment {
    let variables: BTreeMap<_, _> =
        mirror.iter().map(|value| (MIRROR_VARIABLE.into(), (*value).into())).collect();
    Environment::new(variables, Path::new("/"), Path::new("/x"), 0)
}

#[track_caller]
fn check(choice: Option<&str>, variable: Option<&str>, apt: &[(&str, &str)], expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("sources.list.d")).unwrap();
    for (name, text) in apt {
        write_atomic(&directory.path().join(name), text.as_bytes()).unwrap();
    }
    let choice = choice.map(|text| Mirrors::siblings(text.parse().unwrap()));
    let found = match mirrors_beside_apt(&environment(variable), choice, directory.path()) {
        Ok(Mirrors { debian, security }) => format!("{debian} {security}"),
        Err(error) => format!("error: {error}: {}", error.source),
    };
    assert_eq!(found, expected);
}

#[test]
fn the_workspace_then_the_environment_then_apt_then_the_default_decide() {
    let list = ("sources.list", "deb http://list.example/debian trixie main\n");
    let late = ("sources.list.d/b.list", "deb http://late.example/debian trixie main\n");
    let off = ("sources.list.d/a.list.disabled", "deb http://off.example/debian trixie main\n");
    let public = "https://mirrors.kernel.org/debian https://mirrors.kernel.org/debian-security";
    check(
        Some("http://a/debian"),
        Some("http://b/debian"),
        &[list],
        "http://a/debian http://a/debian-security",
    );
    check(None, Some("http://b/debian/"), &[list], "http://b/debian/ http://b/debian-security");
    check(
        None,
        None,
        &[late, off, list],
        "http://list.example/debian http://list.example/debian-security",
    );
    check(
        None,
        None,
        &[late, off],
        "http://late.example/debian http://late.example/debian-security",
    );
    check(None, None, &[off], public);
    check(
        None,
        Some("nonsense"),
        &[],
        "error: variable NEXUS_HOST_DEBIAN_MIRROR does not name a mirror: `nonsense` does not start with `https://`, `http://` or `file:///`",
    );
}

#[test]
fn a_machine_without_apt_gets_the_default() {
    let found = mirrors_beside_apt(&environment(None), None, Path::new("/nowhere")).unwrap();
    assert_eq!(found, Mirrors::public());
}
