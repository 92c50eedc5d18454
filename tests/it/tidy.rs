//! The house rules that a machine can check: layers, sizes, first sentences, no leftovers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up; a module may use only itself and modules to its left.
const LAYERS: &[&str] = &[
    "failure",
    "calendar",
    "diag",
    "store",
    "tree",
    "boot",
    "generation",
    "switch",
    "health",
    "sops",
    "secrets",
    "debian",
    "spec",
    "eval",
    "lower",
    "image",
    "install",
    "exec",
    "agent",
    "ssh",
    "deploy",
    "takeover",
    "vm",
    "cli",
];
/// Layers that neither read nor change the world.
const PURE: &[&str] = &[
    "calendar",
    "diag",
    "store",
    "tree",
    "boot",
    "generation",
    "switch",
    "health",
    "sops",
    "debian",
    "spec",
    "eval",
    "lower",
    "image",
    "install",
];
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn lower_layers_do_not_use_higher_ones() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let Some(layer) = layer_of(&file.path) else { continue };
        for (number, line) in file.code_lines() {
            for used in uses_of_layers(line) {
                if rank(used) > rank(layer) {
                    wrong.push(format!("{}:{number}: {layer} uses {used}", file.shown()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "a lower layer uses a higher one:\n{}", wrong.join("\n"));
}

#[test]
fn the_pure_core_has_no_effects() {
    let effects = [
        "std::fs::",
        "use std::fs",
        "std::process",
        "std::net",
        "std::env::",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "rustix::",
        "ureq::",
        "rusqlite::",
    ];
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let pure = layer_of(&file.path).is_some_and(|layer| PURE.contains(&layer));
        // What runs in the initrd lives in `boot` and is all effects; its pure half is not.
        let on_host = file.shown().starts_with("src/boot/host");
        if !pure || on_host || file.is_test() {
            continue;
        }
        for (number, line) in file.code_lines() {
            if let Some(effect) = effects.iter().find(|effect| line.contains(**effect)) {
                wrong.push(format!("{}:{number}: {effect}", file.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "effects belong into exec:\n{}", wrong.join("\n"));
}

#[test]
fn only_cli_prints() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let printing = ["println!", "eprintln!", "print!(", "eprint!(", "stdout()", "stderr()"];
        if layer_of(&file.path) == Some("cli") || file.shown().starts_with("src/bin/") {
            continue;
        }
        for (number, line) in file.code_lines() {
            if printing.iter().any(|call| line.contains(call)) && !line.contains(".stdout") {
                wrong.push(format!("{}:{number}: {}", file.shown(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "only cli prints:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_a_sentence_and_is_short() {
    let mut wrong = Vec::new();
    for file in
        rust_files("src").into_iter().chain(rust_files("tests")).chain(rust_files("benches"))
    {
        if !file.text.starts_with("//! ") {
            wrong.push(format!("{}: no `//!` sentence on top", file.shown()));
        }
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines, more than {FILE_LINES_MAX}", file.shown()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().filter(|file| !file.is_test()) {
        for (start, length) in functions(&file.text) {
            if length > FUNCTION_LINES_MAX {
                wrong.push(format!("{}:{start}: a function of {length} lines", file.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_leftovers() {
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let this_file = file.shown() == "tests/it/tidy.rs";
        for (number, line) in file.text.lines().enumerate() {
            let words =
                ["TODO", "FIXME", "XXX", "#[ignore", "should_panic", "todo!(", "unimplemented!("];
            if !this_file && words.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", file.shown(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "finish these:\n{}", wrong.join("\n"));
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut wrong = Vec::new();
    let mut in_dependencies = false;
    let mut reason_above = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
            reason_above = false;
        } else if line.starts_with('#') {
            reason_above = true;
        } else if line.trim().is_empty() {
            reason_above = false;
        } else if in_dependencies && line.contains('=') && !line.starts_with(' ') && !reason_above {
            wrong.push(line.to_owned());
        }
    }
    assert!(wrong.is_empty(), "say in a comment why:\n{}", wrong.join("\n"));
}

#[test]
fn every_host_example_has_a_vm_test() {
    let tests = fs::read_to_string(root().join("tests/it/vm.rs")).unwrap();
    for host in fs::read_dir(root().join("hosts")).unwrap() {
        let path = host.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(tests.contains(&format!("\"{name}\"")), "no VM test names {name}");
        }
    }
}

struct RustFile {
    path: PathBuf,
    text: String,
}

impl RustFile {
    fn shown(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
    }

    /// Lines that are not comments, with their one-based numbers.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<RustFile> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(RustFile { text: fs::read_to_string(&path).unwrap(), path });
            }
        }
    }
    assert!(!files.is_empty() || folder == "benches", "no Rust files below {folder}");
    files
}

fn layer_of(path: &Path) -> Option<&'static str> {
    let inside = path.strip_prefix(root().join("src")).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    LAYERS.iter().find(|layer| **layer == name).copied()
}

fn rank(layer: &str) -> usize {
    LAYERS.iter().position(|known| *known == layer).unwrap()
}

fn uses_of_layers(line: &str) -> Vec<&'static str> {
    let mut used = Vec::new();
    for (start, _) in line.match_indices("crate::") {
        let after = &line[start + "crate::".len()..];
        let word: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        used.extend(LAYERS.iter().find(|layer| **layer == word).copied());
    }
    used
}

/// First line and length of every function, by indentation as rustfmt leaves it.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let mut open: BTreeMap<usize, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_function = words.iter().take(5).any(|word| *word == "fn") && !line.contains("//");
        if is_function && !line.trim_end().ends_with('}') && !line.trim_end().ends_with(';') {
            open.insert(indent, number);
        } else if line.trim_end() == format!("{}}}", " ".repeat(indent))
            && let Some(start) = open.remove(&indent)
        {
            found.push((start + 1, number - start + 1));
        }
    }
    found
}
