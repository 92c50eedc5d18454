//! The command line of `nexus-agent`: words in, a request, its result out.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::activation::{self, Entry, Request};
use super::boot_menu;
use super::collect;
use super::confirmation;
use super::drift::{self, Drift};
use super::error::{AgentError, EXIT_CHECK, EXIT_DONE};
use super::events;
use super::health;
use super::import;
use super::lock::{Lock, Locked};
use super::manifest::{self, Allowed, Manifest};
use super::observation::observe;
use super::places::{Places, read_store_path, shown};
use super::returning;
use super::serve;
use super::state;
use super::status;
use super::takeover::{self, kexec};
use super::trees::{InPlace, Stage};
use super::verify;
use crate::generation::{GenerationNumber, Level, Nonce};
use crate::store::{Sha256Digest, StorePath};
use crate::switch::Policy;

/// What `help` says.
const HELP: &str = "\
nexus-agent COMMAND: changes this host from within (docs/agent-protocol.md)

  status [--json]                 what runs, what is tried, what failed
  generations [--json]            the history
  serve                           several commands, one after the other, over one start
  missing                         store paths on standard input → those that are not here
  import                          takes store paths, only what is missing
  manifest TOPLEVEL               what a system says about itself
  plan TOPLEVEL [--json]          what an activation would do
  activate TOPLEVEL [--trial] [--nonce HEX] [--window SECONDS] [--level LEVEL]
           [--expect N] [--by WHO] [--commit REV] [--again] [--detach]
  attach NONCE [--from BYTES]     shows the events of an activation
  confirm NONCE                   keeps what is on trial
  rollback [N]                    back to a generation that proved itself
  pin N, unpin N                  keeps a generation from being collected, or not
  gc [--keep K] [--dry-run]       forgets old generations and removes what only they needed
  verify                          digests all store paths; those that are not whole
  drift [--json]                  units that somebody started or stopped by hand
  check [NAME…] [--once] [--json] the host's own health checks, all or some
  takeover-load, takeover-go, takeover-forget, write-disk DEVICE
                                  for `nexus-host install`
";
/// Options that have a value.
const WITH_VALUE: [&str; 13] = [
    "nonce",
    "window",
    "level",
    "expect",
    "by",
    "commit",
    "from",
    "keep",
    "kernel-bytes",
    "initrd-bytes",
    "sha256",
    "command-line",
    "carry",
];
/// Options that have none.
const FLAGS: [&str; 7] = ["json", "trial", "again", "detach", "dry-run", "boot-only", "once"];
/// Seconds of a window when none is given, and its limits.
const WINDOW_SECONDS: u32 = 30;
const WINDOW_SECONDS_LIMITS: std::ops::RangeInclusive<u32> = 5..=3600;
/// Good generations that a collection keeps when nothing else is said.
const KEEP: usize = 5;
/// How long small changes wait for others.
const WAIT: Duration = Duration::from_secs(2);

/// Streams that a command talks through.
#[expect(missing_debug_implementations, reason = "its parts are traits without it")]
pub struct Streams<'a> {
    /// What it is given.
    pub input: &'a mut dyn BufRead,
    /// What it answers.
    pub output: &'a mut dyn Write,
}

impl Streams<'_> {
    fn say(&mut self, text: &str) -> Result<(), AgentError> {
        writeln!(self.output, "{text}")
            .and_then(|()| self.output.flush())
            .map_err(AgentError::at("write to", "standard output"))
    }
}

/// Words of a command line, sorted.
struct Words {
    plain: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Words {
    fn parse(words: &[String]) -> Result<Self, AgentError> {
        let mut parsed = Self { plain: Vec::new(), values: BTreeMap::new() };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let Some(option) = word.strip_prefix("--") else {
                parsed.plain.push(word.clone());
                continue;
            };
            let (name, given) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            let value = if WITH_VALUE.contains(&name) {
                let missing = || AgentError::Usage(format!("--{name} needs a value"));
                given.or_else(|| rest.next().cloned()).ok_or_else(missing)?
            } else if FLAGS.contains(&name) && given.is_none() {
                String::new()
            } else {
                return Err(AgentError::Usage(format!("`{word}` is not an option")));
            };
            parsed.values.insert(name.to_owned(), value);
        }
        Ok(parsed)
    }

    fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, AgentError> {
        let wrong = |value: &String| AgentError::Usage(format!("--{name}={value} is no number"));
        self.values.get(name).map(|value| value.parse().map_err(|_| wrong(value))).transpose()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// Who wants it.
    fn by(&self) -> String {
        self.text("by").unwrap_or_else(|| "somebody on the host".into())
    }

    fn system(&self) -> Result<StorePath, AgentError> {
        Ok(read_store_path(self.argument("a system")?)?)
    }

    fn nonce(&self) -> Result<Nonce, AgentError> {
        let given = self.text("nonce");
        let text = match &given {
            Some(text) => text,
            None => self.argument("a nonce")?,
        };
        Ok(Nonce::new(text)?)
    }

    fn generation(&self) -> Result<GenerationNumber, AgentError> {
        let text = self.argument("a generation")?;
        let number = text.parse().ok().and_then(GenerationNumber::new);
        number.ok_or_else(|| AgentError::Usage(format!("`{text}` is not a generation")))
    }

    fn argument(&self, what: &str) -> Result<&str, AgentError> {
        match &self.plain[..] {
            [one] => Ok(one),
            [] => Err(AgentError::Usage(format!("the command needs {what}"))),
            [_, more, ..] => Err(AgentError::Usage(format!("`{more}` is one word too many"))),
        }
    }
}

/// Carries out a command; answers the exit code.
///
/// # Errors
///
/// What kept it from being carried out; nothing has changed then.
pub fn run(places: &Places, words: &[String], streams: &mut Streams<'_>) -> Result<u8, AgentError> {
    let Some((command, rest)) = words.split_first() else {
        return Err(AgentError::Usage("a command is missing".into()));
    };
    let words = Words::parse(rest)?;
    match command.as_str() {
        "help" | "--help" | "-h" => streams.say(HELP.trim_end())?,
        "status" => streams.say(&pretty(&status::status(places)?))?,
        "generations" => {
            let generations = state::load(places)?;
            let default = generations.default().map(GenerationNumber::get);
            let all = status::generations_json(&generations);
            streams.say(&pretty(&json!({ "default": default, "generations": all })))?;
        }
        "serve" => serve::serve(places, streams)?,
        "missing" => missing(places, streams)?,
        "import" => drop(import::import(places, streams.input, streams.output)?),
        "manifest" => {
            let text = manifest::text(places, &words.system()?)?;
            streams.say(String::from_utf8_lossy(&text).trim_end())?;
        }
        "plan" => plan(places, &words, streams)?,
        "activate" => return activate(places, &words, streams),
        "attach" => {
            let from = words.number("from")?.unwrap_or(0);
            return events::follow(places, &words.nonce()?, from, streams.output);
        }
        "confirm" => {
            confirmation::confirm(places, &words.nonce()?)?;
            streams.say(&json!({ "event": "confirmed" }).to_string())?;
        }
        "rollback" => return rollback(places, &words, streams),
        "pin" | "unpin" => pin(places, words.generation()?, command == "pin")?,
        "gc" => gc(places, &words, streams)?,
        "verify" => return verify(places, streams),
        "drift" => {
            let Drift { started, stopped } = drift::look(places)?;
            streams.say(&pretty(&json!({ "started": started, "stopped": stopped })))?;
        }
        "check" => return check(places, &words, streams),
        "run" => activation::run(places, &words.nonce()?, &words.by(), words.has("boot-only"))?,
        "return" => returning::unconfirmed(places, &words.nonce()?)?,
        "boot" => confirmation::after_boot(places)?,
        "bless" => confirmation::bless(places)?,
        "takeover-load" => takeover_load(&words, streams)?,
        "takeover-go" => kexec::go(places)?,
        "takeover-forget" => kexec::forget(places)?,
        "write-disk" => takeover::write_disk(places, words.argument("a disk")?, streams)?,
        other => return Err(AgentError::Usage(format!("`{other}` is not a command"))),
    }
    Ok(EXIT_DONE)
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value can be written")
}

fn missing(places: &Places, streams: &mut Streams<'_>) -> Result<(), AgentError> {
    let mut paths = Vec::new();
    for line in streams.input.lines() {
        let line = line.map_err(AgentError::at("read from", "standard input"))?;
        if line.is_empty() {
            break;
        }
        paths.push(read_store_path(line.trim())?);
    }
    let missing: Vec<String> = import::missing(places, &paths)?.iter().map(shown).collect();
    if missing.is_empty() { Ok(()) } else { streams.say(&missing.join("\n")) }
}

fn plan(places: &Places, words: &Words, streams: &mut Streams<'_>) -> Result<(), AgentError> {
    let system = words.system()?;
    let policy = policy(words, Manifest::load(places, &system)?.deploy)?;
    let stage = Stage::new(places)?;
    let booted = state::booted(places)?;
    let observation = observe(places, &stage, &system, &booted, policy)?;
    streams.say(&pretty(&observation.plan.to_json()))
}

/// What is asked for, within what the system allows.
fn policy(words: &Words, allowed: Allowed) -> Result<Policy, AgentError> {
    let wrong = |word: &str| {
        AgentError::Usage(format!(
            "--level={word}: expected auto, live, soft-reboot, reboot or boot"
        ))
    };
    let at_least = match words.text("level").as_deref() {
        None | Some("auto") => Level::Live,
        Some("boot") => Level::Reboot,
        Some(word) => Level::from_word(word).ok_or_else(|| wrong(word))?,
    };
    Ok(Policy { at_least, live: allowed.live, soft_reboot: allowed.soft_reboot })
}

fn activate(places: &Places, words: &Words, streams: &mut Streams<'_>) -> Result<u8, AgentError> {
    let window_seconds = words.number("window")?.unwrap_or(WINDOW_SECONDS);
    if !WINDOW_SECONDS_LIMITS.contains(&window_seconds) {
        return Err(AgentError::Usage("--window takes 5 to 3600 seconds".into()));
    }
    let system = words.system()?;
    let policy = policy(words, Manifest::load(places, &system)?.deploy)?;
    let request = Request {
        system,
        nonce: nonce_or_new(words)?,
        outside: words.has("trial"),
        window_seconds,
        policy,
        expect: words.number("expect")?,
        by: words.by(),
        commit: words.text("commit"),
        entry: if words.has("again") { Entry::Any } else { Entry::NotBad },
        boot_only: words.text("level").as_deref() == Some("boot"),
    };
    start(places, &request, words.has("detach"), streams)
}

fn start(
    places: &Places,
    request: &Request,
    detach: bool,
    streams: &mut Streams<'_>,
) -> Result<u8, AgentError> {
    // The log is there from the first moment, so that it can be followed.
    drop(events::Journal::open(places, &request.nonce)?);
    activation::begin(places, request)?;
    if detach {
        streams.say(&json!({ "event": "started", "nonce": request.nonce.as_str() }).to_string())?;
        return Ok(EXIT_DONE);
    }
    events::follow(places, &request.nonce, 0, streams.output)
}

fn nonce_or_new(words: &Words) -> Result<Nonce, AgentError> {
    if let Some(text) = words.text("nonce") {
        return Ok(Nonce::new(&text)?);
    }
    new_nonce()
}

/// A nonce that was never used before.
///
/// # Errors
///
/// When the kernel gives no random bytes.
pub fn new_nonce() -> Result<Nonce, AgentError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(AgentError::at("get random bytes from", "the kernel"))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Nonce::new(&text)?)
}

