//! Round trips of the lock, and what it refuses.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::debian::package::Architecture;
use crate::debian::record::PackageRecord;
use crate::debian::resolve::Request;
use crate::store::Sha256Digest;

const TEXT: &str = r#"# Made by `nexus-host lock`; commit this file.
version = 1
requests = [
    "caddy",
    "nginx=1.26.3-3+deb13u1",
]

[tool_requests]
image = ["mtools"]
test = ["qemu-system-x86"]

[[source]]
name = "trixie"
suite = "trixie"
components = ["main", "non-free-firmware"]
date = "2026-11-20T08:14:02Z"
snapshot = "20261120T081402Z"

[[source]]
name = "vendor"
suite = "stable/updates"
components = ["main"]
date = "2026-02-28T23:59:59Z"

[[package]]
name = "caddy"
version = "2.6.2-12"
architecture = "amd64"
source = "trixie"
path = "pool/main/c/caddy/caddy_2.6.2-12_amd64.deb"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 11234567

[[tool]]
name = "mtools"
version = "4.0.48-1"
architecture = "all"
source = "vendor"
path = "m.deb"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
size = 1
sets = ["image", "test"]

[users]
"a.b" = 512
root = 0

[groups]
_x = 100
"#;

#[test]
fn the_text_reads_back_byte_for_byte() {
    let lock: Lock = TEXT.parse().unwrap();
    assert_eq!(lock.to_text(), TEXT);
    assert_eq!(lock.packages.len(), 1);
    assert_eq!(lock.tools[0].sets.len(), 2);
    let empty = Lock::default();
    assert_eq!(empty.to_text().parse(), Ok(empty));
}

/// Changes `from` to `to` in the example and shows what the reader says.
#[track_caller]
fn check(from: &str, to: &str, expected: &Expect) {
    assert!(TEXT.contains(from), "{from:?} is not in the example");
    let error = TEXT.replacen(from, to, 1).parse::<Lock>().unwrap_err();
    expected.assert_eq(&error.to_string());
}

#[test]
fn what_is_not_a_lock_is_refused_with_its_place() {
    check(
        "version = 1",
        "version = 2",
        &expect!["line 2, column 11: version 2 of the form is not known, only 1"],
    );
    check(
        "version = 1",
        "version = ",
        &expect!["line 2, column 11: string values must be quoted, expected literal string"],
    );
    check(
        "version = 1",
        "wersion = 1",
        &expect![
            "line 2, column 1: unknown field `wersion`, expected one of `version`, `requests`, `tool_requests`, `source`, `package`, `tool`, `users`, `groups`"
        ],
    );
    check(
        "\"caddy\",",
        "\"ca ddy\",",
        &expect![
            "line 4, column 5: `ca ddy` is not a package name, or a name and a version as in `name=1.0-1`"
        ],
    );
    check(
        "\"caddy\",",
        "\"caddy\", \"caddy\",",
        &expect!["line 4, column 14: request `caddy` stands twice"],
    );
    check(
        "path = \"pool/main/c",
        "path = \"../main/c",
        &expect![
            "line 30, column 8: `../main/c/caddy/caddy_2.6.2-12_amd64.deb` is not a path below an archive (printable ASCII, no `..`, no empty component)"
        ],
    );
    check(
        "path = \"pool/main/c",
        "path = \"/main/c",
        &expect![
            "line 30, column 8: `/main/c/caddy/caddy_2.6.2-12_amd64.deb` is not a path below an archive (printable ASCII, no `..`, no empty component)"
        ],
    );
    check(
        "path = \"pool/main/c",
        "path = \"a\\\"b",
        &expect![[
            r#"line 30, column 8: `a"b/caddy/caddy_2.6.2-12_amd64.deb` is not a path below an archive (printable ASCII, no `..`, no empty component)"#
        ]],
    );
}

