//! The revision of the user's files, when they are in Git.

use std::path::Path;

use super::environment::Environment;
use super::process;

/// Digits of a commit that are kept.
const DIGITS: &str = "--short=12";

/// The commit that is checked out in `folder`, with `-dirty` when files differ from it.
///
/// `None` when the folder is in no repository, or there is no `git`.
pub fn revision(folder: &Path, environment: &Environment) -> Option<String> {
    let git = |words: &[&str]| {
        let path = environment.variable("PATH")?;
        let program =
            std::env::split_paths(path).map(|dir| dir.join("git")).find(|p| p.is_file())?;
        let mut command = process::command(program.as_os_str());
        command.envs(environment.variables()).arg("-C").arg(folder).args(words);
        let output = command.stdin(std::process::Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", DIGITS, "HEAD"])?;
    let is_commit = !commit.is_empty() && commit.bytes().all(|c| c.is_ascii_hexdigit());
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"])?;
    is_commit.then(|| if dirty.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Who runs this program, as `user@machine`.
pub fn who(environment: &Environment) -> String {
    let user = environment.text("USER").or_else(|| environment.text("LOGNAME"));
    let user =
        user.map_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()), str::to_owned);
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    let plain =
        |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(60).collect() };
    format!("{}@{}", plain(&user), plain(&machine))
}
