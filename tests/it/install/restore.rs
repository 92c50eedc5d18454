//! Data that comes back: a repository of restic on this machine, as if it were far away, and the host's secrets.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nexus_host::exec::files::{write_atomic, write_scratch};

use crate::bench::Bench;
use crate::go;
use crate::site::secrets::secrets;
use crate::support::plain_command;
use crate::toolbox::tool;

/// Of the server that restic's own project has for its protocol.
const VERSION: &str = "0.12.1";
/// Where machines find it.
pub(super) const PORT: u16 = 8000;
/// What is added to vps1: a service that runs only with its data, and where that comes from.
pub(super) const BACKUPS: &str = r#"
[units.keeper]
type = "oneshot"
remain_after_exit = true
user = "root"
exec = ["/usr/bin/grep", "kept", "/var/lib/keeper/note"]
[backups.daily]
repository = "rest:http://192.0.2.1:8000/"
paths = ["/var/lib/keeper"]
units = ["keeper.service"]
"#;

/// A server of a repository, until dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Serves `repository` and nothing else.
    pub(super) fn start(repository: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = plain_command(program());
        command.args(["--no-auth", "--listen", &free.to_string(), "--path"]).arg(repository);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(free).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, address: free }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn program() -> PathBuf {
    let built = go::built(&format!("rest-server-{VERSION}"), |folder| {
        let module = "github.com/restic/rest-server";
        let text = format!("module programs\n\ngo 1.26\n\nrequire {module} v{VERSION}\n");
        write_atomic(&folder.join("go.mod"), text.as_bytes()).unwrap();
        let program = format!("{module}/cmd/rest-server");
        ["build", "-trimpath", "-ldflags=-s", "-o", "bin/", &program].map(str::to_owned).into()
    });
    built.join("bin/rest-server")
}

/// What the host that is lost backed up: Debian's restic makes it, with the host's own password.
pub(super) fn fill(bench: &Bench, directory: &Path) -> PathBuf {
    let (repository, data) = (directory.join("repository"), directory.join("data"));
    write_scratch(&data.join("note"), b"kept\n").unwrap();
    std::fs::create_dir(&repository).unwrap();
    let password = secrets(bench, &["get", "vps1", "backups/daily"]);
    let restic = |words: &[&str]| {
        let tool = tool("restic").sees(&repository).sees_at(&data, "/var/lib/keeper");
        let tool =
            tool.env("RESTIC_REPOSITORY", &repository).env("RESTIC_PASSWORD", password.trim());
        tool.arg("--no-cache").args(words).run()
    };
    restic(&["init"]);
    restic(&["backup", "--host=vps1", "--tag=daily", "/var/lib/keeper"]);
    // Newer, but of another host.
    write_atomic(&data.join("note"), b"another's\n").unwrap();
    restic(&["backup", "--host=vps2", "--tag=daily", "/var/lib/keeper"]);
    repository
}
