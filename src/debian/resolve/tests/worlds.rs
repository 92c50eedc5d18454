//! Properties of the resolver over small random indexes, against a check written another way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Request, ResolveError, Update, in_words, requests, resolve_short};
use crate::debian::package::Architecture;
use crate::debian::relation::{Relation, parse_relations};
use crate::debian::version::compare_versions;

/// A name, then version, `Depends`, `Conflicts` or `Breaks`, a provided name, and which of the two.
type Drawn = (u8, (u8, String, String, Option<(u8, Option<u8>)>, bool));

/// A small world with all kinds of relations, often contradictory.
fn world() -> impl Strategy<Value = String> {
    let relation = prop_oneof![
        4 => (0..12_u8).prop_map(|n| format!("p{n}")),
        1 => (0..4_u8).prop_map(|n| format!("v{n}")),
        1 => (0..12_u8, 1..4_u8).prop_map(|(n, v)| format!("p{n} (>= {v})")),
        1 => (0..4_u8, 1..3_u8).prop_map(|(n, v)| format!("v{n} (= {v})")),
        1 => (0..12_u8, 1..4_u8).prop_map(|(n, v)| format!("p{n} (<< {v})")),
    ];
    let group = proptest::collection::vec(relation.clone(), 1..3).prop_map(|g| g.join(" | "));
    let depends = proptest::collection::vec(group, 0..3).prop_map(|groups| groups.join(", "));
    let against = proptest::collection::vec(relation, 0..2).prop_map(|list| list.join(", "));
    let provides = proptest::option::of((0..4_u8, proptest::option::of(1..3_u8)));
    let package = (1..4_u8, depends, against, provides, any::<bool>());
    proptest::collection::vec((0..12_u8, package), 1..20).prop_map(|packages| {
        let line = |(name, (version, depends, against, provides, breaks)): &Drawn| {
            let field = if *breaks { "Breaks" } else { "Conflicts" };
            let provides = provides.map_or(String::new(), |(name, version)| {
                let version = version.map_or(String::new(), |v| format!(" (= {v})"));
                format!("v{name}{version}")
            });
            format!(
                "p{name} {version}; Depends: {depends}; {field}: {against}; Provides: {provides}\n"
            )
        };
        packages.iter().map(line).collect()
    })
}

#[derive(Clone)]
struct Fact {
    name: String,
    version: String,
    depends: String,
    against: String,
    provides: String,
}

/// Reads a world again, by another way than the resolver does.
fn facts(world: &str) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    for line in world.lines() {
        let parts: Vec<&str> = line.split("; ").collect();
        let (name, version) = parts[0].split_once(' ').unwrap();
        let value = |part: &str| part.split_once(':').unwrap().1.trim().to_owned();
        if !facts.iter().any(|fact| fact.name == name && fact.version == version) {
            let (name, version) = (name.to_owned(), version.to_owned());
            let (depends, against, provides) = (value(parts[1]), value(parts[2]), value(parts[3]));
            facts.push(Fact { name, version, depends, against, provides });
        }
    }
    facts
}

fn meets(fact: &Fact, relation: &Relation<'_>) -> bool {
    if fact.name == relation.name && relation.covers(&fact.version) {
        return true;
    }
    let (name, version) = fact.provides.split_once(" (= ").unwrap_or((&fact.provides, ""));
    let covered = match (version.trim_end_matches(')'), relation.version) {
        (_, None) => true,
        ("", Some(_)) => false,
        (version, Some((operator, wanted))) => operator.holds(compare_versions(version, wanted)),
    };
    name == relation.name && covered
}

fn is_solution(set: &[&Fact]) -> bool {
    let groups = |text| parse_relations(text, Architecture::Amd64).unwrap();
    set.iter().all(|fact| {
        let fulfilled = groups(&fact.depends)
            .iter()
            .all(|group| group.iter().any(|r| set.iter().any(|other| meets(other, r))));
        let clashes = groups(&fact.against).iter().any(|group| {
            set.iter().any(|other| other.name != fact.name && meets(other, &group[0]))
        });
        let is_only = set.iter().filter(|other| other.name == fact.name).count() == 1;
        fulfilled && !clashes && is_only
    })
}

/// Whether any choice of best versions that has all `wanted` is a solution: tries all.
fn has_solution(facts: &[Fact], wanted: &BTreeSet<Request>) -> bool {
    let mut best: Vec<&Fact> = facts.iter().collect();
    best.sort_by(|a, b| a.name.cmp(&b.name).then(compare_versions(&b.version, &a.version)));
    best.dedup_by(|later, kept| later.name == kept.name);
    (0_u32..1 << best.len()).any(|choice| {
        let set: Vec<&Fact> = best
            .iter()
            .enumerate()
            .filter(|(n, _)| choice >> n & 1 == 1)
            .map(|(_, f)| *f)
            .collect();
        let has = |request: &Request| set.iter().any(|fact| fact.name == request.name.as_str());
        wanted.iter().all(has) && is_solution(&set)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_answer_fulfils_all_relations_and_no_answer_means_there_is_none(
        world in world(), wanted in proptest::collection::btree_set(0..12_u8, 1..4)
    ) {
        let facts = facts(&world);
        let known = wanted.iter().map(|n| format!("p{n}"));
        let known: Vec<String> =
            known.filter(|name| facts.iter().any(|fact| fact.name == *name)).collect();
        let wanted = known.join(" ");
        match resolve_short(&world, &wanted, &[], Update::Nothing) {
            Ok(set) => {
                let is_in = |fact: &&Fact| set.packages.iter().any(|p| {
                    p.name.as_str() == fact.name && p.version.as_str() == fact.version
                });
                let chosen: Vec<&Fact> = facts.iter().filter(is_in).collect();
                prop_assert_eq!(chosen.len(), set.packages.len());
                prop_assert!(is_solution(&chosen), "{} of\n{}", in_words(&Ok(set)), world);
            }
            Err(ResolveError::Unsatisfiable(reasons)) => {
                prop_assert!(!has_solution(&facts, &requests(&wanted)), "{}\n{}", world, reasons);
                prop_assert!(!reasons.to_string().is_empty());
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn asking_again_with_the_lock_changes_nothing(
        world in world(), wanted in proptest::collection::btree_set(0..12_u8, 1..4)
    ) {
        let wanted: Vec<String> = wanted.iter().map(|n| format!("p{n}")).collect();
        if let Ok(set) = resolve_short(&world, &wanted.join(" "), &[], Update::Nothing) {
            let again =
                resolve_short(&world, &wanted.join(" "), &set.packages, Update::Nothing).unwrap();
            prop_assert!(again.packages.iter().all(|package| set.packages.contains(package)));
        }
    }
}
