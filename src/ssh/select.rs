//! Which way to a machine is taken, from what the user says and has configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{self, HostConfig};
use super::known_hosts::{HostKey, KnownHosts};
use super::{Builtin, Program, SshError, Transport};
use crate::exec::environment::Environment;
use crate::exec::files::{FileError, read_limited};
use crate::exec::interrupt::Interrupt;
use crate::spec::SshAddress;

/// Most bytes of the user's configuration and of a file of known hosts.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Keys that are tried when nothing else is said, as ssh(1) has them, without those for hardware.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// The port that is not written.
const USUAL_PORT: u16 = 22;

/// What the command line says about SSH.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The `ssh` to be used, instead of the built-in client.
    pub program: Option<PathBuf>,
    /// A key to log in with, before all others.
    pub key: Option<PathBuf>,
    /// Take a host key that nobody knows, and remember it.
    pub accept_new: bool,
    /// Public keys of the machine, when the host file names them.
    pub host_keys: Vec<String>,
}

/// A machine and everything that is needed to log in.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name or address to connect to.
    pub host: String,
    /// The port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// Files of keys, in the order of trying.
    pub keys: Vec<PathBuf>,
    /// Whether keys of the agent are left alone.
    pub files_only: bool,
    /// What is known about host keys.
    pub known: KnownHosts,
    /// The file that takes new host keys, when they are accepted.
    pub accept_into: Option<PathBuf>,
}

/// The way to `address`.
///
/// # Errors
///
/// When the user's files cannot be read, or only an `ssh` that is not there could do it.
pub fn choose(
    address: &SshAddress,
    options: &Options,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<Arc<dyn Transport>, SshError> {
    let home = environment.variable("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let folder = home.join(".ssh");
    let file = folder.join("config");
    let text = read_if_there(&file)?;
    let config = config::read(&text, address.host(), &home);
    if let Some(program) = &options.program {
        let program = environment.working_directory.join(program);
        return Ok(Arc::new(Program::new(program, address, options, environment, interrupt)));
    }
    let beyond = config.beyond.clone().or_else(|| needs_hardware(&config));
    if let Some(keyword) = beyond {
        let program = find_program(environment).ok_or(SshError::NeedsProgram { keyword, file })?;
        return Ok(Arc::new(Program::new(program, address, options, environment, interrupt)));
    }
    let target = target(address, options, environment, (config, &folder))?;
    Ok(Arc::new(Builtin::new(target, interrupt.clone())))
}

/// A key file whose other half is in hardware.
fn needs_hardware(config: &HostConfig) -> Option<String> {
    let in_hardware = |path: &PathBuf| {
        let public = PathBuf::from(format!("{}.pub", path.display()));
        read_limited(&public, FILE_BYTES_MAX).is_ok_and(|text| text.starts_with(b"sk-"))
    };
    config.identity_files.iter().any(in_hardware).then(|| "identityfile".to_owned())
}

fn find_program(environment: &Environment) -> Option<PathBuf> {
    let path = environment.variable("PATH")?;
    std::env::split_paths(path).map(|folder| folder.join("ssh")).find(|path| path.is_file())
}

fn target(
    address: &SshAddress,
    options: &Options,
    environment: &Environment,
    (config, folder): (HostConfig, &Path),
) -> Result<Target, SshError> {
    let port = address.port().or(config.port).unwrap_or(USUAL_PORT);
    let host = config.host_name.unwrap_or_else(|| address.host().to_owned());
    let user = address.user().map(str::to_owned).or(config.user);
    let user = user.or_else(|| environment.text("USER").map(str::to_owned));
    let own = folder.join("known_hosts");
    let mut known = KnownHosts::default();
    if options.host_keys.is_empty() {
        let files = if config.known_hosts.is_empty() {
            vec![own.clone(), PathBuf::from("/etc/ssh/ssh_known_hosts")]
        } else {
            config.known_hosts
        };
        for file in files {
            known.read(&read_if_there(&file)?, &file.display().to_string());
        }
    } else {
        let name = super::known_hosts::name_of(&host, port);
        let lines = options.host_keys.iter().map(|key| format!("{name} {key}\n"));
        known.read(&lines.collect::<String>(), "the host file's `host_keys`");
    }
    let mut keys: Vec<PathBuf> = config.identity_files;
    if let Some(key) = &options.key {
        keys.insert(0, environment.working_directory.join(key));
    }
    let named = !keys.is_empty();
    if !named {
        keys.extend(USUAL_KEYS.map(|name| folder.join(name)));
    }
    Ok(Target {
        host,
        port,
        user: user.unwrap_or_else(|| "root".to_owned()),
        keys,
        files_only: config.identities_only || options.key.is_some(),
        known,
        accept_into: options.accept_new.then_some(own),
    })
}

fn read_if_there(path: &Path) -> Result<String, FileError> {
    match read_limited(path, FILE_BYTES_MAX) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) if !path.exists() => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Whether `key` is one that the machine may have; a new one is remembered when that was asked for.
pub(super) fn judge_key(target: &Target, key: HostKey) -> Result<(), SshError> {
    use super::known_hosts::{Verdict, name_of};
    let address = name_of(&target.host, target.port);
    match (target.known.judge(&target.host, target.port, &key), &target.accept_into) {
        (Verdict::Known, _) => Ok(()),
        (Verdict::Other(known_in), _) => Err(SshError::ChangedKey { address, key, known_in }),
        (Verdict::Unknown, None) => Err(SshError::UnknownKey { address, key }),
        (Verdict::Unknown, Some(file)) => remember(file, &format!("{address} {key}\n")),
    }
}

fn remember(file: &Path, line: &str) -> Result<(), SshError> {
    let mut text = read_if_there(file)?;
    if text.contains(line) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(FileError::at("create", folder))?;
    }
    Ok(crate::exec::files::write_atomic(file, text.as_bytes())?)
}
