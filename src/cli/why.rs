//! `why`: which input makes two systems differ.

use thiserror::Error;

use super::arguments::Why;
use super::exit;
use super::report::Failure;
use super::session::Session;
use crate::exec::store::Store;
use crate::lower::why::{Difference, Side, difference};
use crate::store::StorePath;

/// How deep the recipes are followed.
const DEPTH_MAX: usize = 8;

/// Why two things cannot be compared.
#[derive(Debug, Error)]
enum WhyError {
    #[error("`{text}` is neither a store path nor a host that was built")]
    Unknown { text: String },
    #[error("{path} was not made by this store, so its recipe is not known")]
    NoRecipe { path: StorePath },
}

pub(super) fn run(session: &Session<'_>, arguments: &Why) -> Result<(), Failure> {
    let store = session.store()?;
    let a = path_of(&store, &arguments.a)?;
    let b = path_of(&store, &arguments.b)?;
    let mut lines = Vec::new();
    explain(&store, &a, &b, 0, &mut lines)?;
    if session.json {
        session.ui.json(&serde_json::json!({
            "a": store.directory().join(&a), "b": store.directory().join(&b), "differences": lines,
        }));
    } else if lines.is_empty() {
        session.ui.result("no difference");
    } else {
        session.ui.result(&lines.join("\n"));
    }
    Ok(())
}

/// A store path as written, or the last build of a host.
fn path_of(store: &Store, text: &str) -> Result<StorePath, Failure> {
    let base = text.rsplit('/').next().unwrap_or(text);
    let path = match StorePath::from_base_name(base) {
        Ok(path) => Some(path),
        Err(_) => store.roots().map_err(Failure::build)?.remove(&super::build::root_name(text)),
    };
    let unknown = || WhyError::Unknown { text: text.to_owned() };
    path.ok_or_else(|| Failure::with_code(exit::USAGE, unknown()))
}

fn explain(
    store: &Store,
    a: &StorePath,
    b: &StorePath,
    depth: usize,
    lines: &mut Vec<String>,
) -> Result<(), Failure> {
    if a == b || depth == DEPTH_MAX {
        return Ok(());
    }
    let indent = "  ".repeat(depth);
    lines.push(format!("{indent}{} differs from {}", a.as_str(), b.as_str()));
    let found = difference(&preimage(store, a)?, &preimage(store, b)?);
    let Difference { facts, inputs, lone_inputs } = found;
    for (side, fact) in facts.iter().chain(&lone_inputs) {
        let sign = match side {
            Side::A => '-',
            Side::B => '+',
        };
        lines.push(format!("{indent}  {sign} {fact}"));
    }
    for (a, b) in inputs {
        let parse = |text: &str| StorePath::from_base_name(text).map_err(Failure::build);
        explain(store, &parse(&a)?, &parse(&b)?, depth + 1, lines)?;
    }
    Ok(())
}

fn preimage(store: &Store, path: &StorePath) -> Result<String, Failure> {
    let known = store.preimage_of(path).map_err(Failure::build)?;
    known.ok_or_else(|| Failure::files(WhyError::NoRecipe { path: path.clone() }))
}
