//! The table, printed as it grows.

pub(crate) struct Table {
    over: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        println!("{:<74} {:>9} {:>9}", "", "limit", "measured");
        Self { over: 0 }
    }

    pub(crate) fn heading(heading: &str) {
        println!("\n{heading}");
    }

    /// A figure that must not be above its limit.
    pub(crate) fn row(&mut self, what: &str, limit: f64, measured: f64) {
        // What is printed is what counts; there is no zero below zero.
        let measured = (measured * 100.0).round() / 100.0 + 0.0;
        let is_over = measured > limit;
        self.over += usize::from(is_over);
        println!("  {what:<72} {limit:>9.2} {measured:>9.2} {}", if is_over { "OVER" } else { "" });
    }

    /// A figure of this machine, with no limit.
    pub(crate) fn note(what: &str, measured: f64) {
        println!("  {what:<72} {:>9} {measured:>9.2}", "");
    }

    /// A figure that only a tool can tell that may be missing.
    pub(crate) fn row_if_any(&mut self, what: &str, limit: f64, measured: Option<f64>) {
        match measured {
            Some(measured) => self.row(what, limit, measured),
            None => println!("  {what:<72} {limit:>9.2} valgrind is not installed"),
        }
    }

    pub(crate) fn finish(self) -> usize {
        match self.over {
            0 => println!("\nNo figure is over its limit."),
            over => println!("\n{over} figures are over their limits."),
        }
        self.over
    }
}
