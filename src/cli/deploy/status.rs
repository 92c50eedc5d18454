//! `status`: what machines run, whether they are healthy, and what has drifted.

use serde_json::{Value, json};

use super::arguments::Status as Arguments;
use super::remote::{failure, ways};
use crate::cli::exit;
use crate::cli::hosts;
use crate::cli::report::Failure;
use crate::cli::session::Session;
use crate::cli::workspace::Workspace;
use crate::deploy::{self, Agent, BackupReply, plain};

/// Machines that are asked at the same time.
const PARALLEL: usize = 20;
/// Titles of the table.
const TITLES: [&str; COLUMNS] =
    ["HOST", "GENERATION", "SINCE", "BY", "COMMIT", "BACKUP", "CERTIFICATE", "STATE"];
const COLUMNS: usize = 8;

/// What is known about one machine.
struct Seen {
    row: [String; COLUMNS],
    /// Sentences below the table.
    notes: Vec<String>,
    json: Value,
    code: u8,
}

pub(crate) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let explain = |error| super::super::session::explain_workspace(error, Some(&workspace));
    let names = workspace.select(&arguments.hosts).map_err(explain)?;
    let mut seen = Vec::new();
    for some in names.chunks(PARALLEL) {
        std::thread::scope(|scope| {
            let look = |name: &String| {
                let name = name.clone();
                let workspace = &workspace;
                scope.spawn(move || look_at(session, workspace, &name, arguments))
            };
            let threads: Vec<_> = some.iter().map(look).collect();
            for thread in threads {
                let result = thread.join();
                seen.push(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
    }
    if session.json {
        let hosts: Vec<&Value> = seen.iter().map(|one| &one.json).collect();
        session.ui.json(&json!({ "hosts": hosts }));
    } else {
        show(session, &seen);
    }
    match seen.iter().map(|one| one.code).max().unwrap_or(exit::DONE) {
        exit::DONE => Ok(()),
        code => Err(Failure::Shown(code)),
    }
}

fn look_at(
    session: &Session<'_>,
    workspace: &Workspace,
    name: &str,
    arguments: &Arguments,
) -> Seen {
    let looked = hosts::system(session, workspace, name).and_then(|system| {
        let ways = ways(session, &system, &arguments.reach)?;
        let mut agent = Agent::connect(ways.first()).map_err(failure)?;
        agent.seen().map_err(failure)
    });
    match looked {
        Ok(seen) => Seen::of(name, seen, session),
        Err(failure) => {
            let causes = failure.causes();
            failure.show(session.ui, false);
            let mut row = [const { String::new() }; COLUMNS].map(|_| "-".to_owned());
            name.clone_into(&mut row[0]);
            row[COLUMNS - 1] = "not reached".into();
            let json = json!({ "host": name, "reached": false, "error": causes });
            Seen { row, notes: Vec::new(), json, code: failure.code() }
        }
    }
}

impl Seen {
    fn of(name: &str, seen: deploy::Seen, session: &Session<'_>) -> Self {
        let deploy::Seen { status, raw, checks, drift } = seen;
        let failing = failing(&checks);
        let mut notes: Vec<String> = failing
            .iter()
            .map(|(check, detail)| format!("check `{check}` fails: {detail}"))
            .collect();
        let units = status.failed_units.clone().unwrap_or_default();
        notes.extend(units.iter().map(|unit| format!("{unit} has failed")));
        notes.extend(by_hand(&drift));
        let pending = status.reboot_needed.clone().unwrap_or_default();
        if !pending.is_empty() {
            notes.push(format!("only the next boot brings: {}", pending.join(", ")));
        }
        if let Some(trial) = &status.trial {
            notes.push(format!("generation {} is on trial, by {}", trial.number, trial.by));
        } else if status.default != status.running_number() {
            let default = status.default.map_or_else(|| "?".into(), |number| number.to_string());
            notes.push(format!("the next boot takes generation {default}, not what runs"));
        }
        notes.extend(status.busy.iter().map(|busy| format!("it is being changed: {busy}")));
        notes.extend(status.generations.iter().filter(|entry| entry.verdict == "bad").map(|bad| {
            let reason = bad.reason.as_deref().unwrap_or("it failed");
            format!("generation {} is known to be bad: {reason}", bad.number)
        }));
        let healthy = failing.is_empty() && units.is_empty();
        let number = status.running_number();
        let entry = number.and_then(|number| status.generation(number));
        let now = session.environment.now_seconds;
        let row = [
            name.to_owned(),
            number.map_or_else(|| "?".into(), |number| number.to_string()),
            entry.map_or_else(|| "-".into(), |entry| age(now, entry.registered)),
            entry.map_or_else(|| "-".into(), |entry| entry.by.clone()),
            entry.and_then(|entry| entry.commit.clone()).unwrap_or_else(|| "-".into()),
            backup(status.backups.as_deref().unwrap_or_default(), now),
            certificate(&checks).map_or_else(|| "-".into(), |days| format!("{days} d")),
            if healthy { "healthy".into() } else { "not healthy".into() },
        ];
        let code = if healthy { exit::DONE } else { exit::CHECK_FAILED };
        let json = json!({
            "host": name, "reached": true, "healthy": healthy, "status": raw,
            "checks": checks["checks"], "drift": drift, "notes": notes,
        });
        Self { row: row.map(|cell| plain(&cell)), notes, json, code }
    }
}

/// Names and details of the checks that fail.
fn failing(checks: &Value) -> Vec<(String, String)> {
    let all = checks["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let fails = all.iter().filter(|check| check["ok"] != true);
    fails.map(|check| (text(check, "name"), text(check, "detail"))).collect()
}

/// For how many days the certificate lasts that ends first, of those that are checked.
fn certificate(checks: &Value) -> Option<u64> {
    checks["checks"].as_array()?.iter().filter_map(|check| check["days_left"].as_u64()).min()
}

/// When the backup was done that is the oldest, of those that the host makes.
fn backup(all: &[BackupReply], now_seconds: u64) -> String {
    // Never is before any time.
    match all.iter().map(|backup| backup.last).min() {
        None => "-".into(),
        Some(None) => "never".into(),
        Some(Some(oldest)) => age(now_seconds, oldest),
    }
}

/// What somebody did to units, in words.
fn by_hand(drift: &Value) -> Vec<String> {
    let told = |field: &str, what: &str| -> Vec<String> {
        let units = drift[field].as_array().map(Vec::as_slice).unwrap_or_default();
        let units = units.iter().filter_map(Value::as_str);
        units.map(|unit| format!("{unit} {what}")).collect()
    };
    let started = told("started", "was started by hand: nothing of the system asks for it");
    [started, told("stopped", "was stopped by hand: the system asks for it")].concat()
}

fn show(session: &Session<'_>, seen: &[Seen]) {
    let rows = || seen.iter().map(|one| &one.row);
    let mut widths = TITLES.map(|title| title.chars().count());
    for row in rows() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    session.ui.result(&line(TITLES.to_vec()));
    rows().for_each(|row| session.ui.result(&line(row.iter().map(String::as_str).collect())));
    for one in seen {
        for note in &one.notes {
            session.ui.result(&format!("{}: {}", one.row[0], plain(note)));
        }
    }
}

/// How long ago something was, in the largest unit that has at least two of it.
pub(super) fn age(now_seconds: u64, then_seconds: u64) -> String {
    let seconds = now_seconds.saturating_sub(then_seconds);
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    match units.iter().find(|(length, _)| seconds >= 2 * length) {
        Some((length, unit)) => format!("{} {unit} ago", seconds / length),
        None => format!("{seconds} s ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!(age(100, 41), "59 s ago");
        assert_eq!(age(7200, 0), "2 h ago");
        assert_eq!(age(400_000, 0), "4 d ago");
        assert_eq!(age(0, 5), "0 s ago");
        assert_eq!(age(180, 1), "2 min ago");
    }

    #[test]
    fn the_certificate_that_ends_first_counts() {
        let of = |days: &[Option<u64>]| {
            let checks: Vec<Value> = days.iter().map(|days| json!({ "days_left": days })).collect();
            certificate(&json!({ "checks": checks }))
        };
        assert_eq!(of(&[Some(80), None, Some(7)]), Some(7));
        assert_eq!((of(&[None]), certificate(&json!(1))), (None, None));
    }

    #[test]
    fn the_oldest_backup_counts() {
        let of = |times: &[Option<u64>]| {
            let all = times.iter().map(|last| BackupReply { name: "a".into(), last: *last });
            backup(&all.collect::<Vec<_>>(), 100)
        };
        assert_eq!(of(&[Some(90), Some(60)]), "40 s ago");
        assert_eq!(of(&[Some(90), None]), "never");
        assert_eq!(of(&[]), "-");
    }

    #[test]
    fn units_that_drifted_are_sentences() {
        let told = by_hand(&json!({ "started": ["a.service"], "stopped": ["b.timer"] }));
        assert_eq!(
            told,
            [
                "a.service was started by hand: nothing of the system asks for it",
                "b.timer was stopped by hand: the system asks for it",
            ]
        );
        assert_eq!(by_hand(&json!(null)), [""; 0]);
    }

    #[test]
    fn failing_checks_are_found() {
        let checks = json!({ "checks": [{"name": "a", "ok": true}, {"name": "b", "ok": false, "detail": "x"}] });
        assert_eq!(failing(&checks), [("b".to_owned(), "x".to_owned())]);
        assert_eq!(failing(&json!(1)), []);
    }
}
