//! The table of figures, printed row by row.

pub(crate) struct Table {
    over_limit: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        println!("{:<74} {:>9} {:>9}", "", "limit", "measured");
        Self { over_limit: 0 }
    }

    pub(crate) fn heading(heading: &str) {
        println!("\n{heading}");
    }

    /// Prints a figure that must not exceed its limit.
    pub(crate) fn row(&mut self, what: &str, limit: f64, measured: f64) {
        // Compares the figure as it is printed. Adding 0.0 turns a negative zero into zero.
        let measured = (measured * 100.0).round() / 100.0 + 0.0;
        let is_over = measured > limit;
        self.over_limit += usize::from(is_over);
        let mark = if is_over { "OVER" } else { "" };
        println!("  {what:<72} {limit:>9.2} {measured:>9.2} {mark}");
    }

    /// Prints a figure that depends on the machine and has no limit.
    pub(crate) fn note(what: &str, measured: f64) {
        println!("  {what:<72} {:>9} {measured:>9.2}", "");
    }

    /// Prints a figure that valgrind measures, or that it is missing.
    pub(crate) fn valgrind_row(&mut self, what: &str, limit: f64, measured: Option<f64>) {
        match measured {
            Some(measured) => self.row(what, limit, measured),
            None => println!("  {what:<72} {limit:>9.2} valgrind is not installed"),
        }
    }

    /// Prints and returns the number of figures over their limits.
    pub(crate) fn finish(self) -> usize {
        match self.over_limit {
            0 => println!("\nNo figure is over its limit."),
            1 => println!("\n1 figure is over its limit."),
            over => println!("\n{over} figures are over their limits."),
        }
        self.over_limit
    }
}
