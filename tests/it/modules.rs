//! What the built-in modules write, read by the real programs.

use std::fs;

use nexus_host::diag::{Look, Source, render};
use nexus_host::eval::{File, System, load};
use nexus_host::tree::TreePath;

use crate::toolbox::tool;

/// A host whose units use every option that opens a wall, and texts with every special character.
const HOST: &str = r#"
[host]
name = "a"
release = "trixie"
kernel = "cloud"
[users.eve]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f k"]
[units.open]
exec = ["/bin/sh", "-c", "echo \"$HOME\" '%h' ; true", ";"]
description = "100% of a \"unit\"; # open"
environment = { A = "1 2", B = "%h $X \\ \"" }
user = "www-data"
protect_system = "full"
private_tmp = false
new_privileges = true
executable_memory = true
address_families = []
system_calls = []
capabilities = ["CAP_NET_BIND_SERVICE"]
write_paths = ["/srv/a b"]
state = true
memory_max = "64MiB"
tasks_max = 5
[units.shut]
exec = ["/bin/sh"]
"#;

fn system() -> System {
    match load(&Source::new("hosts/a.toml", HOST), None, &std::collections::BTreeMap::new()) {
        Ok((system, _)) => system,
        Err(problems) => panic!("{}", render(&problems, Look::Plain)),
    }
}

#[test]
fn systemd_takes_the_units() {
    let system = system();
    let folder = tempfile::tempdir().unwrap();
    let mut verify = tool("systemd-analyze").sees(folder.path());
    verify = verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    for unit in ["open.service", "shut.service", "nexus-host-ssh-key.service"] {
        let path = TreePath::new(format!("etc/systemd/system/{unit}")).unwrap();
        let File::Regular { content, .. } = &system.files[&path].value else {
            panic!("{unit} is no file");
        };
        let path = folder.path().join(unit);
        fs::File::create(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, content))
            .unwrap();
        verify = verify.arg(path);
    }
    let output = verify.output();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn nix_parses_the_flake() {
    let parse = |flake: &[u8]| {
        let nix = tool("nix-instantiate").args(["--store", "dummy://", "--parse", "-"]);
        nix.input(flake).output()
    };
    let flake = include_bytes!("../../flake.nix");
    let output = parse(flake);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
    let parsed = String::from_utf8(output.stdout).unwrap();
    assert!(parsed.contains("rustPlatform"), "{parsed}");
    // Half of it is no flake.
    assert!(!parse(&flake[..flake.len() / 2]).status.success());
}
