//! Kinds of units beside services, and units that concern each other.

use super::*;

#[test]
fn sockets_stay_open_and_open_anew_when_they_change() {
    let socket = |port: u16| format!("[Socket]\nListenStream={port}\n");
    let pair = |old: u16, new: u16| {
        host().changes("a.socket", &socket(old), &socket(new)).both("a.service", SERVICE)
    };
    pair(1, 1).active("a.service").gets("a.service", OTHER).check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
    pair(1, 2).check(expect![[r#"
        stop a.socket: its definition changed
        start a.socket: its definition changed
    "#]]);
    pair(1, 2).active("a.service").check(expect![[r#"
        stop a.service: its socket a.socket is opened anew
        stop a.socket: its definition changed
        start a.socket: its definition changed
    "#]]);
    let by = "multi-user.target";
    pair(1, 2)
        .active("a.service")
        .wanted_before("a.service", by)
        .wanted_after("a.service", by)
        .check(expect![[r#"
            stop a.service: its socket a.socket is opened anew
            stop a.socket: its definition changed
            start a.service: its socket a.socket is opened anew
            start a.socket: its definition changed
        "#]]);
    let named = |port: u16| format!("[Socket]\nListenStream={port}\nService=b.service\n");
    let other = host().changes("a.socket", &named(1), &named(2));
    other.both("b.service", SERVICE).active("b.service").check(expect![[r#"
        stop a.socket: its definition changed
        stop b.service: its socket a.socket is opened anew
        start a.socket: its definition changed
    "#]]);
    host().changes("systemd-journald.socket", &socket(1), &socket(2)).check(expect![[r#"
        keep systemd-journald.socket: its definition changed; systemd itself listens there
    "#]]);
}

#[test]
fn other_kinds_have_their_own_ways() {
    let check = |name: &str, section: &str, expected: Expect| {
        let text = |value: u8| format!("[{section}]\nKey={value}\n");
        host().changes(name, &text(1), &text(2)).check(expected);
    };
    check(
        "a.timer",
        "Timer",
        expect![[r#"
        restart a.timer: its definition changed
    "#]],
    );
    check(
        "a.path",
        "Path",
        expect![[r#"
        restart a.path: its definition changed
    "#]],
    );
    check("a.slice", "Slice", expect![[""]]);
    check(
        "srv-data.mount",
        "Mount",
        expect![[r#"
        restart srv-data.mount: its definition changed
    "#]],
    );
    check(
        "var.mount",
        "Mount",
        expect![[r#"
        keep var.mount: its definition changed; the system itself stands on it
    "#]],
    );
    check(
        "dev-hugepages.mount",
        "Mount",
        expect![[r#"
        keep dev-hugepages.mount: its definition changed; the kernel's own file system
    "#]],
    );
    let options = |value: &str| format!("[Mount]\nWhat=x\nOptions={value}\n");
    host().changes("srv-data.mount", &options("ro"), &options("rw")).check(expect![[r#"
        reload srv-data.mount: its definition changed
    "#]]);
}

#[test]
fn targets_are_started_again_and_never_the_wrong_ones() {
    let changes = |name: &str, more: &str| {
        host().changes(
            name,
            "[Unit]\nWants=a.service\n",
            &format!("[Unit]\nWants=b.service\n{more}"),
        )
    };
    changes("a.target", "").check(expect![[r#"
        start a.target: its definition changed
    "#]]);
    changes("a.target", "X-StopOnReconfiguration=true\n").check(expect![[r#"
        stop a.target: its definition changed
        start a.target: its definition changed
    "#]]);
    changes("a.target", "RefuseManualStart=yes\n").check(expect![[""]]);
    changes("multi-user.target", "").check(expect![[""]]);
    changes("suspend.target", "").check(expect![[""]]);
}

#[test]
fn who_conflicts_with_what_starts_stops_first() {
    let by = "multi-user.target";
    let enemy = "[Unit]\nConflicts=b.service\n[Service]\nExecStart=/usr/bin/a\n";
    let starting = || host().gets("a.service", enemy).wanted_after("a.service", by);
    starting().both("b.service", SERVICE).active("b.service").check(expect![[r#"
        stop b.service: it conflicts with a.service, which starts
        start a.service: multi-user.target begins to want it
    "#]]);
    starting().changes("b.service", SERVICE, OTHER).check(expect![[r#"
        stop b.service: its definition changed
        start a.service: multi-user.target begins to want it
    "#]]);
    // It would start again after the switch, but not beside its enemy.
    let stops = "[Service]\nExecStart=/usr/bin/b\nExecStop=/usr/bin/c\n";
    starting().changes("b.service", stops, OTHER).check(expect![[r#"
        stop b.service: its definition changed
        start a.service: multi-user.target begins to want it
    "#]]);
    starting().both("b.service", SERVICE).check(expect![[r#"
        start a.service: multi-user.target begins to want it
    "#]]);
    // The other way round, and everything conflicts with a shutdown that is not there.
    let hostile = "[Unit]\nConflicts=a.service shutdown.target\n[Service]\nExecStart=/usr/bin/b\n";
    let starting = host().gets("a.service", SERVICE).wanted_after("a.service", by);
    starting.both("b.service", hostile).active("b.service").check(expect![[r#"
        stop b.service: it conflicts with a.service, which starts
        start a.service: multi-user.target begins to want it
    "#]]);
}

#[test]
fn instances_follow_their_template() {
    assert_eq!(template_of("a@b.service").as_deref(), Some("a@.service"));
    assert_eq!(template_of("a@b.c.service").as_deref(), Some("a@.service"));
    assert_eq!(template_of("a@.service"), None);
    assert_eq!(template_of("a.service"), None);
    host().changes("getty@tty1.service", SERVICE, OTHER).check(expect![[r#"
        keep getty@tty1.service: its definition changed; somebody may be logged in there
    "#]]);
    host().changes("-odd\\x2dname@x.service", SERVICE, OTHER).check(expect![[r#"
        restart -odd\x2dname@x.service: its definition changed
    "#]]);
}

#[test]
fn what_goes_down_with_another_comes_back() {
    let by = "multi-user.target";
    let host = host()
        .both("a.service", SERVICE)
        .active("a.service")
        .wanted_after("a.service", by)
        .both("b.service", SERVICE)
        .active("b.service")
        .active("hand.service")
        .both("hand.service", SERVICE);
    let mut after = host.observed.clone();
    for name in ["a.service", "b.service", "hand.service"] {
        after.get_mut(name).unwrap().activity = Activity::Inactive;
    }
    let mut plan = UnitPlan::default();
    let lost = lost_units(&host.observed, &after, &host.new, &plan);
    assert_eq!(Vec::from_iter(lost), ["a.service"]);
    plan.stop.insert("a.service".into());
    assert!(lost_units(&host.observed, &after, &host.new, &plan).is_empty());
    plan.start.insert("a.service".into());
    assert_eq!(lost_units(&host.observed, &after, &host.new, &plan).len(), 1);
    assert!(lost_units(&host.observed, &host.observed, &host.new, &plan).is_empty());
}
