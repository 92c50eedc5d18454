//! The program on hosts with secrets: proves that they can be decrypted, and installs them.
//!
//! | command | what it does |
//! |---|---|
//! | `check ROOT` | decrypts everything for the system whose `usr` and `etc` lie below ROOT; tells what would change, and changes nothing |
//! | `install [ROOT] [GENERATION]` | installs the secrets of that system; ROOT is `/` when not given |
//! | `password-hashes` | binds the password hashes over `/etc/shadow` again, after a new `/etc` |
//!
//! Standard output carries one JSON object: `declared`, and of what changes or has changed `secrets`,
//! `templates`, `restart`, `reload`, `first`. Exit codes: 0 done, 2 the command line is wrong, 4 nothing was changed,
//! 70 a bug.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nexus_host::failure::{REPORT, causes, exit_on_bug, in_words};
use nexus_host::secrets::install::{
    BootError, Changed, Places, bind_shadow, changes, check_generation, install_secrets,
    keep_out_of_dumps,
};

const DONE: u8 = 0;
const USAGE: u8 = 2;
const UNCHANGED: u8 = 4;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program says")]
fn main() -> ExitCode {
    exit_on_bug("nexus-secrets", |bug| eprintln!("{}", in_words(&bug.causes(), Some(REPORT))));
    keep_out_of_dumps();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(Some(answer)) => {
            println!("{answer}");
            DONE.into()
        }
        Ok(None) => {
            eprintln!(
                "usage: nexus-secrets check ROOT | install [ROOT] [GENERATION] | password-hashes"
            );
            USAGE.into()
        }
        Err(error) => {
            eprintln!("{}", in_words(&causes(&error), None));
            UNCHANGED.into()
        }
    }
}

/// The answer; `None` when the command line is none.
fn run(words: &[&str]) -> Result<Option<String>, BootError> {
    let places = Places::default();
    let (root, generation) = match words {
        ["check", root] => {
            let prepared = check_generation(Path::new(root), &places)?;
            let changed = prepared.map(|prepared| changes(&prepared, &places.link));
            return Ok(Some(answer(changed.as_ref())));
        }
        ["password-hashes"] => {
            let folder = std::fs::read_link(&places.link).unwrap_or_default();
            bind_shadow(&folder).map_err(BootError::Shadow)?;
            return Ok(Some("{}".to_owned()));
        }
        ["install"] => ("/", Some(0)),
        ["install", root] => (*root, Some(0)),
        ["install", root, generation] => (*root, generation.parse::<u64>().ok()),
        _ => return Ok(None),
    };
    let Some(generation) = generation else { return Ok(None) };
    let changed = install_secrets(&PathBuf::from(root), &places, generation)?;
    Ok(Some(answer(changed.as_ref())))
}

fn answer(changed: Option<&Changed>) -> String {
    let Some(changed) = changed else { return "{\"declared\":0}".to_owned() };
    let json = serde_json::json!({
        "declared": changed.declared, "secrets": changed.secrets, "templates": changed.templates,
        "restart": changed.restart, "reload": changed.reload, "first": changed.first,
    });
    json.to_string()
}
