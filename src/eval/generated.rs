//! Files made from a system's fields: units and their links, presets, tmpfiles, sysctl, fstab.

use super::merge::conflict;
use super::system::{File, Origin, System, Traced, Unit};
use crate::diag::{Code, Problems};
use crate::spec::{UnitName, UserName};
use crate::tree::TreePath;

const UNITS: &str = "etc/systemd/system";
const HEADER: &str = "# Made by nexus-host from the host file; changes go there.\n";

impl System {
    /// Adds the generated files to [`System::files`].
    pub(super) fn generate(&mut self, problems: &mut Problems) {
        let mut made: Vec<(String, Traced<File>)> = Vec::new();
        for (name, unit) in &self.units {
            unit_files(&mut made, name, unit);
        }
        made.extend(self.lists());
        made.extend(self.secret_files());
        for (path, file) in made {
            let path = TreePath::new(path).expect("made from checked names");
            if let Some(other) = self.files.get(&path) {
                let message = format!("`/{path}` is made from units, tmpfiles or the like");
                let (first, second) = (&file.origins[0], &other.origins[0]);
                problems.push(conflict(Code::Conflict, message, first, second));
            } else {
                self.files.insert(path, file);
            }
        }
    }

    /// One file for each kind of line.
    fn lists(&self) -> Vec<(String, Traced<File>)> {
        let starting = |unit: &&Traced<Unit>| unit.value.starts();
        let presets = self.units.iter().filter(|(_, unit)| starting(unit));
        let presets = presets.map(|(name, unit)| (format!("enable {name}"), unit.origins.clone()));
        let sysctl = self.sysctl.iter();
        let sysctl =
            sysctl.map(|(key, value)| (format!("{key} = {}", value.value), value.origins.clone()));
        let modules =
            self.kernel_modules.iter().map(|(name, module)| (name.clone(), module.origins.clone()));
        let tmpfiles = self.tmpfiles.iter();
        let tmpfiles = tmpfiles
            .map(|((path, kind), line)| (tmpfile(path, kind, &line.value), line.origins.clone()));
        let mounts = self.mounts.iter().map(|(place, mount)| {
            let super::system::Mount { what, kind, options } = &mount.value;
            (format!("{what} {} {kind} {options} 0 0", fstab(place)), mount.origins.clone())
        });
        let lists = [
            ("etc/systemd/system-preset/00-nexus-host.preset", presets.collect(), "disable *\n"),
            ("etc/sysctl.d/60-nexus-host.conf", sysctl.collect::<Vec<_>>(), ""),
            ("etc/modules-load.d/nexus-host.conf", modules.collect(), ""),
            ("etc/tmpfiles.d/nexus-host.conf", tmpfiles.collect(), ""),
            ("etc/fstab", mounts.collect(), ""),
        ];
        let filled = lists.into_iter().filter(|(_, lines, _)| !lines.is_empty());
        filled.map(|(path, lines, end)| (path.to_owned(), list_file(lines, end))).collect()
    }
}

impl Unit {
    /// Whether something starts it at boot.
    pub fn starts(&self) -> bool {
        !self.wanted_by.is_empty() || !self.required_by.is_empty()
    }
}

fn unit_files(made: &mut Vec<(String, Traced<File>)>, name: &UnitName, unit: &Traced<Unit>) {
    let Traced { value, origins } = unit;
    let mut add = |path: String, file: File| {
        made.push((path, Traced { value: file, origins: origins.clone() }));
    };
    if let Some(text) = &value.text {
        add(format!("{UNITS}/{name}"), plain_file(text));
    }
    for (dropin, text) in &value.dropins {
        add(format!("{UNITS}/{name}.d/{dropin}.conf"), plain_file(text));
    }
    let link = || File::Link { target: unit_path(name, value) };
    for target in &value.wanted_by {
        add(format!("{UNITS}/{target}.wants/{name}"), link());
    }
    for target in &value.required_by {
        add(format!("{UNITS}/{target}.requires/{name}"), link());
    }
    for alias in &value.aliases {
        add(format!("{UNITS}/{alias}"), link());
    }
}

/// Where the unit's file lies; that of an instance is its template's (systemd.unit(5)).
fn unit_path(name: &UnitName, unit: &Unit) -> String {
    let folder = if unit.text.is_some() { "/etc" } else { "/usr/lib" };
    let text = name.as_str();
    let file = match (text.split_once('@'), text.rsplit_once('.')) {
        (Some((stem, _)), Some((_, suffix))) if unit.text.is_none() => format!("{stem}@.{suffix}"),
        _ => text.to_owned(),
    };
    format!("{folder}/systemd/system/{file}")
}

fn list_file(lines: Vec<(String, Vec<Origin>)>, end: &str) -> Traced<File> {
    let mut text = String::from(HEADER);
    let mut origins = Vec::new();
    for (line, by) in lines {
        text.push_str(&line);
        text.push('\n');
        origins.extend(by);
    }
    text.push_str(end);
    Traced { value: plain_file(&text), origins }
}

pub(super) fn plain_file(text: &str) -> File {
    let root = || UserName::new("root").expect("a user name");
    File::Regular { content: text.as_bytes().to_vec(), mode: 0o644, owner: root(), group: root() }
}

/// A line of tmpfiles.d(5): fields in quotes, `%` doubled, `-` for what is not set.
fn tmpfile(path: &str, kind: &str, line: &super::system::Tmpfile) -> String {
    let dash = || "-".to_owned();
    let name = |name: &Option<UserName>| name.as_ref().map_or_else(dash, ToString::to_string);
    let mode = line.mode.map_or_else(dash, |mode| format!("{mode:04o}"));
    let age = line.age.as_ref().map_or_else(dash, |age| age.replace(' ', ""));
    let argument = line.argument.as_ref().map_or_else(dash, |text| escaped(text));
    let path = format!("\"{}\"", escaped(path).replace('"', "\\\""));
    format!("{kind} {path} {mode} {} {} {age} {argument}", name(&line.user), name(&line.group))
}

/// Backslashes and specifiers mean themselves.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "%%")
}

/// A field of fstab(5): white space and backslashes in octal.
fn fstab(text: &str) -> String {
    let escape = |char: char| match char {
        ' ' | '\\' | '#' => format!("\\{:03o}", u32::from(char)),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}
