//! Levels, and what is read and written as text.

use super::*;
use crate::generation::Level;

#[test]
fn the_level_is_the_least_that_is_needed_and_allowed() {
    let facts = |kernel: &str, arguments: &str, point: &str| SystemFacts {
        kernel: Some(kernel.into()),
        initrd: Some("i".into()),
        arguments: arguments.into(),
        mount_points: vec![point.into()],
    };
    let old = facts("k", "a", "/x");
    let check = |new: SystemFacts, policy: Policy, level: Level, why: &str| {
        let (found, reasons) = plan_level(&old, &new, policy);
        assert_eq!((found, reasons.join("; ").as_str()), (level, why));
    };
    let free = Policy::default();
    check(old.clone(), free, Level::Live, "");
    check(facts("k2", "a", "/x"), free, Level::Reboot, "the kernel changes");
    check(facts("k", "b", "/x"), free, Level::Reboot, "the kernel's arguments change");
    let points = "the root directory gets new mount points";
    check(facts("k", "a", "/y"), free, Level::SoftReboot, points);
    let initrd = SystemFacts { initrd: None, ..old.clone() };
    check(initrd, free, Level::Reboot, "the initrd changes");
    let no_live = Policy { live: false, ..free };
    let forbids = "the host's policy forbids to change it while it runs";
    check(old.clone(), no_live, Level::SoftReboot, forbids);
    let neither = Policy { soft_reboot: false, ..no_live };
    let both = format!("{forbids}; the host's policy forbids soft reboots");
    check(old.clone(), neither, Level::Reboot, &both);
    check(facts("k2", "a", "/x"), neither, Level::Reboot, "the kernel changes");
    let more = Policy { at_least: Level::Reboot, ..free };
    check(old.clone(), more, Level::Reboot, "a reboot was asked for");
}

#[test]
fn what_a_unit_does_is_told_by_its_states() {
    let check = |active: &str, sub: &str, expected: Activity| {
        assert_eq!(Observed::of_states(active, sub).activity, expected, "{active} {sub}");
    };
    check("active", "running", Activity::Active);
    check("activating", "auto-restart", Activity::Failed);
    check("reloading", "mounting", Activity::Active);
    check("inactive", "dead", Activity::Inactive);
    check("failed", "failed", Activity::Failed);
    check("deactivating", "stop-sigterm", Activity::Deactivating);
}

#[test]
fn processes_belong_to_the_unit_below_the_slices() {
    assert_eq!(unit_of_group("/system.slice/a.service/inner"), Some("a.service"));
    assert_eq!(
        unit_of_group("/system.slice/system-getty.slice/getty@tty1.service"),
        Some("getty@tty1.service")
    );
    assert_eq!(
        unit_of_group("/user.slice/user-0.slice/user@0.service/app.slice/x.service"),
        Some("user@0.service")
    );
    assert_eq!(unit_of_group("/init.scope"), Some("init.scope"));
    assert_eq!(unit_of_group("/system.slice"), None);
    assert_eq!(unit_of_group("/"), None);
    assert_eq!(unit_of_group("/odd"), None);
}

#[test]
fn a_plan_survives_its_text() {
    let units = host().changes("a.service", SERVICE, OTHER).plan();
    let plan = SwitchPlan {
        system: "/nix/store/b".into(),
        from: "/nix/store/a".into(),
        level: Level::Live,
        why: vec!["x".into()],
        units,
        secrets: BTreeSet::from(["app/token".to_owned()]),
        reexec: true,
        daemon_reload: false,
        tmpfiles: false,
    };
    let text = plan.to_json().to_string();
    assert_eq!(SwitchPlan::parse(&text).unwrap(), plan);
    assert!(SwitchPlan::parse(&text.replace("\"format\":1", "\"format\":2")).is_err());
    assert!(SwitchPlan::parse(&text.replace("live", "lively")).is_err());
    assert!(SwitchPlan::parse("{}").is_err());
}
