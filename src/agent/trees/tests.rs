//! Systems compared, and told from each other by their mounts.

use super::*;

#[test]
fn links_stay_inside_the_system() {
    assert_eq!(joined("/etc/a/b", "c"), "/etc/a/c");
    assert_eq!(joined("/etc/a/b", "../../../../usr/x"), "/usr/x");
    assert_eq!(joined("/etc/a", "/usr/./y/../z"), "/usr/z");
    assert_eq!(with_merged_usr("/bin/sh"), "/usr/bin/sh");
    assert_eq!(with_merged_usr("/binary"), "/binary");
    assert_eq!(with_merged_usr("/usr/bin/sh"), "/usr/bin/sh");
}

#[test]
fn files_are_compared_through_links() {
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str, text: &str| {
        let parts = PARTS.map(|part| directory.path().join(name).join(part));
        for part in &parts {
            fs::create_dir_all(part.join("d")).unwrap();
        }
        write_atomic(&parts[0].join("d/file"), text.as_bytes()).unwrap();
        std::os::unix::fs::symlink("/usr/d/file", parts[1].join("link")).unwrap();
        std::os::unix::fs::symlink("loop", parts[1].join("loop")).unwrap();
        Names { parts, store: directory.path().to_owned() }
    };
    let (one, same, other) = (make("one", "abc"), make("same", "abc"), make("other", "abcd"));
    for path in ["/usr/d/file", "/etc/link", "/usr/d", "/usr", "/lib/../d"] {
        assert!(!differs(&one, &same, path), "{path}");
    }
    for path in ["/usr/d/file", "/etc/link", "/usr/d", "/usr"] {
        assert!(differs(&one, &other, path), "{path}");
    }
    assert!(!differs(&one, &other, "/etc/d"));
    assert!(!differs(&one, &other, "/etc/loop"));
    assert!(!differs(&one, &other, "/var/d"), "not of the system");
    assert!(!differs(&one, &other, "/usr/missing"));
    fs::remove_file(other.parts[1].join("link")).unwrap();
    assert!(differs(&one, &other, "/etc/link"));
    // What leads out of the system is something else than nothing, and than what leads elsewhere.
    let outside = one.parts[1].join("outside");
    std::os::unix::fs::symlink("/var/a", &outside).unwrap();
    assert!(differs(&one, &other, "/etc/outside") && differs(&other, &one, "/etc/outside"));
    for (target, expected) in [("/var/a", false), ("../var/a", false), ("/var/b", true)] {
        let link = other.parts[1].join("outside");
        let _none = fs::remove_file(&link);
        std::os::unix::fs::symlink(target, link).unwrap();
        assert_eq!(differs(&one, &other, "/etc/outside"), expected, "{target}");
    }
}

#[test]
fn mounts_say_which_system_is_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let places = Places::below(directory.path());
    fs::create_dir_all(places.at("proc/self")).unwrap();
    let booted = StorePath::from_base_name(&format!("{}-a", "0".repeat(32))).unwrap();
    let next = StorePath::from_base_name(&format!("{}-b", "1".repeat(32))).unwrap();
    let old = "30 1 0:26 / /usr ro,relatime shared:1 - overlay nexus-system ro\n\
               31 1 0:27 / /etc ro,relatime - overlay nexus-system ro\n";
    let write =
        |text: &str| write_atomic(&places.at("proc/self/mountinfo"), text.as_bytes()).unwrap();
    write(old);
    let in_place = InPlace::look(&places, &booted).unwrap();
    assert_eq!(in_place.system(), Some(&booted));
    write(&format!("{old}40 1 0:40 / /usr ro - overlay nexus:{next} ro\n"));
    let half = InPlace::look(&places, &booted).unwrap();
    assert_eq!(half.system(), None, "a switch stopped in the middle");
    assert_eq!(half.parts["usr"], ("0:40".to_owned(), next.clone()));
    let mut known = KnownTrees::load(&places);
    known.note(&in_place);
    known.note(&half);
    known.save(&places).unwrap();
    let known = KnownTrees::load(&places);
    assert_eq!(known.of_device("0:26"), Some(("usr", &booted)));
    assert_eq!(known.of_device("0:40"), Some(("usr", &next)));
    assert_eq!(known.of_device("0:1"), None);
    write("30 1 0:26 / /usr ro - overlay x ro\n");
    assert!(InPlace::look(&places, &booted).unwrap_err().to_string().contains("/etc"));
}

#[test]
fn contents_are_read_when_their_place_is_another() {
    let store = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        write_atomic(&store.path().join(name), bytes).unwrap();
        Some(format!("/{name}").into_bytes())
    };
    let mut long = vec![7; COMPARE_BYTES + 5];
    let (one, same) = (write("one", &long), write("same", &long));
    *long.last_mut().unwrap() = 8;
    let (other, short) = (write("other", &long), write("short", &long[..9]));
    let differ = |old: &Option<Vec<u8>>, new: &Option<Vec<u8>>| {
        contents_differ(store.path(), old.clone(), new.clone())
    };
    assert!(!differ(&one, &same));
    assert!(differ(&one, &other) && differ(&one, &short) && differ(&short, &one));
    let gone = Some(b"/gone".to_vec());
    assert!(!differ(&gone, &gone), "the same place is not read");
    assert!(differ(&gone, &one) && differ(&None, &one));
}
