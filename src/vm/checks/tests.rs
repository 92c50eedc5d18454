//! Tests of the plan and of what is read from a machine's answers.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use super::super::expectations::{CommandExpectation, HttpExpectation, Login};
use super::super::network::PortScan;
use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn names(expected: &Expectations) -> String {
    let names: Vec<String> = plan_checks(expected).iter().map(Check::to_string).collect();
    names.join("\n") + "\n"
}

#[test]
fn a_host_that_promises_little_is_checked_for_what_all_hosts_promise() {
    expect![[r"
        boots to multi-user.target
        no unit failed
        host name
        address by DHCP
        IPv6 address by router advertisement
        has a machine-id and SSH host keys
        open TCP ports from outside over IPv4
        open TCP ports from outside over IPv6
        /usr is read-only
        /etc is read-only
        file system fills the disk
        a reboot keeps /var and the identity
    "]]
    .assert_eq(&names(&Expectations::new("small")));
}

#[test]
fn every_promise_has_its_check() {
    let mut host = Expectations::new("vps1");
    host.addresses = vec!["192.0.2.10".parse().unwrap(), "2001:db8:1::10".parse().unwrap()];
    host.logins =
        ["root", "deploy"].map(|user| Login { user: user.to_owned(), keys: Vec::new() }).into();
    host.http.push(HttpExpectation {
        port: 80,
        host: "code.example.org".to_owned(),
        path: "/".to_owned(),
        status: 200,
        contains: None,
    });
    host.units.push("caddy.service".to_owned());
    host.package_count = Some(200);
    host.time_zone = Some("Europe/Berlin".to_owned());
    host.locale = Some("C.UTF-8".to_owned());
    host.commands.push(CommandExpectation {
        name: "own check".to_owned(),
        command: "true".to_owned(),
        contains: None,
        within: Duration::ZERO,
    });
    expect![[r"
        boots to multi-user.target
        no unit failed
        caddy.service is active
        host name
        address by DHCP
        static address 192.0.2.10
        static address 2001:db8:1::10
        has a machine-id and SSH host keys
        authorised keys of root
        authorised keys of deploy
        SSH login of root with a key, from outside
        SSH login of deploy with a key, from outside
        no SSH login of root by password
        http://code.example.org:80/ from outside
        open TCP ports from outside over IPv4
        open TCP ports from outside over IPv6
        /usr is read-only
        /etc is read-only
        dpkg -l answers
        time zone
        locale
        file system fills the disk
        own check
        a reboot keeps /var and the identity
    "]]
    .assert_eq(&names(&host));
    host.tcp_ports.clear();
    assert!(!names(&host).contains("SSH login"), "no login from outside without its port");
}

#[track_caller]
fn check_times(shown: &str, expected: &Expect) {
    let times = boot::parse_times(shown);
    expected.assert_eq(&format!("{:?} {:?} {:?}", times.kernel, times.initrd, times.userspace));
}

#[test]
fn times_with_and_without_a_systemd_in_the_initrd() {
    let with = "InitRDTimestampMonotonic=1000000\nUserspaceTimestampMonotonic=3000000\n\
                FinishTimestampMonotonic=7500000";
    check_times(with, &expect!["Some(1s) Some(2s) Some(4.5s)"]);
    let without = "InitRDTimestampMonotonic=0\nUserspaceTimestampMonotonic=3000000\n\
                   FinishTimestampMonotonic=0";
    check_times(without, &expect!["Some(3s) None None"]);
    check_times("FinishTimestampMonotonic=-1\nnonsense", &expect!["None None None"]);
}

#[test]
fn the_topmost_mount_counts() {
    let table = "22 1 254:3 / / rw,relatime - ext4 /dev/vda3 rw\n\
                 30 22 0:5 / /usr rw - ext4 x rw\n\
                 31 22 0:6 / /usr ro,relatime shared:1 - overlay o ro\n\
                 32 22 0:7 / /usr/local rw - tmpfs t rw\nx\n";
    assert_eq!(inside::mount_flags(table, "/usr").as_deref(), Some("ro,relatime"));
    assert_eq!(inside::mount_flags(table, "/etc"), None);
}

#[test]
fn usable_addresses_of_the_prefix_only() {
    let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                 20010db8000100000000000000000009 02 40 00 40     ens5\n\
                 20010db8000200000000000000000009 02 40 00 80     ens5\n\
                 20010db8000100005054000000000001 02 40 00 00     ens5\n";
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
    let expected = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0x5054, 0, 0, 1);
    assert_eq!(outside::address_in_prefix(table, prefix, 64), Some(expected));
    assert_eq!(outside::address_in_prefix(&table[..130], prefix, 64), None);
    assert_eq!(outside::address_in_prefix("nonsense\n1 2 3 4 5 6", prefix, 64), None);
}

#[track_caller]
fn check_ports(open: &[u16], wanted: &[u16], expected: &Expect) {
    let found = PortScan {
        open: open.iter().copied().collect(),
        silent: BTreeSet::from([1, 2]),
        ..PortScan::default()
    };
    let wanted = wanted.iter().copied().collect();
    expected.assert_eq(&format!("{:?}", outside::judge_ports(&found, &wanted)));
}

#[test]
fn exactly_the_declared_ports_are_open() {
    check_ports(&[22, 80], &[22, 80], &expect![[r#"(true, "22, 80 open, 0 closed, 2 silent")"#]]);
    check_ports(
        &[22, 5355],
        &[22, 80],
        &expect![[
            r#"(false, "22, 5355 open, 0 closed, 2 silent; open but not declared: 5355; declared but not open: 80")"#
        ]],
    );
    check_ports(&[], &[], &expect![[r#"(true, "no port open, 0 closed, 2 silent")"#]]);
    let many: Vec<u16> = (1..=50).collect();
    check_ports(
        &many,
        &[],
        &expect![[
            r#"(false, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 and 30 more open, 0 closed, 2 silent; open but not declared: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 and 30 more")"#
        ]],
    );
}

#[track_caller]
fn check_keys(found: &str, wanted: &[&str], expected: &Expect) {
    let wanted: Vec<String> = wanted.iter().map(|&key| key.to_owned()).collect();
    expected.assert_eq(&format!("{:?}", ssh::compare_keys(found, &wanted)));
}

#[test]
fn declared_keys_and_no_others_are_authorised() {
    let file = "# managed\nssh-ed25519 AAAAone me@laptop\n\nrestrict ssh-rsa AAAAtwo\n";
    check_keys(
        file,
        &["ssh-rsa AAAAtwo x", "ssh-ed25519 AAAAone"],
        &expect![[r#"(true, "2 keys, all declared")"#]],
    );
    check_keys(
        file,
        &["ssh-ed25519 AAAAone"],
        &expect![[r#"(false, "0 declared keys are missing, 1 others are there")"#]],
    );
    check_keys(
        "",
        &["ssh-ed25519 AAAAone"],
        &expect![[r#"(false, "1 declared keys are missing, 0 others are there")"#]],
    );
}

#[test]
fn the_methods_a_server_offers() {
    let output = "root@127.0.0.1: Permission denied (publickey,password).\r\n";
    assert_eq!(ssh::offered_methods(output), Some("publickey,password"));
    assert_eq!(ssh::offered_methods("Connection closed"), None);
    assert_eq!(ssh::offered_methods("Permission denied (publickey"), None);
}

proptest! {
    #[test]
    fn nothing_a_machine_says_can_panic(text: String, bits: u8) {
        boot::parse_times(&text);
        inside::mount_flags(&text, "/usr");
        outside::address_in_prefix(&text, Ipv6Addr::LOCALHOST, bits);
        ssh::compare_keys(&text, &[]);
        ssh::offered_methods(&text);
    }
}
