//! One file, or one small text, from one of its addresses: resumed, limited, verified, tried again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::cache::{Cache, Part};
use super::client::{Answer, Client, Request};
use super::error::{FetchError, TransferError};
use super::{FetchOptions, Wanted};
use crate::debian::url::Url;
use crate::exec::interrupt::{Interrupt, Interrupted};
use crate::exec::progress::{Progress, Task};

/// The longest wait that a server can ask for.
const RETRY_AFTER_SECONDS_MAX: u64 = 60;
/// A try that got so far is not counted against the limit of tries.
const PROGRESS_BYTES: u64 = 64 << 10;
/// How often a waiting thread looks whether the user wants to stop.
const SLEEP_SLICE: Duration = Duration::from_millis(20);
const BUFFER_BYTES: usize = 128 << 10;

/// What transfers share.
pub(super) struct Line<'a> {
    pub(super) client: &'a Client,
    pub(super) cache: &'a Cache,
    pub(super) options: &'a FetchOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) interrupt: &'a Interrupt,
    /// Hosts that cannot be reached, so that they are not tried again for each file.
    pub(super) dead_hosts: Mutex<BTreeMap<String, TransferError>>,
}

/// Why a try ended without the file.
enum Stop {
    /// This address does not give it now.
    Address {
        error: TransferError,
        /// How many bytes came before that.
        gained_bytes: u64,
    },
    /// No address can help.
    Fatal(FetchError),
}

/// Tells the bar about bytes, once each even when a file begins anew.
struct Meter<'a> {
    task: &'a dyn Task,
    told_bytes: u64,
}

impl From<TransferError> for Stop {
    fn from(error: TransferError) -> Self {
        Stop::Address { error, gained_bytes: 0 }
    }
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        Stop::Fatal(error)
    }
}

impl From<Interrupted> for Stop {
    fn from(error: Interrupted) -> Self {
        Stop::Fatal(error.into())
    }
}

impl Meter<'_> {
    fn tell(&mut self, length_bytes: u64) {
        let new = length_bytes.saturating_sub(self.told_bytes);
        self.task.advance(new);
        self.told_bytes += new;
    }
}

