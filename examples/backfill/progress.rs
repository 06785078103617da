//! Progress bars on the terminal: one for each shard that is being copied, and one for all.

use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

const STEPS: u64 = 1_000;

/// The bars of a run. They are hidden where stderr is not a terminal.
pub(crate) struct Progress {
    bars: MultiProgress,
    all: ProgressBar,
}

/// The bar of one shard.
pub(crate) struct ShardProgress {
    bar: ProgressBar,
    all: ProgressBar,
    /// How far the shard was behind at first.
    first_lag: Option<Duration>,
    records: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bars = MultiProgress::new();
        let all = bars.add(ProgressBar::no_length());
        all.set_style(style("{elapsed_precise} {human_pos} records, {per_sec}"));
        Self { bars, all }
    }

    pub(crate) fn shard(&self, id: &str) -> ShardProgress {
        let bar = self.bars.insert_before(&self.all, ProgressBar::new(STEPS));
        bar.set_style(style("{prefix} {bar:30} {msg}"));
        bar.set_prefix(id.to_owned());
        ShardProgress { bar, all: self.all.clone(), first_lag: None, records: 0 }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.all.finish_and_clear();
    }
}

impl ShardProgress {
    pub(crate) fn advance(&mut self, records: usize, lag: Option<Duration>) {
        self.records += records;
        self.all.inc(records as u64);
        let lag = lag.unwrap_or_default();
        let first = *self.first_lag.get_or_insert(lag);
        let left = if first.is_zero() { 0.0 } else { lag.as_secs_f64() / first.as_secs_f64() };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000")]
        let left = (left.min(1.0) * 1_000.0) as u64;
        self.bar.set_position(STEPS - left);
        self.bar.set_message(format!("{} records, {} behind", self.records, HumanDuration(lag)));
    }
}

impl Drop for ShardProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template")
}
