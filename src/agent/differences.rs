//! Which paths of two systems are other ones, remembered until the next boot: systems never change, and a plan is
//! made twice of each change, once to be shown and once to be carried out.
//!
//! ```text
//! same|differs <old system> <new system> <path>
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::AgentError;
use super::places::Places;
use crate::exec::files::{read_limited, write_atomic};
use crate::store::StorePath;

/// Most bytes of the list; a longer one begins anew.
const BYTES_MAX: u64 = 1 << 20;

/// What is known of two systems and a path: whether it differs.
#[derive(Debug, Default)]
pub(super) struct Differences {
    known: RefCell<BTreeMap<String, bool>>,
    grown: Cell<bool>,
}

impl Differences {
    /// What was found since the boot.
    pub(super) fn load(places: &Places) -> Self {
        let text = read_limited(&file(places), BYTES_MAX).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let parse = |line: &str| {
            let (word, rest) = line.split_once(' ')?;
            Some((rest.to_owned(), word == "differs"))
        };
        let known = RefCell::new(text.lines().filter_map(parse).collect());
        Self { known, grown: Cell::new(false) }
    }

    /// Whether `path` is another one in `new` than in `old`; `compare` finds it out when it is not known.
    pub(super) fn differs(
        &self,
        (old, new, path): (&StorePath, &StorePath, &str),
        compare: impl FnOnce() -> bool,
    ) -> bool {
        let key = format!("{old} {new} {path}");
        if let Some(known) = self.known.borrow().get(&key) {
            return *known;
        }
        let found = compare();
        // A path with a line break would be two lines.
        if !path.contains('\n') {
            self.known.borrow_mut().insert(key, found);
            self.grown.set(true);
        }
        found
    }

    /// Notes what was found until the next boot.
    pub(super) fn save(&self, places: &Places) -> Result<(), AgentError> {
        if !self.grown.replace(false) {
            return Ok(());
        }
        let word = |differs: bool| if differs { "differs" } else { "same" };
        let known = self.known.borrow();
        let lines = known.iter().map(|(key, differs)| format!("{} {key}\n", word(*differs)));
        Ok(write_atomic(&file(places), lines.collect::<String>().as_bytes())?)
    }
}

fn file(places: &Places) -> PathBuf {
    places.run().join("differences")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compared_is_not_compared_again() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        std::fs::create_dir_all(places.run()).unwrap();
        let path = |digit: &str| StorePath::from_base_name(&format!("{}-s", digit.repeat(32)));
        let (old, new) = (path("0").unwrap(), path("1").unwrap());
        let found = Differences::load(&places);
        assert!(found.differs((&old, &new, "/usr/x"), || true));
        assert!(!found.differs((&old, &new, "/usr/y z"), || false));
        found.save(&places).unwrap();
        let again = Differences::load(&places);
        assert!(again.differs((&old, &new, "/usr/x"), || panic!("it is known")));
        assert!(!again.differs((&old, &new, "/usr/y z"), || panic!("it is known")));
        assert!(!again.differs((&new, &old, "/usr/x"), || false), "the other way is another one");
    }
}