#[test]
fn values_out_of_range_are_refused() {
    check(
        "sha256 = \"0",
        "sha256 = \"",
        &expect![
            "line 31, column 10: `000000000000000000000000000000000000000000000000000000000000000` is not a SHA-256 digest of 64 hexadecimal digits"
        ],
    );
    check(
        "size = 11234567",
        "size = 0",
        &expect!["line 32, column 8: 0 is not a size from 1 byte to 4 GiB"],
    );
    check(
        "size = 11234567",
        "size = 9999999999",
        &expect!["line 32, column 8: 9999999999 is not a size from 1 byte to 4 GiB"],
    );
    check(
        "size = 11234567",
        "size = -1",
        &expect!["line 32, column 8: invalid value: integer `-1`, expected u64"],
    );
    check(
        "source = \"trixie\"",
        "source = \"sid\"",
        &expect!["line 29, column 10: there is no source `sid` in this lock"],
    );
    check(
        "architecture = \"amd64\"",
        "architecture = \"m68k\"",
        &expect!["line 28, column 16: `m68k` is not an architecture of Debian 13"],
    );
    check(
        "date = \"2026-11-20T08:14:02Z\"",
        "date = \"2026-02-29T08:14:02Z\"",
        &expect![[r"
        line 16, column 8: `2026-02-29T08:14:02Z` is not a moment as in `2026-11-20T08:14:02Z`
        line 29, column 10: there is no source `trixie` in this lock"]],
    );
    check(
        "snapshot = \"20261120T081402Z\"",
        "snapshot = \"20261120\"",
        &expect![
            "line 17, column 12: `20261120` is not a snapshot's name as in `20261120T081402Z`"
        ],
    );
}

#[test]
fn tables_that_contradict_each_other_are_refused() {
    check(
        "suite = \"stable/updates\"",
        "suite = \"stable/../..\"",
        &expect![[r"
        line 21, column 9: `stable/../..` is not a suite or component (1 to 100 of `A-Za-z0-9._+/-`)
        line 38, column 10: there is no source `vendor` in this lock"]],
    );
    check(
        "name = \"vendor\"",
        "name = \"trixie\"",
        &expect![[r"
        line 20, column 8: source `trixie` stands twice
        line 38, column 10: there is no source `vendor` in this lock"]],
    );
    check(
        "sets = [\"image\", \"test\"]",
        "sets = []",
        &expect!["line 42, column 8: a tool serves at least one set"],
    );
    check(
        "sets = [",
        "set = [",
        &expect![
            "line 42, column 1: unknown field `set`, expected one of `name`, `version`, `architecture`, `source`, `path`, `sha256`, `size`, `sets`"
        ],
    );
    check(
        "root = 0",
        "root = 512",
        &expect!["line 46, column 8: id 512 (of `a.b` and `root`) stands twice"],
    );
    check(
        "root = 0",
        "root = 4294967295",
        &expect!["line 46, column 8: 4294967295 cannot be an id"],
    );
    check(
        "root = 0",
        "\"ro:ot\" = 0",
        &expect![
            "line 46, column 1: `ro:ot` is not a user or group name (1 to 31 of `A-Za-z0-9_.-`)"
        ],
    );
    check(
        "[users]",
        "[userz]",
        &expect![
            "line 44, column 2: unknown field `userz`, expected one of `version`, `requests`, `tool_requests`, `source`, `package`, `tool`, `users`, `groups`"
        ],
    );
}

#[test]
fn all_problems_are_told_at_once() {
    check(
        "\"caddy\",\n    \"nginx=1.26.3-3+deb13u1\"",
        "\"_\",\n    \"=\"",
        &expect![[r"
        line 4, column 5: `_` is not a package name, or a name and a version as in `name=1.0-1`
        line 5, column 5: `=` is not a package name, or a name and a version as in `name=1.0-1`"]],
    );
}

#[test]
fn a_package_stands_once() {
    let package = TEXT.split("\n\n").find(|part| part.starts_with("[[package]]")).unwrap();
    check(
        package,
        &format!("{package}\n{package}"),
        &expect!["line 34, column 8: package `caddy` stands twice"],
    );
}

#[test]
fn a_lock_for_other_requests_says_what_differs() {
    let lock: Lock = TEXT.parse().unwrap();
    assert_eq!(lock.matches(&lock.requests, &lock.tool_requests), Ok(()));
    let requests: BTreeSet<Request> = ["caddy", "restic"].map(|r| r.parse().unwrap()).into();
    let error = lock.matches(&requests, &ToolRequests::new()).unwrap_err();
    expect!["the lock was made for other requests: new `restic`; gone `image: mtools`, `nginx=1.26.3-3+deb13u1`, `test: qemu-system-x86`"].assert_eq(&error.to_string());
}

#[test]
fn moments_are_read_and_written() {
    for (seconds, date, snapshot) in [
        (0, "1970-01-01T00:00:00Z", "19700101T000000Z"),
        (951_782_399, "2000-02-28T23:59:59Z", "20000228T235959Z"),
        (951_782_400, "2000-02-29T00:00:00Z", "20000229T000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z", "21000301T000000Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z", "99991231T235959Z"),
    ] {
        let time = Timestamp::from_seconds(seconds).unwrap();
        assert_eq!((time.to_string(), time.to_snapshot()), (date.to_owned(), snapshot.to_owned()));
        assert_eq!(Timestamp::parse_date(date), Ok(time));
        assert_eq!(Timestamp::parse_snapshot(snapshot), Ok(time));
    }
    assert_eq!(Timestamp::from_seconds(253_402_300_800), None);
    for bad in [
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00é",
        "",
    ] {
        assert!(Timestamp::parse_date(bad).is_err(), "{bad}");
    }
}

fn wish(name: &str, accounts: Accounts, wish: Wish) -> IdWish {
    IdWish { name: name.parse().unwrap(), accounts, wish }
}

fn show(ids: &Ids) -> String {
    let table = |ids: &std::collections::BTreeMap<AccountName, u32>| {
        ids.iter().map(|(name, id)| format!("{name}={id}")).collect::<Vec<_>>().join(" ")
    };
    format!("users {}; groups {}", table(&ids.users), table(&ids.groups))
}

#[track_caller]
fn check_ids(old: &Ids, wishes: &[IdWish], expected: &Expect) -> Ids {
    let ids = allocate_ids(old, wishes);
    let reversed: Vec<IdWish> = wishes.iter().rev().cloned().collect();
    assert_eq!(ids, allocate_ids(old, &reversed), "the order of the wishes does not matter");
    expected.assert_eq(&ids.as_ref().map_or_else(ToString::to_string, show));
    ids.unwrap_or_default()
}

#[test]
fn ids_come_from_debian_then_from_the_name() {
    check_ids(
        &Ids::default(),
        &[
            wish("www-data", Accounts::Both, Wish::System),
            wish("sync", Accounts::User, Wish::System),
            wish("users", Accounts::Group, Wish::System),
            wish("caddy", Accounts::Both, Wish::System),
            wish("Debian-exim", Accounts::Both, Wish::System),
            wish("ssl-cert", Accounts::Group, Wish::System),
            wish("alice", Accounts::Both, Wish::Person),
            wish("bob", Accounts::Both, Wish::Person),
            wish("systemd-network", Accounts::Both, Wish::Prefer(998)),
            wish("postgres", Accounts::Both, Wish::Exactly(200)),
        ],
        &expect![
            "users Debian-exim=122 alice=1000 bob=1001 caddy=911 postgres=200 sync=4 systemd-network=998 www-data=33; groups Debian-exim=122 alice=1000 bob=1001 caddy=911 postgres=200 ssl-cert=163 systemd-network=998 users=100 www-data=33"
        ],
    );
}

#[test]
fn an_id_once_given_stays() {
    let first = check_ids(
        &Ids::default(),
        &[wish("caddy", Accounts::Both, Wish::Exactly(300))],
        &expect!["users caddy=300; groups caddy=300"],
    );
    let second = check_ids(
        &first,
        &[
            wish("other", Accounts::Both, Wish::Prefer(300)),
            wish("caddy", Accounts::Both, Wish::System),
            wish("later", Accounts::User, Wish::Exactly(301)),
        ],
        &expect!["users caddy=300 later=301 other=992; groups caddy=300 other=992"],
    );
    check_ids(
        &second,
        &[wish("later", Accounts::Both, Wish::System)],
        &expect!["users caddy=300 later=301 other=992; groups caddy=300 later=301 other=992"],
    );
}

#[test]
fn an_id_that_cannot_be_given_is_told() {
    let old = allocate_ids(&Ids::default(), &[wish("a", Accounts::Both, Wish::Exactly(300))]);
    let old = old.unwrap();
    check_ids(
        &old,
        &[wish("a", Accounts::Both, Wish::Exactly(301))],
        &expect!["`a` has the id 300 in the lock and cannot change to 301"],
    );
    check_ids(
        &old,
        &[wish("b", Accounts::User, Wish::Exactly(300))],
        &expect!["the id 300 of `b` already belongs to `a`"],
    );
    check_ids(
        &old,
        &[wish("b", Accounts::Group, Wish::Exactly(100))],
        &expect!["the id 100 of `b` already belongs to `users`"],
    );
    check_ids(
        &old,
        &[wish("b", Accounts::User, Wish::Exactly(65_535))],
        &expect!["65535 cannot be the id of `b`"],
    );
    check_ids(
        &old,
        &[wish("root", Accounts::User, Wish::Exactly(1))],
        &expect!["`root` has the id 0 in the lock and cannot change to 1"],
    );
    let many: Vec<IdWish> =
        (0..901).map(|n| wish(&format!("u{n}"), Accounts::User, Wish::System)).collect();
    assert!(matches!(allocate_ids(&Ids::default(), &many), Err(IdsError::Exhausted { .. })));
}

fn record() -> impl Strategy<Value = PackageRecord> {
    (
        "[a-z][a-z0-9+.-]{0,8}",
        "[0-9][a-z0-9+.~]{0,6}",
        "[a-z0-9]{1,4}(/[a-z0-9+~:._-]{2,4}[a-z]){0,2}",
        any::<[u8; 32]>(),
        1..1_u64 << 32,
    )
        .prop_map(|(name, version, path, sha256, size)| PackageRecord {
            name: name.parse().unwrap(),
            architecture: Architecture::Amd64,
            version: version.parse().unwrap(),
            source: "s".parse().unwrap(),
            path: path.parse().unwrap(),
            sha256: Sha256Digest::from_bytes(sha256),
            size,
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        packages in proptest::collection::vec(record(), 0..6),
        names in proptest::collection::btree_set("[a-z][a-z0-9-]{0,8}(=[0-9][a-z0-9.~+-]{0,5}[0-9])?", 0..5),
        ids in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_.-]{0,8}", 0..u32::from(u16::MAX), 0..6),
        seconds in 0..253_402_300_800_u64,
    ) {
        let mut packages = packages;
        packages.sort();
        packages.dedup_by(|a, b| a.name == b.name);
        let mut used = BTreeSet::new();
        let users = ids.iter().filter(|(_, id)| used.insert(**id));
        let source = LockedSource {
            name: "s".parse().unwrap(),
            suite: "t".parse().unwrap(),
            components: BTreeSet::new(),
            date: Timestamp::from_seconds(seconds).unwrap(),
            snapshot: Timestamp::from_seconds(seconds),
        };
        let sets: BTreeSet<SetName> = ["image".parse().unwrap()].into();
        let lock = Lock {
            requests: names.iter().map(|name| name.parse().unwrap()).collect(),
            tool_requests: ToolRequests::new(),
            sources: vec![source],
            tools: packages.iter().cloned().map(|package| LockedTool { package, sets: sets.clone() }).collect(),
            packages,
            ids: Ids { users: users.map(|(name, id)| (name.parse().unwrap(), *id)).collect(), ..Ids::default() },
        };
        let text = lock.to_text();
        let again: Lock = text.parse().unwrap();
        prop_assert_eq!(&again, &lock);
        prop_assert_eq!(again.to_text(), text);
    }

    #[test]
    fn any_change_of_the_text_is_read_or_refused(at in 0..TEXT.len(), with in any::<char>(), length in 0..40_usize) {
        let mut text = TEXT.to_owned();
        let end = (at + length).min(TEXT.len());
        text.replace_range(at..end, &with.to_string());
        if let Ok(lock) = text.parse::<Lock>() {
            prop_assert_eq!(lock.to_text().parse::<Lock>(), Ok(lock));
        }
    }
}