impl Line<'_> {
    /// Fills `part` with the wanted bytes from the first address that gives them.
    pub(super) fn fill(
        &self,
        wanted: &Wanted,
        part: &mut Part,
        task: &dyn Task,
    ) -> Result<(), FetchError> {
        let mut meter = Meter { task, told_bytes: 0 };
        meter.tell(part.length_bytes().min(wanted.size));
        self.try_each(&wanted.label, &wanted.urls, |url, validator| {
            self.one_try(url, wanted, part, validator, &mut meter)
        })
    }

    /// Reads a text of at most `limit_bytes`; `Ok(None)` when no address has it.
    pub(super) fn read_small(
        &self,
        label: &str,
        urls: &[Url],
        limit_bytes: u64,
    ) -> Result<Option<Vec<u8>>, FetchError> {
        let mut bytes = Vec::new();
        let result = self.try_each(label, urls, |url, _| {
            bytes.clear();
            let request = Request { url, offset: 0, validator: None };
            let mut answer = self.client.get(request)?;
            self.read_all(&mut answer, limit_bytes, &mut bytes)
        });
        let is_absent = |error: &TransferError| matches!(error, TransferError::NotFound { .. });
        match result {
            Ok(()) => Ok(Some(bytes)),
            Err(FetchError::Transfer(failure))
                if is_absent(&failure.source)
                    && failure.others.iter().all(|(_, other)| is_absent(other)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn read_all(
        &self,
        answer: &mut Answer,
        limit_bytes: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            self.interrupt.check()?;
            let count = answer.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..count]);
            if bytes.len() as u64 > limit_bytes {
                return Err(TransferError::TooLarge { limit_bytes }.into());
            }
            if count == 0 {
                let announced = answer.announced_bytes.unwrap_or(0);
                let is_whole = bytes.len() as u64 >= announced;
                return if is_whole { Ok(()) } else { Err(TransferError::BrokenOff.into()) };
            }
        }
    }

    /// Tries each address until one works.
    fn try_each(
        &self,
        label: &str,
        urls: &[Url],
        mut try_once: impl FnMut(&Url, &mut Option<String>) -> Result<(), Stop>,
    ) -> Result<(), FetchError> {
        let mut failures = Vec::new();
        for url in urls {
            if let Some(error) = self.dead_hosts().get(url.authority()) {
                failures.push((url.clone(), error.clone()));
                continue;
            }
            match self.with_retries(label, url, &mut try_once) {
                Ok(()) => return Ok(()),
                Err(Stop::Fatal(error)) => return Err(error),
                Err(Stop::Address { error, .. }) => {
                    if error.is_of_host() {
                        self.dead_hosts().insert(url.authority().to_owned(), error.clone());
                    }
                    failures.push((url.clone(), error));
                }
            }
            if failures.len() < urls.len() {
                self.note_failure(label, failures.last());
            }
        }
        Err(FetchError::of_failures(label, failures))
    }

    fn note_failure(&self, label: &str, failure: Option<&(Url, TransferError)>) {
        if let Some((url, error)) = failure {
            self.progress.note(&format!("{label}: {url}: {error}; trying the next address"));
        }
    }

    fn with_retries(
        &self,
        label: &str,
        url: &Url,
        try_once: &mut impl FnMut(&Url, &mut Option<String>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut validator = None;
        let mut tries = 1;
        loop {
            self.interrupt.check()?;
            let (error, gained_bytes) = match try_once(url, &mut validator) {
                Ok(()) => return Ok(()),
                Err(Stop::Address { error, gained_bytes }) => (error, gained_bytes),
                Err(fatal) => return Err(fatal),
            };
            // The connections were closed to stop us, which looks like a failure of theirs.
            self.interrupt.check()?;
            if gained_bytes >= PROGRESS_BYTES {
                tries = 1;
            }
            let Some(delay) = self.delay(&error, tries) else { return Err(error.into()) };
            let seconds = delay.as_secs_f64();
            self.progress.note(&format!("{label}: {error}; trying again in {seconds:.1} s"));
            self.sleep(delay)?;
            tries += 1;
        }
    }

    /// How long to wait before the next try, doubled each time; `None` when there is none.
    fn delay(&self, error: &TransferError, tries: u32) -> Option<Duration> {
        if tries >= error.tries_max() {
            return None;
        }
        match error {
            TransferError::Status { retry_after_seconds: Some(seconds), .. } => {
                (*seconds <= RETRY_AFTER_SECONDS_MAX).then(|| Duration::from_secs(*seconds))
            }
            _ => Some(self.options.first_delay * 2_u32.pow(tries - 1)),
        }
    }

    fn sleep(&self, delay: Duration) -> Result<(), Interrupted> {
        let start = Instant::now();
        while let Some(left) = delay.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            self.interrupt.check()?;
            std::thread::sleep(left.min(SLEEP_SLICE));
        }
        Ok(())
    }

    /// One request for what is missing of `part`.
    fn one_try(
        &self,
        url: &Url,
        wanted: &Wanted,
        part: &mut Part,
        validator: &mut Option<String>,
        meter: &mut Meter<'_>,
    ) -> Result<(), Stop> {
        let before = part.length_bytes();
        if before > wanted.size || is_complete_but_wrong(wanted, part) {
            self.cache.restart(part)?;
        } else if before == wanted.size && before > 0 {
            return Ok(());
        }
        let begun_at = part.length_bytes();
        let request = Request { url, offset: begun_at, validator: validator.as_deref() };
        let mut answer = self.client.get(request)?;
        self.align(&answer, begun_at, part)?;
        check_announced(&answer, wanted, part)?;
        validator.clone_from(&answer.validator);
        let begun_at = part.length_bytes();
        self.copy(&mut answer, wanted, part, meter).map_err(|stop| match stop {
            Stop::Address { error, .. } => {
                Stop::Address { error, gained_bytes: part.length_bytes().saturating_sub(begun_at) }
            }
            fatal @ Stop::Fatal(_) => fatal,
        })?;
        self.verify(wanted, part, begun_at > 0)
    }

    /// Empties the part when the answer is the whole file; refuses any other part.
    fn align(&self, answer: &Answer, asked_for: u64, part: &mut Part) -> Result<(), Stop> {
        if answer.offset == asked_for {
            return Ok(());
        }
        self.cache.restart(part)?;
        if answer.offset == 0 { Ok(()) } else { Err(TransferError::WrongPart.into()) }
    }

    fn copy(
        &self,
        answer: &mut Answer,
        wanted: &Wanted,
        part: &mut Part,
        meter: &mut Meter<'_>,
    ) -> Result<(), Stop> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            self.interrupt.check()?;
            let count = answer.read(&mut buffer)?;
            if part.length_bytes() + count as u64 > wanted.size {
                self.cache.restart(part)?;
                let expected_bytes = wanted.size;
                return Err(TransferError::WrongSize { expected_bytes, found_bytes: None }.into());
            }
            if count == 0 {
                let is_whole = part.length_bytes() == wanted.size;
                return if is_whole { Ok(()) } else { Err(TransferError::BrokenOff.into()) };
            }
            self.cache.append(part, &buffer[..count])?;
            meter.tell(part.length_bytes());
        }
    }

    /// Compares the digest of a part of the right length; a wrong part is emptied.
    ///
    /// When it was put together from two answers, they may be of two files; then it is worth another try.
    fn verify(&self, wanted: &Wanted, part: &mut Part, is_resumed: bool) -> Result<(), Stop> {
        let found = part.sha256();
        if found == wanted.sha256 {
            return Ok(());
        }
        self.cache.restart(part)?;
        let expected = wanted.sha256;
        let wrong = TransferError::WrongDigest { expected, found };
        Err(if is_resumed { TransferError::WrongPart } else { wrong }.into())
    }

    fn dead_hosts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, TransferError>> {
        self.dead_hosts.lock().expect("no thread panics while it holds this lock")
    }
}

fn is_complete_but_wrong(wanted: &Wanted, part: &Part) -> bool {
    part.length_bytes() == wanted.size && part.sha256() != wanted.sha256
}

/// Refuses a file of another length before it is read.
fn check_announced(answer: &Answer, wanted: &Wanted, part: &mut Part) -> Result<(), TransferError> {
    let total = answer.announced_bytes.map(|bytes| bytes.saturating_add(part.length_bytes()));
    match total {
        Some(found) if found != wanted.size => {
            Err(TransferError::WrongSize { expected_bytes: wanted.size, found_bytes: Some(found) })
        }
        _ => Ok(()),
    }
}
