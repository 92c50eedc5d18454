//! Quoting of users' text for the languages of configuration files.
//!
//! Each function gives text that its language reads back as exactly the input, or refuses. What a
//! language cannot express is refused, never altered.

use std::fmt::Write as _;

use thiserror::Error;

use crate::diag::printable;

/// A text that a language cannot express.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` cannot be written {language}: {reason}", printable(.text))]
pub(super) struct QuoteError {
    text: String,
    language: &'static str,
    reason: &'static str,
}

/// Whether `text` means itself in every language here, so that it may stand unquoted.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_./:@+,*?[]=-".contains(&c))
}

/// A basic string of TOML 1.0.
pub(super) fn toml_string(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            char if char.is_control() => {
                write!(out, "\\u{:04X}", u32::from(char)).expect("writing to a String cannot fail");
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// The rest of a line of a unit file: `Description=…`. Source: systemd.syntax(7), systemd.unit(5)
/// on specifiers.
pub(super) fn systemd_value(text: &str) -> Result<String, QuoteError> {
    let refuse = |reason| QuoteError { text: text.to_owned(), language: "in a unit file", reason };
    if text.chars().any(char::is_control) {
        return Err(refuse("it has a line break or control character"));
    }
    if text.contains('\\') {
        return Err(refuse("a backslash may continue the line"));
    }
    if text.trim() != text {
        return Err(refuse("white space at its ends is lost"));
    }
    Ok(text.replace('%', "%%"))
}

/// One word of a list of a unit file: `ReadWritePaths="/var/a b"`. Source: systemd.syntax(7),
/// "Quoting".
pub(super) fn systemd_word(text: &str) -> Result<String, QuoteError> {
    let refuse = |reason| QuoteError { text: text.to_owned(), language: "in a unit file", reason };
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '%' => out.push_str("%%"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\0' => return Err(refuse("it has a NUL")),
            char if char.is_control() => return Err(refuse("it has a control character")),
            char => out.push(char),
        }
    }
    out.push('"');
    Ok(out)
}

/// A command line of a unit file, each word in quotes so that `;` and `@` mean themselves.
///
/// Source: systemd.service(5), "Command lines": `$` is doubled in arguments, not in the program.
pub(super) fn systemd_exec<'a>(
    words: impl IntoIterator<Item = &'a str>,
) -> Result<String, QuoteError> {
    let mut line = String::new();
    for (index, word) in words.into_iter().enumerate() {
        if index == 0 {
            line.push_str(&program(word)?);
            continue;
        }
        line.push(' ');
        line.push_str(&systemd_word(word)?.replace('$', "$$"));
    }
    Ok(line)
}

/// `"NAME=value"`. Source: systemd.exec(5), `Environment=`: `$` has no meaning there.
pub(super) fn environment(name: &str, value: &str) -> Result<String, QuoteError> {
    systemd_word(&format!("{name}={value}"))
}

/// A token of a Caddyfile. Source: caddyserver.com/docs/caddyfile/concepts, "Tokens and quotes";
/// `{…}` is a placeholder and `{$…}` an environment variable even within quotes, so braces are refused.
pub(super) fn caddy(text: &str) -> Result<String, QuoteError> {
    let refuse = |reason| QuoteError { text: text.to_owned(), language: "in a Caddyfile", reason };
    if text.chars().any(char::is_control) {
        return Err(refuse("it has a line break or control character"));
    }
    if text.contains(['{', '}']) {
        return Err(refuse("braces stand for placeholders"));
    }
    if text.contains('\\') {
        return Err(refuse("a backslash may escape what follows"));
    }
    Ok(format!("\"{}\"", text.replace('"', "\\\"")))
}

/// A string of nftables, as in `comment "…"`. Source: nft's scanner (`quotedstring`), which has no
/// escapes; `NFTNL_UDATA_COMMENT_MAXLEN` is 128 with its NUL.
pub(super) fn nft(text: &str) -> Result<String, QuoteError> {
    let refuse = |reason| QuoteError { text: text.to_owned(), language: "for nft", reason };
    if text.chars().any(char::is_control) {
        return Err(refuse("it has a line break or control character"));
    }
    if text.contains(['"', '\\']) {
        return Err(refuse("nft has no escapes for quotes and backslashes"));
    }
    if text.len() > 127 {
        return Err(refuse("it has more than 127 bytes"));
    }
    Ok(format!("\"{text}\""))
}

/// Words that mean themselves, with spaces between.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String, QuoteError> {
    let mut out = String::new();
    for word in words {
        if word.is_empty() || !is_plain(word) {
            let reason = "it has characters that may have a meaning there";
            let language = "as a plain word";
            return Err(QuoteError { text: word.to_owned(), language, reason });
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    Ok(out)
}

/// The path of a program; systemd reads prefixes such as `!` and `@` before it.
fn program(path: &str) -> Result<String, QuoteError> {
    let reason = if !path.starts_with('/') {
        "a program is named by its absolute path"
    } else if !is_plain(path) {
        "the path of a program has only `A-Za-z0-9_./:@+,=-`"
    } else {
        return Ok(path.to_owned());
    };
    Err(QuoteError { text: path.to_owned(), language: "as a program", reason })
}
