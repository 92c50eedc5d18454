//! The steps of a takeover, one after the other, and what became of the machine when one fails.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::talk::{
    AGENT, PLACE, SHORT, StepError, disk_by, disk_events, failed_checks, fingerprint, go_down, say,
    succeed,
};
use super::{Shell, Ways};
use crate::agent::takeover::recipe;
use crate::boot::arguments::{ATTEMPT, MEMORY, RETURN, ROOT, SYSTEM};
use crate::exec::files::FileError;
use crate::exec::process::shell_word;
use crate::image::segment::Layout;
use crate::install::{Plan, Step};
use crate::store::Sha256Digest;

/// How long sending the host may take; a slow line has hours.
const SENDING_WITHIN: Duration = Duration::from_secs(4 * 3600);
/// How long the old system may take to stop its services, beside the time until the return.
const LEAVING_WITHIN: Duration = Duration::from_secs(180);
/// How long the old system may take to be back after the return.
const BACK_WITHIN: Duration = Duration::from_secs(600);
/// How long the host may take to boot from its disk.
const BOOT_WITHIN: Duration = Duration::from_secs(600);
/// How long it may take to bring back its backups; a slow line has hours.
const RESTORED_WITHIN: Duration = Duration::from_secs(4 * 3600);
/// How long its checks may take to pass after that.
const HEALTHY_WITHIN: Duration = Duration::from_secs(180);
/// How long the new host is waited for before somebody looks whether the old system has come back.
const SLICE: Duration = Duration::from_secs(30);
/// How long such a look may take.
const PEEK_WITHIN: Duration = Duration::from_secs(20);
/// Time between two tries.
const PAUSE: Duration = Duration::from_secs(2);
/// What makes the kernel reboot instead of hanging, and the first file system one that EROFS reads from.
const MEMORY_ARGUMENTS: &str = "rootfstype=ramfs panic=10 softlockup_panic=1";

/// What is brought to the machine.
#[derive(Debug, Clone, Copy)]
pub struct Cargo<'a> {
    /// The agent, for the old system.
    pub agent: &'a [u8],
    /// The host's kernel.
    pub kernel: &'a Path,
    /// The initrd that is the whole host.
    pub initrd: &'a Path,
    /// The host's own arguments for its kernel.
    pub arguments: &'a str,
    /// Its disk.
    pub layout: &'a Layout,
    /// The identity that its secrets are encrypted for, if there are any.
    pub identity: Option<&'a [u8]>,
}

/// A takeover that is to happen.
#[derive(Debug, Clone, Copy)]
pub struct Takeover<'a> {
    /// The steps.
    pub plan: &'a Plan,
    /// What they need.
    pub cargo: Cargo<'a>,
    /// Names this attempt, never used before: 32 hexadecimal digits.
    pub attempt: &'a str,
}

/// What happens, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step begins; one-based.
    Begins(usize),
    /// It is done.
    Done(usize, Duration),
    /// The public SSH key that the host will have.
    HostKey(String),
}

/// A machine that has become the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its public SSH key, when it was laid out by this takeover.
    pub host_key: Option<String>,
}

/// What the machine is after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineState {
    /// The old system runs on.
    Unchanged,
    /// The old system has come back; its disk is as it was.
    Returned,
    /// The host runs from memory; its disk is not whole, and can be written again.
    InMemory,
    /// The host runs from its disk, but what its backups have is not there.
    WithoutData,
    /// Nobody knows.
    Unknown,
}

/// A takeover that stopped.
#[derive(Debug, Error)]
#[error("step {number} of {total} failed: {step}")]
pub struct TakeoverError {
    /// One-based position of the failed step.
    pub number: usize,
    /// How many steps the plan has.
    pub total: usize,
    /// The step, in the words of the plan.
    pub step: String,
    /// What became of the machine.
    pub state: MachineState,
    /// Why.
    #[source]
    pub source: StepError,
}

