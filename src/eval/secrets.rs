//! Secrets of a system: which there are, who owns and uses them, and the files that say so. No values.

use std::collections::{BTreeMap, BTreeSet};

use super::generated::plain_file;
use super::merge::conflict;
use super::system::{File, Origin, System, Traced};
use crate::diag::{Code, Diagnostic, Problems};
use crate::secrets::{
    CIPHERTEXT, DECLARATIONS, Declarations, DeclaredSecret, DeclaredTemplate, FORMAT, Kind,
};
use crate::spec::{Data, HostSpec, UnitName, UserName};
use crate::tree::TreePath;

/// Permission bits of a secret when nobody says otherwise.
const MODE: u16 = 0o400;
/// The unit that installs the secrets at boot.
const UNIT: &str = "nexus-host-secrets.service";
/// Where the program lies that installs the secrets.
const PROGRAM: &str = "usr/lib/nexus-host/nexus-secrets";
/// Before anything that could ask for a secret, and before logins.
const UNIT_TEXT: &str = "\
[Unit]
Description=Secrets of this host, decrypted into memory
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target systemd-sysusers.service systemd-user-sessions.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/nexus-host/nexus-secrets install
";

/// All secrets of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// The SOPS file in the workspace, when the host file names one.
    pub file: Option<String>,
    /// Secrets by name.
    pub demands: BTreeMap<String, Traced<SecretDemand>>,
    /// Files with several secrets in them, by name.
    pub templates: BTreeMap<String, Traced<SecretTemplate>>,
    /// The encrypted file's format (`yaml`, …) and bytes, when the system is built with it.
    pub ciphertext: Option<(String, Vec<u8>)>,
}

/// What is demanded of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretDemand {
    /// How it can be made.
    pub generate: Option<Kind>,
    /// Whether it stays when secrets are renewed.
    pub never_rotate: bool,
    /// Owner of its file; `None` is root.
    pub owner: Option<UserName>,
    /// Group of its file; `None` is root.
    pub group: Option<UserName>,
    /// Permission bits of its file; `None` is 0400.
    pub mode: Option<u16>,
    /// Units that use it.
    pub units: BTreeSet<UnitName>,
    /// Whether they are reloaded instead of restarted when it changes.
    pub reload: bool,
    /// The user whose password hash it is.
    pub password_of: Option<UserName>,
}

/// A file with several secrets in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretTemplate {
    /// The text, with `{secret:NAME}` in it.
    pub text: String,
    /// Its owner; `None` is root.
    pub owner: Option<UserName>,
    /// Its group; `None` is root.
    pub group: Option<UserName>,
    /// Its permission bits; `None` is 0400.
    pub mode: Option<u16>,
    /// Units that use it.
    pub units: BTreeSet<UnitName>,
    /// Whether they are reloaded instead of restarted when it changes.
    pub reload: bool,
}

impl Secrets {
    pub(super) fn new(file: Option<String>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Adds what is demanded of the secret `name` to what was demanded before.
    pub(super) fn demand(
        &mut self,
        name: String,
        demand: Traced<SecretDemand>,
        problems: &mut Problems,
    ) {
        let Some(have) = self.demands.get_mut(&name) else {
            self.demands.insert(name, demand);
            return;
        };
        let (first, second) = (have.origins[0].clone(), demand.origins[0].clone());
        let Traced { value: more, origins } = demand;
        let have_value = &mut have.value;
        let unlike = [
            ("generate", !fill(&mut have_value.generate, more.generate)),
            ("owner", !fill(&mut have_value.owner, more.owner)),
            ("group", !fill(&mut have_value.group, more.group)),
            ("mode", !fill(&mut have_value.mode, more.mode)),
            ("password_of", !fill(&mut have_value.password_of, more.password_of)),
        ];
        for (what, _) in unlike.into_iter().filter(|(_, unlike)| *unlike) {
            let message = format!("two different demands for `{what}` of the secret `{name}`");
            problems.push(conflict(Code::Conflict, message, &first, &second));
        }
        // A unit that must be restarted for one of them is restarted.
        have_value.reload = match (have_value.units.is_empty(), more.units.is_empty()) {
            (true, false) => more.reload,
            (false, false) => have_value.reload && more.reload,
            _ => have_value.reload || more.reload,
        };
        have_value.units.extend(more.units);
        have_value.never_rotate |= more.never_rotate;
        have.origins.extend(origins);
    }

    /// Declares every secret that an option of the host file names.
    pub(super) fn add_references(&mut self, spec: &HostSpec) {
        for (section, value) in &spec.sections {
            for leaf in value.leaves() {
                let (Data::Secret(name), Some(place)) = (&leaf.data, &leaf.place) else { continue };
                if self.demands.contains_key(name) {
                    continue;
                }
                let asked = Some(place.clone());
                let fragment = place.clone();
                let origin = Origin { module: section.clone(), asked, fragment };
                let value = SecretDemand::default();
                self.demands.insert(name.clone(), Traced { value, origins: vec![origin] });
            }
        }
    }

    /// The SOPS file of the host `host`, relative to the workspace.
    pub fn file_for(&self, host: &str) -> String {
        self.file.clone().unwrap_or_else(|| format!("secrets.sops/{host}.yaml"))
    }

    /// Whether the host has none.
    pub fn is_empty(&self) -> bool {
        self.demands.is_empty() && self.templates.is_empty()
    }

    /// The declarations as the host reads them.
    pub fn declarations(&self) -> Declarations {
        let name = |name: &Option<UserName>| {
            name.as_ref().map_or_else(|| "root".to_owned(), ToString::to_string)
        };
        let units = |units: &BTreeSet<UnitName>| units.iter().map(ToString::to_string).collect();
        let secret = |demand: &SecretDemand| DeclaredSecret {
            owner: name(&demand.owner),
            group: name(&demand.group),
            mode: u32::from(demand.mode.unwrap_or(MODE)),
            units: units(&demand.units),
            reload: demand.reload,
            generate: demand.generate.as_ref().map(ToString::to_string),
            never_rotate: demand.never_rotate,
        };
        let template = |template: &SecretTemplate| DeclaredTemplate {
            text: template.text.clone(),
            owner: name(&template.owner),
            group: name(&template.group),
            mode: u32::from(template.mode.unwrap_or(MODE)),
            units: units(&template.units),
            reload: template.reload,
        };
        let hashes = self.demands.iter().filter_map(|(name, demand)| {
            Some((demand.value.password_of.as_ref()?.to_string(), name.clone()))
        });
        Declarations {
            format: FORMAT,
            ciphertext: self
                .ciphertext
                .as_ref()
                .map(|(format, _)| format!("{CIPHERTEXT}.{format}")),
            secrets: self.demands.iter().map(|(n, s)| (n.clone(), secret(&s.value))).collect(),
            templates: self
                .templates
                .iter()
                .map(|(n, t)| (n.clone(), template(&t.value)))
                .collect(),
            password_hashes: hashes.collect(),
        }
    }
}

impl System {
    /// Builds the system with the encrypted file of its secrets; `format` is its name's end.
    pub fn add_ciphertext(&mut self, format: &str, bytes: Vec<u8>) {
        self.secrets.ciphertext = Some((format.to_owned(), bytes));
        for (path, file) in self.secret_files() {
            let path = TreePath::new(path).expect("a constant path");
            self.files.insert(path, file);
        }
    }

