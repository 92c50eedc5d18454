//! Command lines that boot, and those that do not.

use super::*;

#[test]
fn the_last_of_equal_names_counts() {
    let line = "quiet nexus.root=PARTLABEL=x nexus.root=PARTLABEL=nexus-root \
                nexus.system=/nix/store/abc-system-web init=/bin/sh\n";
    assert_eq!(
        BootArguments::parse(line),
        Ok(BootArguments {
            root: RootDevice::PartitionLabel("nexus-root".into()),
            system: "abc-system-web".into(),
            init: "/bin/sh".into(),
            return_seconds: None,
        })
    );
}

#[test]
fn a_file_system_is_named_by_its_uuid() {
    let line = "nexus.root=UUID=DEADBEEF-0000-4000-8000-000000000001 nexus.system=/nix/store/a";
    let root = RootDevice::FileSystemUuid("deadbeef000040008000000000000001".into());
    assert_eq!(BootArguments::parse(line).unwrap().root, root);
}

#[test]
fn a_system_in_memory_may_return() {
    let line = "nexus.root=memory nexus.system=/nix/store/a nexus.return=300";
    let parsed = BootArguments::parse(line).unwrap();
    assert_eq!((parsed.root, parsed.return_seconds), (RootDevice::Memory, Some(300)));
}

#[test]
fn what_is_wrong_is_named() {
    let check = |line: &str, expected: ArgumentsError| {
        assert_eq!(BootArguments::parse(line), Err(expected));
    };
    check("quiet", ArgumentsError::Missing(ROOT));
    check("nexus.root=PARTLABEL=a", ArgumentsError::Missing(SYSTEM));
    check("nexus.root=/dev/sda nexus.system=/nix/store/a", ArgumentsError::Root("/dev/sda".into()));
    check("nexus.root=UUID=12 nexus.system=/nix/store/a", ArgumentsError::Root("UUID=12".into()));
    for seconds in ["", "-1", "5s", "99999999999"] {
        let line = format!("nexus.root=memory nexus.system=/nix/store/a nexus.return={seconds}");
        check(&line, ArgumentsError::Return(seconds.into()));
    }
    for system in ["/etc", "/nix/store/", "/nix/store/..", "/nix/store/a/b"] {
        let line = format!("nexus.root=PARTLABEL=a nexus.system={system}");
        check(&line, ArgumentsError::System(system.into()));
    }
}
