//! Texts that each form takes and refuses.

use super::*;

#[track_caller]
fn check(format: Format, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(format.check(text).is_ok(), "{text:?} must be {}", format.info().what);
    }
    for text in bad {
        assert!(format.check(text).is_err(), "{text:?} must not be {}", format.info().what);
    }
}

#[track_caller]
fn suggests(format: Format, text: &str, suggestion: Option<&str>) {
    let error = format.check(text).unwrap_err();
    assert_eq!(error.suggestion().as_deref(), suggestion, "{text:?}");
}

#[test]
fn every_format_takes_its_example_and_has_a_name_of_its_own() {
    for format in Format::ALL {
        let info = format.info();
        check(*format, &[info.example], &["\u{0}", "\u{1b}[0m"]);
        assert_eq!(Format::by_name(info.name), Some(*format), "{}", info.name);
    }
}

#[test]
fn lines_and_texts_have_no_control_characters() {
    check(Format::Line, &["", "ä b"], &["a\nb", "a\tb", "a\u{7f}", &"x".repeat(4097)]);
    check(Format::Text, &["", "a\n\tb\n"], &["a\rb", "a\u{85}b", &"x".repeat(256 * 1024 + 1)]);
    check(
        Format::Word,
        &["a=b,c", "@x"],
        &["", "a b", "a\"b", "a'b", "a\\b", "ä", &"x".repeat(256)],
    );
}

#[test]
fn names_of_machines_and_domains() {
    let long = "a".repeat(64);
    check(
        Format::HostName,
        &["a", "web-01", &long[1..]],
        &["", "Web", "a_b", "-a", "a-", "a.b", &long],
    );
    let longest = format!("{}.example", ["abcdefg"; 30].join("."));
    check(
        Format::Domain,
        &["example.org", "localhost", "xn--bcher-kva.example", &longest],
        &[
            "",
            ".",
            "a..b",
            "a.",
            "-a.b",
            "a-.b",
            "1.2.3.4",
            "a b",
            "a_b.c",
            "Example.org",
            "*.a.b",
            "a.b:80",
            &format!("abcdefghijklm.{longest}"),
        ],
    );
    suggests(Format::HostName, "Web_01", Some("web-01"));
    suggests(Format::HostName, "-", None);
    suggests(Format::Domain, "WWW.Example.org", Some("www.example.org"));
}

#[test]
fn names_of_users_units_and_packages() {
    check(
        Format::UserName,
        &["admin", "_apt", "a-b_1"],
        &["", "1a", "-a", "Admin", "a.b", "a b", &"a".repeat(33)],
    );
    check(
        Format::UnitName,
        &["a.service", "getty@tty1.service", "dbus-org.freedesktop.a.service", "a.timer"],
        &[
            "",
            "a",
            ".service",
            "a.servic",
            "a b.service",
            "../a.service",
            "a\\x2d.service",
            "a.conf",
        ],
    );
    check(Format::ServiceName, &["hello", "a_b-1"], &["", "a.service", "a@b", "-a", "a/b"]);
    check(
        Format::Package,
        &["0ad", "libstdc++6", "python3.13"],
        &["", "a", "A1", "a_b", "a:amd64", "+a", "a=1"],
    );
    suggests(Format::UnitName, "hello", Some("hello.service"));
    suggests(Format::Package, "Python3", Some("python3"));
}

#[test]
fn paths_lead_nowhere_else() {
    check(
        Format::Path,
        &["/", "/etc/a b", "/usr/share/…"],
        &["", "etc", "/etc/", "//etc", "/etc/../x", "/./a", "/a\nb", "/a\0"],
    );
    check(Format::RelativePath, &["keys/a.asc"], &["", "/a", "../a", "a/../../b", "a/", "a//b"]);
    check(Format::Template, &["a.tera"], &["", ".tera", "a", "../a.tera", "a/b.tera", "a.tera\n"]);
    suggests(Format::Path, "etc/hosts/", Some("/etc/hosts"));
}

