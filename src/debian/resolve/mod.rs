//! From requests and indexes to a set of packages: the choice apt would make, proved, or why there is none.
//!
//! 1. [`walk`](self) marks packages as apt does from an empty system (`MarkInstall`): the essential ones
//!    and the requests are settled first, then each relation in the order of the fields takes the first
//!    alternative that works.
//! 2. The result is checked against every relation. When it holds, it is the answer.
//! 3. Otherwise a SAT solver (resolvo) decides, with the choices of the walk as its first wishes.
//! 4. When that finds nothing, the reasons are derived and put in words.
//!
//! Packages of an old lock take the place of apt's installed packages: they are kept where they can be.

mod catalog;
mod check;
mod explain;
mod order;
mod request;
mod run;
mod solver;
mod walk;

#[cfg(test)]
mod tests;

pub use explain::Unsatisfiable;
pub use request::{Base, Request, RequestError, RequestProblem, Requests, Update};
pub use run::{PackageSet, ResolveError, resolve};
