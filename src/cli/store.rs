//! `store`: look after the store.

use super::arguments::{Store as Arguments, StoreVerb};
use super::exit;
use super::report::Failure;
use super::session::Session;
use crate::exec::store::{Found, VerifyReport};
use crate::store::StorePath;

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.verb {
        StoreVerb::Verify => verify(session),
        StoreVerb::Gc => collect_garbage(session),
        StoreVerb::Path { path } => print_path(session, path),
    }
}

fn verify(session: &Session<'_>) -> Result<(), Failure> {
    let store = session.store()?;
    let report = store.verify(true, session.ui, &session.interrupt).map_err(Failure::build)?;
    if session.json {
        session.ui.json(&verify_json(&report));
    } else {
        session.ui.result(&verify_text(&report));
    }
    if report.is_clean() { Ok(()) } else { Err(Failure::Shown(exit::CHECK_FAILED)) }
}

fn collect_garbage(session: &Session<'_>) -> Result<(), Failure> {
    let store = session.store()?;
    let collected = store.collect_garbage(&[]).map_err(Failure::build)?;
    if session.json {
        let paths: Vec<String> =
            collected.paths.iter().map(|p| store.directory().join(p)).collect();
        let bytes = collected.nar_bytes;
        session.ui.json(&serde_json::json!({ "removed": paths, "nar_bytes": bytes }));
    } else {
        collected.paths.iter().for_each(|path| session.ui.result(&store.directory().join(path)));
    }
    Ok(())
}

fn print_path(session: &Session<'_>, text: &str) -> Result<(), Failure> {
    let store = session.store()?;
    let base = text.rsplit('/').next().unwrap_or(text);
    let path = StorePath::from_base_name(base).map_err(|e| Failure::with_code(exit::USAGE, e))?;
    let real = store.real_path(&path);
    session.ui.result(&real.display().to_string());
    Ok(())
}

fn verify_text(report: &VerifyReport) -> String {
    let mut lines = Vec::new();
    let mut list = |what: &str, items: Vec<String>| {
        lines.extend(items.into_iter().map(|item| format!("{what}: {item}")));
    };
    let paths = |paths: &[StorePath]| paths.iter().map(ToString::to_string).collect();
    list("missing", paths(&report.missing));
    list("changed", report.changed.iter().map(|changed| changed.path.to_string()).collect());
    list("wrong name", paths(&report.misnamed));
    list("needed but not there", paths(&report.dangling));
    list("registry", report.registry.clone());
    list("garbage of a stopped run (`store gc` removes it)", report.unregistered.clone());
    let state = if report.is_clean() { "all good" } else { "NOT good" };
    lines.push(format!("{} paths, {} bytes: {state}", report.paths, report.nar_bytes));
    lines.join("\n")
}

fn verify_json(report: &VerifyReport) -> serde_json::Value {
    let paths =
        |paths: &[StorePath]| paths.iter().map(ToString::to_string).collect::<Vec<String>>();
    let changed = report.changed.iter().map(|changed| {
        let found = match &changed.found {
            Found::Digest(digest) => digest.to_string(),
            Found::Unreadable(why) => why.clone(),
        };
        serde_json::json!({
            "path": changed.path.to_string(),
            "expected": changed.expected.to_string(),
            "found": found,
        })
    });
    serde_json::json!({
        "clean": report.is_clean(),
        "paths": report.paths,
        "nar_bytes": report.nar_bytes,
        "missing": paths(&report.missing),
        "changed": changed.collect::<Vec<_>>(),
        "misnamed": paths(&report.misnamed),
        "dangling": paths(&report.dangling),
        "registry": report.registry,
        "unregistered": report.unregistered,
    })
}
