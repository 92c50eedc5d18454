//! Processor time of a process and its children, from `/proc` (`proc_pid_stat(5)`).

use std::path::PathBuf;

/// Processes looked at; a tree of a sandbox around QEMU has four.
const PROCESSES_MAX: usize = 64;

/// `USER_HZ`, the same on all of Linux's architectures but Alpha and Itanium (`asm-generic/param.h`).
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system seconds of process `id` and its living descendants.
pub(super) fn seconds_of_tree(id: u32) -> Option<f64> {
    let mut ids = vec![id];
    let mut ticks = 0;
    let mut looked_at = 0;
    while let Some(id) = ids.pop() {
        let stat = std::fs::read_to_string(process_file(id, "stat"));
        match stat.ok().as_deref().and_then(ticks_of_stat) {
            Some(more) => ticks += more,
            // The first must exist; a child may have ended just now.
            None if looked_at == 0 => return None,
            None => {}
        }
        looked_at += 1;
        if looked_at < PROCESSES_MAX {
            ids.extend(children(id));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "ticks of a test stay far below 2^52")]
    Some(ticks as f64 / TICKS_PER_SECOND)
}

fn process_file(id: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{id}/{name}"))
}

/// Fields 14 to 17: user and system time, also of children that have ended.
fn ticks_of_stat(stat: &str) -> Option<u64> {
    // The second field is the name in parentheses, and may hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields = rest.split_whitespace().skip(11).take(4);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

fn children(id: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(process_file(id, "task")) else { return Vec::new() };
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) 1 (b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1";
        assert_eq!(ticks_of_stat(stat), Some(127));
        assert_eq!(ticks_of_stat("7 (a"), None);
    }

    #[test]
    fn this_process_has_used_time() {
        assert!(seconds_of_tree(std::process::id()).is_some());
        assert_eq!(seconds_of_tree(u32::MAX), None);
    }
}
