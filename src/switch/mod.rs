//! Old system, new system, what runs → which units to stop, reload, restart and start, and how deep
//! the change goes. Nothing here reads or writes.
//!
//! The rules are those of NixOS' `switch-to-configuration-ng`, widened to Debian: units of packages in
//! `/usr/lib` count, and because their text does not change with the program, so do the files that a
//! unit reads ([`reads`]) and the programs that its processes run. Where we do better than the model,
//! the decision says so:
//!
//! * a unit is stopped before the switch only when it has something to run when stopping (`ExecStop`)
//!   or asks for it (`X-StopIfChanged=true`); else it restarts after, so it is down for less time;
//! * a socket stays open while its service restarts, and a socket that itself changed is opened anew;
//! * units that are no longer enabled stop, newly enabled ones start, nothing else is started: what an
//!   administrator stopped stays stopped;
//! * a unit that conflicts with one that starts is stopped first;
//! * a failed unit that changed is tried again.

mod compare;
mod level;
mod observed;
mod plan;
mod reads;
mod text;
mod unit_file;

pub use compare::{Difference, compare};
pub use level::{Policy, SystemFacts, plan_level};
pub use observed::{Activity, Observed, Origin, unit_of_group};
pub use plan::{Inputs, SystemUnits, UnitPlan, lost_units, plan_units};
pub use reads::reads;
pub use text::{SwitchPlan, TextError};
pub use unit_file::{UNIT_BYTES_MAX, Unit, UnitFile, stem, suffix, template_of};

#[cfg(test)]
mod tests;
