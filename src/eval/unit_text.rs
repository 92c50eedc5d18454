//! A unit file as systemd would read it: lines, sections, programs by absolute path.

/// Why systemd would refuse the text, as a fragment; `None` when it would not.
///
/// Source: systemd.syntax(7); settings that take command lines from systemd.service(5),
/// systemd.socket(5), systemd.mount(5), their prefixes from the table in "Command lines".
pub(super) fn unit_problem(text: &str) -> Option<String> {
    let mut section = false;
    let mut continued = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let trimmed = line.trim();
        let was_continued = std::mem::replace(&mut continued, line.ends_with('\\'));
        if was_continued || trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            if !rest.ends_with(']') || rest.len() < 2 {
                return Some(format!("line {number} is not a `[Section]`"));
            }
            section = true;
        } else if let Some((key, value)) = trimmed.split_once('=') {
            if !section {
                return Some(format!("line {number} stands before any `[Section]`"));
            }
            let program = value.trim_start().trim_start_matches(['-', '@', ':', '+', '!', '|']);
            if is_exec(key.trim()) && !program.is_empty() && !program.starts_with('/') {
                let shown: String = program.split(' ').take(1).collect();
                let shown = crate::diag::printable(&shown);
                return Some(format!("line {number} starts `{shown}`, not an absolute path"));
            }
        } else {
            return Some(format!("line {number} is neither `Key=value` nor a `[Section]`"));
        }
    }
    if section { None } else { Some("it has no `[Section]`".to_owned()) }
}

fn is_exec(key: &str) -> bool {
    const KEYS: &[&str] = &[
        "ExecStart",
        "ExecStartPre",
        "ExecStartPost",
        "ExecCondition",
        "ExecReload",
        "ExecReloadPost",
        "ExecStop",
        "ExecStopPre",
        "ExecStopPost",
    ];
    KEYS.contains(&key)
}
