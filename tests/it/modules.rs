//! What the built-in modules write, read by the real programs where this machine has them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use nexus_host::diag::{Look, Source, render};
use nexus_host::eval::{File, System, load};
use nexus_host::exec::process::command;
use nexus_host::tree::TreePath;

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
    let program = "/usr/bin/systemd-analyze";
    if !Path::new(program).exists() {
        return;
    }
    let system = system();
    let folder = tempfile::tempdir().unwrap();
    let mut verify = command(OsStr::new(program));
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    for unit in ["open.service", "shut.service", "nexus-host-ssh-key.service"] {
        let path = TreePath::new(format!("etc/systemd/system/{unit}")).unwrap();
        let File::Regular { content, .. } = &system.files[&path].value else {
            panic!("{unit} is no file");
        };
        let path = folder.path().join(unit);
        fs::File::create(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, content))
            .unwrap();
        verify.arg(path);
    }
    let output = verify.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
