//! Tests of accounts and their numbers.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::{AccountFiles, Accounts, Renumbering};
use crate::debian::lock::{AccountName, Ids};

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
caddy:x:998:997:Caddy web server:/var/lib/caddy:/usr/sbin/nologin
";
const GROUP: &str = "root:x:0:\nshadow:x:42:\ncaddy:x:997:\nssl-cert:x:999:postgres,caddy\n";
const SHADOW: &str = "root:*:20310:0:99999:7:::\ncaddy:!:20779::::::\ngone:!:1::::::\n";
const GSHADOW: &str = "root:*::\nssl-cert:!::postgres,caddy\n";

fn accounts() -> Accounts {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let files = AccountFiles {
        passwd: bytes(PASSWD),
        group: bytes(GROUP),
        shadow: bytes(SHADOW),
        gshadow: bytes(GSHADOW),
    };
    Accounts::parse(&files).unwrap()
}

fn ids(users: &[(&str, u32)], groups: &[(&str, u32)]) -> Ids {
    let map =
        |pairs: &[(&str, u32)]| pairs.iter().map(|(n, id)| (n.parse().unwrap(), *id)).collect();
    Ids { users: map(users), groups: map(groups) }
}

#[track_caller]
fn check(accounts: &Accounts, expected: &Expect) {
    let files = accounts.to_files();
    let texts = [files.passwd, files.group, files.shadow, files.gshadow];
    let texts = texts.map(|bytes| String::from_utf8(bytes).unwrap());
    expected.assert_eq(&texts.join("--\n"));
}

#[test]
fn files_are_read_and_written_in_order() {
    check(
        &accounts(),
        &expect![[r"
        root:x:0:0:root:/root:/bin/bash
        _apt:x:42:65534::/nonexistent:/usr/sbin/nologin
        caddy:x:998:997:Caddy web server:/var/lib/caddy:/usr/sbin/nologin
        --
        root:x:0:
        shadow:x:42:
        caddy:x:997:
        ssl-cert:x:999:caddy,postgres
        --
        root:*:20310:0:99999:7:::
        caddy:!:20779::::::
        --
        root:*::
        ssl-cert:!::postgres,caddy
    "]],
    );
}

#[test]
fn numbers_are_replaced_everywhere() {
    let pinned = ids(&[("caddy", 123)], &[("caddy", 124), ("ssl-cert", 997)]);
    check(
        &accounts().renumbered(&pinned),
        &expect![[r"
        root:x:0:0:root:/root:/bin/bash
        _apt:x:42:65534::/nonexistent:/usr/sbin/nologin
        caddy:x:123:124:Caddy web server:/var/lib/caddy:/usr/sbin/nologin
        --
        root:x:0:
        shadow:x:42:
        caddy:x:124:
        ssl-cert:x:997:caddy,postgres
        --
        root:*:20310:0:99999:7:::
        caddy:!:20779::::::
        --
        root:*::
        ssl-cert:!::postgres,caddy
    "]],
    );
}

#[test]
fn passwords_change_on_the_given_day() {
    check(
        &accounts().with_change_day(7),
        &expect![[r"
        root:x:0:0:root:/root:/bin/bash
        _apt:x:42:65534::/nonexistent:/usr/sbin/nologin
        caddy:x:998:997:Caddy web server:/var/lib/caddy:/usr/sbin/nologin
        --
        root:x:0:
        shadow:x:42:
        caddy:x:997:
        ssl-cert:x:999:caddy,postgres
        --
        root:*:7:0:99999:7:::
        caddy:!:7::::::
        --
        root:*::
        ssl-cert:!::postgres,caddy
    "]],
    );
}

#[track_caller]
fn check_pinned(pinned: &Ids, expected: &Expect) {
    let ids = accounts().pinned(pinned).unwrap();
    let shown = |ids: &BTreeMap<AccountName, u32>| {
        let texts = ids.iter().map(|(name, id)| (name.to_string(), *id));
        format!("{:?}\n", texts.collect::<BTreeMap<_, _>>())
    };
    expected.assert_eq(&(shown(&ids.users) + &shown(&ids.groups)));
}

#[test]
fn without_pins_numbers_stay_as_found() {
    check_pinned(
        &Ids::default(),
        &expect![[r#"
        {"_apt": 42, "caddy": 998, "root": 0}
        {"caddy": 997, "root": 0, "shadow": 42, "ssl-cert": 999}
    "#]],
    );
}

#[test]
fn pinned_numbers_stay_and_taken_ones_are_not_given_twice() {
    // Another user has caddy's number; a group that is gone has another's.
    let pinned = ids(&[("postgres", 998), ("old", 999)], &[("old", 997)]);
    check_pinned(
        &pinned,
        &expect![[r#"
        {"_apt": 42, "caddy": 997, "old": 999, "postgres": 998, "root": 0}
        {"caddy": 998, "old": 997, "root": 0, "shadow": 42, "ssl-cert": 999}
    "#]],
    );
}

#[test]
fn when_no_number_is_left_the_name_is_told() {
    let name = |id: u32| format!("u{id}").parse().unwrap();
    let taken: BTreeMap<AccountName, u32> = (100..1000).map(|id| (name(id), id)).collect();
    let pinned = Ids { users: taken, groups: BTreeMap::new() };
    let error = accounts().pinned(&pinned).unwrap_err();
    expect!["no number from 100 to 999 is free for `caddy`"].assert_eq(&error.to_string());
}

#[test]
fn owners_are_renumbered_by_name() {
    let from = ids(&[("a", 998), ("b", 997)], &[("a", 998)]);
    let to = ids(&[("a", 997), ("b", 998), ("c", 5)], &[]);
    let renumbering = Renumbering::new(&from, &to);
    assert_eq!([998, 997, 5, 0].map(|uid| renumbering.uid(uid)), [997, 998, 5, 0]);
    assert_eq!(renumbering.gid(998), 998);
}

#[test]
fn lines_that_are_no_accounts_are_named() {
    let error = |passwd: &[u8], group: &[u8]| {
        let files =
            AccountFiles { passwd: passwd.into(), group: group.into(), ..AccountFiles::default() };
        Accounts::parse(&files).unwrap_err().to_string()
    };
    assert_eq!(error(b"root:x:0:0:r:/:sh\nbad\n", b""), "line 2 of /etc/passwd is not an account");
    assert_eq!(error(b"root:x:-1:0:r:/:sh\n", b""), "line 1 of /etc/passwd is not an account");
    assert_eq!(error(b"\xff:x:1:0:r:/:sh\n", b""), "line 1 of /etc/passwd is not an account");
    assert_eq!(error(b"", b"\n:x:1:\n"), "line 2 of /etc/group is not an account");
}
