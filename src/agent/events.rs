//! What happened in an activation, a JSON object a line: written by the unit that does the work, read by
//! whoever asked for it, also after he was cut off.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::{AgentError, EXIT_DONE, EXIT_UNCHANGED, EXIT_UNKNOWN};
use super::places::Places;
use super::service_manager;
use crate::exec::files::FileError;
use crate::generation::Nonce;

/// Events after which nothing more comes unless somebody acts.
const LAST: [&str; 5] = ["awaiting", "rebooting", "kept", "returned", "stuck"];
/// How soon a log is looked at for more: after a share of the time without news, within these.
const LOOK_SHARE: u32 = 16;
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK: Duration = Duration::from_millis(20);
/// How often is looked whether somebody still writes it.
const ALIVE: Duration = Duration::from_secs(1);
/// How often whoever follows a log is told that somebody still writes it, by an empty line.
pub const STILL: Duration = Duration::from_secs(10);
/// Most bytes that are read of a log at once.
const PIECE_BYTES: u64 = 1 << 20;

/// The log of one activation.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    started: Instant,
}

impl Journal {
    /// Opens the log, to write behind what is there.
    pub fn open(places: &Places, nonce: &Nonce) -> Result<Self, AgentError> {
        let path = log_path(places, nonce);
        let directory = path.parent().expect("it lies in a directory");
        fs::create_dir_all(directory).map_err(FileError::at("create", directory))?;
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(FileError::at("open", &path))?;
        Ok(Self { file, path, started: Instant::now() })
    }

    /// Writes an event; `fields` is an object.
    pub fn event(&mut self, name: &str, fields: Value) -> Result<(), AgentError> {
        let at = self.file.metadata().map_err(FileError::at("look at", &self.path))?.len();
        let mut event = json!({ "at": at, "event": name });
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        let line = format!("{event}\n");
        Ok(self.file.write_all(line.as_bytes()).map_err(FileError::at("write", &self.path))?)
    }

    /// Writes a step and the time since the last one.
    pub fn step(&mut self, step: &str) -> Result<(), AgentError> {
        let milliseconds = self.started.elapsed().as_secs_f64() * 1000.0;
        self.started = Instant::now();
        let milliseconds = (milliseconds * 10.0).round() / 10.0;
        self.event("step", json!({ "step": step, "milliseconds": milliseconds }))
    }
}

/// Where the log of an attempt lies.
fn log_path(places: &Places, nonce: &Nonce) -> PathBuf {
    places.run().join("attempts").join(format!("{nonce}.log"))
}

/// Shows a log from byte `from` on until its last event; answers the exit code that this means.
///
/// Where nothing happens for [`STILL`], an empty line is written.
///
/// # Errors
///
/// When there is no such log, or the unit that writes it ended without a last event.
pub fn follow(
    places: &Places,
    nonce: &Nonce,
    from: u64,
    output: &mut dyn Write,
) -> Result<u8, AgentError> {
    let path = log_path(places, nonce);
    let mut at = from;
    let mut last_line = String::new();
    let (mut looked, mut told) = (Instant::now(), Instant::now());
    loop {
        let text = read_from(&path, at)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole > 0 {
            show(output, &text[..whole])?;
            told = Instant::now();
            at += whole as u64;
            text[..whole].lines().next_back().unwrap_or_default().clone_into(&mut last_line);
            continue;
        }
        if let Some(code) = meaning(&last_line) {
            return Ok(code);
        }
        if looked.elapsed() > ALIVE {
            looked = Instant::now();
            if !somebody_writes(nonce)? && read_from(&path, at)?.is_empty() {
                let problem = format!("attempt {nonce} ended without a result");
                return Err(AgentError::Unexpected(problem));
            }
        }
        if told.elapsed() > STILL {
            show(output, "\n")?;
            told = Instant::now();
        }
        std::thread::sleep(LOOK_FIRST.max(LOOK.min(told.elapsed() / LOOK_SHARE)));
    }
}

/// Shows it now; whoever asked may be gone, and the work goes on without him.
fn show(output: &mut dyn Write, text: &str) -> Result<(), AgentError> {
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(AgentError::at("write to", "standard output"))
}

/// The unit that does the work of an attempt.
pub fn activation_unit(nonce: &Nonce) -> String {
    format!("nexus-activate-{nonce}.service")
}

fn somebody_writes(nonce: &Nonce) -> Result<bool, AgentError> {
    for unit in [activation_unit(nonce), format!("nexus-dead-{nonce}.service")] {
        if service_manager::is_active(&unit)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The exit code that a last event means; `None` for any other.
fn meaning(line: &str) -> Option<u8> {
    let event: Value = serde_json::from_str(line).ok()?;
    let name = event["event"].as_str().filter(|name| LAST.contains(name))?;
    Some(match name {
        "returned" => {
            let code = event["exit"].as_u64().and_then(|code| u8::try_from(code).ok());
            code.unwrap_or(EXIT_UNCHANGED)
        }
        "stuck" => EXIT_UNKNOWN,
        _ => EXIT_DONE,
    })
}

fn read_from(path: &PathBuf, at: u64) -> Result<String, AgentError> {
    let mut file = File::open(path).map_err(FileError::at("open", path))?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.take(PIECE_BYTES).read_to_end(&mut bytes))
        .map_err(FileError::at("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_shown_from_any_line_on() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        let nonce = Nonce::new(&"a".repeat(32)).unwrap();
        let mut journal = Journal::open(&places, &nonce).unwrap();
        journal.event("begin", json!({ "number": 2 })).unwrap();
        let middle = fs::metadata(log_path(&places, &nonce)).unwrap().len();
        journal.step("swapped").unwrap();
        journal.event("returned", json!({ "reason": "x", "exit": 6 })).unwrap();
        let mut all = Vec::new();
        assert_eq!(follow(&places, &nonce, 0, &mut all).unwrap(), 6);
        let all = String::from_utf8(all).unwrap();
        assert!(all.starts_with("{\"at\":0,\"event\":\"begin\",\"number\":2}\n{\"at\":"), "{all}");
        let mut rest = Vec::new();
        follow(&places, &nonce, middle, &mut rest).unwrap();
        assert_eq!(String::from_utf8(rest).unwrap(), all[usize::try_from(middle).unwrap()..]);
        let unknown = Nonce::new(&"b".repeat(32)).unwrap();
        assert!(follow(&places, &unknown, 0, &mut Vec::new()).is_err());
    }

    #[test]
    fn only_last_events_end_a_log() {
        assert_eq!(meaning("{\"event\":\"awaiting\"}"), Some(EXIT_DONE));
        assert_eq!(meaning("{\"event\":\"stuck\"}"), Some(EXIT_UNKNOWN));
        assert_eq!(meaning("{\"event\":\"returned\"}"), Some(EXIT_UNCHANGED));
        assert_eq!(meaning("{\"event\":\"step\"}"), None);
        assert_eq!(meaning(""), None);
    }
}
