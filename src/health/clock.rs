//! What the kernel says about its own clock.

/// The status bit that nobody corrects the clock. Source: `STA_UNSYNC` of Linux's `uapi/linux/timex.h`.
pub const UNSYNCHRONISED: i32 = 0x40;

/// The answer of `adjtimex(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Its status bits.
    pub status: i32,
    /// Most microseconds that the clock may be off; it grows while nobody corrects it.
    pub error_microseconds: i64,
}

impl Clock {
    /// Whether it may be trusted to `seconds`, or why not.
    ///
    /// # Errors
    ///
    /// The reason, in words.
    pub fn check(self, seconds: Option<u32>) -> Result<(), String> {
        if self.status & UNSYNCHRONISED != 0 {
            return Err("nobody keeps the clock right".to_owned());
        }
        let allowed = seconds.map(|seconds| i64::from(seconds) * 1_000_000);
        if allowed.is_some_and(|allowed| self.error_microseconds > allowed) {
            let error = self.error_microseconds / 1000;
            return Err(format!("the clock may be off by {error} ms"));
        }
        Ok(())
    }
}
