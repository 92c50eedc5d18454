//! Changing running machines: what to do in which order, and the other end of the agent's conversation.
//!
//! | part | what |
//! |---|---|
//! | `rollout` | which hosts are changed in which order, when to stop; pure |
//! | `difference` | what one system has that another has not, from their manifests; pure |
//! | `reply` | what an agent says, read with suspicion; pure |
//! | `talk` | one start of an agent, and commands that it carries out one after the other |
//! | `agent` | an agent on a machine, asked over SSH |
//! | `copy` | sending what a machine lacks |
//! | `attempt` | one change of one machine, from its plan until it is kept or gone |
//! | `outside` | health checks that only others can make |
//!
//! The conversation is told in `docs/agent-protocol.md`.

mod agent;
mod attempt;
mod copy;
mod difference;
mod error;
mod outside;
mod reply;
mod rollout;
mod talk;

pub use agent::{Agent, Seen, Ways};
pub use attempt::{Activation, Attempt, End, Listener};
pub use copy::{Copied, copy};
pub use difference::{Difference, Manifest};
pub use error::{DeployError, Fate};
pub use outside::{Outcome as OutsideOutcome, OutsideCheck};
pub use reply::{BackupReply, Event, GenerationReply, PlanReply, Status, TrialReply, plain};
pub use rollout::{Batch, Rollout, RolloutError};
