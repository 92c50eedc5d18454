//! What an agent says. It runs on another machine, so nothing of it is believed that is not of the right form.

use serde::Deserialize;
use serde_json::Value;

/// The version of the conversation that is spoken here.
const FORMAT: u32 = 1;

/// The answer to `status --json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Status {
    format: u32,
    /// The machine's name.
    pub host: Option<String>,
    /// Tells machines apart; made at the first boot.
    pub machine_id: Option<String>,
    /// Tells boots apart.
    pub boot_id: Option<String>,
    /// What runs; nothing while the machine is between two systems.
    pub running: Option<Numbered>,
    /// What was booted.
    pub booted: Numbered,
    /// The generation that the next boot takes.
    pub default: Option<u32>,
    /// What waits to be confirmed.
    pub trial: Option<TrialReply>,
    /// Who changes the machine right now.
    pub busy: Option<String>,
    /// The history, oldest first.
    pub generations: Vec<GenerationReply>,
    /// Units that have failed.
    pub failed_units: Option<Vec<String>>,
    /// What of the running system only the next boot brings.
    pub reboot_needed: Option<Vec<String>>,
    /// Backups that the running system makes; none of an agent that does not tell.
    pub backups: Option<Vec<BackupReply>>,
    /// Bytes free for store paths.
    pub free_bytes: Option<u64>,
}

/// A backup that a host makes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BackupReply {
    /// Its name.
    pub name: String,
    /// When it was last done, in seconds since 1970; none when it never was.
    pub last: Option<u64>,
}

/// A generation that is named by its number, when it is in the history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Numbered {
    /// Its number.
    pub number: Option<u32>,
    /// Its store path.
    pub system: String,
}

/// What is on trial.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TrialReply {
    /// The generation.
    pub number: u32,
    /// The attempt.
    pub nonce: String,
    /// Who made it.
    #[serde(default)]
    pub by: String,
    /// `live`, `soft-reboot` or `reboot`.
    pub level: String,
}

/// A place in the history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GenerationReply {
    /// Its number.
    pub number: u32,
    /// Its store path.
    pub system: String,
    /// Seconds since 1970.
    pub registered: u64,
    /// Who registered it.
    pub by: String,
    /// Revision of the files it was made from.
    pub commit: Option<String>,
    /// Whether it is kept whatever else is collected.
    pub pinned: bool,
    /// `new`, `good` or `bad`.
    pub verdict: String,
    /// Why it is bad.
    pub reason: Option<String>,
}

/// The answer to `plan --json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct PlanReply {
    format: u32,
    /// `live`, `soft-reboot` or `reboot`.
    pub level: String,
    /// A sentence for each reason that it is not less.
    pub why: Vec<String>,
    /// Units that are stopped before the switch.
    pub stop: Vec<String>,
    /// Units that read their configuration again.
    pub reload: Vec<String>,
    /// Units that stop and start.
    pub restart: Vec<String>,
    /// Units that start.
    pub start: Vec<String>,
    /// Units that would have to restart and must not.
    pub kept: Vec<KeptReply>,
    /// The reason for each unit that is touched.
    #[serde(default)]
    pub changed: std::collections::BTreeMap<String, String>,
    /// Secrets that change, by name.
    #[serde(default)]
    pub secrets: Vec<String>,
}

/// A unit that goes on with its old program until the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeptReply {
    /// The unit.
    pub unit: String,
    /// Why it must not restart.
    pub why: String,
}

/// Something that happened in an activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What: `begin`, `step`, `problem`, `check`, `awaiting`, `rebooting`, `kept`, `returned`, `stuck`, …
    pub name: String,
    /// The byte of the log behind it: where to go on after a broken connection.
    pub next: u64,
    /// Everything that it says.
    pub fields: Value,
}

/// Most characters of a text from a machine that are shown.
const SHOWN_CHARS_MAX: usize = 2000;

/// A text from a machine, for a terminal: control characters escaped, cut where it gets too long.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars().take(SHOWN_CHARS_MAX) {
        // U+202A to U+202E and U+2066 to U+2069 turn the direction of writing.
        let turns = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if char.is_control() || turns {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
    out
}

