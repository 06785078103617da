//! The sums of all seeds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::world::Outcome;

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) seeds: u64,
    sum: Outcome,
}

impl Figures {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        let sum = &mut self.sum;
        sum.shards += outcome.shards;
        sum.offers += outcome.offers;
        sum.records += outcome.records;
        sum.deliveries += outcome.deliveries;
        sum.requests += outcome.requests;
        sum.lives += outcome.lives;
        sum.fan_out_seeds += outcome.fan_out_seeds;
        sum.five_minute_ends += outcome.five_minute_ends;
        sum.takeovers += outcome.takeovers;
        sum.deregistrations += outcome.deregistrations;
        sum.ended_with_stream += outcome.ended_with_stream;
        sum.simulated += outcome.simulated;
        for (fault, times) in &outcome.faults {
            *sum.faults.entry(fault.clone()).or_default() += times;
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome {
            shards, offers, records, deliveries, requests, lives, simulated, faults, ..
        } = &self.sum;
        let ended_with_stream = self.sum.ended_with_stream;
        let simulated = Duration::from_secs(simulated.as_secs());
        let met: u64 = faults.values().sum();
        let restarts = lives.saturating_sub(self.seeds);
        writeln!(f, "{} seeds, {simulated:?} simulated", self.seeds)?;
        writeln!(
            f,
            "{shards} shards, {offers} offers; {records} records, {deliveries} deliveries"
        )?;
        writeln!(f, "{requests} requests, {met} faults, {restarts} restarts")?;
        writeln!(f, "{ended_with_stream} readers ended with their stream")?;
        let Outcome { fan_out_seeds, five_minute_ends, takeovers, deregistrations, .. } = &self.sum;
        writeln!(
            f,
            "{fan_out_seeds} seeds by fan-out: {five_minute_ends} subscriptions ended after five \
             minutes, {takeovers} takeovers, {deregistrations} deregistrations"
        )?;
        let kinds: &BTreeMap<String, u64> = faults;
        let kinds: Vec<_> = kinds.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
        write!(f, "faults by kind: {}", kinds.join(", "))
    }
}
