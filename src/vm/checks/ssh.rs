//! Real SSH from outside: a real client, a real key, the machine's real host key.
//!
//! The test makes a key of its own. It is authorised in the running machine only, by a mount over the
//! directory of the user's authorised keys; the disk, and so the tested system, stays as it is.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::expectations::Login;
use super::super::launch::{Program, run_to_end};
use super::super::network::Forward;
use super::{Bench, Failure, Finding, chain, verdict};
use crate::exec::files;
use crate::exec::process::shell_word as quote;

/// How long a key exchange may take; an emulated machine needs a few seconds.
const SSH_WITHIN: Duration = Duration::from_secs(120);

/// The name by which the client looks up the machine's host key.
const HOST_KEY_ALIAS: &str = "machine";

/// Names in the machine's directory.
const KEY_FILE: &str = "ssh-key";
const KNOWN_HOSTS_FILE: &str = "known-hosts";

/// Prints where `sshd` looks for a user's keys, a path a line; the user's name is `$user`.
const KEY_FILES: &str = r#"
home=$(getent passwd "$user" | cut -d: -f6); test -n "$home"
sshd=$(command -v sshd || echo /usr/sbin/sshd)
"$sshd" -T -C "user=$user,host=outside,addr=192.0.2.1" | sed -n 's/^authorizedkeysfile //p' |
tr ' ' '\n' | while read -r file; do
    file=${file//%u/$user}; file=${file//%h/$home}; file=${file//%%/%}
    case $file in none|'') ;; /*) echo "$file" ;; *) echo "$home/$file" ;; esac
done
"#;

/// Authorises `$key` for `$user` until the next boot; reads the paths of [`KEY_FILES`].
const AUTHORIZE: &str = r#"
while read -r file; do
    directory=$(dirname "$file")
    if ! [ -d "$directory" ]; then
        mkdir -p -m 700 "$directory" 2>/dev/null || continue
        chown "$user:" "$directory"
    fi
    copy=$(mktemp -d -p /run/nexus-test)
    cp -a "$directory/." "$copy/"
    chown --reference="$directory" "$copy"; chmod --reference="$directory" "$copy"
    new=$copy/$(basename "$file")
    if ! [ -e "$new" ]; then
        (umask 077; : >"$new"); chown "$user:" "$new"
    fi
    echo "$key" >>"$new"
    mount --bind "$copy" "$directory"
    exit 0
done
echo "no place for an authorised key" >&2
exit 1
"#;

/// What the client needs, made once for each machine.
pub(super) struct TestKeys {
    forward: Forward,
    public_key: String,
}

impl Bench<'_> {
    /// The public host keys, as `sshd` is configured; none when there is no `sshd`.
    pub(super) fn host_keys(&mut self) -> Result<Vec<String>, Failure> {
        let keys = self.machine.shell().succeed(
            "sshd=$(command -v sshd || echo /usr/sbin/sshd); test -x \"$sshd\" || exit 0\n\
             \"$sshd\" -T | sed -n 's/^hostkey //p' | while read -r key; do\n\
               if [ -e \"$key\" ]; then ssh-keygen -y -f \"$key\" </dev/null; fi\n\
             done",
        )?;
        let two_words = |line: &str| {
            let mut words = line.split_whitespace();
            Some(format!("{} {}", words.next()?, words.next()?))
        };
        Ok(keys.lines().filter_map(two_words).collect())
    }

    pub(super) fn authorized_keys(&mut self, login: &Login) -> Finding {
        let command = format!(
            "user={}\n({KEY_FILES}) | while read -r file; do\n\
             if [ -e \"$file\" ]; then cat \"$file\"; echo; fi\ndone",
            quote(&login.user)
        );
        let found = self.machine.shell().succeed(&command)?;
        let (is_good, seen) = compare_keys(&found, &login.keys);
        verdict(is_good, seen)
    }

    pub(super) fn ssh_login(&mut self, user: &str) -> Finding {
        self.authorize(user)?;
        let command = ["id -un; uname -n"];
        let key = ["-i", KEY_FILE, "-o", "PreferredAuthentications=publickey"];
        let (status, output) = self.ssh(user, &key, &command)?;
        let expected = [user, self.expected.host.as_str()];
        let lines: Vec<&str> = output.lines().rev().take(2).collect();
        let is_good = status == Some(0) && lines.into_iter().rev().eq(expected);
        let seen = if is_good { format!("logged in as {user}") } else { failed(status, &output) };
        verdict(is_good, seen)
    }

    pub(super) fn ssh_password(&mut self, user: &str) -> Finding {
        let nothing = ["-o", "PreferredAuthentications=none", "-o", "PubkeyAuthentication=no"];
        let (status, output) = self.ssh(user, &nothing, &["true"])?;
        match offered_methods(&output) {
            Some(methods) if status == Some(255) => {
                let by_password =
                    |method: &&str| matches!(*method, "password" | "keyboard-interactive");
                let is_good = !methods.split(',').any(|method| by_password(&method));
                verdict(is_good, format!("the server offers {methods}"))
            }
            _ => Err(Failure::Seen(failed(status, &output))),
        }
    }

    /// Makes the test's key and the way in, once.
    fn prepare(&mut self) -> Result<(), Failure> {
        if self.keys.is_some() {
            return Ok(());
        }
        let directory = self.machine.directory().to_owned();
        let words = ["-q", "-t", "ed25519", "-N", "", "-C", "nexus-host-test", "-f", KEY_FILE];
        let (status, output) = self.run(Program::SshKeygen, &words)?;
        if status != Some(0) {
            return Err(Failure::Seen(failed(status, &output)));
        }
        let seen = |error: &dyn std::error::Error| Failure::Seen(chain(error));
        let public = files::read_limited(&directory.join(format!("{KEY_FILE}.pub")), 4096)
            .map_err(|error| seen(&error))?;
        let public_key = String::from_utf8_lossy(&public).trim().to_owned();
        let keys = self.host_keys()?;
        let mut lines = String::new();
        for key in &keys {
            lines.extend([HOST_KEY_ALIAS, " ", key, "\n"]);
        }
        files::write_atomic(&directory.join(KNOWN_HOSTS_FILE), lines.as_bytes())
            .map_err(|error| seen(&error))?;
        let (network, _) = self.outside()?;
        let address = self.one_address_each().first().copied();
        let none = || Failure::Seen("the machine has no address".to_owned());
        let to = SocketAddr::new(address.ok_or_else(none)?, self.expected.ssh_port);
        self.keys = Some(TestKeys { forward: network.forward(to)?, public_key });
        Ok(())
    }

    fn authorize(&mut self, user: &str) -> Result<(), Failure> {
        self.prepare()?;
        let Some(keys) = &self.keys else { unreachable!("prepared just above") };
        let (user, key) = (quote(user), quote(&keys.public_key));
        let command = format!(
            "user={user} key={key}\nfiles=$({KEY_FILES})\n(echo \"$files\") | (\n{AUTHORIZE}\n)"
        );
        self.machine.shell().succeed(&command)?;
        Ok(())
    }

    /// Runs the client; returns its exit status and what it wrote.
    fn ssh(
        &mut self,
        user: &str,
        how: &[&str],
        command: &[&str],
    ) -> Result<(Option<i32>, String), Failure> {
        self.prepare()?;
        let Some(keys) = &self.keys else { unreachable!("prepared just above") };
        let local = keys.forward.local;
        let port = local.port().to_string();
        let known_hosts = format!("UserKnownHostsFile={KNOWN_HOSTS_FILE}");
        let alias = format!("HostKeyAlias={HOST_KEY_ALIAS}");
        let target = format!("{user}@{}", local.ip());
        let mut words = vec!["-F", "none", "-p", &port];
        let options = [
            known_hosts.as_str(),
            alias.as_str(),
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "ConnectTimeout=60",
            "LogLevel=ERROR",
        ];
        words.extend(options.iter().flat_map(|option| ["-o", *option]));
        words.extend(how);
        words.extend([target.as_str(), "--"]);
        words.extend(command);
        self.run(Program::Ssh, &words)
    }

    fn run(&self, program: Program, words: &[&str]) -> Result<(Option<i32>, String), Failure> {
        let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        let limits = (SSH_WITHIN, self.machine.interrupt());
        let directory = self.machine.directory();
        run_to_end(self.machine.launch(), program, &arguments, directory, limits)
            .map(|(status, output)| (status.code(), output))
            .map_err(|error| Failure::Seen(chain(&error)))
    }
}

/// Whether the wanted keys are all there, and no others.
pub(super) fn compare_keys(found: &str, wanted: &[String]) -> (bool, String) {
    // The comment at a key's end, and options in front of it, do not make another key.
    let blob = |line: &str| {
        let line = line.trim();
        let is_key = !line.is_empty() && !line.starts_with('#');
        let words = || line.split_whitespace();
        is_key.then(|| words().find(|word| word.starts_with("AAAA")).unwrap_or(line).to_owned())
    };
    let wanted: Vec<String> = wanted.iter().filter_map(|line| blob(line)).collect();
    let found: Vec<String> = found.lines().filter_map(blob).collect();
    let missing = wanted.iter().filter(|key| !found.contains(key)).count();
    let other = found.iter().filter(|key| !wanted.contains(key)).count();
    let seen = match (missing, other) {
        (0, 0) => format!("{} keys, all declared", found.len()),
        _ => format!("{missing} declared keys are missing, {other} others are there"),
    };
    (missing == 0 && other == 0, seen)
}

/// The list in `Permission denied (publickey,password).`
pub(super) fn offered_methods(output: &str) -> Option<&str> {
    let (_, rest) = output.rsplit_once("Permission denied (")?;
    rest.split_once(')').map(|(methods, _)| methods)
}

fn failed(status: Option<i32>, output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let tail = lines[lines.len().saturating_sub(5)..].join("\n");
    let status = status.map_or("a signal".to_owned(), |status| format!("status {status}"));
    format!("the client ended with {status}\n{tail}").trim_end().to_owned()
}
