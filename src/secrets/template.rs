//! Files with several secrets in them: a text with `{secret:NAME}` and `{secret:NAME|FILTER}`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use thiserror::Error;

use super::name::is_secret_name;
use crate::sops::{Secret, SecretBytes};

const OPEN: &str = "{secret:";

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'t> {
    /// Text as it is.
    Text(&'t str),
    /// A secret's value.
    Secret {
        /// Its name.
        name: &'t str,
        /// How it is written.
        filter: Filter,
    },
}

/// How a secret is written into a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// As it is.
    Raw,
    /// In double quotes, as systemd's `EnvironmentFile=` and shells read it.
    Environment,
    /// As a JSON string, which is also a YAML one.
    Json,
    /// With everything but letters, digits and `-._~` percent-encoded, for URLs.
    Url,
}

/// Why a text is no template, or cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// `{secret:` is not followed by a name and `}`.
    #[error("`{OPEN}` in line {line} is not followed by a name of a secret and `}}`")]
    Malformed {
        /// The line, from 1.
        line: usize,
    },
    /// No such filter.
    #[error("`{filter}` in line {line} is not a filter: expected env, json or url")]
    UnknownFilter {
        /// What was found.
        filter: String,
        /// The line, from 1.
        line: usize,
    },
    /// A secret is not there.
    #[error("the secret `{name}` is not there")]
    Missing {
        /// The secret.
        name: String,
    },
    /// A secret cannot be written so.
    #[error("the secret `{name}` is not text without NUL, so it cannot be quoted")]
    NotText {
        /// The secret.
        name: String,
    },
}

/// Takes a template apart.
///
/// # Errors
///
/// The first placeholder that is none.
pub fn parse_template(text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        let line = text[..text.len() - rest.len() + at].matches('\n').count() + 1;
        let after = &rest[at + OPEN.len()..];
        let end = after.find('}').ok_or(TemplateError::Malformed { line })?;
        let inner = &after[..end];
        let (name, filter) = inner.split_once('|').unwrap_or((inner, ""));
        if !is_secret_name(name) {
            return Err(TemplateError::Malformed { line });
        }
        let filter = match filter {
            "" => Filter::Raw,
            "env" => Filter::Environment,
            "json" => Filter::Json,
            "url" => Filter::Url,
            other => {
                let filter = other.chars().take(40).collect();
                return Err(TemplateError::UnknownFilter { filter, line });
            }
        };
        parts.extend([Part::Text(&rest[..at]), Part::Secret { name, filter }]);
        rest = &after[end + 1..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// The text with the secrets in it.
///
/// # Errors
///
/// What is wrong with the template, a secret that is not there, and one that cannot be quoted.
pub fn render_template(
    text: &str,
    secrets: &BTreeMap<String, SecretBytes>,
) -> Result<SecretBytes, TemplateError> {
    let mut rendered = Secret::new(Vec::with_capacity(text.len() + 4096));
    for part in parse_template(text)? {
        match part {
            Part::Text(text) => rendered.expose_mut().extend_from_slice(text.as_bytes()),
            Part::Secret { name, filter } => {
                let missing = || TemplateError::Missing { name: name.to_owned() };
                let value = secrets.get(name).ok_or_else(missing)?;
                let not_text = || TemplateError::NotText { name: name.to_owned() };
                let written = write_filtered(value, filter).ok_or_else(not_text)?;
                rendered.expose_mut().extend_from_slice(written.expose());
            }
        }
    }
    Ok(rendered)
}

fn write_filtered(value: &SecretBytes, filter: Filter) -> Option<SecretBytes> {
    if filter == Filter::Raw {
        return Some(value.clone());
    }
    let text = value.text().filter(|text| !text.contains('\0'))?;
    let mut written = Secret::new(String::with_capacity(text.len() * 3 + 2));
    let out = written.expose_mut();
    match filter {
        Filter::Url => {
            for byte in text.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
                }
            }
        }
        Filter::Json => {
            let quoted = serde_json::to_string(text).expect("a text can be written as JSON");
            out.push_str(&quoted);
        }
        Filter::Environment | Filter::Raw => {
            out.push('"');
            for char in text.chars() {
                // Source: systemd.exec(5), EnvironmentFile=: what a backslash escapes in double quotes.
                if matches!(char, '"' | '\\' | '$' | '`') {
                    out.push('\\');
                }
                out.push(char);
            }
            out.push('"');
        }
    }
    Some(SecretBytes::from(written.expose().as_str()))
}
