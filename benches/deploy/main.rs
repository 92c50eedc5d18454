//! `deploy` on a running machine beside its peers, in one run and in turn, ratios at the end.
//!
//! `cargo bench --bench deploy [-- SCENARIO…]` as root, with ansible-core, openssh-client, iproute2 (Debian
//! packages) and for the last scenario qemu-system-x86 installed. The machine runs vps1 on the kernel of this one, in
//! namespaces of its own, as fast as a rented one; with the word `emulated` in QEMU. It is reached over a port of
//! this machine.
//!
//! | scenario | ours | beside |
//! |---|---|---|
//! | `noop` | `deploy` when nothing has changed | `ssh` with `sudo true` |
//! | `change` | `deploy` of another page: its service restarts, the host's checks pass, a new login confirms | `ansible-playbook`: a template, a restart, a check |
//! | `copy` | 200 MB of new store paths that do not compress, verified and durable, over 1 Gbit/s | `ssh cat` of the same bytes, then `sync` |
//! | `copy-far` | the same with a round trip of 70 ms | the same |
//! | `copy-bare` | the same as fast as the processors are, which both ends share here | the same |
//! | `soft-reboot` | from going down until a login over the new system, without the kernel | the same with it |
//!
//! "guest" is what the machine has used of our processors meanwhile, with all of QEMU when that emulates it. Of
//! `change`, "units" is the time in which the service itself stops and starts: the step `restart` of the agent's log;
//! `swap` is the step `swapped`, both trees.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, starts programs, and stops at the first thing that goes wrong"
)]

mod change;
mod copy;
mod emulated;
mod here;
mod line;
mod peer;
mod reboot;
mod site;

use line::Link;
use site::{Kind, Site};

/// A scenario by name.
type Scenario = (&'static str, fn(&mut Site));

/// Those for both kinds of machine.
const SCENARIOS: [Scenario; 5] = [
    ("noop", change::nothing),
    ("change", change::page),
    ("copy", |site| copy::beside_cat(site, "copy", Link::NEAR)),
    ("copy-far", |site| copy::beside_cat(site, "copy-far", Link::FAR)),
    ("copy-bare", |site| copy::beside_cat(site, "copy-bare", Link::BARE)),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted == name);
    let emulated = is_wanted("emulated");
    let all = wanted.iter().all(|word| word == "emulated");
    let usual =
        SCENARIOS.into_iter().filter(|(name, _)| all || is_wanted(name)).collect::<Vec<_>>();
    if !usual.is_empty() {
        let mut site = Site::start(if emulated { Kind::Emulated } else { Kind::Here });
        for (_, scenario) in usual {
            scenario(&mut site);
        }
    }
    // Only a machine with a kernel of its own can be without it.
    if all || is_wanted("soft-reboot") {
        reboot::soft_beside_full(&mut Site::start(Kind::Emulated));
    }
}

/// What something took: wall time, and the guest's processor.
#[derive(Debug, Clone, Copy)]
struct Took {
    seconds: f64,
    guest_seconds: f64,
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s (guest {:.2} s)", self.seconds, self.guest_seconds)
    }
}

/// The middle one; of an even number the larger.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// `a..b, median m`.
fn spread(mut numbers: Vec<f64>) -> String {
    numbers.sort_by(f64::total_cmp);
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    format!("{first:.2}..{last:.2}, median {:.2}", median(numbers))
}
