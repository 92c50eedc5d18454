//! Every case of the unit rules, the whole plan each time: what is not in it does not happen.

mod kinds;
mod texts;

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};

use super::*;

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
    // Started by hand before, and runs already.
    let by_hand = host().both("a.service", SERVICE).active("a.service");
    by_hand.wanted_after("a.service", by).check(expect![[""]]);
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