/// Ends a trial that waits for its boot, or goes back to a generation that proved itself.
fn rollback(places: &Places, words: &Words, streams: &mut Streams<'_>) -> Result<u8, AgentError> {
    let generations = state::load(places)?;
    if let Some(trial) = generations.trial().cloned() {
        let system = &generations.get(trial.number)?.system;
        let in_place = InPlace::look(places, &state::booted(places)?)?;
        if trial.level != Level::Live && in_place.system() != Some(system) {
            withdraw(places, &trial.nonce)?;
            streams
                .say(&json!({ "event": "withdrawn", "number": trial.number.get() }).to_string())?;
        } else {
            returning::unconfirmed(places, &trial.nonce)?;
            events::follow(places, &trial.nonce, 0, streams.output)?;
        }
        return Ok(EXIT_DONE);
    }
    let to = if words.plain.is_empty() { None } else { Some(words.generation()?) };
    let target = generations.rollback_target(to)?;
    let system = generations.get(target)?.system.clone();
    let policy = policy(words, Manifest::load(places, &system)?.deploy)?;
    let request = Request {
        system,
        nonce: nonce_or_new(words)?,
        outside: words.has("trial"),
        window_seconds: words.number("window")?.unwrap_or(WINDOW_SECONDS),
        policy,
        expect: words.number("expect")?,
        by: words.by(),
        commit: None,
        entry: Entry::Proven,
        boot_only: false,
    };
    start(places, &request, words.has("detach"), streams)
}

