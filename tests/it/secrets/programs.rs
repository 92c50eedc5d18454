//! Real programs that take their secrets by reference, as a host file has them: restic, `PostgreSQL`, a container
//! of Podman, Caddy; and Tailscale, see [`super::tailnet`].

use super::tailnet::expect_joined;
use crate::bench::{Host, LONG};

/// What is added to vps1: four programs, each with a secret of its own.
pub(super) const PROGRAMS: &str = r#"
# restic reads its password from a credential.
[units.keeper]
type = "oneshot"
remain_after_exit = true
exec = ["/bin/sh", "-ec", "test -e note || echo kept >note"]
working_directory = "/var/lib/keeper"
state = true
[backups.daily]
repository = "/var/lib/repository"
password = { secret = "backup/password" }
paths = ["/var/lib/keeper"]
exclude = ["*.tmp"]
prepare = ["/usr/bin/touch", "/var/lib/keeper/dump", "/var/lib/keeper/dump.tmp"]
units = ["keeper.service"]

# A role's password is set from a credential, and its client takes the same secret from its environment.
[secrets.values."db/password"]
generate = "alnum:32"
[units.postgres-cluster]
packages = ["postgresql-17"]
type = "oneshot"
remain_after_exit = true
user = "postgres"
state = true
exec = [
    "/bin/sh", "-ec",
    "test -e main/PG_VERSION || exec /usr/lib/postgresql/17/bin/initdb --no-sync --auth-host=scram-sha-256 --auth-local=peer main",
]
working_directory = "/var/lib/postgres-cluster"
[units.postgres]
type = "notify"
user = "postgres"
requires = ["postgres-cluster.service"]
exec = ["/usr/lib/postgresql/17/bin/postgres", "-D", "/var/lib/postgres-cluster/main", "-c", "jit=off"]
write_paths = ["/var/lib/postgres-cluster", "/run/postgresql"]
listen = ["127.0.0.1:5432"]
[units.postgres-roles]
type = "oneshot"
remain_after_exit = true
user = "postgres"
requires = ["postgres.service"]
exec = ["/usr/lib/postgresql/17/bin/psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "/usr/share/vps1/roles.sql", "postgres"]
credentials = { app = { secret = "db/password" } }
[files."/usr/share/vps1/roles.sql"]
text = '''
\set password `cat /run/credentials/postgres-roles.service/app`
SELECT 'CREATE ROLE app LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \gexec
ALTER ROLE app PASSWORD :'password';
'''
[units.db-client]
type = "oneshot"
remain_after_exit = true
requires = ["postgres-roles.service"]
exec = ["/usr/lib/postgresql/17/bin/psql", "-X", "-Atc", "SELECT current_user || ' is logged in'", "-h", "127.0.0.1", "-U", "app", "postgres"]
secret_environment = { PGPASSWORD = { secret = "db/password" } }

# A container has its secret mounted.
[secrets.values."box/token"]
generate = "hex:64"
units = ["box.service"]
[files."/etc/containers/systemd/box.container"]
text = '''
[Unit]
Requires=box-image.service
After=box-image.service
[Container]
Image=localhost/box:1
Pull=never
Network=none
Volume=/run/secrets/box/token:/run/secrets/token:ro
Exec=/bin/busybox sh -c "busybox sha256sum /run/secrets/token; exec busybox sleep 1000000"
PodmanArgs=--stop-signal=KILL
[Quadlet]
DefaultDependencies=false
[Install]
WantedBy=multi-user.target
'''
[files."/etc/systemd/system/box-image.service"]
text = '''
[Service]
Type=oneshot
RemainAfterExit=yes
RuntimeDirectory=box
ExecStart=/bin/sh -ec "podman image exists localhost/box:1 && exit; install -D /usr/bin/busybox /run/box/bin/busybox; tar -cC /run/box . | podman import - localhost/box:1"
'''

# A site that asks for a login.
[secrets.values."site/password"]
generate = "alnum:32"
[secrets.values."site/login"]
generate = "bcrypt:site/password"
[routes."closed.example.org"]
to = "127.0.0.1:8080"
tls = "off"
logins = { me = { secret = "site/login" } }
"#;
/// What cannot be asked for by a unit.
pub(super) const PACKAGES: (&str, &str) =
    ("packages = [\"curl\"]", "packages = [\"curl\", \"podman\", \"busybox-static\"]");
/// Secrets that the test renews.
pub(super) const RENEWED: [&str; 5] =
    ["box/token", "db/password", "net/key", "site/login", "site/password"];
/// Their users that start anew. Caddy is only reloaded.
pub(super) const RESTARTED: [&str; 5] = [
    "box.service",
    "db-client.service",
    "net-control.service",
    "net-join.service",
    "postgres-roles.service",
];
/// Units that know no secret, or one that stays.
pub(super) const UNTOUCHED: [&str; 5] = [
    "box-image.service",
    "keeper.service",
    "postgres-cluster.service",
    "postgres.service",
    "tailscaled.service",
];

const PSQL: &str = "/usr/lib/postgresql/17/bin/psql -X -h 127.0.0.1 -U app -c 'SELECT 1' postgres";
const RESTIC: &str = "restic --no-cache -r /var/lib/repository";

/// Each program uses the value that lies in `/run/secrets`, and no other; `old` has values that were renewed.
pub(super) fn expect_in_use(host: &mut Host, old: Option<&str>) {
    expect_role(host, old);
    expect_container(host);
    expect_site(host, old);
    expect_joined(host, old);
}

/// The repository opens with the password and with no other; what was backed up comes back once, when it is asked for.
pub(super) fn expect_backup(host: &mut Host) {
    let told = |host: &mut Host| host.json("status --json")["backups"].clone();
    assert_eq!(told(host), serde_json::json!([{ "name": "daily", "last": null }]));
    let begun = host.run("date +%s").parse::<u64>().unwrap();
    host.run("systemctl start backup-daily");
    let last = told(host)[0]["last"].as_u64().unwrap();
    assert!(last >= begun, "done at {last}, begun at {begun}");
    let with = format!("{RESTIC} --password-file /run/secrets/box/token");
    refuses(host, &format!("{with} snapshots"), "wrong password or no key found");

    let state = "/var/lib/private/keeper";
    let owner = host.run(&format!("stat -c %u:%a {state}/note"));
    host.run(&format!("systemctl stop keeper; echo lost >{state}/note; rm {state}/dump*"));
    host.run("systemctl start restore-daily");
    assert_eq!(host.run(&format!("cat {state}/note")), "lost", "nobody has asked for it");
    host.run("touch /var/lib/nexus-host/restore; systemctl start keeper");
    let note = format!("cat {state}/note; stat -c %u:%a {state}/note; ls {state}");
    assert_eq!(host.run(&note), format!("kept\n{owner}\ndump\nnote"));
    host.run(&format!("echo new >{state}/note; systemctl restart restore-daily"));
    assert_eq!(host.run(&format!("cat {state}/note")), "new", "it came back a second time");
}

fn expect_role(host: &mut Host, old: Option<&str>) {
    let logged_in = "journalctl -b -u db-client.service -o cat | grep -c 'app is logged in'";
    let times = if old.is_some() { "2" } else { "1" };
    assert_eq!(host.run(logged_in), times);
    let with = |file: &str| format!("PGPASSWORD=$(cat {file}) {PSQL}");
    host.run(&with("/run/secrets/db/password"));
    let other = old.map_or("/run/secrets/box/token".to_owned(), |old| format!("{old}/db/password"));
    refuses(host, &with(&other), "password authentication failed for user \"app\"");
}

/// It says the digest of what it reads.
fn expect_container(host: &mut Host) {
    let digest = host.run("sha256sum </run/secrets/box/token | cut -d ' ' -f 1");
    let said = host.run("podman logs systemd-box");
    assert_eq!(said, format!("{digest}  /run/secrets/token"));
}

fn expect_site(host: &mut Host, old: Option<&str>) {
    let at = ("closed.example.org", 80, "site/password");
    assert_eq!(login_status(host, at, "/run/secrets"), "200");
    if let Some(old) = old {
        assert_eq!(login_status(host, at, old), "401", "the old password still opens the site");
    }
    let status = "curl -s -o /dev/null -w '%{http_code}' -H 'Host: closed.example.org'";
    assert_eq!(host.run(&format!("{status} http://127.0.0.1/")), "401");
}

/// What a site of a port answers to `me`, whose password lies in a folder.
pub(super) fn login_status(
    host: &mut Host,
    (site, port, secret): (&str, u16, &str),
    folder: &str,
) -> String {
    let login = format!("printf 'user = \"me:%s\"' \"$(cat {folder}/{secret})\"");
    let curl = format!("curl -s -K - -o /dev/null -w '%{{http_code}}' -H 'Host: {site}'");
    host.run(&format!("{login} | {curl} http://127.0.0.1:{port}/"))
}

#[track_caller]
pub(super) fn refuses(host: &mut Host, command: &str, says: &str) {
    let output = host.machine.shell().run(command, LONG).unwrap();
    assert_ne!(output.status, 0, "{command}: {}", output.text());
    assert!(output.stderr.contains(says), "{command}: {}", output.stderr);
}
