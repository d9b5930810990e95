//! The part of `base2histogram`'s interface that openraft uses for its run-time statistics.
//!
//! The original computes tables for all of its sixteen resolutions at the first histogram of a
//! process: 26 MB that stay resident in every node and a tenth of a second of every simulated seed,
//! for statistics that nothing here reads. This one counts by powers of two and has no table.

use std::fmt;
use std::marker::PhantomData;

/// One bucket per bit length of a value: 0, 1, 2..3, 4..7, …
const BUCKETS: usize = 65;

/// Counts of values by bit length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    slots: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self { counts: [0; BUCKETS], slots: PhantomData }
    }

    /// Counts `value`.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
    }

    /// Counts `value` `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        self.counts[bucket(value)] += count;
    }

    /// The percentiles, each the lower bound of its bucket.
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.counts.iter().sum();
        let at = |per_mille: u64| self.at(samples, per_mille);
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    fn at(&self, samples: u64, per_mille: u64) -> u64 {
        let rank = (u128::from(samples) * u128::from(per_mille)).div_ceil(1000);
        let mut seen = 0u128;
        let found = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= rank && rank > 0
        });
        found.map_or(0, |index| if index == 0 { 0 } else { 1 << (index - 1) })
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

const fn bucket(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

/// Percentiles of a histogram.
#[expect(missing_docs, reason = "the names say it; openraft's interface fixes them")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[samples: {}, p50: {}, p90: {}, p99: {}]", self.samples, self.p50, self.p90, self.p99)
    }
}

/// Several histograms by name.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    series: Vec<(String, Histogram)>,
}

impl AsciiChart {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `histogram` under `name`.
    #[must_use]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.series.push((name.into(), histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.series {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn percentiles_are_lower_bounds_of_powers_of_two() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p50, 0);
        for value in 1..=1000 {
            histogram.record(value);
        }
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p50, stats.p99), (1000, 1, 256, 512));
    }
}
