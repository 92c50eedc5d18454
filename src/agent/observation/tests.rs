//! What is read from `/proc`.

use super::*;

#[test]
fn programs_are_read_from_maps_of_memory() {
    let line = "7f0-7f1 r-xp 00000000 00:1a 1234                       /usr/lib/x y.so";
    assert_eq!(mapped_program(line), Some(("00:1a", "/usr/lib/x y.so")));
    assert_eq!(plain_device("00:1a").as_deref(), Some("0:26"));
    assert_eq!(plain_device("x"), None);
    for other in [
        "7f0-7f1 r--p 00000000 00:1a 1234 /usr/lib/x.so",
        "7f0-7f1 r-xp 00000000 00:00 0 [vdso]",
        "7f0-7f1 r-xp 00000000 00:00 0",
        "",
    ] {
        assert_eq!(mapped_program(other), None, "{other}");
    }
}

#[test]
fn processes_belong_to_units() {
    let directory = tempfile::tempdir().unwrap();
    let places = Places::below(directory.path());
    let write = |process: u32, group: &str| {
        let path = places.at(&format!("proc/{process}/cgroup"));
        crate::exec::files::write_scratch(&path, format!("0::{group}\n").as_bytes()).unwrap();
    };
    write(5, "/system.slice/a.service/inner");
    write(6, "/user.slice/x");
    assert_eq!(unit_of(&places, 5).as_deref(), Some("a.service"));
    assert_eq!(unit_of(&places, 6), None);
    assert_eq!(unit_of(&places, 7), None);
    let mut found = processes(&places);
    found.sort_unstable();
    assert_eq!(found, [5, 6]);
}
