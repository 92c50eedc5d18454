//! What long work tells about itself; `cli` shows it as bars or as lines.

/// Receives what happens; called from many threads.
pub trait Progress: Send + Sync {
    /// A piece of work begins; `total` is its size in `unit`s when known.
    fn begin(&self, label: &str, unit: Unit, total: Option<u64>) -> Box<dyn Task>;

    /// A sentence worth reading, such as a fallback that was taken.
    fn note(&self, text: &str);
}

/// A piece of work that goes on; it ends when dropped.
pub trait Task: Send + Sync {
    /// `amount` more units are done.
    fn advance(&self, amount: u64);

    /// What it is at just now, such as a file name.
    fn at(&self, what: &str);
}

/// What a task counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown with binary prefixes.
    Bytes,
    /// Things, shown as a number.
    Things,
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Unit, _: Option<u64>) -> Box<dyn Task> {
        Box::new(Silent)
    }

    fn note(&self, _: &str) {}
}

impl Task for Silent {
    fn advance(&self, _: u64) {}

    fn at(&self, _: &str) {}
}
