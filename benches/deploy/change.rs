//! A change of configuration, and none.

use crate::line::Link;
use crate::peer::Peer;
use crate::site::Site;
use crate::{median, spread};

/// Runs of each; the first pair of changes is not counted, because it fills caches on both sides.
const RUNS: usize = 5;

pub(crate) fn nothing(site: &mut Site) {
    let line = site.line(Link::BARE);
    site.change_page();
    site.deploy(&line, &[]);
    let (mut ours, mut over) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let login = site.took(|| drop(site.ssh(&line, "sudo -n true").output().unwrap()));
        let deployed = site.deploy(&line, &[]);
        assert_eq!(deployed.told["outcome"], "same");
        println!("noop {run}: {}; ssh with sudo and `true` {login}", deployed.took);
        ours.push(deployed.took.seconds);
        over.push(deployed.took.seconds - login.seconds);
    }
    println!("noop | {} s | asked <= 0.3 s on a real machine", spread(ours));
    println!("     | above a login with sudo {} s\n", spread(over));
}

pub(crate) fn page(site: &mut Site) {
    let line = site.line(Link::BARE);
    let mut peer = Peer::new(site, &line);
    let (mut ours, mut usual, mut fast, mut without) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    for run in 0..=RUNS {
        site.change_page();
        line.take_sent();
        let deployed = site.deploy(&line, &[]);
        assert_eq!(deployed.told["outcome"], "kept");
        let line_bytes = line.take_sent();
        let steps = site.steps();
        let step = |name: &str| -> f64 {
            steps
                .iter()
                .filter(|(step, _)| step == name)
                .map(|(_, milliseconds)| milliseconds)
                .sum()
        };
        let peers = [peer.change(site, true), peer.change(site, false)];
        println!(
            "change {run}: ours {} (contents {} bytes, with SSH {line_bytes} bytes; units {:.0} ms, swap {:.0} ms), \
             ansible {}, without facts and pipelined {}",
            deployed.took,
            deployed.told["change"]["sent_bytes"],
            step("restart"),
            step("swapped"),
            peers[0],
            peers[1],
        );
        println!("  steps: {steps:?}");
        for (seconds, text) in &deployed.said {
            println!("  {seconds:6.2} {text}");
        }
        if run > 0 {
            ours.push((deployed.took, step("restart") / 1000.0, step("swapped")));
            usual.push(peers[0].seconds / deployed.took.seconds);
            fast.push(peers[1].seconds / deployed.took.seconds);
            let units = step("restart") / 1000.0;
            without.push((peers[0].seconds - units) / (deployed.took.seconds - units));
        }
    }
    let all = |pick: fn(&(crate::Took, f64, f64)) -> f64| ours.iter().map(pick).collect::<Vec<_>>();
    println!(
        "change | ours {} s | asked <= 1 s on a real machine",
        spread(all(|run| run.0.seconds))
    );
    println!("       | of it guest {} s of processor", spread(all(|run| run.0.guest_seconds)));
    println!("       | without the units' own time {} s", spread(all(|run| run.0.seconds - run.1)));
    println!("       | swap {} ms | asked <= 50", spread(all(|run| run.2)));
    println!("       | ansible/ours {} | asked >= 10", spread(usual));
    println!("       | both without the units' own time {}", spread(without));
    println!("       | ansible without facts, pipelined/ours {}", spread(fast));
    let share = all(|run| run.0.guest_seconds / run.0.seconds);
    println!("       | guest processor by wall time {:.2}\n", median(share));
}
