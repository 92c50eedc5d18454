//! Merges fragments into a system; what contradicts is a problem with both places.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Debug;

use super::fragment::Fragment;
use super::system::{Origin, System, Traced, Unit};
use crate::diag::{Code, Diagnostic, Problems};

impl System {
    /// Takes over every item of `fragment`.
    pub(super) fn merge(&mut self, fragment: Fragment, problems: &mut Problems) {
        let Fragment { packages, files, units, users, groups, ports, .. } = fragment;
        put_all(&mut self.packages, packages, "package", problems);
        put_all(&mut self.files, files, "file", problems);
        for (name, unit) in units {
            merge_unit(self.units.entry(name.clone()), unit, &name.to_string(), problems);
        }
        put_all(&mut self.users, users, "user", problems);
        put_all(&mut self.groups, groups, "group", problems);
        for port in ports {
            self.merge_port(port);
        }
        for (domain, route) in fragment.routes {
            merge_route(self, domain, route, problems);
        }
        put_all(&mut self.interfaces, fragment.interfaces, "interface", problems);
        put_all(&mut self.checks, fragment.checks, "check", problems);
        put_all(&mut self.backups, fragment.backups, "backup", problems);
        put_all(&mut self.sysctl, fragment.sysctl, "kernel parameter", problems);
        for argument in fragment.kernel_arguments {
            match self.kernel_arguments.iter_mut().find(|have| have.value == argument.value) {
                Some(have) => have.origins.extend(argument.origins),
                None => self.kernel_arguments.push(argument),
            }
        }
        put_all(&mut self.kernel_modules, fragment.kernel_modules, "kernel module", problems);
        let tmpfiles = fragment.tmpfiles.into_iter();
        for ((path, kind), line) in tmpfiles {
            let shown = format!("{kind} {path}");
            put(
                self.tmpfiles.entry((path, kind)),
                line,
                &format!("line `{shown}` of tmpfiles"),
                problems,
            );
        }
        put_all(&mut self.mounts, fragment.mounts, "mount", problems);
        for (name, secret) in fragment.secrets {
            self.secrets.demand(name, secret, problems);
        }
        let templates = fragment.secret_templates;
        put_all(&mut self.secrets.templates, templates, "template of secrets", problems);
    }

    fn merge_port(&mut self, port: Traced<super::system::Port>) {
        match self.ports.iter_mut().find(|have| have.value == port.value) {
            Some(have) => have.origins.extend(port.origins),
            None => self.ports.push(port),
        }
        self.ports.sort_by(|a, b| a.value.cmp(&b.value));
    }
}

/// The problem of two places that ask for different things under one name.
pub(super) fn conflict(code: Code, message: String, first: &Origin, second: &Origin) -> Diagnostic {
    let problem = Diagnostic::error(code, message, second.place().clone(), by(second));
    problem.with_label(first.place().clone(), by(first))
}

fn by(origin: &Origin) -> String {
    format!("by the module `{}`", origin.module)
}

fn put_all<K: Ord + Debug + ToString, T: PartialEq>(
    map: &mut BTreeMap<K, Traced<T>>,
    items: Vec<(K, Traced<T>)>,
    what: &str,
    problems: &mut Problems,
) {
    for (key, item) in items {
        let what = format!("{what} `{}`", crate::diag::printable(&key.to_string()));
        put(map.entry(key), item, &what, problems);
    }
}

fn put<K: Ord, T: PartialEq>(
    entry: Entry<'_, K, Traced<T>>,
    item: Traced<T>,
    what: &str,
    problems: &mut Problems,
) {
    match entry {
        Entry::Vacant(vacant) => drop(vacant.insert(item)),
        Entry::Occupied(mut occupied) if occupied.get().value == item.value => {
            occupied.get_mut().origins.extend(item.origins);
        }
        Entry::Occupied(occupied) => {
            let message = format!("two different demands for the {what}");
            let (first, second) = (&occupied.get().origins[0], &item.origins[0]);
            problems.push(conflict(Code::Conflict, message, first, second));
        }
    }
}

fn merge_route(
    system: &mut System,
    domain: String,
    route: Traced<super::system::Route>,
    problems: &mut Problems,
) {
    match system.routes.entry(domain) {
        Entry::Vacant(vacant) => drop(vacant.insert(route)),
        Entry::Occupied(occupied) => {
            let message = format!("two routes for `{}`", occupied.key());
            let (first, second) = (&occupied.get().origins[0], &route.origins[0]);
            problems.push(conflict(Code::RouteTwice, message, first, second));
        }
    }
}

/// A unit may be written by one fragment and extended and started by others.
fn merge_unit(
    entry: Entry<'_, crate::spec::UnitName, Traced<Unit>>,
    unit: Traced<Unit>,
    name: &str,
    problems: &mut Problems,
) {
    let have = match entry {
        Entry::Vacant(vacant) => {
            vacant.insert(unit);
            return;
        }
        Entry::Occupied(occupied) => occupied.into_mut(),
    };
    let (first, second) = (have.origins[0].clone(), unit.origins[0].clone());
    let mut contradict = |what: String| {
        let message = format!("two different texts for {what}");
        problems.push(conflict(Code::Conflict, message, &first, &second));
    };
    let Traced { value: more, origins } = unit;
    match (&have.value.text, more.text) {
        (Some(old), Some(new)) if *old != new => contradict(format!("the unit `{name}`")),
        (None, Some(new)) => have.value.text = Some(new),
        _ => {}
    }
    for (dropin, text) in more.dropins {
        match have.value.dropins.get(&dropin) {
            Some(old) if *old != text => {
                contradict(format!("the addition `{dropin}` to `{name}`"));
            }
            _ => drop(have.value.dropins.insert(dropin, text)),
        }
    }
    have.value.wanted_by.extend(more.wanted_by);
    have.value.required_by.extend(more.required_by);
    have.value.aliases.extend(more.aliases);
    have.origins.extend(origins);
}
