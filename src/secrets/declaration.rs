//! What a system declares about its secrets: a file of the system that the host reads. No values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::name::is_secret_name;
use super::template::{Part, TemplateError, parse_template};

/// Version of the file: raised when a field changes its meaning.
pub const FORMAT: u32 = 1;
/// Where the declarations lie in a system.
pub const DECLARATIONS: &str = "usr/lib/nexus-host/secrets.json";
/// Where the encrypted secrets lie in a system; the name's end says the format.
pub const CIPHERTEXT: &str = "usr/lib/nexus-host/secrets.sops";
/// Where secrets are found on the host: a link to those of the running generation.
pub const RUN_DIRECTORY: &str = "/run/secrets";
/// Most bytes of the declarations.
const BYTES_MAX: usize = 8 << 20;

/// Everything that a system declares about its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declarations {
    /// [`FORMAT`].
    pub format: u32,
    /// Where the encrypted secrets lie in the system, such as `usr/lib/nexus-host/secrets.sops.yaml`;
    /// `None` when it was built without them.
    pub ciphertext: Option<String>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, DeclaredSecret>,
    /// Rendered files by name.
    pub templates: BTreeMap<String, DeclaredTemplate>,
    /// Secrets that are the password hashes of users, by user.
    pub password_hashes: BTreeMap<String, String>,
}

/// A secret that becomes a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredSecret {
    /// Name of its owner.
    pub owner: String,
    /// Name of its group.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
    /// Units that use it: they are restarted or reloaded when it changes.
    pub units: BTreeSet<String>,
    /// Whether those units read it again on a reload.
    pub reload: bool,
    /// How it can be generated, as [`super::Kind`] is written.
    pub generate: Option<String>,
    /// Whether it stays as it is when others are renewed.
    pub never_rotate: bool,
}

/// A file with several secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTemplate {
    /// The text, with `{secret:NAME}` in it.
    pub text: String,
    /// Name of its owner.
    pub owner: String,
    /// Name of its group.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
    /// Units that use it.
    pub units: BTreeSet<String>,
    /// Whether those units read it again on a reload.
    pub reload: bool,
}

/// Declarations that cannot be used.
#[derive(Debug, Error)]
pub enum DeclarationsError {
    /// The file is too long.
    #[error("the declarations have more than {BYTES_MAX} bytes")]
    TooLarge,
    /// It is not the JSON that is expected.
    #[error("the declarations are damaged")]
    Json(#[source] serde_json::Error),
    /// It is of another version.
    #[error("the declarations are of format {found}; this program reads format {FORMAT}")]
    Format {
        /// What it says.
        found: u32,
    },
    /// A name could lead elsewhere.
    #[error("`{name}` cannot be the name of a secret or template")]
    Name {
        /// The name.
        name: String,
    },
    /// A template is none.
    #[error("the template `{name}` cannot be rendered")]
    Template {
        /// The template.
        name: String,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// A template or user names a secret that is not declared.
    #[error("{user} names the secret `{secret}`, which is not declared")]
    Unknown {
        /// Who names it.
        user: String,
        /// The secret.
        secret: String,
    },
    /// One name is a file and a folder at once.
    #[error("`{name}` and `{below}` cannot both be files")]
    Nested {
        /// The shorter name.
        name: String,
        /// The longer one.
        below: String,
    },
}

impl Declarations {
    /// Reads and checks the file.
    ///
    /// # Errors
    ///
    /// Anything that would lead outside the run directory or leave something out.
    pub fn parse(bytes: &[u8]) -> Result<Self, DeclarationsError> {
        if bytes.len() > BYTES_MAX {
            return Err(DeclarationsError::TooLarge);
        }
        let read: Self = serde_json::from_slice(bytes).map_err(DeclarationsError::Json)?;
        if read.format != FORMAT {
            return Err(DeclarationsError::Format { found: read.format });
        }
        read.check()?;
        Ok(read)
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("declarations can be written as JSON") + "\n"
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.templates.is_empty()
    }

    /// Whether every name is good and every secret that is named is declared.
    ///
    /// # Errors
    ///
    /// The first thing that is not so.
    pub fn check(&self) -> Result<(), DeclarationsError> {
        for names in [names(&self.secrets), names(&self.templates)] {
            check_names(&names)?;
        }
        for (name, template) in &self.templates {
            let wrong = |source| DeclarationsError::Template { name: name.clone(), source };
            for part in parse_template(&template.text).map_err(wrong)? {
                if let Part::Secret { name: secret, .. } = part {
                    self.known(secret, || format!("the template `{name}`"))?;
                }
            }
        }
        for (user, secret) in &self.password_hashes {
            self.known(secret, || format!("the user `{user}`"))?;
        }
        Ok(())
    }

    /// Units that use a secret, by itself or through templates: those that restart, those that reload.
    pub fn users_of(&self, secret: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let (mut restart, mut reload) = (BTreeSet::new(), BTreeSet::new());
        let own = self.secrets.get(secret).map(|declared| (&declared.units, declared.reload));
        let through = self.templates.values().filter(|template| template.names(secret));
        let through = through.map(|template| (&template.units, template.reload));
        for (units, reloads) in own.into_iter().chain(through) {
            let set = if reloads { &mut reload } else { &mut restart };
            set.extend(units.iter().map(String::as_str));
        }
        reload.retain(|unit| !restart.contains(unit));
        (restart, reload)
    }

    fn known(&self, secret: &str, user: impl Fn() -> String) -> Result<(), DeclarationsError> {
        if self.secrets.contains_key(secret) {
            return Ok(());
        }
        Err(DeclarationsError::Unknown { user: user(), secret: secret.to_owned() })
    }
}

impl DeclaredTemplate {
    /// Whether the secret is in it.
    pub fn names(&self, secret: &str) -> bool {
        let parts = parse_template(&self.text).unwrap_or_default();
        parts.iter().any(|part| matches!(part, Part::Secret { name, .. } if *name == secret))
    }
}

fn names<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

/// `names` are sorted, but `a-b` may stand between `a` and `a/b`.
fn check_names(names: &[&str]) -> Result<(), DeclarationsError> {
    for name in names {
        if !is_secret_name(name) {
            return Err(DeclarationsError::Name { name: (*name).to_owned() });
        }
        let parents = name.match_indices('/').map(|(at, _)| &name[..at]);
        if let Some(parent) = parents.into_iter().find(|parent| names.contains(parent)) {
            let (name, below) = (parent.to_owned(), (*name).to_owned());
            return Err(DeclarationsError::Nested { name, below });
        }
    }
    Ok(())
}
