//! The order of steps, and how a plan reads.

use super::super::facts::tests::MACHINE;
use super::*;

fn planned(text: &str, findings: Vec<Finding>) -> Plan {
    with_backups(text, findings, &[])
}

fn with_backups(text: &str, findings: Vec<Finding>, restore: &[&str]) -> Plan {
    let needs = Needs {
        kernel_bytes: 12 << 20,
        initrd_bytes: 120 << 20,
        unpacked_bytes: 330 << 20,
        disk_bytes: 900 << 20,
    };
    let choices = Choices {
        host: "web".into(),
        system: "/nix/store/a-system-web".into(),
        disk: Some("vda".into()),
        keep_host_key: true,
        restore: restore.iter().map(ToString::to_string).collect(),
        secrets: true,
        return_seconds: 240,
        agent_bytes: 3 << 20,
    };
    plan(Facts::parse(text.as_bytes()).unwrap(), &needs, findings, choices)
}

#[test]
fn a_plan_reads_like_this() {
    let plan = planned(MACHINE, vec![Finding::warning("something")]);
    let expected = "\
machine: Debian GNU/Linux 12 (bookworm), kernel 6.1.0-26-cloud-amd64, 1966 MiB of memory, BIOS
  disk vda: 20480 MiB
  disk vdb: 1 MiB
host: web (/nix/store/a-system-web)
warning: something
1. send the agent into memory (3 MiB)
2. keep the SSH host key, send the identity for secrets
3. send the host into memory (132 MiB)
4. shut the old system down and run the host from memory; it goes back by itself after 240 s
5. log in to the host that runs from memory
6. write the disk vda (900 MiB); nothing on it is kept
7. reboot from the disk
8. log in again, and run the host's own checks
";
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn data_comes_back_before_the_checks() {
    let plan = with_backups(MACHINE, Vec::new(), &["daily", "off-site"]).to_string();
    let expected = "\
7. reboot from the disk
8. wait until it has brought back its backups: daily, off-site
9. log in again, and run the host's own checks
";
    assert!(plan.ends_with(expected), "{plan}");
}

#[test]
fn nothing_is_done_when_something_is_wrong() {
    assert_eq!(planned(MACHINE, vec![Finding::error("no")]).steps, []);
}

#[test]
fn an_attempt_that_broke_off_goes_on_from_memory() {
    let running = "nexus.root=memory nexus.attempt=ab nexus.system=/nix/store/a-system-web";
    let steps = planned(&MACHINE.replace("net.ifnames=0", running), Vec::new()).steps;
    let disk = Step::WriteDisk { disk: "vda".into(), bytes: 900 << 20 };
    assert_eq!(steps, [disk, Step::Reboot, Step::Check]);
    let other = planned(&MACHINE.replace("net.ifnames=0", &format!("{running}2")), Vec::new());
    assert_eq!(other.steps, []);
    assert_eq!(other.findings[0].message, "the machine runs another system from memory");
}

#[test]
fn the_old_system_goes_before_its_disk_is_written() {
    let steps = planned(MACHINE, Vec::new()).steps;
    let at = |wanted: fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
    let met = at(|step| matches!(step, Step::Meet));
    assert!(at(|step| matches!(step, Step::Leave { .. })) < met);
    assert!(met < at(|step| matches!(step, Step::WriteDisk { .. })));
}
