use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};

use super::*;
use crate::generation::Level;

/// A host of a few units: what runs, the old definitions, the new ones.
struct Host {
    observed: BTreeMap<String, Observed>,
    old: SystemUnits,
    new: SystemUnits,
    changed: BTreeSet<String>,
    programs: BTreeMap<String, String>,
}

fn host() -> Host {
    let mut host = Host {
        observed: BTreeMap::new(),
        old: SystemUnits::default(),
        new: SystemUnits::default(),
        changed: BTreeSet::new(),
        programs: BTreeMap::new(),
    };
    for target in ["sysinit.target", "multi-user.target", "sockets.target", "timers.target"] {
        host = host.both(target, "[Unit]\nDescription=x\n").active(target);
    }
    host
}

impl Host {
    fn active(self, name: &str) -> Self {
        self.activity(name, Activity::Active)
    }

    fn activity(mut self, name: &str, activity: Activity) -> Self {
        self.observed.entry(name.to_owned()).or_default().activity = activity;
        self
    }

    fn old(mut self, name: &str, text: &str) -> Self {
        self.old.files.insert(name.to_owned(), UnitFile::plain(text));
        self
    }

    fn gets(mut self, name: &str, text: &str) -> Self {
        self.new.files.insert(name.to_owned(), UnitFile::plain(text));
        self
    }

    fn both(self, name: &str, text: &str) -> Self {
        self.old(name, text).gets(name, text)
    }

    /// A unit that runs and whose definition changes.
    fn changes(self, name: &str, old: &str, new: &str) -> Self {
        self.old(name, old).gets(name, new).active(name)
    }

    fn masked(mut self, name: &str) -> Self {
        self.new.files.insert(name.to_owned(), UnitFile::Masked);
        self
    }

    fn wanted_before(mut self, name: &str, by: &str) -> Self {
        self.old.wanted.entry(name.to_owned()).or_default().insert(by.to_owned());
        self
    }

    fn wanted_after(mut self, name: &str, by: &str) -> Self {
        self.new.wanted.entry(name.to_owned()).or_default().insert(by.to_owned());
        self
    }

    fn file_changed(mut self, path: &str) -> Self {
        self.changed.insert(path.to_owned());
        self
    }

    fn program_changed(mut self, name: &str, file: &str) -> Self {
        self.programs.insert(name.to_owned(), file.to_owned());
        self
    }

    fn plan(&self) -> UnitPlan {
        plan_units(&Inputs {
            observed: &self.observed,
            old: &self.old,
            new: &self.new,
            changed: &self.changed,
            programs: &self.programs,
        })
    }

    /// The whole plan: what is not in it does not happen.
    #[track_caller]
    fn check(self, expected: Expect) {
        let plan = self.plan();
        let mut text = String::new();
        let lists = [
            ("stop", &plan.stop),
            ("reload", &plan.reload),
            ("restart", &plan.restart),
            ("start", &plan.start),
        ];
        for (verb, units) in lists {
            for unit in units {
                text.push_str(&format!("{verb} {unit}: {}\n", plan.why[unit]));
            }
        }
        for (unit, why) in &plan.kept {
            text.push_str(&format!("keep {unit}: {why}\n"));
        }
        expected.assert_eq(&text);
    }
}

const SERVICE: &str = "[Service]\nExecStart=/usr/bin/a\n";
const OTHER: &str = "[Service]\nExecStart=/usr/bin/b\n";

#[test]
fn an_equal_unit_is_left_alone() {
    let moved = "# moved\n[Service]\n\nExecStart=\\\n  /usr/bin/a\n[Install]\nWantedBy=x.target\n";
    host().changes("a.service", SERVICE, moved).check(expect![[""]]);
    let more = "[Unit]\nDescription=new\nDocumentation=man:a\nOnFailure=b.service\n[Service]\nExecStart=/usr/bin/a\n";
    host().changes("a.service", SERVICE, more).check(expect![[""]]);
    let set_and_cleared = "[Service]\nUser=x\nUser=\nExecStart=/usr/bin/a\n[Empty]\n";
    host().changes("a.service", SERVICE, set_and_cleared).check(expect![[""]]);
}

#[test]
fn a_changed_service_restarts_after_the_switch() {
    host().changes("a.service", SERVICE, OTHER).check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
    let unknown = "[Service]\nExecStart=/usr/bin/a\nNew=1\n";
    host().changes("a.service", SERVICE, unknown).check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
    host().changes("a.service", unknown, SERVICE).check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
    let order =
        |a: &str, b: &str| format!("[Service]\nExecStartPre=/usr/{a}/x\nExecStartPre=/usr/{b}/x\n");
    host().changes("a.service", &order("bin", "sbin"), &order("sbin", "bin")).check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
}

