//! What is counted, and when the time is taken.

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Counts the records after a warm-up, and the time that they take.
pub(crate) struct Meter {
    /// The records of the warm-up, and then of the measurement.
    limit: u64,
    measured_records: u64,
    records: u64,
    bytes: u64,
    checksum: u64,
    start: Option<Start>,
}

/// When the measurement started.
struct Start {
    wall: Instant,
    processor_seconds: f64,
}

impl Meter {
    /// Creates the meter that the driver asks for.
    pub(crate) fn from_env() -> Self {
        Self {
            limit: number("WARM_UP_RECORDS"),
            measured_records: number("MEASURED_RECORDS"),
            records: 0,
            bytes: 0,
            checksum: 0,
            start: None,
        }
    }

    /// Counts a record. Ends the process after the last one.
    #[inline]
    pub(crate) fn count(&mut self, data: &[u8]) {
        self.records += 1;
        self.bytes += data.len() as u64;
        for at in [0, data.len() / 2, data.len() - 1] {
            self.checksum += u64::from(data[at]);
        }
        if self.records == self.limit {
            self.reach_limit();
        }
    }

    #[cold]
    fn reach_limit(&mut self) {
        let Some(start) = &self.start else {
            let start = Start { wall: Instant::now(), processor_seconds: processor_seconds() };
            let limit = self.measured_records;
            *self = Self { limit, records: 0, bytes: 0, checksum: 0, start: Some(start), ..*self };
            return;
        };
        println!(
            concat!(
                r#"{{"records": {}, "bytes": {}, "checksum": {}, "#,
                r#""seconds": {}, "processor_seconds": {}}}"#
            ),
            self.records,
            self.bytes,
            self.checksum,
            start.wall.elapsed().as_secs_f64(),
            processor_seconds() - start.processor_seconds,
        );
        // Until then, the driver reads how much memory the process has used.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    }
}

fn number(variable: &str) -> u64 {
    let value = std::env::var(variable).unwrap_or_default();
    value.parse().unwrap_or_else(|_| panic!("{variable} must be a number"))
}

/// Returns the seconds of processor time that all threads of this process have taken.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a time since the start").as_secs_f64()
}
