//! Accounts of a host.

use expect_test::{Expect, expect};

use super::*;
use crate::debian::accounts::AccountFiles;

fn packages() -> Accounts {
    Accounts::parse(&AccountFiles {
        passwd: b"root:x:0:0:root:/root:/bin/bash\ncaddy:x:990:990::/var/lib/caddy:/bin/false\n"
            .into(),
        group: b"root:x:0:\nsudo:x:27:\ncaddy:x:990:\n".into(),
        shadow: b"root:*:1:0:99999:7:::\ncaddy:!*:1::::::\n".into(),
        gshadow: b"root:*::\nsudo:*::\ncaddy:!*::\n".into(),
    })
    .unwrap()
}

fn account(name: &str, groups: &[&str]) -> HostAccount {
    HostAccount {
        name: name.into(),
        group: None,
        comment: String::new(),
        home: format!("/home/{name}"),
        shell: "/bin/bash".into(),
        groups: groups.iter().map(ToString::to_string).collect(),
    }
}

fn ids(names: &[(&str, u32)]) -> Ids {
    let table: std::collections::BTreeMap<_, _> =
        names.iter().map(|(name, id)| (name.parse().unwrap(), *id)).collect();
    Ids { users: table.clone(), groups: table }
}

#[track_caller]
fn check(accounts: &[HostAccount], ids: &Ids, expected: Expect) {
    let text = match host_accounts(&packages(), &["web".to_owned()], accounts, ids, 86_400 * 3) {
        Ok(accounts) => {
            let files = accounts.to_files();
            let parts = [files.passwd, files.group, files.shadow, files.gshadow];
            parts.map(|part| String::from_utf8(part).unwrap()).join("--\n")
        }
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&text);
}

#[test]
fn accounts_are_added_with_their_groups_and_join_others() {
    check(
        &[account("ann", &["sudo", "caddy", "web"]), account("ben", &["sudo"])],
        &ids(&[("ann", 1000), ("ben", 1001), ("web", 900)]),
        expect![[r#"
            root:x:0:0:root:/root:/bin/bash
            caddy:x:990:990::/var/lib/caddy:/bin/false
            ann:x:1000:1000::/home/ann:/bin/bash
            ben:x:1001:1001::/home/ben:/bin/bash
            --
            root:x:0:
            sudo:x:27:ann,ben
            web:x:900:ann
            caddy:x:990:ann
            ann:x:1000:
            ben:x:1001:
            --
            root:*:1:0:99999:7:::
            caddy:!*:1::::::
            ann:*:3:0:99999:7:::
            ben:*:3:0:99999:7:::
            --
            root:*::
            sudo:*::
            web:!::
            caddy:!*::
            ann:!::
            ben:!::
        "#]],
    );
}

#[test]
fn an_account_of_a_package_keeps_its_password_line() {
    let changed =
        host_accounts(&packages(), &[], &[account("caddy", &[])], &ids(&[("caddy", 990)]), 0);
    let caddy = changed.unwrap().users["caddy"].clone();
    assert_eq!((caddy.home.as_str(), caddy.shadow.as_deref()), ("/home/caddy", Some("!*:1::::::")));
}

#[test]
fn what_is_missing_is_named() {
    check(
        &[account("ann", &[])],
        &ids(&[("web", 900)]),
        expect!["the lock has no id for account `ann`"],
    );
    check(&[], &ids(&[]), expect!["the lock has no id for account `web`"]);
    check(
        &[account("ann", &["wheel"])],
        &ids(&[("ann", 1000), ("web", 900)]),
        expect![
            "account `ann` is to be in group `wheel`, which neither a package nor the host file makes"
        ],
    );
}
