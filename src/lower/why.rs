//! Which inputs of two recipes differ: their pre-images, line by line.

use std::collections::BTreeSet;

/// What differs between two pre-images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Lines that are facts (an option, a digest, an id), with the side that has them.
    pub facts: Vec<(Side, String)>,
    /// Inputs that both have, by role and package name, with different store paths: (in A, in B).
    pub inputs: Vec<(String, String)>,
    /// Inputs that only one side has.
    pub lone_inputs: Vec<(Side, String)>,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Compares two texts made by [`super::recipe::Recipe::preimage`].
pub fn difference(a: &str, b: &str) -> Difference {
    let lines_a: BTreeSet<&str> = a.lines().collect();
    let lines_b: BTreeSet<&str> = b.lines().collect();
    let only_a: Vec<&str> = a.lines().filter(|line| !lines_b.contains(line)).collect();
    let mut only_b: Vec<&str> = b.lines().filter(|line| !lines_a.contains(line)).collect();
    let mut difference = Difference::default();
    for line in only_a {
        let Some((role, path)) = input_of(line) else {
            difference.facts.push((Side::A, line.to_owned()));
            continue;
        };
        let same_thing = |other: &&str| {
            input_of(other).is_some_and(|(r, p)| r == role && package_of(p) == package_of(path))
        };
        match only_b.iter().position(same_thing) {
            Some(index) => {
                let other = input_of(only_b.remove(index)).expect("only inputs are compared").1;
                difference.inputs.push((path.to_owned(), other.to_owned()));
            }
            None => difference.lone_inputs.push((Side::A, path.to_owned())),
        }
    }
    for line in only_b {
        match input_of(line) {
            Some((_, path)) => difference.lone_inputs.push((Side::B, path.to_owned())),
            None => difference.facts.push((Side::B, line.to_owned())),
        }
    }
    difference
}

/// Role and store path of an input line.
fn input_of(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("input ")?.split_once(' ')
}

/// The name in a store path up to its version: what a new version has in common with the old.
fn package_of(path: &str) -> &str {
    let name = path.get(33..).unwrap_or(path);
    name.split('_').next().unwrap_or(name)
}

#[cfg(test)]
mod tests;
