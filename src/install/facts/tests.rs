//! Answers of a rented Debian machine, and answers that no machine should give.

use proptest::prelude::*;

use super::*;

/// A Debian 12 machine with a static address whose router lies outside its network.
pub(crate) const MACHINE: &str = r#"@user
 0
@machine
 x86_64
@kernel
 6.1.0-26-cloud-amd64
@system
 PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
 ID=debian
@init
 /run/systemd/system
@container
 none
@memory
 MemTotal:        2014088 kB
 MemFree:         1402152 kB
 MemAvailable:    1719832 kB
@efi
@secure-boot
@lockdown
 [none] integrity confidentiality
@kexec-disabled
 0
@kexec-config
 CONFIG_KEXEC_FILE=y
@command-line
 BOOT_IMAGE=/boot/vmlinuz-6.1.0-26-cloud-amd64 root=UUID=ab ro net.ifnames=0 console=ttyS0
@mounts
 21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
 22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw
@disks
 loop0 0 7:0 0 0 - virtual 
 sr0 0 11:0 0 1 - real 
 vda 41943040 254:0 0 0 - real 
 vda1 41679839 254:1 0 - vda virtual 
 vdb 2048 254:16 0 0 - real 
@addresses
 [{"ifindex":1,"ifname":"lo","link_type":"loopback","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
 {"ifindex":2,"ifname":"eth0","link_type":"ether","address":"52:54:00:AA:BB:CC","addr_info":[{"family":"inet","local":"203.0.113.5","prefixlen":32,"scope":"global"},{"family":"inet6","local":"2001:db8::5","prefixlen":64,"scope":"global","dynamic":true},{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]
@routes
 [{"dst":"default","gateway":"198.51.100.1","dev":"eth0","flags":["onlink"]},{"dst":"198.51.100.1","dev":"eth0","scope":"link","flags":[]}]
@routes6
 [{"dst":"default","gateway":"fe80::1","dev":"eth0","protocol":"ra","flags":[]}]
@dns
 # made by somebody
 nameserver 127.0.0.53
 nameserver 192.0.2.53
@keys
 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f root@vps
@boot
 0d9a4a2e-0000-4000-8000-000000000000
@end
"#;

fn facts() -> Facts {
    Facts::parse(MACHINE.as_bytes()).unwrap()
}

/// With a line of the machine's answers changed.
fn changed(from: &str, to: &str) -> Result<Facts, FactsError> {
    assert!(MACHINE.contains(from), "no {from}");
    Facts::parse(MACHINE.replacen(from, to, 1).as_bytes())
}

#[test]
fn a_machine_is_what_it_answers() {
    let facts = facts();
    assert!(facts.is_root && facts.systemd && !facts.uefi && facts.plain_names);
    assert_eq!((facts.machine.as_str(), facts.container.as_ref()), ("x86_64", None));
    assert_eq!(facts.system, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(facts.memory, Memory { total: 2_014_088 << 10, available: 1_719_832 << 10 });
    let kexec = Kexec { built_in: Some(true), disabled: false, lockdown: None, secure_boot: false };
    assert_eq!(facts.kexec, kexec);
    assert_eq!(facts.disks.keys().collect::<Vec<_>>(), ["vda", "vdb"]);
    assert_eq!(facts.disks["vda"].bytes, 20 << 30);
    assert_eq!(facts.root_disks, BTreeSet::from(["vda".to_owned()]));
    let (name, link) = facts.uplink().unwrap();
    assert_eq!((name, link.mac.as_deref()), ("eth0", Some("52:54:00:aa:bb:cc")));
    let address =
        |text: &str, prefix, dynamic| Address { address: text.parse().unwrap(), prefix, dynamic };
    assert_eq!(
        link.addresses,
        [address("203.0.113.5", 32, false), address("2001:db8::5", 64, true)]
    );
    assert_eq!(facts.gateways[0].via, Some("198.51.100.1".parse().unwrap()));
    assert_eq!(facts.dns, ["192.0.2.53".parse::<IpAddr>().unwrap()]);
    assert!(facts.host_key.unwrap().ends_with("HR4f"));
    assert_eq!(facts.rehearsal, None);
}

#[test]
fn what_forbids_another_kernel_is_seen() {
    let facts = changed("[none] integrity", "none [integrity]").unwrap();
    assert_eq!(facts.kexec.lockdown.as_deref(), Some("integrity"));
    assert!(changed("@secure-boot\n", "@secure-boot\n   1\n").unwrap().kexec.secure_boot);
    assert!(changed("@kexec-disabled\n 0", "@kexec-disabled\n 1").unwrap().kexec.disabled);
    let without = changed(" CONFIG_KEXEC_FILE=y", "").unwrap();
    assert_eq!(without.kexec.built_in, None);
    let off = changed("CONFIG_KEXEC_FILE=y", "# CONFIG_KEXEC_FILE is not set").unwrap();
    assert_eq!(off.kexec.built_in, Some(false));
}

#[test]
fn the_disks_below_the_root_are_found() {
    // A mapping over a partition, and a file system with numbers of its own.
    let mapped = changed("254:1 / / rw", "253:0 / / rw").unwrap();
    assert_eq!(mapped.root_disks, BTreeSet::from(["vda".to_owned()]), "by the name /dev/vda1");
    let two = "@disks\n dm-0 100 253:0 0 0 - virtual vda1,vdb\n dm-1 1 253:1 0 0 - virtual dm-1\n";
    let text = MACHINE.replace("254:1 / / rw", "253:0 / / rw").replace("@disks\n", two);
    let facts = Facts::parse(text.as_bytes()).unwrap();
    assert_eq!(facts.root_disks, BTreeSet::from(["vda".to_owned(), "vdb".to_owned()]));
    let text = text.replace("253:0 / / rw", "253:1 / / rw");
    assert_eq!(Facts::parse(text.as_bytes()).unwrap().root_disks, BTreeSet::new());
}

#[test]
fn a_system_in_memory_is_recognised() {
    let line = "ro net.ifnames=0";
    let arguments = "nexus.root=memory nexus.attempt=ab nexus.system=/nix/store/a-system-x";
    let facts = changed(line, arguments).unwrap();
    assert_eq!(facts.rehearsal, Some(("ab".into(), "/nix/store/a-system-x".into())));
    let facts = changed(line, "nexus.root=PARTLABEL=nexus-root nexus.attempt=ab").unwrap();
    assert_eq!(facts.rehearsal, None);
}

#[test]
fn answers_that_cannot_be_understood_are_named() {
    let about = |from: &str, to: &str| changed(from, to).unwrap_err().to_string();
    let expected = "the machine's answer about memory cannot be understood: `        2014088 MB`";
    assert_eq!(about("2014088 kB", "2014088 MB"), expected);
    assert!(about(" vda 41943040", " vda many").contains("about disks"));
    assert!(about(" vda 41943040", " ../vda 41943040").contains("about disks"));
    assert!(about(" vda 41943040", " vda 18446744073709551615").contains("about disks"));
    assert!(about("\"203.0.113.5\"", "\"203.0.113.500\"").contains("about addresses"));
    assert!(about("[{\"dst\"", "[{\"dst").contains("about routes"));
    assert_eq!(about("@end\n", ""), "the machine's answers are cut off");
    assert_eq!(Facts::parse(&vec![b'a'; FACTS_BYTES_MAX + 1]), Err(FactsError::TooLong));
    let escape = changed("bookworm", "\u{1b}[31mred").unwrap();
    assert!(!escape.system.contains('\u{1b}'));
    assert_eq!(changed("ssh-ed25519 AAAA", "ssh-ed25519 AA'; rm -rf").unwrap().host_key, None);
}

#[test]
fn an_empty_answer_is_no_disk_and_no_network() {
    let text = "@memory\n MemTotal: 1 kB\n MemAvailable: 1 kB\n@end\n";
    let facts = Facts::parse(text.as_bytes()).unwrap();
    assert!(!facts.is_root && !facts.systemd && facts.disks.is_empty());
    assert_eq!(facts.uplink(), None);
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(at in 0..MACHINE.len(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut text = MACHINE.as_bytes().to_vec();
        let end = (at + bytes.len() / 2).min(text.len());
        text.splice(at..end, bytes);
        let _either = Facts::parse(&text);
    }
}
