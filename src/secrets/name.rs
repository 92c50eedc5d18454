//! Names of secrets.

/// Most bytes of a name.
const NAME_BYTES_MAX: usize = 200;
/// The folder of rendered templates below the run directory; no secret may lie there.
pub(super) const TEMPLATES: &str = "templates";

/// Whether `name` can be the name of a secret: parts of letters, digits, `_` and `-`, with `/` between, each
/// beginning with a letter or digit.
///
/// It is a path below the run directory and a path in the SOPS file, so it can leave neither. `sops`
/// and `templates` are taken as first parts.
pub fn is_secret_name(name: &str) -> bool {
    let part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric();
        let first = part.bytes().next().is_some_and(inner);
        first && part.bytes().all(|byte| inner(byte) || matches!(byte, b'_' | b'-'))
    };
    let first = name.split('/').next().unwrap_or_default();
    name.len() <= NAME_BYTES_MAX
        && name.split('/').all(part)
        && !matches!(first, "sops" | TEMPLATES)
}
