//! Units in trees made for the test: hidden, masked, extended, wanted.

use std::os::unix::fs::symlink;

use super::*;
use crate::exec::files::write_scratch;

fn tree(files: &[(&str, &str)], links: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write_scratch(&directory.path().join(path), text.as_bytes()).unwrap();
    }
    for (path, target) in links {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }
    let tree = Tree::at(directory.path());
    (directory, tree)
}

const LIB: &str = "usr/lib/systemd/system";
const ETC: &str = "etc/systemd/system";

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_administrators_unit_hides_the_packages() {
    let (_directory, tree) = tree(
        &[
            (&format!("{LIB}/a.service"), "lib"),
            (&format!("{ETC}/a.service"), "etc"),
            (&format!("{LIB}/b.service"), "lib"),
            (&format!("{LIB}/c.service"), "lib"),
            (&format!("{ETC}/c.service"), ""),
        ],
        &[
            (&format!("{ETC}/b.service"), "/dev/null"),
            (&format!("{ETC}/alias.service"), "/lib/systemd/system/b.service"),
            (&format!("{ETC}/gone.service"), "/usr/lib/systemd/system/none.service"),
        ],
    );
    let units = tree.units(&names(&[
        "a.service",
        "b.service",
        "c.service",
        "alias.service",
        "x.service",
        "gone.service",
        "../x",
    ]));
    assert_eq!(units.files["a.service"], UnitFile::plain("etc"));
    assert_eq!(units.files["b.service"], UnitFile::Masked);
    assert_eq!(units.files["c.service"], UnitFile::Masked);
    assert_eq!(units.files["alias.service"], UnitFile::plain("lib"));
    assert_eq!(units.files.len(), 4, "what is not there is not listed: {units:?}");
}

#[test]
fn drop_ins_come_from_all_folders() {
    let (_directory, tree) = tree(
        &[
            (&format!("{LIB}/a-b@.service"), "main"),
            (&format!("{LIB}/a-b@.service.d/10.conf"), "template"),
            (&format!("{ETC}/a-b@x.service.d/20.conf"), "instance"),
            (&format!("{ETC}/a-.service.d/05.conf"), "prefix"),
            (&format!("{LIB}/service.d/01.conf"), "kind"),
            (&format!("{LIB}/a-b@x.service.d/30.conf"), "lib"),
            (&format!("{ETC}/a-b@x.service.d/README"), "no"),
        ],
        &[(&format!("{ETC}/a-b@x.service.d/30.conf"), "/dev/null")],
    );
    let units = tree.units(&names(&["a-b@x.service"]));
    let UnitFile::Present { text, dropins } = &units.files["a-b@x.service"] else { panic!() };
    assert_eq!(text, "main");
    let shown: Vec<(&str, &str)> =
        dropins.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("01.conf", "kind"),
            ("05.conf", "prefix"),
            ("10.conf", "template"),
            ("20.conf", "instance"),
            ("30.conf", "")
        ]
    );
}

#[test]
fn links_want_and_what_is_wanted_is_read() {
    let (_directory, tree) = tree(
        &[(&format!("{LIB}/a.service"), "a"), (&format!("{LIB}/b.service"), "b")],
        &[
            (
                &format!("{ETC}/multi-user.target.wants/a.service"),
                "/usr/lib/systemd/system/a.service",
            ),
            (&format!("{LIB}/x.target.requires/b.service"), "../b.service"),
            (&format!("{LIB}/x.target.wants/c.service"), "/dev/null"),
            (&format!("{LIB}/x.target.wants/gone.service"), "../gone.service"),
        ],
    );
    let units = tree.units(&BTreeSet::new());
    assert_eq!(units.wanted["a.service"], names(&["multi-user.target"]));
    assert_eq!(units.wanted["b.service"], names(&["x.target"]));
    assert!(!units.wanted.contains_key("c.service"));
    assert_eq!(units.files.keys().collect::<Vec<_>>(), ["a.service", "b.service"]);
}

#[test]
fn generated_units_are_read_apart() {
    let (directory, _) = tree(
        &[
            ("run/systemd/generator/a.mount", "[Mount]"),
            ("run/systemd/generator.late/b.service", "b"),
            (&format!("{LIB}/a.mount"), "of the package"),
        ],
        &[("run/systemd/generator/local-fs.target.requires/a.mount", "../a.mount")],
    );
    let units = Tree::generated(directory.path()).units(&names(&["b.service"]));
    assert_eq!(units.files["a.mount"], UnitFile::plain("[Mount]"));
    assert_eq!(units.files["b.service"], UnitFile::plain("b"));
    assert_eq!(units.wanted["a.mount"], names(&["local-fs.target"]));
}
