//! The serial console: everything goes to a log file, the last part stays searchable without colours.

use std::fs::File;
use std::io::{Read, Write as _};
use std::time::Instant;

use super::watch::Watch;

/// How much of the console stays searchable; a guest that floods loses its oldest text.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// How much goes to the log file; a guest that floods does not fill the disk.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// How many lines a report of a failure shows.
const TAIL_LINES: usize = 25;

/// How long a shown line may be.
const LINE_CHARACTERS_MAX: usize = 300;

/// Console lines after which a boot cannot succeed, and what they stand for.
///
/// Sources: `panic()` in Linux's `kernel/panic.c`; `emergency.service` and `sulogin` of systemd and
/// util-linux; `boot.c` of `SeaBIOS`; `BdsDxe` of EDK II; GRUB's `normal/main.c`.
const FATAL_LINES: &[(&str, &str)] = &[
    ("Kernel panic - not syncing", "the kernel panicked"),
    ("You are in emergency mode", "systemd went into emergency mode"),
    ("Give root password for maintenance", "systemd went into emergency mode"),
    (
        "Cannot open access to console, the root account is locked",
        "systemd went into emergency mode",
    ),
    ("No bootable device", "the firmware found nothing to boot"),
    ("BdsDxe: No bootable option or device was found", "the firmware found nothing to boot"),
    ("UEFI Interactive Shell", "the firmware found nothing to boot"),
    ("grub rescue>", "GRUB does not find its files"),
];

/// The console's text so far: without escape sequences, at most `TEXT_BYTES_MAX` of it.
#[derive(Debug, Default)]
pub struct ConsoleText {
    text: Vec<u8>,
    /// How many bytes were dropped in front of `text`.
    dropped: u64,
    escape: Escape,
    /// How much, counted from the start, was searched for fatal lines.
    examined: u64,
    /// When the first byte came.
    pub first_byte: Option<Instant>,
}

/// Where the stripper stands within an escape sequence (ECMA-48, section 5.4).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// After ESC and `[`, until a byte from `@` to `~`.
    Control,
    /// After ESC and `]`, `P`, `X`, `^` or `_`, until BEL or ESC `\`.
    String,
    /// After an ESC within a string.
    StringEnd,
}

impl ConsoleText {
    /// Adds what came from the machine.
    pub fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.first_byte.get_or_insert_with(Instant::now);
        }
        for &byte in bytes {
            if self.is_text(byte) {
                self.text.push(byte);
            }
        }
        // Dropping half at once keeps the cost per byte constant.
        if self.text.len() > TEXT_BYTES_MAX {
            let excess = self.text.len() - TEXT_BYTES_MAX / 2;
            self.text.drain(..excess);
            self.dropped += excess as u64;
        }
    }

    /// Follows escape sequences; true for bytes that are text.
    fn is_text(&mut self, byte: u8) -> bool {
        use Escape::{Begun, Control, String, StringEnd};
        let before = self.escape;
        self.escape = match before {
            // A line end closes any sequence, so that a guest cannot hide the rest of its boot.
            _ if byte == b'\n' => Escape::None,
            String if byte == 0x1b => StringEnd,
            String | StringEnd => match (before, byte) {
                (String, 0x07) | (StringEnd, b'\\') => Escape::None,
                _ => String,
            },
            _ if byte == 0x1b => Begun,
            Begun => match byte {
                b'[' => Control,
                b']' | b'P' | b'X' | b'^' | b'_' => String,
                _ => Escape::None,
            },
            Control if !(b'@'..=b'~').contains(&byte) => Control,
            Control | Escape::None => Escape::None,
        };
        let is_plain = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        byte == b'\n' || (before == Escape::None && is_plain)
    }

    /// A position behind everything that is there now.
    pub fn end(&self) -> u64 {
        self.dropped + self.text.len() as u64
    }

    /// The text from position `from`, as far as it is still there.
    fn from(&self, from: u64) -> &[u8] {
        let start = usize::try_from(from.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.text.get(start..).unwrap_or_default()
    }

    /// The position behind the first of `needles` after `from`, and which one it was.
    pub fn find(&self, needles: &[&str], from: u64) -> Option<(u64, usize)> {
        let text = self.from(from);
        let start = self.end() - text.len() as u64;
        needles
            .iter()
            .enumerate()
            .filter_map(|(index, needle)| {
                let at = position(text, needle.as_bytes())?;
                Some((start + (at + needle.len()) as u64, index))
            })
            .min()
    }

    /// The last lines, for a person to read.
    pub fn tail(&self) -> String {
        // Only the end can be shown, so only the end is decoded.
        let recent = &self.text[self.text.len().saturating_sub(64 << 10)..];
        let text = String::from_utf8_lossy(recent);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        let cut = |line: &&str| line.chars().take(LINE_CHARACTERS_MAX).collect::<String>();
        shown.iter().map(cut).collect::<Vec<_>>().join("\n")
    }

    /// The first complete line not examined before that means the boot has failed.
    pub fn fatal_line(&mut self) -> Option<(&'static str, String)> {
        let text = self.from(self.examined);
        let start = self.end() - text.len() as u64;
        let mut found = None;
        for &(needle, kind) in FATAL_LINES {
            if let Some(at) = position(text, needle.as_bytes()) {
                found = Some((kind, line_around(text, at)));
                break;
            }
        }
        // A line may arrive in pieces: the longest needle is looked for again across the seam.
        let overlap = 128.min(text.len()) as u64;
        self.examined =
            if found.is_some() { self.end() } else { start + text.len() as u64 - overlap };
        found
    }
}

/// Where `needle` begins in `text`.
fn position(text: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(step) = text[from..].iter().position(|&byte| byte == first) {
        let at = from + step;
        if text[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The line of `text` that has position `at` in it, cut for reading.
fn line_around(text: &[u8], at: usize) -> String {
    let start = text[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let end = text[at..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |end| at + end);
    String::from_utf8_lossy(&text[start..end]).chars().take(LINE_CHARACTERS_MAX).collect()
}

/// Reads the console until QEMU closes it; runs in a thread of its own.
pub(super) fn pump(mut source: impl Read, mut log: File, watch: &Watch, trouble_is_fatal: bool) {
    let mut buffer = vec![0; 16 << 10];
    let mut logged = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let bytes = &buffer[..count];
        if logged < LOG_BYTES_MAX {
            // A full disk must not stop the machine; the text in memory is still there.
            let _ = log.write_all(bytes);
            logged += count as u64;
            if logged >= LOG_BYTES_MAX {
                let _ = log.write_all(b"\n[nexus-host: the rest of this log is left out]\n");
            }
        }
        watch.tell(|seen| {
            seen.console.push(bytes);
            if let Some((kind, line)) = seen.console.fatal_line()
                && trouble_is_fatal
            {
                seen.trouble.get_or_insert((Instant::now(), kind, line));
            }
        });
    }
}

#[cfg(test)]
mod tests;
