//! The kernel's list of mounts.

/// Whether something is mounted at `path`, by the text of `/proc/self/mountinfo`.
///
/// Its fifth field is the mount point, with blanks, tabs, line feeds and backslashes as `\ooo`. Source:
/// `proc_pid_mountinfo(5)`.
pub fn is_mount_point(mountinfo: &str, path: &str) -> bool {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.into_iter().any(|point| unescaped(point) == path.as_bytes())
}

fn unescaped(field: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| first == b'\\');
        let octal =
            digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    bytes
}
