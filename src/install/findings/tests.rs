//! Machines that cannot be taken over, each for one reason.

use super::super::facts::tests::MACHINE;
use super::*;

const NEEDS: Needs = Needs {
    kernel_bytes: 12 * MIB,
    initrd_bytes: 120 * MIB,
    unpacked_bytes: 330 * MIB,
    disk_bytes: 900 * MIB,
};

fn errors_of(facts: &Facts, needs: &Needs, wishes: &Wishes<'_>) -> (Vec<String>, Option<String>) {
    let (findings, disk) = findings(facts, needs, &BTreeMap::new(), wishes);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    // No interface is declared in these tests.
    let errors = errors.map(|finding| finding.message.clone());
    (errors.filter(|message| !message.starts_with("no interface")).collect(), disk)
}

#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(MACHINE.contains(from), "no {from}");
    let facts = Facts::parse(MACHINE.replacen(from, to, 1).as_bytes()).unwrap();
    let (errors, _) = errors_of(&facts, &NEEDS, &Wishes::default());
    assert_eq!(errors, [expected]);
}

#[test]
fn a_good_machine_has_no_errors_and_its_own_disk_is_written() {
    let facts = Facts::parse(MACHINE.as_bytes()).unwrap();
    let found = errors_of(&facts, &NEEDS, &Wishes::default());
    assert_eq!(found, (Vec::new(), Some("vda".into())));
}

#[test]
fn each_reason_is_named() {
    check("@user\n 0", "@user\n 1000", "the login is not root's");
    check(
        "@machine\n x86_64",
        "@machine\n aarch64",
        "the machine is of kind `aarch64`, the host of x86_64",
    );
    check(
        "@container\n none",
        "@container\n lxc",
        "the machine is a container (lxc) and has no kernel of its own",
    );
    check(
        " /run/systemd/system",
        "",
        "the machine is not run by systemd, which a clean way out needs",
    );
    check("=y", "=n", "kernel 6.1.0-26-cloud-amd64 cannot start another one");
    check(
        "@kexec-disabled\n 0",
        "@kexec-disabled\n 1",
        "starting another kernel is switched off (kernel.kexec_load_disabled)",
    );
    check(
        "@secure-boot\n",
        "@secure-boot\n 1\n",
        "the kernel starts signed kernels only (Secure Boot is on)",
    );
    check(
        "[none] integrity",
        "none [integrity]",
        "the kernel starts signed kernels only (integrity)",
    );
    check(
        "1719832 kB",
        "400000 kB",
        "the old system has 391 MiB of memory to spare, 460 MiB are needed to load the new one",
    );
    check(
        "2014088 kB",
        "614400 kB",
        "the machine has 600 MiB of memory, 750 MiB are needed to run the host from it",
    );
    check("vda 41943040", "vda 1000000", "the disk vda has 488 MiB, the host needs 900 MiB");
    check("254:0 0 0", "254:0 1 0", "the disk vda can be read only");
}

#[test]
fn the_disk_may_be_chosen() {
    let facts = Facts::parse(MACHINE.as_bytes()).unwrap();
    let chosen = |disk| {
        errors_of(
            &facts,
            &Needs { disk_bytes: 1000, ..NEEDS },
            &Wishes { disk: Some(disk), ..Wishes::default() },
        )
    };
    assert_eq!(chosen("/dev/vdb"), (Vec::new(), Some("vdb".into())));
    assert_eq!(chosen("sda"), (vec!["the machine has no disk `sda`".into()], None));
    let unclear =
        MACHINE.replace("254:1 / / rw", "0:9 / / rw").replace("/dev/vda1 rw", "overlay rw");
    let facts = Facts::parse(unclear.as_bytes()).unwrap();
    let (errors, _) = errors_of(&facts, &NEEDS, &Wishes::default());
    assert_eq!(errors, ["it is not clear which disk is to be written"]);
}

#[test]
fn a_key_that_is_not_there_cannot_be_kept() {
    let text = MACHINE.replace("ssh-ed25519 ", "ssh-rsa ");
    let facts = Facts::parse(text.as_bytes()).unwrap();
    let wishes = Wishes { keep_host_key: true, ..Wishes::default() };
    let (errors, _) = errors_of(&facts, &NEEDS, &wishes);
    assert_eq!(errors, ["the machine has no Ed25519 host key that could be kept"]);
}
