//! `init`: write a host file to start from.

use thiserror::Error;

use super::arguments::Init;
use super::report::Failure;
use super::session::Session;
use crate::exec::files::{FileError, write_atomic};
use crate::spec::HostName;

/// What a new host file says; `NAME` is replaced.
const TEMPLATE: &str = include_str!("init.toml");

/// Why no host file was written.
#[derive(Debug, Error)]
enum InitError {
    #[error(
        "`{name}` is not a host name: 1 to 63 of a-z, 0-9 and -, a letter or digit at both ends"
    )]
    Name { name: String },
    #[error("{path} is there already and stays as it is")]
    Exists { path: String },
}

pub(super) fn run(session: &Session<'_>, arguments: &Init) -> Result<(), Failure> {
    let name = &arguments.host;
    HostName::new(name).map_err(|_| Failure::files(InitError::Name { name: name.clone() }))?;
    let folder = session.environment.working_directory.join("hosts");
    let path = folder.join(format!("{name}.toml"));
    if path.exists() {
        let path = path.display().to_string();
        return Err(Failure::files(InitError::Exists { path }));
    }
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::files(FileError::at("create", &folder)(error)))?;
    write_atomic(&path, TEMPLATE.replace("NAME", name).as_bytes()).map_err(Failure::files)?;
    session.ui.result(&path.display().to_string());
    session.ui.say(&format!("next: put your SSH key into it, then `nexus-host test {name}`"));
    Ok(())
}
