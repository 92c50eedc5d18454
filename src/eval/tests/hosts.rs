//! The built-in modules: what host files become.

use std::fmt::Write as _;

use super::support::*;
use super::*;

const VPS1: &str = include_str!("../../../hosts/vps1.toml");

#[test]
fn name_and_release_alone_are_a_host_without_packages() {
    check_host(
        LEAST,
        &expect![[r#"
        packages: 
        etc/default/locale -> ../locale.conf
        etc/hostname 0644 root:root
        etc/hosts 0644 root:root
        etc/locale.conf 0644 root:root
        etc/timezone 0644 root:root
    "#]],
    );
}

#[test]
fn a_kernel_brings_what_boots_and_nothing_else() {
    let cloud = LEAST.replace("[host]", "[host]\nkernel = \"cloud\"");
    check_host(
        &cloud,
        &expect![[r#"
        packages: linux-image-cloud-amd64 systemd-sysv udev
        etc/default/locale -> ../locale.conf
        etc/hostname 0644 root:root
        etc/hosts 0644 root:root
        etc/locale.conf 0644 root:root
        etc/systemd/system-preset/00-nexus-host.preset 0644 root:root
        etc/systemd/system/getty.target.wants/getty@tty1.service -> /usr/lib/systemd/system/getty@.service
        etc/systemd/system/timers.target.wants/fstrim.timer -> /usr/lib/systemd/system/fstrim.timer
        etc/timezone 0644 root:root
    "#]],
    );
    let (system, _) = evaluate(&cloud.replace("cloud", "generic"), &[]).unwrap();
    let requests: Vec<_> = system.requests().iter().map(ToString::to_string).collect();
    assert_eq!(requests, ["linux-image-amd64", "systemd-sysv", "udev"]);
    assert_eq!(system.kernel, Some(Kernel::Generic));
}

#[test]
fn vps1() {
    check_host(
        VPS1,
        &expect![[r#"
            packages: ca-certificates caddy curl libpam-systemd linux-image-cloud-amd64 nftables openssh-server python3 sudo systemd-resolved systemd-sysv systemd-timesyncd tzdata udev
            user admin: {"systemd-journal"} /home/admin
            port tcp * 22 open {} ssh.service
            port tcp * 80 open {} caddy.service
            port tcp * 443 open {} caddy.service
            port tcp 127.0.0.1 8080 closed {} hello.service
            port udp * 443 open {} caddy.service
            port udp * 546 open {"fe80::/10"} systemd-networkd.service
            route secure.vps1.example.org -> 127.0.0.1:8080 Internal
            route vps1.example.org -> 127.0.0.1:8080 Off
            check caddy.service: Unit { unit: "caddy.service" } Inside 60 s
            check hello-over-http: Http { url: "http://vps1.example.org/", status: 200, contains: Some("Hello from vps1") } Outside 60 s
            check hello.service: Unit { unit: "hello.service" } Inside 60 s
            check hello.service/127.0.0.1:8080: Tcp { address: Some(127.0.0.1), port: 8080 } Inside 60 s
            check nftables.service: Unit { unit: "nftables.service" } Inside 60 s
            check ssh.service: Unit { unit: "ssh.service" } Inside 60 s
            check systemd-networkd.service: Unit { unit: "systemd-networkd.service" } Inside 60 s
            check systemd-resolved.service: Unit { unit: "systemd-resolved.service" } Inside 60 s
            etc/caddy/Caddyfile 0644 root:root
            etc/caddy/autosave.json -> /dev/null
            etc/default/locale -> ../locale.conf
            etc/hostname 0644 root:root
            etc/hosts 0644 root:root
            etc/locale.conf 0644 root:root
            etc/localtime -> ../usr/share/zoneinfo/Europe/Berlin
            etc/nftables.conf 0644 root:root
            etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf
            etc/ssh/authorized_keys.d/admin 0644 root:root
            etc/ssh/sshd_config.d/10-nexus-host.conf 0644 root:root
            etc/sudoers.d/nexus-host-admin 0440 root:root
            etc/systemd/network/90-default.network 0644 root:root
            etc/systemd/resolved.conf.d/10-nexus-host.conf 0644 root:root
            etc/systemd/system-preset/00-nexus-host.preset 0644 root:root
            etc/systemd/system/caddy.service.d/nexus-host.conf 0644 root:root
            etc/systemd/system/dbus-org.freedesktop.network1.service -> /usr/lib/systemd/system/systemd-networkd.service
            etc/systemd/system/dbus-org.freedesktop.resolve1.service -> /usr/lib/systemd/system/systemd-resolved.service
            etc/systemd/system/dbus-org.freedesktop.timesync1.service -> /usr/lib/systemd/system/systemd-timesyncd.service
            etc/systemd/system/getty.target.wants/getty@tty1.service -> /usr/lib/systemd/system/getty@.service
            etc/systemd/system/hello.service 0644 root:root
            etc/systemd/system/multi-user.target.wants/caddy.service -> /usr/lib/systemd/system/caddy.service
            etc/systemd/system/multi-user.target.wants/hello.service -> /etc/systemd/system/hello.service
            etc/systemd/system/multi-user.target.wants/ssh.service -> /usr/lib/systemd/system/ssh.service
            etc/systemd/system/multi-user.target.wants/systemd-networkd.service -> /usr/lib/systemd/system/systemd-networkd.service
            etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service -> /usr/lib/systemd/system/systemd-networkd-wait-online.service
            etc/systemd/system/nexus-host-ssh-key.service 0644 root:root
            etc/systemd/system/sockets.target.wants/systemd-networkd.socket -> /usr/lib/systemd/system/systemd-networkd.socket
            etc/systemd/system/ssh.service.requires/nexus-host-ssh-key.service -> /etc/systemd/system/nexus-host-ssh-key.service
            etc/systemd/system/sshd.service -> /usr/lib/systemd/system/ssh.service
            etc/systemd/system/sysinit.target.wants/nftables.service -> /usr/lib/systemd/system/nftables.service
            etc/systemd/system/sysinit.target.wants/systemd-resolved.service -> /usr/lib/systemd/system/systemd-resolved.service
            etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service -> /usr/lib/systemd/system/systemd-timesyncd.service
            etc/systemd/system/systemd-networkd-wait-online.service.d/nexus-host.conf 0644 root:root
            etc/systemd/system/timers.target.wants/fstrim.timer -> /usr/lib/systemd/system/fstrim.timer
            etc/timezone 0644 root:root
            etc/tmpfiles.d/nexus-host.conf 0644 root:root
            usr/share/vps1/index.html 0644 root:root
        "#]],
    );
}

#[test]
fn the_same_text_gives_the_same_system() {
    let (first, _) = evaluate(VPS1, &[]).unwrap();
    for _ in 0..20 {
        assert_eq!(evaluate(VPS1, &[]).unwrap().0, first);
    }
}

#[test]
fn every_item_of_vps1_knows_its_line() {
    let (system, _) = evaluate(VPS1, &[]).unwrap();
    let mut shown = String::new();
    for (name, package) in &system.packages {
        writeln!(shown, "{name}: {:?}", package.origins).unwrap();
    }
    for Traced { value, origins } in &system.ports {
        writeln!(shown, "{}: {origins:?}", value.port).unwrap();
    }
    expect![[r#"
        ca-certificates: [hosts/vps1.toml:36:2 (module proxy)]
        caddy: [hosts/vps1.toml:36:2 (module proxy)]
        curl: [hosts/vps1.toml:10:13 (module host)]
        libpam-systemd: [hosts/vps1.toml:23:2 (module users)]
        linux-image-cloud-amd64: [hosts/vps1.toml:7:10 (module host)]
        nftables: [hosts/vps1.toml:33:2 (module firewall)]
        openssh-server: [hosts/vps1.toml:23:2 (module users)]
        python3: [hosts/vps1.toml:55:13 (module units)]
        sudo: [hosts/vps1.toml:25:8 (module users)]
        systemd-resolved: [hosts/vps1.toml:19:2 (module network)]
        systemd-sysv: [hosts/vps1.toml:7:10 (module host)]
        systemd-timesyncd: [hosts/vps1.toml:19:2 (module network)]
        tzdata: [hosts/vps1.toml:8:13 (module host)]
        udev: [hosts/vps1.toml:7:10 (module host)]
        22: [hosts/vps1.toml:23:2 (module users)]
        80: [hosts/vps1.toml:36:2 (module proxy)]
        443: [hosts/vps1.toml:36:2 (module proxy)]
        8080: [hosts/vps1.toml:60:11 (module units)]
        443: [hosts/vps1.toml:36:2 (module proxy)]
        546: [hosts/vps1.toml:19:2 (module network)]
    "#]]
    .assert_eq(&shown);
}

#[test]
fn time_zone_and_locale_bring_their_packages() {
    let text = format!("{LEAST}time_zone = \"Europe/Berlin\"\nlocale = \"de_DE.UTF-8\"\n");
    let (system, _) = evaluate(&text, &[]).unwrap();
    let requests: Vec<_> = system.requests().iter().map(ToString::to_string).collect();
    assert_eq!(requests, ["locales-all", "tzdata"]);
    assert_eq!(file(&system, "etc/localtime"), "-> ../usr/share/zoneinfo/Europe/Berlin");
    assert_eq!(file(&system, "etc/locale.conf"), "LANG=de_DE.UTF-8\n");
}

#[test]
fn names_of_the_machine() {
    let text = format!("{LEAST}domain = \"example.org\"\n");
    check_file(
        &text,
        "etc/hosts",
        &expect![[r#"
        127.0.0.1 localhost
        127.0.1.1 a.example.org a
        ::1 localhost ip6-localhost ip6-loopback
        ff02::1 ip6-allnodes
        ff02::2 ip6-allrouters
    "#]],
    );
    check_file(
        &text,
        "etc/hostname",
        &expect![[r#"
        a
    "#]],
    );
}

#[test]
fn kernel_parameters_arguments_and_sources_are_taken_over() {
    let text = format!(
        "{LEAST}kernel_arguments = [\"console=ttyS0\", \"console=ttyS0\"]\n\
         sysctl = {{ \"net.ipv4.ip_forward\" = \"1\" }}\n\
         [[sources]]\nname = \"vendor\"\nuri = \"https://p.example.org/debian\"\nsuite = \"stable\"\n\
         key_file = \"keys/vendor.asc\"\n\
         [debian]\nmirror = \"http://mirror.example.org/debian\"\n"
    );
    let (system, _) = evaluate(&text, &[]).unwrap();
    assert_eq!(system.kernel_arguments.len(), 1);
    assert_eq!(system.debian.mirror.as_deref(), Some("http://mirror.example.org/debian"));
    assert_eq!(system.sources["vendor"].value.components, ["main"]);
    assert_eq!(
        file(&system, "etc/sysctl.d/60-nexus-host.conf").lines().last(),
        Some("net.ipv4.ip_forward = 1")
    );
}

#[test]
fn users_have_keys_and_no_passwords() {
    let text = format!(
        "{LEAST}kernel = \"cloud\"\n[users.eve]\nssh_keys = [\"{KEY}\"]\n[users.root]\nssh_keys = [\"{KEY}\"]\n\
         [users.cron]\nuid = 4000\ngroups = [\"team\"]\n[groups.team]\n\
         [ssh]\nport = 2222\nsources = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n[firewall]\n"
    );
    check_file(
        &text,
        "etc/ssh/sshd_config.d/10-nexus-host.conf",
        &expect![[r#"
        Port 2222
        HostKey /var/lib/nexus-host/ssh/ssh_host_ed25519_key
        AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u
        AuthenticationMethods publickey
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        PermitEmptyPasswords no
        PermitRootLogin prohibit-password
        AllowUsers eve root
        AllowAgentForwarding no
        AllowTcpForwarding no
        X11Forwarding no
        PermitUserEnvironment no
        LoginGraceTime 30
        MaxAuthTries 4
    "#]],
    );
    check_file(
        &text,
        "etc/tmpfiles.d/nexus-host.conf",
        &expect![[r##"
        # Made by nexus-host from the host file; changes go there.
        d "/home/cron" 0700 cron cron - -
        d "/home/eve" 0700 eve eve - -
    "##]],
    );
    let (system, _) = evaluate(&text, &[]).unwrap();
    let rules = file(&system, "etc/nftables.conf");
    let ssh: Vec<_> = rules.lines().filter(|line| line.contains("2222")).map(str::trim).collect();
    assert_eq!(
        ssh,
        [
            "ip saddr 192.0.2.0/24 tcp dport 2222 accept comment \"SSH\"",
            "ip6 saddr 2001:db8::/32 tcp dport 2222 accept comment \"SSH\"",
        ]
    );
}

#[test]
fn a_machine_that_nobody_can_log_into_is_worth_a_warning() {
    let text = format!("{LEAST}kernel = \"cloud\"\n[users.eve]\n");
    let (_, warnings) = evaluate(&text, &[]).unwrap();
    expect![[r#"
        warning[E0408]: nobody has an SSH key, so nobody can log in
         --> hosts/a.toml:5:2
          |
        5 | [users.eve]
          |  ^^^^^ says the module `users`
          |
          = help: Add `ssh_keys = ["ssh-ed25519 …"]` to one of the `[users]`.
    "#]]
    .assert_eq(&warnings);
}
