//! Options of the built-in modules, one by one.

use super::support::*;
use super::*;
use crate::health::Probe;

#[test]
fn a_unit_is_shut_in_unless_told_otherwise() {
    let text = format!(
        "{LEAST}kernel = \"cloud\"\n[units.open]\nexec = [\"/usr/bin/x\", \"a b\", \"$HOME\", \"100%\", \"\\\"\", \";\"]\n\
         user = \"nobody\"\nprotect_system = \"full\"\nprivate_tmp = false\nnew_privileges = true\n\
         executable_memory = true\naddress_families = []\nsystem_calls = []\n\
         capabilities = [\"CAP_NET_BIND_SERVICE\"]\nwrite_paths = [\"/srv/a b\"]\nstate = true\n\
         environment = {{ A = \"1 2\", B = \"%h $X\" }}\nrequires = [\"a.service\"]\nstart = false\n"
    );
    check_file(
        &text,
        "etc/systemd/system/open.service",
        &expect![[r#"
        [Unit]
        Description=open
        After=network.target
        Requires=a.service
        After=a.service

        [Service]
        Type=exec
        ExecStart=/usr/bin/x "a b" "$$HOME" "100%%" "\"" ";"
        Restart=on-failure
        User=nobody
        Environment="A=1 2" "B=%%h $X"
        StateDirectory=open
        ReadWritePaths="/srv/a b"
        AmbientCapabilities=CAP_NET_BIND_SERVICE
        CapabilityBoundingSet=CAP_NET_BIND_SERVICE
        LockPersonality=yes
        MemoryDenyWriteExecute=false
        NoNewPrivileges=false
        PrivateDevices=true
        PrivateNetwork=false
        PrivateTmp=false
        ProcSubset=pid
        ProtectClock=yes
        ProtectControlGroups=yes
        ProtectHome=true
        ProtectHostname=yes
        ProtectKernelLogs=yes
        ProtectKernelModules=yes
        ProtectKernelTunables=yes
        ProtectProc=invisible
        ProtectSystem=full
        RestrictAddressFamilies=none
        RestrictNamespaces=yes
        RestrictRealtime=yes
        RestrictSUIDSGID=false
        SystemCallArchitectures=native
        UMask=0077
    "#]],
    );
}

#[test]
fn what_runs_once_may_count_as_running_and_is_then_looked_at() {
    let text = |more: &str| {
        format!(
            "{LEAST}kernel = \"cloud\"\n[units.once]\nexec = [\"/bin/x\"]\ntype = \"oneshot\"\n{more}"
        )
    };
    let (system, _) = evaluate(&text(""), &[]).unwrap();
    assert!(!file(&system, "etc/systemd/system/once.service").contains("RemainAfterExit"));
    assert!(!system.checks.contains_key("once.service"));
    let (system, _) = evaluate(&text("remain_after_exit = true\n"), &[]).unwrap();
    let unit = file(&system, "etc/systemd/system/once.service");
    assert!(unit.contains("ExecStart=/bin/x\nRemainAfterExit=yes\n"), "{unit}");
    assert!(matches!(&system.checks["once.service"].value.probe, Probe::Unit { .. }));
}

#[test]
fn static_addresses() {
    let text = format!(
        "{LEAST}kernel = \"cloud\"\n[network]\ndhcp = false\ndns = [\"192.0.2.53\"]\nwait = \"1min 30s\"\n\
         time_servers = [\"ntp.example.org\"]\n[network.interfaces.wan]\nmac = \"52:54:00:12:34:56\"\n\
         addresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\ngateways = [\"192.0.2.1\", \"fe80::1\"]\n"
    );
    check_file(
        &text,
        "etc/systemd/network/10-wan.network",
        &expect![[r#"
        [Match]
        MACAddress=52:54:00:12:34:56

        [Network]
        DHCP=no
        IPv6AcceptRA=false
        LLMNR=no
        MulticastDNS=no
        Address=192.0.2.10/24
        Address=2001:db8::10/64

        [Route]
        Gateway=192.0.2.1
        GatewayOnLink=yes

        [Route]
        Gateway=fe80::1
        GatewayOnLink=yes
    "#]],
    );
    let (system, _) = evaluate(&text, &[]).unwrap();
    assert!(system.ports.is_empty(), "no DHCP, no DHCPv6 answers");
    let wait = "etc/systemd/system/systemd-networkd-wait-online.service.d/nexus-host.conf";
    assert!(file(&system, wait).contains("--timeout=90\n"));
    assert!(file(&system, "etc/systemd/timesyncd.conf.d/10-nexus-host.conf").contains("ntp."));
    assert!(file(&system, "etc/systemd/resolved.conf.d/10-nexus-host.conf").contains("192.0.2.53"));
}

#[test]
fn addresses_that_lead_nowhere_are_errors() {
    let interface = |more: &str| {
        format!("{LEAST}kernel = \"cloud\"\n[network.interfaces.wan]\nnames = [\"en*\"]\n{more}")
    };
    check_problems(
        &interface("addresses = [\"192.0.2.10/24\"]\n"),
        &expect![[r#"
        error[E0408]: a static address without a gateway
         --> hosts/a.toml:7:13
          |
        7 | addresses = ["192.0.2.10/24"]
          |             ^^^^^^^^^^^^^^^^^ says the module `network`
          |
          = help: Add a router of the same kind to `gateways`, or `local_only = true` when it needs none.
    "#]],
    );
    let mixed = "addresses = [\"2001:db8::1/64\"]\ngateways = [\"192.0.2.1\"]\n";
    assert!(evaluate(&interface(mixed), &[]).is_err());
    check_problems(
        &interface(""),
        &expect![[r#"
        error[E0408]: the interface `wan` gets no address
         --> hosts/a.toml:5:21
          |
        5 | [network.interfaces.wan]
          |                     ^^^ says the module `network`
          |
          = help: Add `dhcp = true` or `addresses = ["192.0.2.10/24"]`.
    "#]],
    );
    check_problems(
        &interface("dhcp = true\n").replace("names = [\"en*\"]", ""),
        &expect![[r#"
        error[E0408]: the interface `wan` applies to nothing
         --> hosts/a.toml:5:21
          |
        5 | [network.interfaces.wan]
          |                     ^^^ says the module `network`
          |
          = help: Add `names = ["en*"]` or `mac = "…"`.
    "#]],
    );
    let local = "addresses = [\"192.0.2.10/24\"]\nlocal_only = true\n";
    assert!(evaluate(&interface(local), &[]).is_ok());
}

#[test]
fn sites_with_certificates_from_outside_want_a_contact() {
    let text = format!(
        "{LEAST}kernel = \"cloud\"\n[routes.\"a.example.org\"]\nto = \"[::1]:80\"\nheaders = {{ X-A = \"b \\\"c\\\"\" }}\n"
    );
    let (system, warnings) = evaluate(&text, &[]).unwrap();
    expect![[r#"
        warning[E0408]: the certificate authority has no contact address
         --> hosts/a.toml:5:2
          |
        5 | [routes."a.example.org"]
          |  ^^^^^^ says the module `proxy`
          |
          = help: Add `email = "…"` below `[proxy]`, or set `tls`.
    "#]]
    .assert_eq(&warnings);
    expect![[r#"
        {
        	# Only root and caddy reach it; `systemctl reload caddy` uses it.
        	admin unix//run/caddy/admin.socket
        	skip_install_trust
        }

        (security_headers) {
        	header {
        		# A service's own words win over these.
        		?Content-Security-Policy "frame-ancestors 'self'; base-uri 'self'; object-src 'none'"
        		?Permissions-Policy "camera=(), geolocation=(), microphone=()"
        		?Referrer-Policy "strict-origin-when-cross-origin"
        		?X-Content-Type-Options "nosniff"
        		?X-Frame-Options "SAMEORIGIN"
        		-Server
        		-X-Powered-By
        	}
        }

        https://a.example.org {
        	import security_headers
        	header ?Strict-Transport-Security "max-age=31536000"
        	header X-A "b \"c\""
        	encode zstd gzip
        	reverse_proxy [::1]:80
        }

        http:// {
        	respond 404
        }
    "#]]
    .assert_eq(&file(&system, "etc/caddy/Caddyfile"));
    let ports: Vec<_> = system.ports.iter().map(|port| port.value.port).collect();
    assert_eq!(ports, [80, 443, 443]);
}

#[test]
fn checks_lack_nothing() {
    let check = |text: &str| format!("{LEAST}[[checks]]\nname = \"a\"\n{text}\n");
    check_problems(
        &check("kind = \"http\""),
        &expect![[r#"
        error[E0408]: a check of kind `http` without `url`
         --> hosts/a.toml:4:1
          |
        4 | [[checks]]
          | ^^^^^^^^^^ says the module `checks`
          |
          = help: Add `url = …` to it.
    "#]],
    );
    for bad in [
        "kind = \"unit\"",
        "kind = \"tcp\"",
        "kind = \"command\"",
        "kind = \"dns\"",
        "kind = \"mount\"",
        "kind = \"disk\"\npath = \"/\"",
        "kind = \"disk\"\nfree = \"1GiB\"",
        "kind = \"certificate\"\npath = \"/x.pem\"",
        "kind = \"clock\"\nvantage = \"outside\"",
    ] {
        assert!(evaluate(&check(bad), &[]).is_err(), "{bad}");
    }
    let (system, _) =
        evaluate(&check("kind = \"command\"\nexec = [\"/usr/bin/true\", \"a b\"]"), &[]).unwrap();
    let exec = vec!["/usr/bin/true".to_owned(), "a b".to_owned()];
    assert_eq!(system.checks["a"].value.probe, Probe::Command { exec });
}

#[test]
fn checks_of_every_kind_arrive_as_written() {
    let probe = |lines: &str| {
        let text = format!("{LEAST}[[checks]]\nname = \"a\"\n{lines}\n");
        let (system, _) = evaluate(&text, &[]).unwrap();
        let check = &system.checks["a"].value;
        assert_eq!((check.name.as_str(), check.in_test), ("a", !lines.contains("in_test")));
        check.probe.clone()
    };
    let path = "/var".to_owned();
    assert_eq!(
        probe(
            "kind = \"dns\"\ndomain = \"a.example.org\"\naddress = \"192.0.2.1\"\nin_test = false"
        ),
        Probe::Dns {
            domain: "a.example.org".to_owned(),
            address: Some("192.0.2.1".parse().unwrap())
        }
    );
    assert_eq!(probe("kind = \"mount\"\npath = \"/var\""), Probe::Mount { path: path.clone() });
    assert_eq!(
        probe("kind = \"disk\"\npath = \"/var\"\nfree = \"2GiB\"\nfree_percent = 5"),
        Probe::Disk { path: path.clone(), free_bytes: 2 << 30, free_percent: 5 }
    );
    assert_eq!(
        probe("kind = \"disk\"\npath = \"/var\"\nfree_percent = 5"),
        Probe::Disk { path, free_bytes: 0, free_percent: 5 }
    );
    assert_eq!(probe("kind = \"clock\""), Probe::Clock { seconds: None });
    assert_eq!(probe("kind = \"clock\"\nseconds = 2"), Probe::Clock { seconds: Some(2) });
    assert_eq!(
        probe("kind = \"certificate\"\npath = \"/x.pem\"\ndays = 14"),
        Probe::Certificate { path: "/x.pem".to_owned(), days: 14 }
    );
}

#[test]
fn two_services_on_one_port_are_an_error() {
    let unit = |name: &str, listen: &str| {
        format!("[units.{name}]\nexec = [\"/usr/bin/{name}\"]\nlisten = [\"{listen}\"]\n")
    };
    let with = |a: &str, b: &str| {
        format!("{LEAST}kernel = \"cloud\"\n{}{}", unit("one", a), unit("two", b))
    };
    check_problems(
        &with("127.0.0.1:80", "0.0.0.0:80"),
        &expect![[r#"
        error[E0403]: `two.service` and `one.service` both listen on tcp port 80
          --> hosts/a.toml:7:11
           |
         7 | listen = ["127.0.0.1:80"]
           |           ^^^^^^^^^^^^^^ by the module `units`
        ...
        10 | listen = ["0.0.0.0:80"]
           |           ------------ by the module `units`
    "#]],
    );
    assert!(evaluate(&with("127.0.0.1:80", "[::]:80"), &[]).is_err());
    assert!(evaluate(&with("127.0.0.1:80", "127.0.0.2:80"), &[]).is_ok());
    assert!(evaluate(&with("127.0.0.1:80", "[::1]:80"), &[]).is_ok());
    assert!(evaluate(&with("127.0.0.1:80", "127.0.0.1:81"), &[]).is_ok());
}

#[test]
fn files_stay_inside_what_is_built() {
    let files = |path: &str| format!("{LEAST}[files.\"{path}\"]\ntext = \"x\"\n");
    check_problems(
        &files("/var/lib/x"),
        &expect![[r#"
        error[E0407]: `/var/lib/x` is not built: only `/etc` and `/usr` are
         --> hosts/a.toml:4:8
          |
        4 | [files."/var/lib/x"]
          |        ^^^^^^^^^^^^ expected a path below `/etc` or `/usr`
          |
          = help: What changes at run time lives in `/var`; use `tmpfiles` for it.
    "#]],
    );
    check_problems(
        &files("/etc/shadow"),
        &expect![[r#"
        error[E0407]: `/etc/shadow` is made by nexus-host itself
         --> hosts/a.toml:4:8
          |
        4 | [files."/etc/shadow"]
          |        ^^^^^^^^^^^^^ expected another path
    "#]],
    );
    check_problems(
        &files("/etc/hostname"),
        &expect![[r#"
        error[E0401]: two different demands for the file `etc/hostname`
         --> hosts/a.toml:2:8
          |
        2 | name = "a"
          |        ^^^ by the module `host`
        3 | release = "trixie"
        4 | [files."/etc/hostname"]
          |        --------------- by the module `files`
    "#]],
    );
    check_problems(
        &files("/etc/hostname/x"),
        &expect![[r#"
        error[E0401]: `/etc/hostname` is a file, so `/etc/hostname/x` cannot be below it
         --> hosts/a.toml:4:8
          |
        2 | name = "a"
          |        --- by the module `host`
        3 | release = "trixie"
        4 | [files."/etc/hostname/x"]
          |        ^^^^^^^^^^^^^^^^^ by the module `files`
    "#]],
    );
    for bad in ["/etc", "/etc/../root/x", "etc/x", "/"] {
        assert!(evaluate(&files(bad), &[]).is_err(), "{bad}");
    }
    check_file(&files("/etc/x"), "etc/x", &expect!["x"]);
}

#[test]
fn files_belong_to_someone_known() {
    let owned =
        format!("{LEAST}[files.\"/etc/x\"]\ntext = \"\"\nowner = \"eve\"\ngroup = \"evil\"\n");
    check_problems(
        &owned,
        &expect![[r#"
        error[E0405]: `/etc/x` belongs to `eve`, which nothing declares
         --> hosts/a.toml:4:8
          |
        4 | [files."/etc/x"]
          |        ^^^^^^^^ unknown

        error[E0405]: `/etc/x` belongs to `evil`, which nothing declares
         --> hosts/a.toml:4:8
          |
        4 | [files."/etc/x"]
          |        ^^^^^^^^ unknown
    "#]],
    );
    let known = format!("{owned}[users.eve]\n[groups.evil]\n");
    assert!(evaluate(&known, &[]).is_ok());
}

#[test]
fn users_are_in_known_groups() {
    let text =
        format!("{LEAST}[users.eve]\ngroups = [\"sudoo\"]\n[users.adam]\ngroups = [\"qqqq\"]\n");
    check_problems(
        &text,
        &expect![[r#"
        warning[E0408]: nobody has an SSH key, so nobody can log in
         --> hosts/a.toml:4:2
          |
        4 | [users.eve]
          |  ^^^^^ says the module `users`
          |
          = help: Add `ssh_keys = ["ssh-ed25519 …"]` to one of the `[users]`.

        error[E0404]: the group `sudoo` of the user `eve` does not exist
         --> hosts/a.toml:4:8
          |
        4 | [users.eve]
          |        ^^^ no such group
          |
          = help: Did you mean `sudo`?

        error[E0404]: the group `qqqq` of the user `adam` does not exist
         --> hosts/a.toml:6:8
          |
        6 | [users.adam]
          |        ^^^^ no such group
          |
          = help: Add `[groups.qqqq]`.
    "#]],
    );
}

#[test]
fn units_without_systemd_are_worth_a_warning() {
    let text = format!("{LEAST}[units.a]\nexec = [\"/usr/bin/a\"]\n");
    let (_, warnings) = evaluate(&text, &[]).unwrap();
    expect![[r#"
        warning[E0409]: nothing starts the unit `a.service`
         --> hosts/a.toml:4:8
          |
        4 | [units.a]
          |        ^ the host has no kernel and no systemd
          |
          = help: Add `kernel = "cloud"` below `[host]`.
    "#]]
    .assert_eq(&warnings);
    let with = text.replace("[host]", "[host]\npackages = [\"systemd\"]");
    assert_eq!(evaluate(&with, &[]).unwrap().1, "");
}

#[test]
fn programs_are_named_by_their_path() {
    let text = format!("{LEAST}kernel = \"cloud\"\n[units.a]\nexec = [\"python3\", \"x\"]\n");
    check_problems(
        &text,
        &expect![[r#"
        error[E0408]: the program of the unit is not an absolute path
         --> hosts/a.toml:6:9
          |
        6 | exec = ["python3", "x"]
          |         ^^^^^^^^^ says the module `units`
          |
          = help: Write the path, such as `/usr/bin/…`; no shell looks for it.
    "#]],
    );
}
