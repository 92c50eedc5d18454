//! Every host example, built, booted on both firmwares in the pinned QEMU, and checked.

use crate::support::Workspace;

#[test]
fn vps1_does_what_its_file_says() {
    check("vps1");
}

/// Locks, builds and tests the host `hosts/NAME.toml` of this repository with one command.
#[track_caller]
fn check(name: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("hosts/{name}.toml"));
    let workspace = Workspace::with_host(name, &std::fs::read_to_string(file).unwrap());
    let junit = workspace.path().join("junit.xml");
    let report = workspace
        .run(&["test", name, "--json", "--again", "--junit", junit.to_str().unwrap()])
        .expect(0)
        .json();
    let host = &report["hosts"][0];
    assert_eq!(host["passed"], true, "{report:#}");
    let firmwares: Vec<&str> = host["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["firmware"].as_str().unwrap())
        .collect();
    assert_eq!(firmwares, ["bios", "uefi"]);
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<testsuite") && junit.contains("failures=\"0\""), "{junit}");
    let lock = workspace.path().join(format!("hosts/{name}.lock"));
    assert!(lock.exists(), "the host was locked");
}
