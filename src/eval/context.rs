//! Checked values as template variables.

use std::collections::BTreeMap;

use tera::{Context, Value as TeraValue};

use super::system::System;
use crate::spec::{Data, HostSpec, Module, Value};

/// What the templates of `module` see in the first stage: `host` and the module's own sections.
pub(super) fn first_stage(spec: &HostSpec, module: &Module) -> Context {
    let mut context = Context::new();
    let own = module.sections.keys().map(String::as_str);
    for section in own.chain(["host"]) {
        if let Some(value) = spec.sections.get(section) {
            context.insert_value(section.to_owned(), variable(value));
        }
    }
    with(&context, &BTreeMap::new())
}

/// What they see in the second stage: also `all`, what the first stage contributed.
pub(super) fn second_stage(spec: &HostSpec, module: &Module, contributed: &System) -> Context {
    let mut context = first_stage(spec, module);
    context.insert_value("all", TeraValue::from(contributions(contributed)));
    context
}

/// `context` with `values` as the variable `with`.
pub(super) fn with(context: &Context, values: &BTreeMap<String, String>) -> Context {
    let values: BTreeMap<String, TeraValue> =
        values.iter().map(|(key, value)| (key.clone(), TeraValue::from(value.as_str()))).collect();
    let mut context = context.clone();
    context.insert_value("with", TeraValue::from(values));
    context
}

fn variable(value: &Value) -> TeraValue {
    match &value.data {
        Data::Absent => TeraValue::none(),
        Data::Bool(yes) => TeraValue::from(*yes),
        Data::Integer(number) => TeraValue::from(*number),
        Data::Text(text) => TeraValue::from(text.as_str()),
        Data::Secret(name) => {
            TeraValue::from(BTreeMap::from([("secret".to_owned(), TeraValue::from(name.as_str()))]))
        }
        Data::List(items) => TeraValue::from(items.iter().map(variable).collect::<Vec<_>>()),
        Data::Map(map) => {
            let pairs = map.iter().map(|(key, value)| (key.clone(), variable(value)));
            TeraValue::from(pairs.collect::<BTreeMap<_, _>>())
        }
    }
}

fn contributions(system: &System) -> BTreeMap<String, TeraValue> {
    let ports: Vec<_> = system.ports.iter().map(|port| &port.value).collect();
    let routes: Vec<_> = system.routes.values().map(|route| &route.value).collect();
    let interfaces: Vec<_> = system.interfaces.values().map(|port| &port.value).collect();
    let users: BTreeMap<_, _> =
        system.users.iter().map(|(name, user)| (name.as_str(), &user.value)).collect();
    let units: Vec<_> = system.units.keys().collect();
    BTreeMap::from([
        ("ports".to_owned(), TeraValue::from_serializable(&ports)),
        ("routes".to_owned(), TeraValue::from_serializable(&routes)),
        ("interfaces".to_owned(), TeraValue::from_serializable(&interfaces)),
        ("users".to_owned(), TeraValue::from_serializable(&users)),
        ("units".to_owned(), TeraValue::from_serializable(&units)),
    ])
}
