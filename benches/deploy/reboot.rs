//! A soft-reboot beside a reboot, each as the level of a deployment.

use crate::line::{Line, Link};
use crate::site::Site;
use crate::spread;

/// Pairs of runs.
const RUNS: usize = 3;

pub(crate) fn soft_beside_full(site: &mut Site) {
    let line = site.line(Link::BARE);
    let mut ratios = Vec::new();
    for run in 0..RUNS {
        let [soft, full] =
            ["--soft-reboot", "--reboot"].map(|level| seconds_away(site, &line, level));
        println!("soft-reboot {run}: {soft:.1} s; reboot {full:.1} s");
        ratios.push(soft / full);
    }
    println!("soft-reboot | by the time of a reboot {} | asked <= 0.6\n", spread(ratios));
}

/// Seconds from the moment when the machine goes down until somebody has logged in to its new system.
fn seconds_away(site: &mut Site, line: &Line, level: &str) -> f64 {
    site.change_page();
    let deployed = site.deploy(line, &[level, "--window", "600"]);
    assert_eq!(deployed.told["outcome"], "kept");
    let when = |text: &str| {
        let found = deployed.said.iter().find(|(_, line)| line.contains(text));
        found.unwrap_or_else(|| panic!("no `{text}` in {:#?}", deployed.said)).0
    };
    let seconds = when("the machine is back") - when("goes down for a");
    site.settle();
    seconds
}
