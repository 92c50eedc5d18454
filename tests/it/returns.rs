//! Changes that shut the operator out, or do not come up: the machine goes back by itself.
//!
//! What a boot ends in on UEFI is tried by `switch`; `NEXUS_HOST_UEFI=1` tries all of these there.

#![expect(clippy::print_stdout, reason = "how long a way back takes is worth reading")]

use std::time::Instant;

use nexus_host::vm::qemu::Firmware;

use crate::bench::Bench;
use crate::site::Site;
use crate::support::how_often;

/// A bad change: its name, words of vps1 that become others, more at the end, and what is said about it.
struct Bad {
    name: &'static str,
    changes: &'static [(&'static str, &'static str)],
    more: &'static str,
    says: &'static str,
    /// The way back is a boot.
    boots: bool,
}

/// What is tried; the last is booted three times, each time into a panic of ten seconds.
const BAD: [Bad; 7] = [
    Bad {
        name: "a unit that fails",
        changes: &[],
        more: "[units.broken]\nexec = [\"/usr/bin/false\"]\n",
        says: "broken.service",
        boots: false,
    },
    Bad {
        name: "an sshd that does not start",
        changes: &[],
        more: "[files.\"/etc/ssh/sshd_config.d/00-broken.conf\"]\ntext = \"Nonsense yes\\n\"\n",
        says: "ssh.service",
        boots: false,
    },
    Bad {
        name: "a firewall that shuts SSH out",
        changes: &[],
        more: "[ssh]\nsources = [\"198.51.100.0/24\"]\n",
        says: "it was not confirmed within 15 s",
        boots: false,
    },
    Bad {
        name: "a network that is another",
        changes: &[(
            "[network]",
            "[network]\ninterfaces.lan = { names = [\"e*\"], addresses = [\"198.51.100.7/24\"], gateways = [\"198.51.100.1\"] }",
        )],
        more: "",
        says: "it was not confirmed within 15 s",
        boots: false,
    },
    Bad {
        name: "a unit that hangs",
        changes: &[],
        more: "[units.hangs]\ntype = \"notify\"\nexec = [\"/usr/bin/sleep\", \"infinity\"]\n[files.\"/etc/systemd/system/hangs.service.d/patience.conf\"]\ntext = \"[Service]\\nTimeoutStartSec=5\\n\"\n",
        says: "hangs.service",
        boots: false,
    },
    Bad {
        name: "a kernel that panics",
        changes: &[],
        more: "[files.\"/etc/systemd/system/hello.service.d/panic.conf\"]\ntext = \"[Service]\\nExecStartPost=+/bin/sh -c 'echo c >/proc/sysrq-trigger'\\n\"\n",
        says: "the host was restarted before it was confirmed",
        boots: true,
    },
    Bad {
        name: "a first process that is missing",
        changes: &[(
            "kernel = \"cloud\"",
            "kernel_arguments = [\"init=/does/not/exist\"]\nkernel = \"cloud\"",
        )],
        more: "",
        says: "it did not boot",
        boots: true,
    },
];

#[test]
fn vm_bad_changes_go_back() {
    let on_uefi = how_often("NEXUS_HOST_UEFI").is_some_and(|times| times > 0);
    let firmware = if on_uefi { Bench::uefi } else { |_: &Bench| Firmware::SeaBios };
    let mut site = Site::new("returns", firmware);
    for bad in &BAD {
        try_out(&mut site, bad);
    }
}

fn try_out(site: &mut Site, bad: &Bad) {
    site.write("bad", bad.changes, bad.more);
    let begun = Instant::now();
    let ran = site.deploy(&["--window", "15", "--accept-new"]);
    // Which of them sees it first, the service manager or a check, is a matter of time.
    assert!([Some(4), Some(6)].contains(&ran.code), "{}: {}", bad.name, ran.stderr);
    let reason = ran.json()["hosts"][0]["reason"].as_str().unwrap_or_default().to_owned();
    println!("{}: back after {:.1} s: {reason}", bad.name, begun.elapsed().as_secs_f64());
    assert!(reason.contains(bad.says), "{}: {reason}", bad.name);
    if bad.boots {
        site.host.wait_booted();
    }
    assert_eq!(site.host.page(), "one", "{}", bad.name);
    let status = site.host.json("status --json");
    let found = (&status["default"], &status["running"]["number"]);
    assert_eq!(found, (&1.into(), &1.into()), "{}: {status:#}", bad.name);
}
