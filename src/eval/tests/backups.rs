//! Backups: what restic is told, and when.

use super::support::{LEAST, check_problems, evaluate, file};
use super::*;

const ALL: &str = r#"
[backups.daily]
repository = "rest:https://backup.example.org/50%/$x"
password = { secret = "restic/password" }
secret_environment = { RESTIC_REST_PASSWORD = { secret = "restic/login" } }
paths = ["/var/lib/app", "/srv/a b"]
exclude = ["*.tmp$"]
prepare = ["/usr/bin/sqlite3", "/var/lib/app/data", ".backup /var/lib/app/dump"]
at = "Mon 04:30"
keep = { daily = 3, monthly = 0 }
units = ["app.service"]
[backups.bare]
repository = "/srv/repository"
paths = ["/home"]
keep = { daily = 0, weekly = 0, monthly = 0 }
"#;

/// What every unit of restic is shut in by.
const WALLS: [&str; 9] = [
    "Capability",
    "Lock",
    "Memory",
    "NoNew",
    "Private",
    "Protect",
    "Restrict",
    "SystemCall",
    "UMask",
];

#[test]
fn a_backup_is_three_units() {
    let (system, _) = evaluate(&format!("{LEAST}{ALL}"), &[]).unwrap_or_else(|all| panic!("{all}"));
    let lines = |name: &str| {
        let text = file(&system, &format!("etc/systemd/system/{name}"));
        let own = |line: &&str| !WALLS.iter().any(|wall| line.starts_with(wall));
        format!("== {name}\n{}\n", text.lines().filter(own).collect::<Vec<_>>().join("\n"))
    };
    let names = ["backup-daily.service", "backup-daily.timer", "restore-daily.service"];
    let all: String = names.into_iter().chain(["backup-bare.service"]).map(lines).collect();
    expect![[r#"
        == backup-daily.service
        [Unit]
        Description=Backup daily
        Wants=network-online.target
        After=network-online.target

        [Service]
        Type=oneshot
        Environment="RESTIC_REPOSITORY=rest:https://backup.example.org/50%%/$x"
        Environment=RESTIC_PASSWORD_FILE=%d/password RESTIC_CACHE_DIR=%C/backup-daily RESTIC_PROGRESS_FPS=0.1
        LoadCredential=password:/run/secrets/restic/password
        EnvironmentFile=/run/secrets/templates/backups/daily
        CacheDirectory=backup-daily
        CacheDirectoryMode=0700
        # It reads and writes what belongs to anybody, and `prepare` may become somebody else.
        StateDirectory=nexus-host/backups
        Nice=10
        IOSchedulingClass=idle
        ExecStartPre=/usr/bin/sqlite3 "/var/lib/app/data" ".backup /var/lib/app/dump"
        ExecStart=/usr/lib/nexus-host/backup "--host=a" "--tag=daily" "--exclude=*.tmp$$" "/var/lib/app" "/srv/a b"
        # When it was done last is what `nexus-host status` shows.
        ExecStart=/usr/bin/touch /var/lib/nexus-host/backups/daily
        ExecStart=/usr/bin/restic "forget" "--quiet" "--prune" "--group-by=host,tags" "--host=a" "--tag=daily" "--keep-daily=3" "--keep-weekly=4" "--keep-monthly=0"
        == backup-daily.timer
        [Unit]
        Description=Time of the backup daily

        [Timer]
        OnCalendar=Mon 04:30
        RandomizedDelaySec=15min
        Persistent=yes
        == restore-daily.service
        [Unit]
        Description=Bring back the backup daily
        # Only where somebody has asked for it, once, and not while the machine runs from memory in a takeover.
        ConditionPathExists=/var/lib/nexus-host/restore
        ConditionPathExists=!/var/lib/nexus-host/backups/daily.restored
        ConditionKernelCommandLine=!nexus.root=memory
        Wants=network-online.target
        After=network-online.target
        Before=app.service

        [Service]
        Type=oneshot
        TimeoutStartSec=infinity
        Environment="RESTIC_REPOSITORY=rest:https://backup.example.org/50%%/$x"
        Environment=RESTIC_PASSWORD_FILE=%d/password RESTIC_CACHE_DIR=%C/backup-daily RESTIC_PROGRESS_FPS=0.1
        LoadCredential=password:/run/secrets/restic/password
        EnvironmentFile=/run/secrets/templates/backups/daily
        CacheDirectory=backup-daily
        CacheDirectoryMode=0700
        # It reads and writes what belongs to anybody, and `prepare` may become somebody else.
        StateDirectory=nexus-host/backups
        ExecStart=/usr/bin/restic "restore" "latest" "--quiet" "--host=a" "--tag=daily" "--target=/"
        ExecStart=/usr/bin/touch /var/lib/nexus-host/backups/daily.restored
        == backup-bare.service
        [Unit]
        Description=Backup bare
        Wants=network-online.target
        After=network-online.target

        [Service]
        Type=oneshot
        Environment="RESTIC_REPOSITORY=/srv/repository"
        Environment=RESTIC_PASSWORD_FILE=%d/password RESTIC_CACHE_DIR=%C/backup-bare RESTIC_PROGRESS_FPS=0.1
        LoadCredential=password:/run/secrets/backups/bare
        CacheDirectory=backup-bare
        CacheDirectoryMode=0700
        # It reads and writes what belongs to anybody, and `prepare` may become somebody else.
        StateDirectory=nexus-host/backups
        Nice=10
        IOSchedulingClass=idle
        ExecStart=/usr/lib/nexus-host/backup "--host=a" "--tag=bare" "/home"
        # When it was done last is what `nexus-host status` shows.
        ExecStart=/usr/bin/touch /var/lib/nexus-host/backups/bare
    "#]].assert_eq(&all);
}

#[test]
fn its_secrets_are_declared() {
    let (system, _) = evaluate(&format!("{LEAST}{ALL}"), &[]).unwrap_or_else(|all| panic!("{all}"));
    expect![[r#"
        {
          "format": 1,
          "ciphertext": null,
          "secrets": {
            "backups/bare": {
              "owner": "root",
              "group": "root",
              "mode": 256,
              "units": [],
              "reload": false,
              "generate": "alnum:48",
              "never_rotate": true
            },
            "restic/login": {
              "owner": "root",
              "group": "root",
              "mode": 256,
              "units": [],
              "reload": false,
              "generate": null,
              "never_rotate": false
            },
            "restic/password": {
              "owner": "root",
              "group": "root",
              "mode": 256,
              "units": [],
              "reload": false,
              "generate": "alnum:48",
              "never_rotate": true
            }
          },
          "templates": {
            "backups/daily": {
              "text": "RESTIC_REST_PASSWORD={secret:restic/login|env}\n",
              "owner": "root",
              "group": "root",
              "mode": 256,
              "units": [],
              "reload": false
            }
          },
          "password_hashes": {}
        }
    "#]]
    .assert_eq(&file(&system, "usr/lib/nexus-host/secrets.json"));
}

#[test]
fn what_nobody_could_bring_back_is_refused() {
    let text = "[backups.a]\nrepository = \"/srv/r\"\npaths = [\"/srv\", \"/etc/app\", \"/run\"]\n";
    check_problems(
        &format!("{LEAST}{text}"),
        &expect![[r#"
        error[E0408]: a backup of `/etc`, which the host file makes or which nobody could bring back
         --> hosts/a.toml:6:18
          |
        6 | paths = ["/srv", "/etc/app", "/run"]
          |                  ^^^^^^^^^^ says the module `backups`
          |
          = help: Back up what lies below `/var`, `/srv`, `/home` or `/root`; the rest comes with the host.

        error[E0408]: a backup of `/run`, which the host file makes or which nobody could bring back
         --> hosts/a.toml:6:30
          |
        6 | paths = ["/srv", "/etc/app", "/run"]
          |                              ^^^^^^ says the module `backups`
          |
          = help: Back up what lies below `/var`, `/srv`, `/home` or `/root`; the rest comes with the host.
    "#]],
    );
}
