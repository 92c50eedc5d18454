//! Where a secret stands in a SOPS document.

use std::collections::BTreeMap;

use super::declaration::Declarations;
use crate::sops::{Format, Item, Node, SecretBytes, find, leaf_paths};

/// The path of the secret `name` in a document: `app/token` is `token` below `app`; a dotenv file, which
/// is flat, has `APP_TOKEN`.
pub fn value_path(format: Format, name: &str) -> Vec<String> {
    match format {
        Format::Dotenv => vec![name.replace(['/', '-'], "_").to_ascii_uppercase()],
        _ => name.split('/').map(str::to_owned).collect(),
    }
}

/// The value of the secret `name`: text as it is, numbers in digits; `None` when it is not there or is a
/// map or list.
pub fn value_of(items: &[Item], format: Format, name: &str) -> Option<SecretBytes> {
    node_of(items, format, name).and_then(Node::file_bytes)
}

/// What stands at the place of the secret `name`.
pub fn node_of<'t>(items: &'t [Item], format: Format, name: &str) -> Option<&'t Node> {
    let path = value_path(format, name);
    find(items, &path.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Every declared secret that has a value.
pub fn values(
    items: &[Item],
    format: Format,
    declarations: &Declarations,
) -> BTreeMap<String, SecretBytes> {
    let names = declarations.secrets.keys();
    names.filter_map(|name| Some((name.clone(), value_of(items, format, name)?))).collect()
}

/// Declared secrets without a value.
pub fn missing(items: &[Item], format: Format, declarations: &Declarations) -> Vec<String> {
    let names = declarations.secrets.keys();
    names.filter(|name| value_of(items, format, name).is_none()).cloned().collect()
}

/// Paths in the document that no declared secret has.
pub fn unused(items: &[Item], format: Format, declarations: &Declarations) -> Vec<String> {
    let declared: Vec<String> =
        declarations.secrets.keys().map(|name| value_path(format, name).join("/")).collect();
    leaf_paths(items).into_iter().filter(|path| !declared.contains(path)).collect()
}
