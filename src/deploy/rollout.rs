//! Which hosts are changed in which order.

use thiserror::Error;

/// The order of a change of several hosts: waves one after the other, the hosts of a wave at the same time.
///
/// A wave begins only when every host of the one before has kept its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Hosts, by wave; no wave is empty.
    pub waves: Vec<Vec<String>>,
}

/// How many hosts a wave has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// So many.
    Hosts(usize),
    /// So many of a hundred, at least one.
    Percent(u8),
}

/// Words that make no order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RolloutError {
    /// The canary is none of the hosts.
    #[error("the canary {0} is not among the hosts to be changed")]
    Canary(String),
    /// Not a number of hosts.
    #[error("`{0}` is not a number of hosts: expected 1 or more, or 1% to 100%")]
    Batch(String),
}

impl Rollout {
    /// The waves for `hosts`, which keep their order; each is named once.
    ///
    /// `canary` makes the first wave alone. Without `batch` the others make one wave.
    ///
    /// # Errors
    ///
    /// When the canary is none of `hosts`.
    pub fn plan(
        hosts: &[String],
        canary: Option<&str>,
        batch: Option<Batch>,
    ) -> Result<Self, RolloutError> {
        let mut rest: Vec<String> = Vec::new();
        for host in hosts {
            if !rest.contains(host) {
                rest.push(host.clone());
            }
        }
        let all = rest.len();
        let mut waves = Vec::new();
        if let Some(canary) = canary {
            let at = rest.iter().position(|host| host == canary);
            let at = at.ok_or_else(|| RolloutError::Canary(canary.to_owned()))?;
            waves.push(vec![rest.remove(at)]);
        }
        let size = match batch {
            None => all,
            Some(Batch::Hosts(count)) => count,
            Some(Batch::Percent(percent)) => (all * usize::from(percent)).div_ceil(100),
        };
        waves.extend(rest.chunks(size.max(1)).map(<[String]>::to_vec));
        Ok(Self { waves })
    }
}

impl std::str::FromStr for Batch {
    type Err = RolloutError;

    fn from_str(text: &str) -> Result<Self, RolloutError> {
        let wrong = || RolloutError::Batch(text.to_owned());
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
            return percent.map(Self::Percent).ok_or_else(wrong);
        }
        let count = text.parse().ok().filter(|count| *count > 0);
        count.map(Self::Hosts).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hosts: &str, canary: Option<&str>, batch: Option<&str>, expected: &str) {
        let hosts: Vec<String> = hosts.split(' ').map(str::to_owned).collect();
        let batch = batch.map(|batch| batch.parse().unwrap());
        let rollout = Rollout::plan(&hosts, canary, batch).unwrap();
        let waves: Vec<String> = rollout.waves.iter().map(|wave| wave.join(" ")).collect();
        assert_eq!(waves.join(" | "), expected);
    }

    #[test]
    fn hosts_go_in_waves() {
        check("a b c", None, None, "a b c");
        check("a b a c", None, Some("2"), "a b | c");
        check("a b c d", Some("c"), None, "c | a b d");
        check("a b c d e", Some("a"), Some("40%"), "a | b c | d e");
        check("a b c", None, Some("1%"), "a | b | c");
        check("a b", None, Some("100%"), "a b");
        check("a", Some("a"), Some("9"), "a");
    }

    #[test]
    fn wrong_words_are_refused() {
        for text in ["0", "", "-1", "0%", "101%", "x", "5 %"] {
            assert_eq!(text.parse::<Batch>(), Err(RolloutError::Batch(text.to_owned())));
        }
        let hosts = ["a".to_owned()];
        let error = Rollout::plan(&hosts, Some("b"), None).unwrap_err();
        assert_eq!(error, RolloutError::Canary("b".to_owned()));
    }
}
