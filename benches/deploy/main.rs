//! `deploy` on a running machine beside its peers, in one run and in turn, ratios at the end.
//!
//! `cargo bench --bench deploy [-- SCENARIO…]`, with ansible-core and openssh-client (Debian packages)
//! installed. vps1 is built, started in QEMU by `test --keep`, and reached over a port of this machine.
//!
//! | scenario | ours | beside |
//! |---|---|---|
//! | `noop` | `deploy` when nothing has changed | `ssh` with `sudo true` |
//! | `change` | `deploy` of another page: its service restarts, the host's checks pass, a new login confirms | `ansible-playbook`: a template, a restart, a check |
//! | `copy` | 200 MB of new store paths that do not compress, verified and durable | `ssh cat` of the same bytes, then `sync` |
//! | `copy-far` | the same over a line with a round trip of 70 ms | the same |
//! | `soft-reboot` | from going down until a login over the new system, without the kernel | the same with it |
//!
//! The machine is emulated, ten to twenty times slower than a rented one, so most of each time is its processor:
//! "guest" is what QEMU has used of ours meanwhile. Of `change`, "units" is the time in which the service itself
//! stops and starts: the step `restart` of the agent's log; `swap` is the step `swapped`, both trees.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, starts programs, and stops at the first thing that goes wrong"
)]

mod change;
mod copy;
mod line;
mod peer;
mod reboot;
mod site;

use std::time::Duration;

use site::Site;

/// A round trip to a machine on another continent.
const FAR: Duration = Duration::from_millis(70);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut site = Site::start();
    if is_wanted("noop") {
        change::nothing(&mut site);
    }
    if is_wanted("change") {
        change::page(&mut site);
    }
    if is_wanted("copy") {
        copy::beside_cat(&site, "copy", Duration::ZERO);
    }
    if is_wanted("copy-far") {
        copy::beside_cat(&site, "copy-far", FAR);
    }
    if is_wanted("soft-reboot") {
        reboot::soft_beside_full(&mut site);
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