    /// Builds the system with the program that installs its secrets, when it has any.
    pub fn add_secrets_program(&mut self, program: &[u8]) {
        let demand = self.secrets.demands.values().next();
        let Some(origins) = demand.map(|demand| demand.origins.clone()) else { return };
        let mut file = plain_file("");
        if let File::Regular { content, mode, .. } = &mut file {
            content.extend_from_slice(program);
            *mode = 0o755;
        }
        let path = TreePath::new(PROGRAM).expect("a constant path");
        self.files.insert(path, Traced { value: file, origins });
    }

    /// Files of the system that tell the host about its secrets.
    pub(super) fn secret_files(&self) -> Vec<(String, Traced<File>)> {
        if self.secrets.is_empty() {
            return Vec::new();
        }
        let demands = self.secrets.demands.values().flat_map(|secret| &secret.origins);
        let templates = self.secrets.templates.values().flat_map(|template| &template.origins);
        let origins: Vec<Origin> = demands.chain(templates).cloned().collect();
        let traced = |value: File| Traced { value, origins: origins.clone() };
        let units = "etc/systemd/system";
        let link = File::Link { target: format!("/{units}/{UNIT}") };
        let mut files = vec![
            (DECLARATIONS.to_owned(), traced(plain_file(&self.secrets.declarations().to_text()))),
            (format!("{units}/{UNIT}"), traced(plain_file(UNIT_TEXT))),
            (format!("{units}/sysinit.target.wants/{UNIT}"), traced(link)),
        ];
        if let Some((format, bytes)) = &self.secrets.ciphertext {
            let mut file = plain_file("");
            if let File::Regular { content, .. } = &mut file {
                content.clone_from(bytes);
            }
            files.push((format!("{CIPHERTEXT}.{format}"), traced(file)));
        }
        files
    }

    pub(super) fn check_secrets(&self, problems: &mut Problems) {
        if let Err(error) = self.secrets.declarations().check() {
            let any = self.secrets.templates.values().map(Traced::place);
            let place = any.chain(self.secrets.demands.values().map(Traced::place)).next();
            if let Some(place) = place {
                problems.push(Diagnostic::error(
                    Code::UnknownSecret,
                    error.to_string(),
                    place.clone(),
                    "of the secrets declared here",
                ));
            }
        }
        for (name, secret) in &self.secrets.demands {
            // Owners may come from packages, whose users only the lock knows; the host checks them.
            let SecretDemand { password_of, generate, .. } = &secret.value;
            let user = password_of.as_ref().filter(|user| !self.has_user(user));
            if let Some(user) = user {
                let message = format!("the secret `{name}` is the password of an unknown user");
                let reason = format!("nothing declares `{user}`");
                let place = secret.place().clone();
                problems.push(Diagnostic::error(Code::UnknownOwner, message, place, reason));
            }
            let of = generate.as_ref().and_then(Kind::made_from);
            if let Some(of) = of.filter(|of| !self.secrets.demands.contains_key(*of)) {
                let message =
                    format!("the secret `{name}` is made from `{of}`, which is not declared");
                let place = secret.place().clone();
                let problem =
                    Diagnostic::error(Code::UnknownSecret, message, place, "no such secret");
                problems.push(problem.with_help(format!("Add `[secrets.values.\"{of}\"]`.")));
            }
        }
    }
}

/// Takes `more` where nothing was said; whether the two agree.
fn fill<T: PartialEq>(have: &mut Option<T>, more: Option<T>) -> bool {
    match (&*have, more) {
        (_, None) => true,
        (None, more) => {
            *have = more;
            true
        }
        (Some(have), Some(more)) => *have == more,
    }
}