#[test]
fn addresses_and_networks() {
    check(
        Format::Address,
        &["192.0.2.1", "::1"],
        &["", "1.2.3", "256.0.0.1", "01.2.3.4", "fe80::1%eth0"],
    );
    check(
        Format::Network,
        &["192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "192.0.2.1/32"],
        &[
            "192.0.2.1",
            "192.0.2.1/24",
            "192.0.2.0/33",
            "::/129",
            "::1/64",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "a/8",
        ],
    );
    check(
        Format::InterfaceAddress,
        &["192.0.2.1/24", "2001:db8::1/64"],
        &["192.0.2.1", "192.0.2.1/40"],
    );
    check(
        Format::Endpoint,
        &["127.0.0.1:80", "[::1]:80"],
        &["", ":80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "localhost:80", "::1:80"],
    );
    check(
        Format::Mac,
        &["52:54:00:12:34:56"],
        &["52:54:00:12:34", "52-54-00-12-34-56", "52:54:00:12:34:5G"],
    );
    check(Format::InterfacePattern, &["en*", "eth0.1"], &["", "a b", "a/b", "abcdefghijklmnop"]);
    suggests(Format::Network, "192.0.2.77/24", Some("192.0.2.0/24"));
    suggests(Format::Network, "2001:db8::1", Some("2001:db8::1/128"));
    suggests(Format::Endpoint, "localhost:8080", Some("127.0.0.1:8080"));
    suggests(Format::Endpoint, "8080", Some("127.0.0.1:8080"));
    suggests(Format::Mac, "52-54-00-AB-CD-EF", Some("52:54:00:ab:cd:ef"));
}

#[test]
fn urls_hold_no_credentials_and_no_placeholders() {
    check(
        Format::Url,
        &[
            "http://a",
            "https://a.b:8443/c?d=e",
            "http://127.0.0.1:80/",
            "http://[::1]/",
            "http://[::1]:80",
        ],
        &[
            "",
            "ftp://a",
            "http://",
            "http:///a",
            "http://user:pw@a/",
            "http://a/{env.X}",
            "http://a b",
            "http://a/\"",
            "http://a:0/",
            "http://a:b/",
            "http://a/#x",
            "javascript:alert(1)",
        ],
    );
    suggests(Format::Url, "example.org/a", Some("https://example.org/a"));
}

#[test]
fn quantities() {
    check(
        Format::Duration,
        &["5s", "1h 30min", "0s", "2w"],
        &["", "5", "s", "5m", "5 s", "-1s", "1.5h", "99999999999s", "5s "],
    );
    check(
        Format::Size,
        &["0B", "256MiB", "2TiB"],
        &["", "2", "2 GiB", "2GB", "-1B", "9223372036854775807KiB", "1e3B"],
    );
    check(Format::Mode, &["0644", "4755", "0000"], &["644", "0888", "00644", "-644", "0x1f"]);
    assert_eq!(Format::Size.number("256MiB"), Some(256 << 20));
    assert_eq!(Format::Mode.number("4755"), Some(0o4755));
    assert_eq!(seconds("1h 30min 1ms"), Some(5401));
    assert_eq!(seconds("soon"), None);
    suggests(Format::Size, "2 Gb", Some("2GiB"));
    suggests(Format::Size, "512", Some("512B"));
    suggests(Format::Size, "much", None);
    suggests(Format::Duration, "5 minutes", Some("5min"));
    suggests(Format::Mode, "644", Some("0644"));
}

#[test]
fn calendar_events() {
    check(
        Format::Calendar,
        &[
            "daily",
            "03:00",
            "Mon 03:00",
            "Mon..Fri 03:00:30",
            "Sat,Sun",
            "*-*-01 04:00",
            "*-01/3-01",
            "2026-12-24",
            "*:0/15",
            "03:00 Europe/Berlin",
            "*-*-* 02:30 UTC",
            "*-*~1",
        ],
        &[
            "",
            "never",
            "25:00",
            "03:60",
            "Monday",
            "03:00 Mars/Base",
            "Mon Tue",
            "UTC",
            "Mon UTC",
            "*-*-* *-*-*",
            "03:00 04:00",
            "1..:00",
            "*/x:00",
            " 03:00",
        ],
    );
}

#[test]
fn zones_and_locales() {
    check(
        Format::TimeZone,
        &["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+3"],
        &["", "Berlin", "europe/berlin", "../../etc/passwd", "Factory", "CET"],
    );
    check(
        Format::Locale,
        &["C.UTF-8", "de_DE.UTF-8", "ca_ES.UTF-8@valencia", "eo.UTF-8"],
        &["", "C", "de_DE", "de.UTF-8", "de_DE.ISO-8859-1", "de_de.UTF-8", "de_DE.UTF-8@"],
    );
    suggests(Format::TimeZone, "Europe/Berln", Some("Europe/Berlin"));
    suggests(Format::TimeZone, "new york", Some("America/New_York"));
    suggests(Format::Locale, "de-de.utf8", Some("de_DE.UTF-8"));
}

#[test]
fn keys_are_whole_and_of_their_type() {
    let good = Format::SshKey.info().example;
    let blob = good.split(' ').nth(1).unwrap();
    let cut = &blob[..blob.len() - 4];
    check(
        Format::SshKey,
        &[good, &format!("ssh-ed25519 {blob}"), &format!("ssh-ed25519 {blob} two words")],
        &[
            "",
            "ssh-ed25519",
            blob,
            &format!("ssh-rsa {blob}"),
            &format!("ssh-ed25519 {cut}"),
            &format!("ssh-ed25519 {blob}=="),
            &format!("ssh-ed25519 {blob} a\nssh-ed25519 {blob}"),
            &format!("command=\"id\" ssh-ed25519 {blob}"),
            "ssh-ed25519 AAAA",
            // A key of three bytes, and one with a field too many.
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAwECAw==",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAAAXg=",
            "ssh-dss AAAAB3NzaC1kc3MAAACBAP",
        ],
    );
    // Made by ssh-keygen 9.2 of types ecdsa and rsa (2048 bits).
    check(
        Format::SshKey,
        &[
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBCFlv0vpVF9ATCycyTbsk2Hu+SEzm3sffjeymBzngV0isSV9KrHsB+WHFhTKAC480QpvQfc4HRsFs3SzFoAQmqA=",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDs2ckaJRK+YHpZa0MlhqfhNjVW4/v7PCfypjg4fMNFaF3DOSz3pp/TicagknnWlPOtxv32Q66+cQnmxVj6vHHpS8NIKHZWY5e0N/vCuf4cQT+fvlPKXugolRriRZQqhYEvum+WaB32BDrQa2rNldzSFdxQJqK4Z8y53H6EXP+KUvV35D3o82mfwZDdhbxLjMQ12IrPpUm9OmALwfraVj1/hlKabckDX/BZEj5T71YMFpBE34FDhkhc/F9MOrJ5qJkcIfp/v1hQlG3W3yO3PbEVkKJJCtBLaSFDi8cXcjiXC+/ltnZcw3hX49PU2TgiKTYsn1UawYEHmC9p5O6UdCOB",
        ],
        &[],
    );
}

#[test]
fn capabilities_system_calls_and_kernel_parameters() {
    check(Format::Capability, &["CAP_SYS_ADMIN"], &["", "CAP_", "sys_admin", "CAP_A B"]);
    check(Format::SystemCalls, &["@system-service", "clone3"], &["", "@", "~@mount", "a b", "@@a"]);
    check(
        Format::SysctlKey,
        &["net.ipv4.ip_forward", "net/ipv4/conf/eth0.1/x"],
        &["", "net", "a..b", "a = b", "a.b\nc"],
    );
    check(Format::EnvironmentName, &["A", "_a1"], &["", "1A", "A-B", "A=B", "A B"]);
    check(Format::HeaderName, &["X-A"], &["", "X A", "X:A", "-x", "1x"]);
    suggests(Format::Capability, "net_bind_service", Some("CAP_NET_BIND_SERVICE"));
}
