//! Labelled random streams: every kind of chance draws from its own, so that a new draw in one
//! place does not shift another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// FNV-1a over the label: fixed for ever, so that seeds keep their meaning.
pub fn label_hash(label: &str) -> u64 {
    label.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The generator keyed by seed, label, node, incarnation and counter.
pub fn chacha(seed: u64, label: &str, node: u32, incarnation: u32, counter: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[0..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&label_hash(label).to_le_bytes());
    key[16..20].copy_from_slice(&node.to_le_bytes());
    key[20..24].copy_from_slice(&incarnation.to_le_bytes());
    key[24..32].copy_from_slice(&counter.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// One stream of random choices.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one concern; see [`chacha`].
    pub fn new(seed: u64, label: &str, node: u32, incarnation: u32, counter: u64) -> Stream {
        Stream(chacha(seed, label, node, incarnation, counter))
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0. The bias is below 2^-32 for bounds below 2^32.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.word()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high.saturating_sub(low)).saturating_add(1))
    }

    /// True with a probability in parts per million. Draws nothing when it is 0.
    pub fn chance_ppm(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    /// True or false, evenly.
    pub fn coin(&mut self) -> bool {
        self.word() & 1 == 1
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One element of a slice; `None` when it is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Shuffles in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// A distribution of durations, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Const {
        /// The value.
        ns: u64,
    },
    /// Uniform between both ends, inclusive.
    Uniform {
        /// Lowest.
        min_ns: u64,
        /// Highest.
        max_ns: u64,
    },
    /// `min_ns` plus an exponential part with mean `mean_ns`, cut at twenty times the mean.
    Exponential {
        /// Lowest.
        min_ns: u64,
        /// Mean of the exponential part.
        mean_ns: u64,
    },
}

impl Latency {
    /// No delay.
    pub const ZERO: Latency = Latency::Const { ns: 0 };

    /// Uniform, in microseconds.
    pub const fn uniform_us(min_us: u64, max_us: u64) -> Latency {
        Latency::Uniform { min_ns: min_us * 1000, max_ns: max_us * 1000 }
    }

    /// Draws one value.
    pub fn draw(&self, stream: &mut Stream) -> u64 {
        match *self {
            Latency::Const { ns } => ns,
            Latency::Uniform { min_ns, max_ns } => stream.between(min_ns, max_ns),
            Latency::Exponential { min_ns, mean_ns } => {
                // The logarithm by the integer route: std's `ln` may differ between machines.
                let scaled = exponential_milli(stream.word());
                min_ns + mean_ns.saturating_mul(scaled) / 1000
            }
        }
    }
}

/// An exponential variable with mean 1000, at most 20,000, without floating point: the sum of a
/// geometric count of halvings and a linear interpolation inside the last one.
fn exponential_milli(word: u64) -> u64 {
    const LN2_MILLI: u64 = 693;
    let halvings = u64::from((word | 1 << 34).leading_zeros());
    // The 32 low bits are independent of the leading zeros as long as those are at most 29.
    let fraction = word & 0xffff_ffff;
    (halvings.min(28) * LN2_MILLI + ((LN2_MILLI * fraction) >> 32)).min(20_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_and_repeatable() {
        let word = |label, node, inc, counter| Stream::new(7, label, node, inc, counter).word();
        assert_eq!(word("a", 1, 1, 0), word("a", 1, 1, 0));
        let others = [word("b", 1, 1, 0), word("a", 2, 1, 0), word("a", 1, 2, 0), word("a", 1, 1, 1)];
        assert!(others.iter().all(|other| *other != word("a", 1, 1, 0)));
    }

    #[test]
    fn the_exponential_has_its_mean() {
        let mut stream = Stream::new(1, "test", 0, 0, 0);
        let latency = Latency::Exponential { min_ns: 0, mean_ns: 1000 };
        let mean = (0..20_000).map(|_| latency.draw(&mut stream)).sum::<u64>() / 20_000;
        assert!((900..1150).contains(&mean), "mean {mean}");
    }
}