/// Carries out the plan.
///
/// # Errors
///
/// The step that failed, and what the machine is then.
pub fn take_over(
    takeover: &Takeover<'_>,
    ways: &mut dyn Ways,
    watch: &mut dyn FnMut(Event),
) -> Result<Installed, TakeoverError> {
    let steps = &takeover.plan.steps;
    let mut course =
        Course { takeover, ways, watch, host_key: None, fingerprint: None, begun: false };
    for (index, step) in steps.iter().enumerate() {
        (course.watch)(Event::Begins(index + 1));
        let started = Instant::now();
        if let Err(source) = course.step(step) {
            let state = course.state_after(step);
            let (number, total, step) = (index + 1, steps.len(), step.to_string());
            return Err(TakeoverError { number, total, step, state, source });
        }
        (course.watch)(Event::Done(index + 1, started.elapsed()));
    }
    Ok(Installed { host_key: course.host_key })
}

/// A takeover under way.
struct Course<'a> {
    takeover: &'a Takeover<'a>,
    ways: &'a mut dyn Ways,
    watch: &'a mut dyn FnMut(Event),
    /// The key that the new host proves to have.
    host_key: Option<String>,
    /// What the planned disk begins with.
    fingerprint: Option<String>,
    /// Whether the disk is being written.
    begun: bool,
}

