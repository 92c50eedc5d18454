//! What it takes to turn another machine into a host: facts about it, what speaks against it, the steps.
//!
//! | module | from → to |
//! |---|---|
//! | `facts` | what the machine answers → what it is |
//! | `network` | its addresses, and those that the host file declares → whether the host would be reached |
//! | `findings` | facts and what is needed → errors and warnings, with what to write instead |
//! | `plan` | all of it → steps in order, to be shown before anything happens |

pub mod facts;
pub mod findings;
pub mod network;
pub mod plan;

pub use facts::{Facts, FactsError};
pub use findings::{Finding, Severity};
pub use plan::{Plan, Step};
