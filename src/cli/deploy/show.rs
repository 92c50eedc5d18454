//! A change as people and programs read it, before it is made.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::deploy::{Copied, Difference, PlanReply, plain};

/// Lines of one kind that are shown; the rest is counted.
const LINES_MAX: usize = 40;

/// Everything that is known about a change before it is made.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) host: String,
    pub(super) system: String,
    /// The number of the generation that runs.
    pub(super) from: Option<u32>,
    pub(super) difference: Difference,
    pub(super) plan: PlanReply,
    pub(super) plan_json: Value,
    pub(super) copied: Copied,
    pub(super) window_seconds: u32,
}

impl Change {
    /// For people.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}: {}\n", self.host, self.system);
        let Difference { added, removed, changed, .. } = &self.difference;
        let changed: Vec<String> =
            changed.iter().map(|(name, old, new)| format!("{name} {old} → {new}")).collect();
        list(&mut text, "new package", added);
        list(&mut text, "removed package", removed);
        list(&mut text, "changed package", &changed);
        list(&mut text, "opens port", &self.difference.opened);
        list(&mut text, "closes port", &self.difference.closed);
        list(&mut text, "new check", &self.difference.checks_added);
        list(&mut text, "removed check", &self.difference.checks_removed);
        list(&mut text, "changed secret", &self.plan.secrets);
        for (verb, units) in self.units() {
            list(&mut text, verb, &self.with_reasons(units));
        }
        let kept = self.plan.kept.iter().map(|kept| format!("{}: {}", kept.unit, kept.why));
        list(&mut text, "only at the next boot", &kept.collect::<Vec<_>>());
        let Copied { paths, wanted_bytes, sent_bytes } = self.copied;
        writeln!(
            text,
            "  sent: {} for {} of {paths} store paths",
            indicatif::BinaryBytes(sent_bytes),
            indicatif::BinaryBytes(wanted_bytes),
        )
        .expect("a String takes all");
        let reasons: String =
            self.plan.why.iter().map(|why| format!(", because {}", plain(why))).collect();
        writeln!(text, "  level: {}{reasons}", plain(&self.plan.level))
            .expect("a String takes all");
        writeln!(text, "  interruption: {}", self.interruption()).expect("a String takes all");
        text
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "host": self.host, "system": self.system, "from": self.from,
            "difference": self.difference, "plan": self.plan_json,
            "missing_paths": self.copied.paths, "missing_bytes": self.copied.wanted_bytes,
            "sent_bytes": self.copied.sent_bytes, "interruption": self.interruption(),
            "window_seconds": self.window_seconds,
        })
    }

    fn units(&self) -> [(&'static str, &[String]); 4] {
        let PlanReply { stop, reload, restart, start, .. } = &self.plan;
        [("stops", stop), ("reloads", reload), ("restarts", restart), ("starts", start)]
    }

    fn with_reasons(&self, units: &[String]) -> Vec<String> {
        let reason = |unit: &String| match self.plan.changed.get(unit) {
            Some(why) => format!("{unit}: {why}"),
            None => unit.clone(),
        };
        units.iter().map(reason).collect()
    }

    /// What users of the machine will notice.
    fn interruption(&self) -> String {
        match self.plan.level.as_str() {
            "reboot" => "all services, for the time of a boot".into(),
            "soft-reboot" => "all services, for about half the time of a boot".into(),
            _ if self.plan.stop.is_empty() && self.plan.restart.is_empty() => "none".into(),
            _ => {
                let mut down: Vec<&str> =
                    self.plan.stop.iter().chain(&self.plan.restart).map(String::as_str).collect();
                down.sort_unstable();
                down.dedup();
                plain(&format!("of {}, while they restart", down.join(", ")))
            }
        }
    }
}

fn list(text: &mut String, what: &str, lines: &[String]) {
    for line in lines.iter().take(LINES_MAX) {
        writeln!(text, "  {what}: {}", plain(line)).expect("a String takes all");
    }
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        writeln!(text, "  {what}: and {more} more").expect("a String takes all");
    }
}