fn withdraw(places: &Places, nonce: &Nonce) -> Result<(), AgentError> {
    let _lock = Lock::take(places, Locked::Host, "a trial is withdrawn", WAIT)?;
    let mut generations = state::load(places)?;
    generations.withdraw(nonce)?;
    state::save(places, &generations)?;
    boot_menu::sync(places, &generations, false)
}

fn pin(places: &Places, number: GenerationNumber, pinned: bool) -> Result<(), AgentError> {
    let _lock = Lock::take(places, Locked::Host, "a generation is pinned", WAIT)?;
    let mut generations = state::load(places)?;
    generations.set_pinned(number, pinned)?;
    state::save(places, &generations)
}

fn gc(places: &Places, words: &Words, streams: &mut Streams<'_>) -> Result<(), AgentError> {
    let keep = words.number("keep")?.unwrap_or(KEEP);
    let collected = collect::collect(places, keep, words.has("dry-run"))?;
    let numbers: Vec<u32> = collected.generations.iter().map(|number| number.get()).collect();
    let paths: Vec<String> = collected.paths.iter().map(shown).collect();
    let told = json!({ "generations": numbers, "paths": paths, "nar_bytes": collected.nar_bytes });
    streams.say(&pretty(&told))
}

fn verify(places: &Places, streams: &mut Streams<'_>) -> Result<u8, AgentError> {
    let damaged = verify::damaged(places)?;
    for path in &damaged {
        streams.say(&format!("{} is not whole", shown(path)))?;
    }
    if damaged.is_empty() {
        streams.say("all store paths are whole")?;
    }
    Ok(if damaged.is_empty() { EXIT_DONE } else { EXIT_CHECK })
}

fn takeover_load(words: &Words, streams: &mut Streams<'_>) -> Result<(), AgentError> {
    let needed = |name: &str| AgentError::Usage(format!("--{name} is missing"));
    let bytes = |name: &str| words.number(name)?.ok_or_else(|| needed(name));
    let text = |name: &str| words.text(name).ok_or_else(|| needed(name));
    let (line, carry) = (text("command-line")?, words.text("carry"));
    let sha256: Sha256Digest = words.number("sha256")?.ok_or_else(|| needed("sha256"))?;
    let to_load = kexec::ToLoad {
        kernel_bytes: bytes("kernel-bytes")?,
        initrd_bytes: bytes("initrd-bytes")?,
        sha256,
        command_line: &line,
        carry: carry.as_deref().map(Path::new),
    };
    kexec::load(&to_load, streams.input)?;
    streams.say(&json!({ "event": "loaded" }).to_string())
}

fn check(places: &Places, words: &Words, streams: &mut Streams<'_>) -> Result<u8, AgentError> {
    let booted = state::booted(places)?;
    let in_place = InPlace::look(places, &booted)?;
    let system = in_place.system().unwrap_or(&booted);
    let mut checks = Manifest::load(places, system)?.checks();
    for name in &words.plain {
        if !checks.iter().any(|check| check.name == *name) {
            return Err(AgentError::Usage(format!("`{name}` is not a check of this host")));
        }
    }
    checks.retain(|check| words.plain.is_empty() || words.plain.contains(&check.name));
    let mut told = Vec::new();
    for check in &checks {
        let checked =
            if words.has("once") { health::check_now(check) } else { health::check(check) };
        if !words.has("json") {
            let result = if checked.ok { "ok" } else { &checked.detail };
            streams.say(&format!("{}: {result}", checked.name))?;
        }
        told.push(checked);
    }
    if words.has("json") {
        let told: Vec<_> = told
            .iter()
            .map(|c| {
                json!({ "name": c.name, "ok": c.ok, "detail": c.detail, "days_left": c.days_left })
            })
            .collect();
        streams.say(&pretty(&json!({ "checks": told })))?;
    }
    Ok(if told.iter().all(|checked| checked.ok) { EXIT_DONE } else { EXIT_CHECK })
}

#[cfg(test)]
mod tests;