#[test]
fn what_must_run_old_programs_to_stop_stops_before() {
    let stops = "[Service]\nExecStart=/usr/bin/a\nExecStop=/usr/bin/c\n";
    host().changes("a.service", stops, OTHER).check(expect![[r#"
        stop a.service: its definition changed
        start a.service: its definition changed
    "#]]);
    let asks = "[Service]\nExecStart=/usr/bin/b\nX-StopIfChanged=true\n";
    host().changes("a.service", SERVICE, asks).check(expect![[r#"
        stop a.service: its definition changed
        start a.service: its definition changed
    "#]]);
    let asks_not = "[Service]\nExecStart=/usr/bin/b\nExecStop=/usr/bin/c\nX-StopIfChanged=no\n";
    host().changes("a.service", stops, asks_not).check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
}

#[test]
fn drop_ins_count_in_the_order_of_their_names() {
    let with = |dropins: &[(&str, &str)]| UnitFile::Present {
        text: SERVICE.into(),
        dropins: dropins.iter().map(|(n, t)| ((*n).into(), (*t).into())).collect(),
    };
    let mut changed = host().changes("a.service", SERVICE, SERVICE);
    changed.new.files.insert("a.service".into(), with(&[("a.conf", "[Service]\nUser=x\n")]));
    changed.check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
    let mut same = host().changes("a.service", SERVICE, SERVICE);
    let (one, two) = (
        "[Service]\nExecStart=\nExecStart=/usr/bin/z\n",
        "[Service]\nExecStart=\nExecStart=/usr/bin/a\n",
    );
    same.new.files.insert("a.service".into(), with(&[("b.conf", two), ("a.conf", one)]));
    same.check(expect![[""]]);
}

#[test]
fn reloads_are_for_what_only_needs_to_read_again() {
    let with = |more: &str| {
        format!("[Unit]\n{more}[Service]\nExecStart=/usr/bin/a\nExecReload=/usr/bin/kill\n")
    };
    let trigger = |value: &str| with(&format!("X-Reload-Triggers={value}\n"));
    host().changes("a.service", &trigger("1"), &trigger("2")).check(expect![[r#"
        reload a.service: its definition changed
    "#]]);
    host().changes("a.service", &with(""), &trigger("2")).check(expect![[r#"
        reload a.service: its definition changed
    "#]]);
    host().changes("a.service", &trigger("1"), &with("")).check(expect![[""]]);
    host().changes("a.service", SERVICE, &with("")).check(expect![[r#"
        reload a.service: its definition changed
    "#]]);
    host().changes("a.service", &with(""), SERVICE).check(expect![[""]]);
    let both = with("X-Reload-Triggers=2\nX-Restart-Triggers=2\n");
    host().changes("a.service", &trigger("1"), &both).check(expect![[r#"
        restart a.service: its definition changed
    "#]]);
    let reload_only = "[Service]\nExecStart=/usr/bin/b\nX-ReloadIfChanged=yes\n";
    host().changes("a.service", SERVICE, reload_only).check(expect![[r#"
        reload a.service: its definition changed
    "#]]);
}

#[test]
fn files_that_a_unit_reads_concern_it() {
    let caddy = "[Service]\nExecStart=/usr/bin/caddy run --config /etc/caddy/Caddyfile\nExecReload=/usr/bin/caddy reload\n";
    let running = || host().both("caddy.service", caddy).active("caddy.service");
    running().check(expect![[""]]);
    running().file_changed("/etc/caddy/Caddyfile").check(expect![[r#"
        reload caddy.service: it reads /etc/caddy/Caddyfile, which changed
    "#]]);
    running().file_changed("/usr/bin/caddy").check(expect![[r#"
        restart caddy.service: it reads /usr/bin/caddy, which changed
    "#]]);
    running().file_changed("/etc/other").check(expect![[""]]);
    let hello = "[Service]\nExecStart=/usr/bin/python3 --directory /usr/share/hello --x=/usr/lib/y/z\nEnvironmentFile=-/etc/default/hello\n";
    let running = || host().both("hello.service", hello).active("hello.service");
    running().file_changed("/usr/share/hello").file_changed("/usr/share").check(expect![[r#"
        restart hello.service: it reads /usr/share/hello, which changed
    "#]]);
    running().file_changed("/usr/lib/y/z").check(expect![[r#"
        restart hello.service: it reads /usr/lib/y/z, which changed
    "#]]);
    running().file_changed("/etc/default/hello").check(expect![[r#"
        restart hello.service: it reads /etc/default/hello, which changed
    "#]]);
    running().file_changed("/etc/hello").check(expect![[r#"
        restart hello.service: it reads /etc/hello, which changed
    "#]]);
    let ssh = "[Service]\nType=notify-reload\nExecStart=/usr/sbin/sshd -D\n";
    let running = || host().both("ssh.service", ssh).active("ssh.service");
    running().file_changed("/etc/ssh").check(expect![[r#"
        reload ssh.service: it reads /etc/ssh, which changed
    "#]]);
    let trigger = "[Unit]\nX-Restart-Triggers=/etc/a/b /etc/../etc/x\n[Timer]\nOnBootSec=1\n";
    let running = || host().both("a.timer", trigger).active("a.timer");
    running().file_changed("/etc/a/b").check(expect![[r#"
        restart a.timer: it reads /etc/a/b, which changed
    "#]]);
    running().file_changed("/etc/../etc/x").check(expect![[""]]);
}

#[test]
fn folders_of_everybody_are_nobodys_configuration() {
    let text = "[Service]\nExecStart=/usr/bin/a -d /usr/share -s /etc/ssl/certs -r / -e /etc\n";
    let unit = UnitFile::plain(text).parse().unwrap();
    let paths: Vec<String> = reads("x.service", &unit).into_keys().collect();
    assert_eq!(paths, ["/etc/x", "/etc/x.conf", "/usr/bin/a"]);
}

#[test]
fn a_program_that_changed_restarts_who_runs_it() {
    let running = || host().both("a.service", SERVICE).active("a.service");
    running().program_changed("a.service", "/usr/lib/libc.so.6").check(expect![[r#"
        restart a.service: it runs /usr/lib/libc.so.6, which changed
    "#]]);
    let dbus = host().both("dbus.service", SERVICE).active("dbus.service");
    dbus.program_changed("dbus.service", "/usr/lib/libc.so.6").check(expect![[r#"
        keep dbus.service: it runs /usr/lib/libc.so.6, which changed; everything on the message bus would lose its connection
    "#]]);
}

#[test]
fn units_say_how_they_want_to_be_treated() {
    let with = |key: &str| format!("{key}\n[Service]\nExecStart=/usr/bin/b\n");
    let check = |key: &str, expected: Expect| {
        host().changes("a.service", SERVICE, &with(key)).check(expected);
    };
    check(
        "[Service]\nX-RestartIfChanged=false",
        expect![[r#"
        keep a.service: its definition changed; it asks not to be restarted
    "#]],
    );
    check(
        "[Service]\nX-RestartIfChanged=true",
        expect![[r#"
        restart a.service: its definition changed
    "#]],
    );
    check(
        "[Unit]\nRefuseManualStop=1",
        expect![[r#"
        keep a.service: its definition changed; it refuses to be stopped by hand
    "#]],
    );
    check(
        "[Unit]\nX-OnlyManualStart=on",
        expect![[r#"
        keep a.service: its definition changed; it is started by hand only
    "#]],
    );
}

#[test]
fn what_is_gone_or_masked_stops() {
    host().old("a.service", SERVICE).active("a.service").check(expect![[r#"
        stop a.service: the new system does not have it
    "#]]);
    host().old("a.service", SERVICE).active("a.service").masked("a.service").check(expect![[r#"
        stop a.service: it is masked now
    "#]]);
    let stays = "[Unit]\nX-StopOnRemoval=false\n[Service]\nExecStart=/usr/bin/a\n";
    host().old("a.service", stays).active("a.service").check(expect![[""]]);
    host().old("a.service", SERVICE).check(expect![[""]]);
    // Asking not to be restarted is not asking to outlive its own definition.
    let no_restart = "[Service]\nX-RestartIfChanged=false\nExecStart=/usr/bin/a\n";
    host().old("a.service", no_restart).active("a.service").check(expect![[r#"
        stop a.service: the new system does not have it
    "#]]);
    host()
        .old("user@.service", SERVICE)
        .old("user@0.service", SERVICE)
        .active("user@0.service")
        .check(expect![[r#"
            keep user@0.service: the new system does not have it; it belongs to a logged-in user
        "#]]);
}

#[test]
fn only_what_is_wanted_newly_starts() {
    let by = "multi-user.target";
    host().gets("a.service", SERVICE).wanted_after("a.service", by).check(expect![[r#"
        start a.service: multi-user.target begins to want it
    "#]]);
    // Stopped by hand before, and still wanted: it stays as it is.
    host()
        .both("a.service", SERVICE)
        .wanted_before("a.service", by)
        .wanted_after("a.service", by)
        .check(expect![[""]]);
    // Enabled already before it existed.
    host()
        .gets("a.service", SERVICE)
        .wanted_before("a.service", by)
        .wanted_after("a.service", by)
        .check(expect![[r#"
        start a.service: multi-user.target begins to want it
    "#]]);
    host()
        .gets("a.service", SERVICE)
        .wanted_after("a.service", "sleep.target")
        .check(expect![[""]]);
    host().gets("a.service", SERVICE).check(expect![[""]]);
    host().masked("a.service").wanted_after("a.service", by).check(expect![[""]]);
    let manual = "[Unit]\nX-OnlyManualStart=1\n[Service]\nExecStart=/usr/bin/a\n";
    host().gets("a.service", manual).wanted_after("a.service", by).check(expect![[""]]);
    // One follows from the other.
    let chain = host().gets("a.target", "[Unit]\n").wanted_after("a.target", by);
    chain.gets("a.service", SERVICE).wanted_after("a.service", "a.target").check(expect![[r#"
        start a.service: a.target begins to want it
        start a.target: multi-user.target begins to want it
    "#]]);
}

#[test]
fn what_is_not_enabled_any_more_stops() {
    let by = "multi-user.target";
    let disabled =
        || host().both("a.service", SERVICE).active("a.service").wanted_before("a.service", by);
    disabled().check(expect![[r#"
        stop a.service: it is not enabled any more
    "#]]);
    let wants = "[Unit]\nWants=a.service\n[Service]\nExecStart=/usr/bin/b\n";
    disabled().both("b.service", wants).active("b.service").check(expect![[""]]);
    disabled().both("b.service", wants).check(expect![[r#"
        stop a.service: it is not enabled any more
    "#]]);
    // Never enabled: somebody started it by hand, and it goes on.
    host().both("a.service", SERVICE).active("a.service").check(expect![[""]]);
}

#[test]
fn failed_units_get_another_chance_when_they_change() {
    let failed = || host().activity("a.service", Activity::Failed);
    failed().old("a.service", SERVICE).gets("a.service", OTHER).check(expect![[r#"
        start a.service: it had failed, and its definition changed
    "#]]);
    failed().both("a.service", SERVICE).check(expect![[""]]);
    failed().both("a.service", SERVICE).file_changed("/usr/bin/a").check(expect![[r#"
        start a.service: it had failed, and it reads /usr/bin/a, which changed
    "#]]);
    failed().old("a.service", SERVICE).check(expect![[""]]);
}

#[test]
fn what_does_not_run_is_not_touched() {
    for activity in [Activity::Inactive, Activity::Deactivating] {
        let changed = host().old("a.service", SERVICE).gets("a.service", OTHER);
        changed.activity("a.service", activity).check(expect![[""]]);
    }
    let mut transient = host().changes("a.service", SERVICE, OTHER);
    transient.observed.get_mut("a.service").unwrap().origin = Origin::Runtime;
    transient.check(expect![[""]]);
    // Made by a generator, or by hand in /run: not in the system.
    host().active("a.service").check(expect![[""]]);
    host().gets("a.service", SERVICE).active("a.service").check(expect![[""]]);
}

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
fn what_runs_is_read_from_systemctl() {
    let text = "a.service loaded active running A service\n\
                b.service loaded activating auto-restart B\n\
                c.mount   loaded reloading mounting /c\n\
                d.service not-found inactive dead d.service\n\
                e.service loaded failed failed\nodd\n\n\
                f.service loaded deactivating stop-sigterm F\n";
    let units = parse_units(text);
    let shown: Vec<(&str, Activity)> =
        units.iter().map(|(name, unit)| (name.as_str(), unit.activity)).collect();
    assert_eq!(
        shown,
        [
            ("a.service", Activity::Active),
            ("b.service", Activity::Failed),
            ("c.mount", Activity::Active),
            ("d.service", Activity::Inactive),
            ("e.service", Activity::Failed),
            ("f.service", Activity::Deactivating),
        ]
    );
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