impl Course<'_> {
    fn step(&mut self, step: &Step) -> Result<(), StepError> {
        match step {
            Step::SendAgent { .. } => self.send_agent(),
            Step::Identity { keep_host_key, .. } => self.identity(*keep_host_key),
            Step::Load { .. } => self.load(),
            Step::Leave { .. } => {
                let mut shell = self.ways.old(SHORT)?;
                go_down(&mut *shell, &format!("{PLACE}/nexus-agent takeover-go"))
            }
            Step::Meet => self.meet(),
            Step::WriteDisk { disk, .. } => self.write_disk(disk),
            Step::Reboot => {
                let key = self.host_key.clone();
                let mut shell = self.ways.new_host(key.as_deref(), SHORT)?;
                go_down(&mut *shell, "systemctl --no-block reboot")
            }
            Step::Restore { backups } => self.restore(backups),
            Step::Check => self.check(),
        }
    }

    fn send_agent(&mut self) -> Result<(), StepError> {
        let mut shell = self.ways.old(SHORT)?;
        let command = format!(
            "umask 077 && rm -rf {PLACE} && mkdir {PLACE} && cat >{PLACE}/nexus-agent && \
             chmod 700 {PLACE}/nexus-agent && {PLACE}/nexus-agent help >/dev/null"
        );
        let mut agent = self.takeover.cargo.agent;
        succeed(&mut *shell, &command, &mut agent, SENDING_WITHIN)?;
        let disk = self.takeover.plan.steps.iter().find_map(|step| match step {
            Step::WriteDisk { disk, .. } => Some(disk),
            _ => None,
        });
        if let Some(disk) = disk {
            self.fingerprint = Some(fingerprint(&mut *shell, disk)?);
        }
        Ok(())
    }

    fn identity(&mut self, keep_host_key: bool) -> Result<(), StepError> {
        let mut shell = self.ways.old(SHORT)?;
        let key = format!("{PLACE}/carry/ssh/ssh_host_ed25519_key");
        let get = if keep_host_key {
            format!(
                "cp /etc/ssh/ssh_host_ed25519_key {key} && cp /etc/ssh/ssh_host_ed25519_key.pub {key}.pub"
            )
        } else {
            let comment = shell_word(&format!("root@{}", self.takeover.plan.host));
            format!("ssh-keygen -q -t ed25519 -N '' -C {comment} -f {key}")
        };
        let command = format!(
            "umask 077 && mkdir -p {PLACE}/carry/ssh && chmod 755 {PLACE}/carry && {get} && \
             chmod 600 {key} && chmod 644 {key}.pub && cat {key}.pub"
        );
        let text = say(&mut *shell, &command)?;
        let mut words = text.split_ascii_whitespace();
        let public = match (words.next(), words.next()) {
            (Some("ssh-ed25519"), Some(key)) => format!("ssh-ed25519 {key}"),
            _ => return Err(StepError::Answer { about: "its SSH host key" }),
        };
        if let Some(mut identity) = self.takeover.cargo.identity {
            let command = format!("umask 077 && cat >{PLACE}/carry/identity.txt");
            succeed(&mut *shell, &command, &mut identity, SHORT)?;
        }
        drop(shell);
        (self.watch)(Event::HostKey(public.clone()));
        self.host_key = Some(public);
        Ok(())
    }

    fn load(&mut self) -> Result<(), StepError> {
        let Cargo { kernel, initrd, .. } = self.takeover.cargo;
        let mut sha256 = Sha256::new();
        let mut sizes = [0; 2];
        for (size, path) in sizes.iter_mut().zip([kernel, initrd]) {
            let mut file = File::open(path).map_err(FileError::at("open", path))?;
            *size = std::io::copy(&mut file, &mut sha256).map_err(FileError::at("read", path))?;
        }
        let digest = Sha256Digest::from_bytes(sha256.finalize().into());
        let line = shell_word(&self.command_line());
        let [kernel_bytes, initrd_bytes] = sizes;
        let command = format!(
            "{PLACE}/nexus-agent takeover-load --kernel-bytes {kernel_bytes} \
             --initrd-bytes {initrd_bytes} --sha256 {digest} --command-line {line} \
             --carry {PLACE}/carry"
        );
        let open = |path: &Path| File::open(path).map_err(FileError::at("open", path));
        let mut both = open(kernel)?.chain(open(initrd)?);
        let mut shell = self.ways.old(SHORT)?;
        succeed(&mut *shell, &command, &mut both, SENDING_WITHIN).map(drop)
    }

    /// The host's own arguments, those of a system in memory, and this attempt's name.
    fn command_line(&self) -> String {
        let Takeover { plan, cargo, attempt } = self.takeover;
        let seconds = self.return_seconds();
        let own = cargo.arguments.trim();
        let system = &plan.system;
        format!(
            "{own} {MEMORY_ARGUMENTS} {ROOT}={MEMORY} {SYSTEM}={system} {RETURN}={seconds} \
             {ATTEMPT}={attempt}"
        )
    }

    fn return_seconds(&self) -> u32 {
        let seconds = self.takeover.plan.steps.iter().find_map(|step| match step {
            Step::Leave { return_seconds } => Some(*return_seconds),
            _ => None,
        });
        seconds.unwrap_or_default()
    }

    /// Waits for the host in memory that this very attempt has started.
    fn meet(&mut self) -> Result<(), StepError> {
        let within = LEAVING_WITHIN + Duration::from_secs(self.return_seconds().into());
        let deadline = Instant::now() + within;
        let word = format!("{ATTEMPT}={}", self.takeover.attempt);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.wait_for(&word, left.min(SLICE)) {
                Err(_) if left > SLICE && !self.has_come_back() => {}
                Err(_) if left > SLICE => return Err(StepError::CameBack),
                ended => return ended,
            }
        }
    }

    /// Waits for a boot of the new host whose kernel has `word` on its command line.
    fn wait_for(&mut self, word: &str, within: Duration) -> Result<(), StepError> {
        let deadline = Instant::now() + within;
        let key = self.host_key.clone();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut shell = self.ways.new_host(key.as_deref(), left)?;
            // A connection that breaks here was to the system that is going down.
            let line = say(&mut *shell, "cat /proc/cmdline").unwrap_or_default();
            if line.split_ascii_whitespace().any(|found| found == word) {
                return Ok(());
            }
            drop(shell);
            // Also a system that always answers is waited for no longer than this.
            if Instant::now() >= deadline {
                return Err(StepError::OtherSystem);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether the old system runs again, after a boot.
    fn has_come_back(&mut self) -> bool {
        let shell = self.ways.old(PEEK_WITHIN);
        let facts = shell.ok().and_then(|mut shell| super::ask_facts(&mut *shell).ok());
        facts.is_some_and(|facts| {
            facts.rehearsal.is_none() && facts.boot_id != self.takeover.plan.facts.boot_id
        })
    }

    fn write_disk(&mut self, name: &str) -> Result<(), StepError> {
        let mut bytes = Vec::new();
        recipe::write(self.takeover.cargo.layout, &mut bytes)
            .map_err(FileError::at("write", Path::new("the recipe of the disk")))?;
        let key = self.host_key.clone();
        let mut shell = self.ways.new_host(key.as_deref(), SHORT)?;
        let disk = match &self.fingerprint {
            Some(wanted) => disk_by(&mut *shell, wanted, name)?,
            None => name.to_owned(),
        };
        if self.takeover.plan.steps.iter().any(|step| matches!(step, Step::Restore { .. })) {
            // It comes to the disk with what else the host has of its own; see `modules/backups`.
            say(&mut *shell, "touch /var/lib/nexus-host/restore")?;
        }
        // Not known better until an answer comes.
        self.begun = true;
        let command = format!("{AGENT} write-disk /dev/{}", shell_word(&disk));
        let answer = shell.run(&command, &mut &bytes[..], SENDING_WITHIN)?;
        let events = disk_events(&answer.output);
        let has = |name: &str| events.iter().any(|event| event.event == name);
        self.begun = has("begin");
        if answer.status == 0 && has("done") {
            return Ok(());
        }
        Err(StepError::Command { status: answer.status, errors: answer.errors })
    }

    /// Waits for the host from its disk, and gives a way to it.
    fn installed(&mut self) -> Result<Box<dyn Shell + '_>, StepError> {
        let word = format!("{ROOT}=PARTLABEL={}", crate::boot::ROOT_LABEL);
        self.wait_for(&word, BOOT_WITHIN)?;
        let key = self.host_key.clone();
        Ok(self.ways.new_host(key.as_deref(), SHORT)?)
    }

    /// Waits for the units that bring backups back; those that failed are started again, and what waits for them.
    fn restore(&mut self, backups: &[String]) -> Result<(), StepError> {
        let units: Vec<String> =
            backups.iter().map(|name| shell_word(&format!("restore-{name}.service"))).collect();
        let units = units.join(" ");
        let journal = "journalctl --boot --output=cat --no-pager --lines=8";
        let command = format!(
            "systemctl start {units} || {{ for unit in {units}; do {journal} --unit=$unit >&2; done; exit 1; }}; \
             systemctl start default.target"
        );
        let mut shell = self.installed()?;
        succeed(&mut *shell, &command, &mut std::io::empty(), RESTORED_WITHIN).map(drop)
    }

    /// Waits for the host from its disk, and then for its own checks.
    fn check(&mut self) -> Result<(), StepError> {
        let mut shell = self.installed()?;
        let deadline = Instant::now() + HEALTHY_WITHIN;
        loop {
            let failed = failed_checks(&mut *shell)?;
            if failed.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(StepError::Unhealthy { failed: failed.join(", ") });
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Finds out what became of the machine, and tidies up where the old system runs on.
    fn state_after(&mut self, step: &Step) -> MachineState {
        match step {
            Step::SendAgent { .. }
            | Step::Identity { .. }
            | Step::Load { .. }
            | Step::Leave { .. } => {
                let forget = format!(
                    "{PLACE}/nexus-agent takeover-forget 2>/dev/null; rm -rf {PLACE}; \
                     test ! -e {PLACE} && cat /sys/kernel/kexec_loaded"
                );
                let shell = self.ways.old(SHORT);
                let left = shell.ok().and_then(|mut shell| say(&mut *shell, &forget).ok());
                if left.is_some_and(|left| left.trim() == "0") {
                    MachineState::Unchanged
                } else {
                    MachineState::Unknown
                }
            }
            Step::Meet => self.wait_for_the_old(),
            Step::WriteDisk { .. } if !self.begun => self.wait_for_the_old(),
            Step::WriteDisk { .. } | Step::Reboot => MachineState::InMemory,
            Step::Restore { .. } => MachineState::WithoutData,
            Step::Check => MachineState::Unknown,
        }
    }

    /// Whether the old system has come back, after nobody met the new one.
    fn wait_for_the_old(&mut self) -> MachineState {
        let within = BACK_WITHIN + Duration::from_secs(self.return_seconds().into());
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if self.has_come_back() {
                return MachineState::Returned;
            }
            std::thread::sleep(PAUSE);
        }
        MachineState::Unknown
    }
}
