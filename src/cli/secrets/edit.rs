//! `secrets edit`: the whole document in an editor, in memory.

use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::super::exit;
use super::super::report::Failure;
use super::super::session::Session;
use super::arguments::Edit;
use super::host::{HostSecrets, SecretsError, say_consequences, say_stale};
use crate::exec::process::{command, status_in_words, words_for_reading};
use crate::exec::secrets::document::SecretsFile;
use crate::exec::secrets::memory::MemoryFolder;
use crate::secrets::install::keep_out_of_dumps;
use crate::secrets::{Declarations, value_path, values};
use crate::sops::{Format, Item, Node, SecretBytes, set};

/// Variables that hold identities; an editor has no use for them.
const OWN_VARIABLES: [&str; 2] = ["SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE"];
/// How often a text that is no document may be put right.
const ATTEMPTS_MAX: usize = 20;

pub(super) fn run(session: &Session<'_>, arguments: &Edit) -> Result<(), Failure> {
    let host = HostSecrets::read(session, &arguments.host)?;
    let editor = editor(session)?;
    let folder = MemoryFolder::new(&fallbacks(session)).map_err(Failure::files)?;
    keep_out_of_dumps();
    if !folder.is_private() {
        session.ui.say(
            "warning: this system lets nobody mount memory, so the plain text lies in a tmpfs; after a kill -9 \
             it stays there until the next boot",
        );
    }
    let file = host.open_or_create(&arguments.who)?;
    let mut before = file.opened.items.clone();
    if before.is_empty() {
        before = to_fill_in(file.format, &host.declarations);
    }
    let plain = file.format.write_plain(&before).map_err(Failure::files)?;
    let name = host.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = folder.write(&name, &SecretBytes::new(plain)).map_err(Failure::files)?;
    let after = edit_until_good(session, &editor, &folder, &path, file.format)?;
    finish(session, &host, file, after)
}

fn finish(
    session: &Session<'_>,
    host: &HostSecrets<'_>,
    file: SecretsFile,
    after: Vec<Item>,
) -> Result<(), Failure> {
    if after == file.opened.items {
        session.ui.say("nothing was changed");
        return Ok(());
    }
    let old = values(&file.opened.items, file.format, &host.declarations);
    let new = values(&after, file.format, &host.declarations);
    let names = host.declarations.secrets.keys();
    let changed: Vec<&String> = names.filter(|name| old.get(*name) != new.get(*name)).collect();
    file.write(after, session.environment.now_seconds).map_err(Failure::files)?;
    session.ui.say(&format!("{} written; commit it", host.shown));
    say_stale(session, host, changed.iter().copied());
    let (restart, reload) = host.consequences(changed.into_iter());
    say_consequences(session, &restart, &reload);
    Ok(())
}

/// The editor's program and arguments.
fn editor(session: &Session<'_>) -> Result<Vec<OsString>, Failure> {
    let mut told = ["SOPS_EDITOR", "VISUAL", "EDITOR"].into_iter();
    let told = told.find_map(|variable| session.environment.text(variable));
    let words: Vec<OsString> =
        told.unwrap_or_default().split_whitespace().map(OsString::from).collect();
    if words.is_empty() {
        let message = "neither VISUAL nor EDITOR is set".to_owned();
        return Err(SecretsError::Refused { message }.fail("say which, such as `EDITOR=nano`"));
    }
    let mut words = words;
    let program =
        Path::new(&words[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if matches!(program.as_str(), "vim" | "nvim") {
        // Neither a swap file nor a history: they would lie on a disk.
        words.extend(["-n", "-i", "NONE", "--cmd", "set nobackup noundofile"].map(OsString::from));
    }
    Ok(words)
}

/// Folders that are usually in memory.
fn fallbacks(session: &Session<'_>) -> Vec<PathBuf> {
    let runtime = session.environment.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime.into_iter().chain([PathBuf::from("/dev/shm")]).collect()
}

/// A new document lists what is declared, to be filled in.
fn to_fill_in(format: Format, declarations: &Declarations) -> Vec<Item> {
    let mut items = Vec::new();
    for name in declarations.secrets.keys() {
        let path = value_path(format, name);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        // Names that are folders of others were refused before.
        let _placed = set(&mut items, &path, Node::text(""));
    }
    items
}

fn edit_until_good(
    session: &Session<'_>,
    editor: &[OsString],
    folder: &MemoryFolder,
    path: &Path,
    format: Format,
) -> Result<Vec<Item>, Failure> {
    for _ in 0..ATTEMPTS_MAX {
        start(session, editor, path)?;
        let text = folder.read(path).map_err(Failure::files)?;
        let error = match format.parse_plain(text.expose()) {
            Ok(items) => return Ok(items),
            Err(error) => error,
        };
        let mut input = std::io::stdin().lock();
        if !input.is_terminal() {
            return Err(
                Failure::files(error).help("nothing was written; the old file is as it was")
            );
        }
        session.ui.problem(&format!("error: {error}"));
        session.ui.problem("Enter to edit again, Ctrl-C to give up (nothing is written then)");
        let mut line = String::new();
        if input.read_line(&mut line).is_err() || line.is_empty() {
            return Err(Failure::files(error));
        }
    }
    let message = format!("the text was no document {ATTEMPTS_MAX} times");
    Err(SecretsError::Refused { message }.fail("nothing was written; the old file is as it was"))
}

fn start(session: &Session<'_>, editor: &[OsString], path: &Path) -> Result<(), Failure> {
    let mut child = command(&editor[0]);
    child.args(&editor[1..]).arg(path).current_dir(&session.environment.working_directory);
    child.envs(
        session
            .environment
            .variables()
            .filter(|(name, _)| !OWN_VARIABLES.iter().any(|own| name.to_str() == Some(own))),
    );
    let shown = words_for_reading(editor);
    let status = child.status().map_err(|error| {
        let message = format!("the editor `{shown}` cannot be started: {error}");
        SecretsError::Refused { message }.fail("set VISUAL or EDITOR to a program that exists")
    })?;
    if status.success() {
        return Ok(());
    }
    let message = format!("the editor `{shown}` ended with {}", status_in_words(status));
    let error = SecretsError::Refused { message };
    Err(Failure::with_code(exit::FILES_WRONG, error).help("nothing was written"))
}