/// Why an answer cannot be used.
pub(super) type ReplyError = String;

impl Status {
    /// Reads the answer.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ReplyError> {
        let status: Self = parse(text)?;
        check_format(status.format)?;
        Ok(status)
    }

    /// The system that runs.
    pub fn running_system(&self) -> &str {
        self.running.as_ref().map_or(&self.booted.system, |running| &running.system)
    }

    /// The number of the generation that runs.
    pub fn running_number(&self) -> Option<u32> {
        self.running.as_ref().unwrap_or(&self.booted).number
    }

    /// The generation with this number.
    pub fn generation(&self, number: u32) -> Option<&GenerationReply> {
        self.generations.iter().find(|generation| generation.number == number)
    }

    /// The newest generation that has this system.
    pub fn generation_of(&self, system: &str) -> Option<&GenerationReply> {
        self.generations.iter().rev().find(|generation| generation.system == system)
    }
}

impl PlanReply {
    /// Reads the answer.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ReplyError> {
        let plan: Self = parse(text)?;
        check_format(plan.format)?;
        Ok(plan)
    }

    /// Whether no unit is touched.
    pub fn touches_nothing(&self) -> bool {
        [&self.stop, &self.reload, &self.restart, &self.start].iter().all(|list| list.is_empty())
    }
}

impl Event {
    /// Reads a line of a log that has begun at byte `at` of it, without its end.
    pub(super) fn parse(line: &str) -> Result<Self, ReplyError> {
        let fields: Value = parse(line.as_bytes())?;
        let name = fields["event"].as_str().ok_or("an event has no name")?.to_owned();
        // `started` of a detached activation is in no log.
        let at = fields["at"].as_u64().unwrap_or(0);
        let next = at.saturating_add(line.len() as u64).saturating_add(1);
        Ok(Self { name, next, fields })
    }

    /// A text that it says.
    pub fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    /// A number that it says.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields[field].as_u64()
    }
}

fn parse<T: for<'d> Deserialize<'d>>(text: &[u8]) -> Result<T, ReplyError> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn check_format(format: u32) -> Result<(), ReplyError> {
    if format == FORMAT {
        Ok(())
    } else {
        Err(format!("it speaks version {format}, this program version {FORMAT}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"format": 1, "agent": "0.1.0", "host": "vps1", "machine_id": "ab", "boot_id": "x",
        "running": {"number": 2, "system": "/nix/store/b"}, "booted": {"number": 1, "system": "/nix/store/a"},
        "default": 2, "trial": null, "busy": null, "failed_units": [], "reboot_needed": [], "free_bytes": 1,
        "generations": [{"number": 1, "system": "/nix/store/a", "registered": 5, "by": "image", "commit": null,
          "pinned": false, "verdict": "good", "reason": null}], "more": 1}"#;

    #[test]
    fn a_status_is_read() {
        let status = Status::parse(STATUS.as_bytes()).unwrap();
        assert_eq!((status.running_system(), status.running_number()), ("/nix/store/b", Some(2)));
        assert_eq!(status.generation(1).unwrap().by, "image");
        assert_eq!(status.generation_of("/nix/store/z"), None);
        let other = STATUS.replace("\"format\": 1", "\"format\": 2");
        assert!(Status::parse(other.as_bytes()).unwrap_err().contains("version 2"));
        for broken in ["", "[]", "{}", "null", "{\"format\": 1}", &STATUS.replace("ab\"", "")] {
            assert!(Status::parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn an_event_says_where_the_next_begins() {
        let line = r#"{"at":10,"event":"kept","number":3}"#;
        let event = Event::parse(line).unwrap();
        assert_eq!((event.name.as_str(), event.next), ("kept", 10 + line.len() as u64 + 1));
        assert_eq!((event.number("number"), event.text("number")), (Some(3), ""));
        for broken in ["", "{}", "1", "{\"event\":1}", "{\"event\":"] {
            assert!(Event::parse(broken).is_err(), "{broken}");
        }
        let huge = format!("{{\"at\":{},\"event\":\"x\"}}", u64::MAX);
        assert_eq!(Event::parse(&huge).unwrap().next, u64::MAX);
    }
}
